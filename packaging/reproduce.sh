#!/bin/bash
# Fails unless the kernel, built again from a copy of these sources in a folder of another name, with
# another home of cargo, has the same bytes, and packaging/SHA256 the hashes of what was built.
#
#     packaging/reproduce.sh KERNEL SHA256
set -euo pipefail
kernel=$(realpath "$1") hashes=$(realpath "$2")
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/home" "$work/other folder"
ln -s "${CARGO_HOME:-$HOME/.cargo}"/* "$work/home"
git ls-files -z --cached --others --exclude-standard | tar -c --null --ignore-failed-read -T - | tar -xC "$work/other folder"
env -u CARGO_TARGET_DIR CARGO_HOME="$work/home" make -C "$work/other folder" kernel
cmp "$kernel" "$work/other folder/target/mirage-sshfs.elf" || {
	echo "two builds in two folders differ: what of this machine is in the kernel?"
	strings -a "$kernel" | grep -F "$PWD" | head || true
	exit 1
}
echo "two builds in two folders are the same"
cmp -s "$hashes" packaging/SHA256 || {
	diff "$hashes" packaging/SHA256 || true
	echo "packaging/SHA256 has other hashes. When the code has changed, type: make qubes-hash"
	exit 1
}
