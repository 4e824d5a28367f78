#!/usr/bin/env bash
# Lays out a Rust standard library for wasm32-wasip2 where rustup can fetch no target: built from Debian's own
# sources of it (rust-web-src), by Debian's own compiler of the same version (rustc-web). Needs root for apt-get
# when those packages are missing. About two minutes and 80 MB, once.
# usage: rust-sysroot.sh DEST        then: source rust-env.sh DEST; guest-cargo build --release
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dest=${1:?where to put the sysroot}
target=wasm32-wasip2
need=(rustc-web cargo-web rust-web-src lld-22)
if ! dpkg -s "${need[@]}" >/dev/null 2>&1; then
  echo "installing ${need[*]}"
  apt-get -qq update
  apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/std/src"
cat >"$work/std/Cargo.toml" <<TOML
[package]
name = "stdbuild"
version = "0.0.0"
edition = "2021"
[profile.release]
panic = "abort"
[workspace]
TOML
echo '#![allow(unused)]' >"$work/std/src/lib.rs"
# Flags of whoever calls must not leak in. -Cembed-bitcode: without it a guest's LTO fails.
unset CARGO RUSTUP_TOOLCHAIN CARGO_ENCODED_RUSTFLAGS
(cd "$work/std" && RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO_TARGET_DIR="$work/target" \
  RUSTFLAGS=-Cembed-bitcode=yes \
  /usr/bin/cargo build -q --release --target "$target" -Zbuild-std=std,panic_abort)
lib=$dest/lib/rustlib/$target/lib
mkdir -p "$lib/self-contained"
find "$work/target/$target/release" -name '*.rlib' ! -name 'libstdbuild*' -exec cp -f {} "$lib/" \;
"$here/wasi-libc.sh" "$work/libc"
cp "$work/libc/usr/lib/$target"/{libc.a,crt1-command.o,crt1-reactor.o} "$lib/self-contained/"
# Build scripts and procedural macros run on the host: its library is the compiler's own.
ln -sfn /usr/lib/rustlib/x86_64-unknown-linux-gnu "$dest/lib/rustlib/x86_64-unknown-linux-gnu"
