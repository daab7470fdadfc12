#!/usr/bin/env bash
# restic 0.14.0 (Debian 12) over OpenSSH 9.2p1's sftp-server that refuses removals (`-P remove`): "forget" says "file
# does not exist" of a snapshot that exists, and tries again for some 43 seconds before it gives up.
#
# One would guess that it repeats the server's "Permission denied". Its SFTP library answers a refused REMOVE with an
# RMDIR of the same name and tells that one's error, and OpenSSH's code for RMDIR of a file is "No such file". So who
# refuses removals must refuse both requests, or people look for a file that is there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
chmod 755 .
apt-get download -qq restic=0.14.0-1+b5 openssh-sftp-server=1:9.2p1-2+deb12u10 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" .; done

fail() { echo "changed: $*"; exit 1; }

# $1 is what the server refuses. The option that names its command takes no comma.
restic() {
	printf '#!/bin/sh\nexec %s -P "%s"\n' "$work/usr/lib/openssh/sftp-server" "$1" >server
	chmod +x server
	timeout -s KILL 20 usr/bin/restic -r "sftp::$work/repository" -p password --no-cache \
		-o "sftp.command=$work/server" "${@:2}"
}
echo secret >password
restic "" init >/dev/null
mkdir data
for name in one two; do
	echo "$name" >"data/$name"
	restic "" backup data >/dev/null
done

# The first line that says how the removal went; it would go on for minutes.
said() {
	restic "$1" forget --keep-last 1 2>&1 | grep -m 1 'Remove(<snapshot/' || true
	restic "" unlock --remove-all >/dev/null
}
one=$(said remove) both=$(said remove,rmdir)
echo "refusing remove:           $one"
echo "refusing remove and rmdir: $both"
[ "$(find repository/snapshots -type f | wc -l)" = 2 ] || fail "a snapshot is gone"
[[ $one == *"retrying after"*"file does not exist"* ]] || fail "remove alone"
[[ $both == *"retrying after"*"permission denied"* ]] || fail "both"
