;; Imports an interface that no host has and no manifest can grant.
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (import "acme:thing/do@1.0.0" (instance $acme (export "act" (func))))
  (core func $act (canon lower (func $acme "act")))
  (core module $m
    (import "acme" "act" (func $act))
    (func (export "handle") (param i32 i32) (call $act)))
  (core instance $main (instantiate $m (with "acme" (instance (export "act" (func $act))))))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
