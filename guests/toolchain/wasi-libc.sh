#!/usr/bin/env bash
# Unpacks a wasi-libc that knows wasm32-wasip2 (an architecture-independent package of Debian's unstable) into
# DEST. It never touches the system's own package sources. usage: wasi-libc.sh DEST
set -euo pipefail
dest=${1:?where to unpack}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial} "$dest"
site=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -v security | head -n 1)
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] ${site:?no package source is set up} sid main" >"$work/sources.list"
cat >"$work/apt.conf" <<CONF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
APT::Sandbox::User "root";
CONF
export APT_CONFIG=$work/apt.conf
apt-get -qq update
(cd "$work" && apt-get -qq download wasi-libc && dpkg -x wasi-libc_*_all.deb "$dest")
