#!/usr/bin/env python3
"""Writes a few good inputs for the fuzz targets into the folder that is named: where mutation starts."""
import base64
import os
import random
import struct
import sys

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c me"

OPTIONS = [
    "restrict", "no-pty,no-port-forwarding,X11-forwarding", 'from="10.137.0.*,!10.137.0.9,fd00::/8,10.0.0.0/8"',
    'command="internal-sftp -R -d /photos"', 'command="internal-sftp -p stat,open -P copy-data,posix-rename -u 077"',
    r'command="internal-sftp -d \"/my photos\" -l INFO",restrict',
    'expiry-time="20261231",expiry-time="202701010000Z",environment="A=b"', 'principals="x",cert-authority',
]

COMMAND_LINES = [
    ["--port", "22022", "--user=alice", "-l", "sftp:debug,*:info", "--read-only"], ["--key", KEY, "--seed", "s"],
    ["--uid=0", "--gid", "1", "--umask=077", "--fmask=133", "--dmask", "0"], ["--ipv4=10.0.0.2/24", "--ipv4-gateway", "10.0.0.1", "--disk=xvdb"],
    ["--mtu", "1420"],
]


def words(path, number):
    """The words at one place of the lines of a file."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), path)) as file:
        return [line.split()[number] for line in file]


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack(">I", len(data)) + data


def packet(kind, *fields):
    body = bytes([kind]) + struct.pack(">I", 1) + b"".join(fields)
    return struct.pack(">I", len(body)) + body


def sessions():
    """SFTP streams after INIT, on handles from 1 on."""
    handle, none, start = string(struct.pack(">Q", 1)), struct.pack(">I", 0), struct.pack(">Q", 0)
    opened = packet(3, string("/a"), struct.pack(">I", 0x1b), none)
    yield opened + packet(6, handle, start, string(b"x" * 900)) + packet(5, handle, start, struct.pack(">I", 900)) + \
        packet(4, handle)
    yield packet(14, string("/d"), none) + packet(11, string("/")) + packet(12, handle) + packet(12, handle)
    yield opened + packet(18, string("/a"), string("/b")) + packet(13, string("/b")) + packet(8, handle)
    yield opened + packet(9, string("/a"), struct.pack(">IQ", 1, 70000)) + \
        packet(200, string("copy-data"), handle, start, start, handle, start)
    yield b"".join(packet(200, string(name), string("/")) for name in
                   ["statvfs@openssh.com", "limits@openssh.com", "expand-path@openssh.com", "home-directory"])


def copies():
    """Trees as qvm-copy sends them: each entry's name, mode and bytes, and the end."""
    def tree(*entries):
        return b"".join(struct.pack("<IIQIIII", len(name) + 1, mode, len(data), 1, 2, 3, 4) + name + b"\0" + data
                        for name, mode, data in entries) + bytes(32)
    folder = (b"d", 0o040755, b"")
    yield tree(folder, (b"d/a", 0o100644, b"hello"), (b"d/e", 0o040755, b""), (b"d/e/l", 0o120777, b"../a"), folder)
    yield tree((b"a", 0o100755, b""), (b"d/l", 0o120777, b"./e//f/"), (b"d/x", 0o120777, b"/etc"))


def seeds():
    yield "key", [KEY.encode()] + [f"{options} {KEY}".encode() for options in OPTIONS]
    yield "authorized_key", [options.encode() for options in OPTIONS]
    yield "certificate", [base64.b64decode(word) for word in words("../server/tests/certificates.txt", 1)]
    yield "signature", [base64.b64decode(word) for word in words("../net/keys/tests/vectors.txt", 2)]
    yield "filecopy", list(copies())
    yield "options", ["\n".join(words).encode() for words in COMMAND_LINES]
    yield "sftp", list(sessions())
    # The size of the pieces comes first.
    yield "ssh", [b"\x40SSH-2.0-OpenSSH_10.0\r\n" + struct.pack(">I", 60) + b"\x04\x14" + bytes(70)]
    anything = random.Random(1)
    for target in "requests", "connection", "tcp":
        yield target, [anything.randbytes(size) for size in (64, 256, 512, 1024, 2048, 4096)]


def main(corpus):
    for target, inputs in seeds():
        os.makedirs(os.path.join(corpus, target), exist_ok=True)
        for number, data in enumerate(inputs):
            with open(os.path.join(corpus, target, f"seed-{number}"), "wb") as file:
                file.write(data)


if __name__ == "__main__":
    main(sys.argv[1])
