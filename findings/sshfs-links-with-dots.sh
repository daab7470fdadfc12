#!/usr/bin/env bash
# Debian 12's last sshfs (3.7.3-1.2~deb12u1): on a mount with default options a relative link that goes up, such as
# `ln -s ../file folder/link`, is listed, but reading it or through it fails with "Operation not permitted".
#
# One would guess that the server refuses, since sshfs 3.7.3 itself follows no such links and passes them on. It is
# an option that Debian has added and made the default, contain_symlinks: the client does not ask the server for
# its permission, it decides. `-o no_contain_symlinks` gives what 3.7.3 gave.
set -euo pipefail
work=$(mktemp -d)
trap 'fusermount3 -u "$work/mnt" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
chmod 755 .
apt-get download -qq sshfs=3.7.3-1.2~deb12u1 openssh-sftp-server=1:9.2p1-2+deb12u10 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" .; done
fail() { echo "changed: $*"; exit 1; }

mkdir -p data/folder mnt
echo content >data/file
ln -s ../file data/folder/link
# sshfs speaks with the server by this program in the place of ssh.
printf '#!/bin/sh\nexec %s\n' "$work/usr/lib/openssh/sftp-server" >ssh
chmod +x ssh
for options in reconnect no_contain_symlinks; do
	usr/bin/sshfs -o "ssh_command=$work/ssh,$options" "nobody:$work/data" mnt
	said=$(cat mnt/folder/link 2>&1) || true
	echo "-o $options: ${said#cat: }"
	[ "$(cd mnt/folder && echo l*)" = link ] || fail "it is not listed"
	case "$options" in
	reconnect) [[ $said == *"Operation not permitted" ]] || fail "it is read" ;;
	*) [ "$said" = content ] || fail "it is not read" ;;
	esac
	fusermount3 -u mnt
done
