#!/usr/bin/env bash
# exfatprogs 1.2.0 (Debian 12): mkfs.exfat with clusters of 32 MiB on an image of 64 MiB says "exFAT format
# complete!" and exits with 0. The volume has no cluster at all: its heap begins behind the first 32 MiB, and what
# is left is less than a cluster. The root directory is said to begin at cluster 3 all the same, and the package's
# own fsck.exfat refuses the volume.
#
# One would guess that a program which says that it is complete has made what its checker takes, or else says
# that the clusters are too large. Who reads exFAT must compare the root's first cluster with the count, also
# on volumes that were just made.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
chmod 755 .
apt-get download -qq exfatprogs=1.2.0-1+deb12u1 2>/dev/null
dpkg-deb -x exfatprogs_*.deb .

number() { od -A n -t u"$2" -j "$1" -N "$2" disk.img | tr -d ' '; }
fail() { echo "changed: $*"; exit 1; }

truncate -s 64M disk.img
usr/sbin/mkfs.exfat -c 32M disk.img >said || fail "mkfs.exfat refuses: $(tail -n 1 said)"
grep -q '^exfatprogs version : 1.2.0$' said || fail "another version: $(head -n 1 said)"
grep -q '^exFAT format complete!$' said || fail "it does not say that it is complete"
# exFAT specification, 3.1: ClusterCount at 92, FirstClusterOfRootDirectory at 96.
echo "clusters: $(number 92 4), the root directory begins at cluster $(number 96 4)"
[ "$(number 92 4)" = 0 ] || fail "it has clusters"
status=0
usr/sbin/fsck.exfat -n disk.img >checked 2>&1 || status=$?
echo "fsck.exfat: exit $status, $(grep -m 1 ERROR checked)"
[ "$status" != 0 ] || fail "fsck.exfat takes it"
