;; A valid component that answers no HTTP: it exports one function of its own.
(component
  (core module $m (func (export "run")))
  (core instance $main (instantiate $m))
  (func (export "run") (canon lift (core func $main "run"))))
