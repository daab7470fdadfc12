#!/usr/bin/env bash
# dosfstools 4.2 (mkfs.fat --mbr=y) and mtools 4.0.32 (mformat on an image) write a partition table into the
# boot sector of a FAT volume that is not partitioned. Its one entry is active, has a FAT's type and begins at
# block 0: the "partition" is the whole disk, table included.
#
# One would guess that an MBR with a sane entry of a FAT type means a partitioned disk, and that the first block
# of a partition lies behind the table. Who decides between the two must not count an entry that begins at 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
chmod 755 .
apt-get download -qq dosfstools=4.2-1 mtools=4.0.33-1+really4.0.32-1 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" .; done

number() { od -A n -t u"$3" -j "$2" -N "$3" "$1" | tr -d ' '; }
fail() { echo "changed: $*"; exit 1; }

truncate -s 64M mkfs.img mformat.img
sbin/mkfs.fat --mbr=y mkfs.img
usr/bin/mformat -i mformat.img -T 131072 ::
for image in mkfs.img mformat.img; do
	# The first entry of an MBR stands at 446: status, 3 bytes, type, 3 bytes, first block, blocks.
	status=$(number $image 446 1) type=$(number $image 450 1) first=$(number $image 454 4) blocks=$(number $image 458 4)
	echo "$image: status $status, type $type, first block $first, $blocks blocks; bytes a sector: $(number $image 11 2)"
	[ "$status" = 128 ] && [ "$type" = 6 ] && [ "$first" = 0 ] || fail "$image has another entry"
	[ "$(number $image 11 2)" = 512 ] || fail "$image is no FAT volume in sector 0"
done
