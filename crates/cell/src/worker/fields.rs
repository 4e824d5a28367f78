//! Tables of headers of 0.3 that grow too large end their run, as those of 0.2 do. It never changes what a
//! table may hold.
//!
//! The interface of 0.2 knows no such error, so that its host functions trap. That of 0.3 has one, and what a
//! guest makes of it would be all that is seen: these three functions stand in front of the library's.

use model::Fault;
use wasmtime::{
    StoreContextMut,
    component::{Linker, LinkerInstance, Resource},
};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::{
    FieldMap, WasiHttpView,
    p3::bindings::http::types::{HeaderError, HostFields},
};

use super::guest::Guest;

type Name = String;
type Value = Vec<u8>;
type Said<T> = (Result<T, HeaderError>,);

/// Puts the three functions before those of the library, which are linked already.
///
/// # Errors
/// None but the engine's own.
pub(super) fn bound(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    from_list(&mut types)?;
    append(&mut types)?;
    set(&mut types)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The interface of the library that is linked.
const TYPES: &str = "wasi:http/types@0.3.0";

fn from_list(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[static]fields.from-list",
        |mut store: StoreContextMut<'_, Guest>, (entries,): (Vec<(Name, Value)>,)| {
            let made = store.data_mut().http().from_list(entries);
            looked_at(&store, made)
        },
    )
}

fn append(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]fields.append",
        |mut store: StoreContextMut<'_, Guest>, (fields, name, value): (Resource<FieldMap>, Name, Value)| {
            let made = store.data_mut().http().append(fields, name, value);
            looked_at(&store, made)
        },
    )
}

fn set(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]fields.set",
        |mut store: StoreContextMut<'_, Guest>,
         (fields, name, values): (Resource<FieldMap>, Name, Vec<Value>)| {
            let made = store.data_mut().http().set(fields, name, values);
            looked_at(&store, made)
        },
    )
}

/// What the guest is told, or the trap that ends its run.
fn looked_at<T>(
    store: &StoreContextMut<'_, Guest>,
    made: Result<T, TrappableError<HeaderError>>,
) -> wasmtime::Result<Said<T>> {
    let error = match made {
        Ok(made) => return Ok((Ok(made),)),
        Err(error) => error.downcast()?,
    };
    if !matches!(error, HeaderError::SizeExceeded) {
        return Ok((Err(error),));
    }
    let detail = "a table of headers is larger than it may be";
    store.data().run().fail(Fault::ResponseHeaderLimit, detail);
    Err(wasmtime::Error::msg(detail))
}
