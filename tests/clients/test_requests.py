"""internal-sftp's -p, -P and -u in front of a key, beside OpenSSH's sftp-server with the same words."""

import struct
import subprocess

from harness import Case
from tools import tool
from wire import EXTENDED, PERMISSION_DENIED, Wire, string

SFTP_SERVER = "/usr/lib/openssh/sftp-server"
TYPES = ["open", "close", "read", "write", "lstat", "fstat", "setstat", "fsetstat", "opendir", "readdir", "remove",
         "mkdir", "rmdir", "realpath", "stat", "rename", "readlink", "symlink"]
NO_SUFFIX = ["copy-data", "home-directory"]


def version_of(wire):
    """The extensions that a server offers."""
    rest, found = wire.version[5:], []
    while rest:
        (length,) = struct.unpack(">I", rest[:4])
        found.append(rest[4:4 + length].decode())
        rest = rest[4 + length:]
    return set(found[::2])


def request(name):
    """A request of that name that names nothing which there is: a refusal is of the request, not of the file."""
    nothing, handle = string("/there-is-no/such-file"), string(b"\xff" * 8)
    if name not in TYPES:
        end = {"posix-rename": nothing * 2, "statvfs": nothing, "hardlink": nothing * 2, "fsync": handle, "fstatvfs": handle,
               "lsetstat": nothing + bytes(4), "limits": b"", "expand-path": string("/"),
               "copy-data": handle + bytes(16) + handle + bytes(8), "home-directory": string("root"),
               "users-groups-by-id": string(b"") * 2}[name]
        return EXTENDED, string(name + ("" if name in NO_SUFFIX else "@openssh.com")), end
    end = {"open": nothing + struct.pack(">II", 1, 0), "close": handle, "read": handle + bytes(8) + struct.pack(">I", 9),
           "write": handle + bytes(8) + string("x"), "fstat": handle, "setstat": nothing + bytes(4),
           "fsetstat": handle + bytes(4), "readdir": handle, "mkdir": nothing + bytes(4), "rename": nothing * 2,
           "symlink": nothing * 2}.get(name, nothing)
    return TYPES.index(name) + 3, end


class Lists(Case):
    def lines(self, *options):
        """A user for each line of options, all with one key; a session of each."""
        key = self.public(self.key).rsplit(" ", 1)[0]
        self.write("authorized_keys", "".join(f'command="internal-sftp {each}" {key} user{number}\n'
                                              for number, each in enumerate(options)))
        self.sftp("put authorized_keys")

    def wire(self, number):
        config = self.configure(self.server, f"user{number}", name=f"config-{number}")
        return Wire(self.spawn([tool("ssh"), "-F", config, "-s", "server", "sftp"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE))

    def test_as_openssh(self):
        """Each request is in some of the lists, by which it is told from every other."""
        names = self.run_program(SFTP_SERVER, "-Q", "requests").out.split()
        self.assertEqual(len(names), 29, "another version of OpenSSH has others")
        lists = [",".join(name for at, name in enumerate(names, 1) if at >> bit & 1) for bit in range(5)]
        options = [word for each in lists for word in (f"-p {each}", f"-P {each}")]
        options += [f"-p {lists[0]} -P {lists[1]}", f"-P {lists[2]} -p {lists[3]}"]
        self.lines(*options)
        for number, words in enumerate(options):
            ours = self.wire(number)
            theirs = Wire(self.spawn([SFTP_SERVER, *words.split()], stdin=subprocess.PIPE, stdout=subprocess.PIPE))

            def refused(wire):
                return [name for name in names if wire.outcome(*request(name)) == PERMISSION_DENIED]
            listed = set(words.split()[1].split(","))
            expected = refused(theirs)
            if len(words.split()) == 2:
                self.assertEqual(expected, [name for name in names if (name in listed) == words.startswith("-P")])
            self.assertEqual(refused(ours), expected, words)
            self.assertEqual(version_of(ours), version_of(theirs) - {"hardlink@openssh.com", "users-groups-by-id@openssh.com"})
            # What nobody knows is in no list.
            unknown = EXTENDED, string("x@example.org")
            self.assertEqual(ours.outcome(*unknown), theirs.outcome(*unknown))
            for wire in ours, theirs:
                wire.input.close()
        self.server.wait_log("logged in from .* with .*, not all requests")

    def test_what_people_have(self):
        """Uploads alone: nothing is listed, removed or replaced under another name. `-u` is what modes show."""
        self.lines("-u 077 -P remove,rename,posix-rename,rmdir,opendir,symlink", "-u 0027")
        for number, mode in enumerate(["-rwx------", "-rwxr-x---"]):
            self.configure(self.server, f"user{number}", name=f"config-{number}")
            listed = self.sftp("put authorized_keys new", "ls -l" if number else "get new back", config=f"config-{number}")
            (self.assertIn if number else self.assertNotIn)(mode, listed.out)
        for line in "rm new", "rename new other", "ls", "rmdir d":
            # Of `ls` alone sftp makes no failure.
            refused = self.sftp(line, config="config-0", ok=None)
            self.assertRegex(refused.text, "(?i)permission denied", line)
        self.assertEqual(self.read("back"), self.read("authorized_keys"))

    def test_names_that_are_none(self):
        for words, why in [("-P remove,renam", 'P: no request is called "renam"'), ("-u 888", 'u "888": not octal')]:
            self.lines(words)
            self.configure(self.server, "user0", name="config-0")
            self.sftp("ls", config="config-0", ok=False)
            self.server.wait_log(f"authorized_keys line 1: internal-sftp -{why}.*skipped")
