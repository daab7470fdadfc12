#!/usr/bin/env bash
# exfatprogs 1.2.0 (Debian 12): a file whose set of entries ends with a Vendor Extension entry, as section 7.8 of the
# exFAT specification has it, is a damaged one to fsck.exfat: "failed to get name dentry", exit 4 with -n. The repair
# keeps the file under its name but not the entry, so what a vendor kept there is gone.
#
# One would guess that a checker leaves benign secondary entries alone that it does not know: section 6.4 says so, and
# that they are kept with their file. The first version of the package that does so is not Debian 12's.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
chmod 755 .
apt-get download -qq exfatprogs=1.2.0-1+deb12u1 2>/dev/null
dpkg-deb -x exfatprogs_*.deb .
fail() { echo "changed: $*"; exit 1; }

truncate -s 8M disk.img
usr/sbin/mkfs.exfat disk.img >/dev/null
# Adds an empty file to the root directory: with argument 1 its set has a vendor's entry behind the name.
cat >add.py <<'PY'
import struct, sys

image = open("disk.img", "r+b")
boot = image.read(512)
heap, root, sector, per_cluster = struct.unpack_from("<I4xI", boot, 88) + tuple(boot[108:110])
place = (heap << sector) + ((root - 2) << sector << per_cluster)
image.seek(place)
entries = image.read(4096)
place += next(at for at in range(0, 4096, 32) if entries[at] == 0)
name, vendor = sys.argv[1], int(sys.argv[2])
stream = bytearray(32)
stream[0:4] = 0xC0, 1, 0, len(name)
value = 0
for byte in name.upper().encode("utf-16-le"):
    value = ((value >> 1) + (value << 15) + byte) & 0xFFFF
struct.pack_into("<H", stream, 4, value)
file = bytearray(32)
file[0:2] = 0x85, 2 + vendor
struct.pack_into("<HIII", file, 4, 0x20, *3 * [0x5A21_6000])
entry = bytes([0xC1, 0]) + name.encode("utf-16-le").ljust(30, b"\0")
extension = bytes([0xE0, 0]) + bytes(range(1, 17)) + b"kept with it".ljust(14, b"\0")
whole = bytearray(file + stream + entry + extension * vendor)
value = 0
for at, byte in enumerate(whole):
    if at not in (2, 3):
        value = ((value >> 1) + (value << 15) + byte) & 0xFFFF
struct.pack_into("<H", whole, 2, value)
image.seek(place)
image.write(whole)
PY

check() {
	status=0
	usr/sbin/fsck.exfat "$1" disk.img >said 2>&1 || status=$?
	echo "$2: exit $status, $(grep -m 1 -E 'ERROR|clean' said)"
}
python3 add.py plain 0
check -n "a file without such an entry"
[ "$status" = 0 ] || fail "the plain file is wrong: $(cat said)"
python3 add.py vendor 1
check -n "a file with one"
[ "$status" = 4 ] && grep -q 'failed to get name dentry' said || fail "$(cat said)"
grep -qa 'kept with it' disk.img || fail "-n wrote"
check -y "repaired"
check -n "afterwards"
# The set's first entries with the name stay; the count of the others says whether the vendor's is one of them.
others=$(python3 - <<'PY'
data = open("disk.img", "rb").read()
names = [at for at in range(0, len(data) - 96, 32) if data[at] == 0x85 and data[at + 66 : at + 78] == "vendor".encode("utf-16-le")]
print(*[data[at + 1] for at in names])
PY
)
echo "further entries of the file: $others"
[ "$others" = 2 ] || fail "the entry stays"
