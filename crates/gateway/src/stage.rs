//! The stages of a request, one file each, in the order of `pipeline`. None of them decides by itself.

pub(crate) mod authorize;
pub(crate) mod behind;
pub(crate) mod identify;
pub(crate) mod inspect;
pub(crate) mod invoke;
pub(crate) mod listen;
pub(crate) mod respond;
pub(crate) mod route;
pub(crate) mod screen;
pub(crate) mod shape;
