#!/bin/sh
# Prints the kernel's rustc flags for CARGO_ENCODED_RUSTFLAGS: those of a freestanding program, and new
# names for the folders of this machine, so that builds in different folders give the same bytes.
set -eu
cd "$(dirname "$0")/.."
# As .cargo/config.toml, which these replace; AVX-512 is not in the guests' XCR0 yet.
set -- -Crelocation-model=static --cfg=chacha20_avx512 '--cfg=getrandom_backend="custom"' "--remap-path-prefix=$PWD=/mirage-sshfs"
# Where the crates came from does not matter: Cargo.lock has their checksums.
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
	set -- "$@" "--remap-path-prefix=$registry=/crates"
done
# After the first, which it may be inside of: rustc takes the last that fits.
set -- "$@" "--remap-path-prefix=$(realpath -m "${CARGO_TARGET_DIR:-target}")=/target"
IFS=$(printf '\037')
printf %s "$*"
