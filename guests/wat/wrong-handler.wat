;; Exports the handler's interface, but its `handle` takes no request.
(component
  (core module $m (func (export "handle")))
  (core instance $main (instantiate $m))
  (func $handle (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
