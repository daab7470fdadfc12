"""Paths as the wire takes them: every request that has one, beside OpenSSH's own server on a local folder.

A slash at the end, `/.` and `..` behind what is no folder are where editing a path as text and walking it
differ: where a file would be overwritten, lost or removed by a name that was never its own.
"""

import itertools
import os
import subprocess

from harness import Case
from tools import tool
from wire import (A_MODE, BAD_MESSAGE, CREATE, EXTENDED, FAILURE, LSTAT, MKDIR, NO_ATTRIBUTES, NO_SUCH_FILE, OK, OPENDIR, READ_IT,
                  REALPATH, REMOVE, RENAME, RMDIR, SETSTAT, STAT, TIMES, WRITE_IT, Wire, opening, string)

SFTP_SERVER = "/usr/lib/openssh/sftp-server"
RENAMES = {"rename": (RENAME,), "posix-rename": (EXTENDED, string("posix-rename@openssh.com"))}
BEHIND = ["", "/", "//", "/.", "/./", "/..", "/../", "/../file", "/../empty/", "/../fresh", "/../fresh/",
          "/../missing/..", "/./file", "/.//../full/inside/", "/../full/../empty"]
# There are a file `file`, an empty folder `empty`, and a folder `full` with a file `inside`.
PATHS = ["".join(parts) for parts in itertools.product(
    ["file", "empty", "full", "missing", "full/inside", "full/missing", "missing/deep", "file/deep"], BEHIND)]


def requests(path, at):
    """Every request that takes a path, by name."""
    file, empty, fresh = (string(f"{at}/{name}") for name in ("file", "empty", "fresh"))
    path = string(f"{at}/{path}")
    each = {
        "stat": (STAT, path), "lstat": (LSTAT, path), "setstat": (SETSTAT, path, A_MODE),
        "lsetstat": (EXTENDED, string("lsetstat@openssh.com"), path, TIMES),
        "statvfs": (EXTENDED, string("statvfs@openssh.com"), path), "opendir": (OPENDIR, path),
        "realpath": (REALPATH, path), "expand": (EXTENDED, string("expand-path@openssh.com"), path),
        "remove": (REMOVE, path), "mkdir": (MKDIR, path, NO_ATTRIBUTES), "rmdir": (RMDIR, path)}
    for name, flags in ("read", READ_IT), ("write", WRITE_IT), ("create", WRITE_IT | CREATE):
        each[name] = opening(path[4:], flags)
    for name, head in RENAMES.items():
        each |= {f"{name} from": (*head, path, fresh), f"{name} file to": (*head, file, path),
                 f"{name} empty to": (*head, empty, path)}
    return each


def same(request, ours, theirs):
    """What differs on purpose."""
    if ours == theirs:
        return True
    if request == "read":                       # OpenSSH opens a folder and fails at READ
        return (ours, theirs) == (FAILURE, OK)
    if request in ("realpath", "expand"):       # OpenSSH takes a file for a folder here, and here alone
        return ours == NO_SUCH_FILE and isinstance(theirs, str)
    # A new spelling of its own name is right here, where case is ignored; OpenSSH asks first whether the
    # name is taken, by link(2), and only then what a slash behind it wants.
    if request.startswith("rename") and theirs == FAILURE:
        return ours in (OK, NO_SUCH_FILE)
    # A folder moved into itself: OpenSSH's BAD_MESSAGE is "invalid argument".
    return request.endswith("empty to") and (ours, theirs) == (FAILURE, BAD_MESSAGE)


class Paths(Case):
    fat = "32"
    size = "64M"
    paths = PATHS

    def setUp(self):
        super().setUp()
        root = self.path("theirs")
        os.mkdir(root)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.ours = Wire(self.spawn([tool("ssh"), "-F", self.path("config"), "-s", "server", "sftp"], **pipes))
        self.theirs = Wire(self.spawn([SFTP_SERVER, "-d", root], **pipes))
        # What REALPATH puts in front of what was asked.
        self.front = {self.ours: "", self.theirs: os.path.realpath(root)}

    def requests(self, path, at):
        return requests(path, at)

    same = staticmethod(same)

    def make(self, at):
        for wire in self.front:
            for folder in at, f"{at}/empty", f"{at}/full":
                self.assertEqual(wire.outcome(MKDIR, string(folder), NO_ATTRIBUTES), OK)
            for file in f"{at}/file", f"{at}/full/inside":
                self.assertEqual(wire.outcome(*opening(file, WRITE_IT | CREATE)), OK)

    def ask(self, wire, at, path, name):
        outcome = wire.outcome(*self.requests(path, at)[name])
        if not isinstance(outcome, str):
            return outcome
        return (outcome.removeprefix(self.front[wire]) or "/").removeprefix(f"/{at}")

    def test_every_request_as_openssh_answers_it(self):
        at, used, differ = "", 0, []
        for path in self.paths:
            for name in self.requests(path, at):
                if not at:
                    used += 1
                    at = f"t{used}"
                    self.make(at)
                ours, theirs = (self.ask(wire, at, path, name) for wire in (self.ours, self.theirs))
                if not self.same(name, ours, theirs):
                    differ.append(f"{name} {path}: {ours!r}, OpenSSH {theirs!r}")
                if OK in (ours, theirs) and name not in ("stat", "lstat", "statvfs", "opendir"):
                    at = ""     # it may have changed
        self.assertEqual(differ, [])

    def test_scp_of_several_files_to_a_folder_that_is_missing(self):
        """One after the other, as a user types it: none may take the place of another."""
        for name in "p1", "p2":
            self.scp(self.write(name, name), "server:photos/", ok=False)
        self.sftp("put p1 notes")
        self.scp(self.path("p2"), "server:notes/", ok=False)
        self.sftp("rm notes/", ok=False)
        self.sftp("rename notes new/", ok=False)
        self.expected.update({"notes": b"p1", "photos": None, "new": None})
