;; 1,024 core instances, each with a memory and a table, by components inside components.
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (core module $leaf (memory 1) (table 1 funcref))
  (component $c0
    (alias outer 1 $leaf (core module $leaf))
    (core instance (instantiate $leaf)) (core instance (instantiate $leaf))
    (core instance (instantiate $leaf)) (core instance (instantiate $leaf)))
  (component $c1
    (alias outer 1 $c0 (component $below))
    (instance (instantiate $below)) (instance (instantiate $below))
    (instance (instantiate $below)) (instance (instantiate $below)))
  (component $c2
    (alias outer 1 $c1 (component $below))
    (instance (instantiate $below)) (instance (instantiate $below))
    (instance (instantiate $below)) (instance (instantiate $below)))
  (component $c3
    (alias outer 1 $c2 (component $below))
    (instance (instantiate $below)) (instance (instantiate $below))
    (instance (instantiate $below)) (instance (instantiate $below)))
  (component $c4
    (alias outer 1 $c3 (component $below))
    (instance (instantiate $below)) (instance (instantiate $below))
    (instance (instantiate $below)) (instance (instantiate $below)))
  (instance (instantiate $c4))
  (core module $m
    (func (export "handle") (param i32 i32)))
  (core instance $main (instantiate $m))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
