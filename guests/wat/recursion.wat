;; Recurses without end on the Wasm stack, with a wide frame.
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (core module $m
    (func $down (param i64 i64 i64 i64) (result i64)
      (i64.add (local.get 0) (call $down
        (i64.add (local.get 3) (i64.const 1)) (local.get 0) (local.get 1) (local.get 2))))
    (func (export "handle") (param i32 i32)
      (drop (call $down (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))))
  (core instance $main (instantiate $m))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
