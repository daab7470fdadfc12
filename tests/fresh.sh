#!/usr/bin/env bash
# What a machine does that has never seen this project: a copy in a folder of another name, and a home of
# cargo in which nothing is. A home that other builds have filled hides what a build asks for and cannot get.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
server=
finish() {
	mountpoint -q "$work/mnt" && fusermount3 -u "$work/mnt"
	[ -z "$server" ] || kill -INT "$server" 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT
say() { echo "fresh: $*"; }
fail() {
	echo "fresh: FAILED: $*" >&2
	cat "$work/said" >&2
	exit 1
}

there="$work/never seen"
touch "$work/said"
mkdir "$there" "$work/mnt" "$work/home" "$work/other-home"
git ls-files -z --cached --others --exclude-standard | tar -c --null --ignore-failed-read -T - | tar -xC "$there"
unset CARGO_TARGET_DIR CARGO_NET_OFFLINE
export CARGO_HOME="$work/home"

# Alone it needs the fewest packages: what its build script cannot find would be missing here.
say "net/sunset builds alone, and nothing was fetched before"
cargo build --quiet --release --locked --manifest-path "$there/Cargo.toml" --package sunset-widened || fail "net/sunset"

say "make run, up to the line that mounts"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
setsid make -C "$there" run PORT="$port" >"$work/said" 2>&1 &
make=$!
until line=$(grep -o "sshfs -p $port .* mnt$" "$work/said"); do
	kill -0 $make 2>/dev/null || fail "make run ended"
	sleep 0.2
done
server=$(pgrep -g $make -x mirage-sshfs) || fail "there is no server"
# The line is typed where make was, and asks nothing because nobody is there to answer.
(cd "$there" && ln -s "$work/mnt" mnt && eval "${line/sshfs/sshfs -o StrictHostKeyChecking=no,UserKnownHostsFile=$work/known}") ||
	fail "its line mounts nothing"
cp README.md "$work/mnt/" && cmp README.md "$work/mnt/README.md" && test -e "$work/mnt/mirage.pub" || fail "the mount"
fusermount3 -u "$work/mnt"
kill -INT "$server"
wait $make || fail "make run did not end well"
server=
fsck.fat -n "$there/disk.img" >"$work/said" || fail "the volume is not clean"

say "without a network, from cargo vendor"
cargo vendor --locked --manifest-path "$there/Cargo.toml" "$work/crates" >"$work/config" 2>"$work/said" || fail "cargo vendor"
mkdir -p "$there/.cargo" && cat "$work/config" >>"$there/.cargo/config.toml"
(cd "$there" && CARGO_HOME="$work/other-home" CARGO_NET_OFFLINE=true cargo check --quiet --locked --package net) || fail "offline"
say "all three work"
