# source rust-env.sh SYSROOT: then `guest-cargo build --release --target wasm32-wasip2` emits a component with
# the sysroot that rust-sysroot.sh made. wasm-component-ld and the Wasm linker ship inside rustup's toolchain.
GUEST_SYSROOT=$(cd "${1:?the sysroot that rust-sysroot.sh made}" && pwd)
_guest_bin=$(rustc --print sysroot)/lib/rustlib/x86_64-unknown-linux-gnu/bin
guest-cargo() {
  env RUSTC=/usr/bin/rustc PATH="$_guest_bin/gcc-ld:$PATH" \
    CARGO_TARGET_WASM32_WASIP2_LINKER="$_guest_bin/wasm-component-ld" \
    CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS="--sysroot=$GUEST_SYSROOT" \
    cargo "$@"
}
