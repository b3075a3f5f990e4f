#!/bin/sh
# Builds the Rust peer with both releases of the ockam crate, outside the checkout.
# usage: build.sh [v0_139] [newest]
# The programs are $CARGO_TARGET_DIR/<release>/release/peer; CARGO_TARGET_DIR is
# ~/.cache/ockam-twisted-interop when it is not set.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ockam-twisted-interop}
unset CARGO_TARGET_DIR
command -v cargo >/dev/null || { echo "build.sh: cargo is missing, see https://rustup.rs" >&2; exit 1; }
[ $# -gt 0 ] || set -- newest v0_139
for release in "$@"; do
    [ -f "$here/rust/$release/Cargo.toml" ] || { echo "build.sh: no such release: $release" >&2; exit 2; }
    echo "Building: $release"
    started=$(date +%s)
    (cd "$here/rust/$release" && nice cargo build --release --locked --target-dir "$target/$release")
    echo "Built: $target/$release/release/peer in $(($(date +%s) - started)) s"
done
