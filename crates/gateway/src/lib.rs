//! Bytes in and out: sockets, TLS, HTTP, the list of stages, the control API. It never decides.

pub mod api;
