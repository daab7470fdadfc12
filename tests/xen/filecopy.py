"""The sender's half of qubes.Filecopy: Qubes' qubes-linux-utils, qrexec-lib/libqubes-rpc-filecopy.h."""
import stat
import struct
import zlib

# u32 length of the name with its NUL, u32 mode, u64 length of the data, u32 seconds and nanoseconds of the
# access and of the modification.
HEADER = struct.Struct("<IIQIIII")
RESULT = struct.Struct("<IIQ")      # u32 errno, u32 padding, u64 CRC-32 of all that was received
END = bytes(HEADER.size)
REGULAR, DIRECTORY, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777


def entry(name, data=b"", mode=REGULAR, modified=1_700_000_000, size=None):
    """One file, directory or link; `size` is what is said of it when that is not true."""
    name = name if isinstance(name, bytes) else name.encode()
    return HEADER.pack(len(name) + 1, mode, len(data) if size is None else size, modified, 0, modified, 0) + name + b"\0" + data


def result(answer):
    """errno, the receiver's CRC-32 and the last name of its answer."""
    error, _, crc = RESULT.unpack_from(answer)
    name = answer[RESULT.size:]
    if name:
        (size,) = struct.unpack_from("<I", name)
        name = name[4:]
        if len(name) != size:
            raise AssertionError(f"a name of {size} bytes: {name!r}")
    return error, crc, name.decode()


def checksum(data):
    return zlib.crc32(data)
