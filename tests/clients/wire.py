"""SFTP's packets, as a client of our own sends them."""

import struct

OPEN, CLOSE, LSTAT, SETSTAT, OPENDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK = \
    3, 4, 7, 9, 11, 13, 14, 15, 16, 17, 18, 19, 20
EXTENDED, STATUS, HANDLE, NAME = 200, 101, 102, 104
READ_IT, WRITE_IT, CREATE = 1, 2, 8     # flags of OPEN
OK, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, UNSUPPORTED = 0, 2, 3, 4, 5, 8

NO_ATTRIBUTES = struct.pack(">I", 0)
A_MODE = struct.pack(">II", 4, 0o644)
TIMES = struct.pack(">III", 8, 10 ** 9, 10 ** 9)


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack(">I", len(data)) + data


def opening(path, flags):
    return OPEN, string(path), struct.pack(">I", flags), NO_ATTRIBUTES


class Wire:
    """A session over the pipes of a program."""

    def __init__(self, program):
        self.input, self.output = program.stdin, program.stdout
        self.send(b"\1" + struct.pack(">I", 3))
        self.version = self.receive()
        if self.version[:5] != b"\2\0\0\0\3":
            raise AssertionError(f"no version 3: {self.version!r}")

    def send(self, packet):
        self.input.write(struct.pack(">I", len(packet)) + packet)
        self.input.flush()

    def receive(self):
        (length,) = struct.unpack(">I", self.output.read(4))
        return self.output.read(length)

    def ask(self, kind, *fields):
        """The reply's type and what follows its id."""
        self.send(struct.pack(">BI", kind, 7) + b"".join(fields))
        reply = self.receive()
        return reply[0], reply[5:]

    def outcome(self, kind, *fields):
        """A status' code; of one name the name; 0 for what else comes. A handle is closed."""
        reply, rest = self.ask(kind, *fields)
        if reply == STATUS:
            return struct.unpack(">I", rest[:4])[0]
        if reply == HANDLE:
            self.ask(CLOSE, rest)
        if reply == NAME:
            (length,) = struct.unpack(">I", rest[4:8])
            return rest[8:8 + length].decode()
        return OK

    def status(self, kind, *fields):
        """A status' code and text."""
        reply, rest = self.ask(kind, *fields)
        if reply != STATUS:
            raise AssertionError(f"a reply of type {reply}, not a status")
        code, length = struct.unpack(">II", rest[:8])
        return code, rest[8:8 + length].decode()
