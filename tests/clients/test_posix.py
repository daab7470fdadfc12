"""exFAT volumes that keep permission bits, owners and symbolic links."""

import itertools
import os
import subprocess

import test_fsx
import test_paths
from harness import Case
from mounted import Mounted
from tools import content, program, tool
from wire import (CREATE, LSTAT, OK, PERMISSION_DENIED, READ_IT, READLINK, REALPATH, STAT, SYMLINK, WRITE_IT,
                  Wire, opening, string)

ME = ("--uid", str(os.getuid()), "--gid", str(os.getgid()))
# A tree with what FAT cannot keep, in a repository of git.
TREE = """
    export GIT_CONFIG_GLOBAL="$2/gitconfig" GIT_CONFIG_NOSYSTEM=1
    git config --global user.name Test; git config --global user.email test@example.org
    git config --global safe.directory '*'; git config --global init.defaultBranch main
    (umask 022; mkdir -p "$2/tree/sub/deep"; cd "$2/tree"
     printf '#!/bin/sh\\necho ran "$@"\\n' > run; chmod 755 run; echo plain > file; echo none > sub/unreadable; chmod 640 sub/unreadable
     ln -s ../run sub/link; ln -s sub/deep folder; ln -s missing/é dangling; ln -s "$2/tree/file" absolute
     for n in $(seq 30); do echo "$n" > "sub/deep/a file with number $n"; done; chmod 700 sub/deep/*3
     git init -q; git add -A; git commit -q -m tree)
"""


class Posix(Mounted):
    fat = "posix"
    size = "200M"
    seconds = 120
    options = ME
    follows_links = True

    def test_git_sees_no_difference(self):
        self.sh(TREE + """
            git clone -q "$2/tree" clone; cd clone
            test "$(git config core.filemode)" = true; test "$(git config core.symlinks || echo true)" = true
            test -z "$(git status --porcelain)"; test "$(./run a b)" = "ran a b"; test "$(sub/link c)" = "ran c"
            git fsck --strict; chmod 644 run; git status --porcelain | grep -q '^ M run'; git checkout -q run
            ln -sf other dangling; git commit -q -am changed; git mv run moved; git commit -q -m moved; git gc -q
            test -z "$(git status --porcelain)"; git clone -q . "$2/back"; test "$(readlink "$2/back/dangling")" = other
            test -x "$2/back/moved"; test -z "$(git -C "$2/back" status --porcelain)"
        """, seconds=110)
        # Also when nothing of it is in a cache.
        self.unmount(self.mnt)
        self.server.stop()
        self.server = self.start(self.image)
        self.mnt = self.mount()
        self.sh('export GIT_CONFIG_GLOBAL="$2/gitconfig"; cd clone; git update-index -q --really-refresh; test -z "$(git status --porcelain)"')

    def test_tar_compares_equal(self):
        self.sh(TREE + 'cd "$2"; tar cf tree.tar tree; cd "$1"; tar xf "$2/tree.tar"; tar df "$2/tree.tar"; tar cf "$2/back.tar" tree;'
                       'mkdir "$2/back"; tar xf "$2/back.tar" -C "$2/back"; diff -r --no-dereference "$2/tree" "$2/back/tree"')

    def test_rsync_compares_equal(self):
        tool("rsync")
        self.sh(TREE)
        here, there = self.path("tree") + "/", self.mnt + "/tree/"
        self.run_program("rsync", "-a", here, there)
        again = self.run_program("rsync", "-a", "-n", "-i", here, there).out
        self.assertEqual(again, "")
        self.run_program("rsync", "-a", there, self.path("back"))
        self.assertEqual(self.run_program("rsync", "-a", "-n", "-i", "-c", here, self.path("back") + "/").out, "")

    def test_modes_and_owners(self):
        self.sh("""
            echo x > file; test "$(stat -c %a file)" = 644
            for mode in 0 444 4755 7777 200 755 644; do chmod "$mode" file; test "$(stat -c %a file)" = "$mode"; done
            (umask 077; echo x > private; test "$(stat -c %a private)" = 600); mkdir -m 700 dir; test "$(stat -c %a dir)" = 755
            chmod 444 file; ! sh -c 'echo y > file' 2>/dev/null; chmod 644 file; echo y > file
            mv private dir/moved; test "$(stat -c %a dir/moved)" = 600; cp -p dir/moved copy; test "$(stat -c %a copy)" = 600
        """)
        if os.getuid() == 0:
            self.sh("chown 1234:5678 copy; test \"$(stat -c %u:%g:%a copy)\" = 1234:5678:600")
        self.expected["file"] = b"y\n"

    def test_links(self):
        self.sh("""
            mkdir dir; echo data > dir/file; ln -s dir/file link; ln -s dir folder; ln -s missing dangling; ln -s self self
            test "$(cat link)" = data; test "$(readlink link)" = dir/file; test "$(cat folder/file)" = data
            test ! -e dangling; test -L dangling; ! cat self 2>/dev/null; test "$(stat -c %s link)" = 8
            mv link moved; test "$(readlink moved)" = dir/file; rm moved; test "$(cat dir/file)" = data
            echo other > new; mv new folder/file; test "$(cat dir/file)" = other
            ln -sfn dir/file folder; test "$(cat folder)" = other; ! rmdir dir 2>/dev/null; rm folder; test -d dir
            ! ln dir/file hard 2>/dev/null
        """)
        self.expected["dir/file"] = b"other\n"

    def test_venv(self):
        self.sh("python3 -m venv --without-pip venv; test -L venv/lib64; venv/bin/python -c 'import sys; print(sys.prefix)'")

    def test_an_old_image_is_plain_again(self):
        self.sh("echo data > file; ln -s file link; chmod 755 file")
        self.unmount(self.mnt)
        self.server.stop()
        tell = self.run_program(program("fat"), "list", self.image).out
        self.assertIn("link -> file", tell)
        self.assertIn("2 entries taken off", self.run_program(program("fat"), "plain", self.image).out)
        self.expected["link"] = b"file"


class Fsx(test_fsx.Default):
    """Fewer operations than elsewhere: only the entry's size differs from any exFAT volume's."""

    fat = "posix"
    operations = 1000
    test_seed_2 = test_seed_3 = None


class Sftp(Case):
    fat = "posix"

    def test_sftp_and_scp(self):
        self.write("up", content(1000))
        os.chmod(self.path("up"), 0o755)
        said = self.sftp("mkdir d", "put up d/up", "ln -s up d/link", "symlink ../d d/again", "ls -l d", "get d/link down",
                         "ls d/again/again/link", "rename d/link d/moved", "rm d/moved", "rm d/again").out
        self.assertRegex(said, r"lrwxrwxrwx .* link\n")
        self.assertRegex(said, r"-rwxr-xr-x .* up\n")
        self.assertEqual(self.read("down"), content(1000))
        self.sftp("ln d/up d/hard", ok=False)
        self.sftp("ln -s up d/up", ok=False)
        self.write("tree/file", "data")
        os.symlink("file", self.path("tree/link"))
        self.scp("-r", "-p", self.path("tree"), "server:")      # follows links
        self.scp("-r", "server:d", self.path("back"))
        self.assertEqual(self.read("back/up"), content(1000))
        self.expected["tree/link"] = b"data"

    def test_times_have_seconds(self):
        """Version 3 of SFTP has no more."""
        self.write("up", "x")
        os.utime(self.path("up"), ns=(10 ** 18 + 123456789, 10 ** 18 + 123456789))
        self.sftp("put -p up", "get -p up down")
        self.assertEqual(os.stat(self.path("down")).st_mtime_ns, 10 ** 18)


class Paths(test_paths.Paths):
    """Every request on every kind of path with links, beside OpenSSH."""

    fat = "posix"
    seconds = 120
    test_scp_of_several_files_to_a_folder_that_is_missing = None
    paths = ["".join(parts) for parts in itertools.product(
        ["to-file", "to-full", "to-none", "to-self", "to-full/inside", "to-full/up", "to-full/up/to-full", "full/up", "slash"],
        ["", "/", "/.", "/..", "/../file", "/missing", "/inside", "/inside/.."])]

    def make(self, at):
        super().make(at)
        for wire in self.front:
            for name, target in (("to-file", "file"), ("to-full", "full"), ("to-none", "missing"), ("to-self", "to-self"),
                                 ("full/up", ".."), ("slash", "full/")):
                self.assertEqual(wire.outcome(SYMLINK, string(target), string(f"{at}/{name}")), OK)

    @staticmethod
    def same(request, ours, theirs):
        # OpenSSH's RENAME of a folder takes a name for free that is a link to nothing, until the kernel tells.
        return test_paths.same(request, ours, theirs) or (request, ours, theirs) == ("rename empty to", 4, 2)

    def requests(self, path, at):
        place = string(f"{at}/{path}")
        return test_paths.requests(path, at) | {
            "readlink": (READLINK, place), "symlink": (SYMLINK, string("any/../thing"), place),
            "new": opening(f"{at}/{path}", WRITE_IT | CREATE | 32)}


class Confined(Case):
    """A user of one folder tries to get out by links; what is outside is neither read, changed nor named."""

    fat = "posix"

    def setUp(self):
        super().setUp()
        self.server.stop()
        self.write("authorized_keys", f'command="internal-sftp -d /in" {self.public(self.make_key("in", comment="in"))}\n'
                                      f'command="internal-sftp -d /in --add-only" {self.public(self.make_key("add", comment="add"))}\n'
                                      f'command="internal-sftp -d /in -R" {self.public(self.make_key("read", comment="read"))}\n'
                                      f'command="internal-sftp -d /in --write-only" {self.public(self.make_key("box", comment="box"))}\n')
        self.write("outside", "secret")
        for words in (("add", self.image, self.path("authorized_keys"), self.path("outside")), ("mkdir", self.image, "/in")):
            self.run_program(program("fat"), *words)
        self.server = self.start(self.image)
        for user in "in", "add", "read", "box":
            self.configure(self.server, user, self.path(user), f"config-{user}")

    def test_no_link_leads_out(self):
        mark = self.read("outside")
        targets = ["../outside", "/outside", "../../../../outside", "/../outside", "..", "/..", "../in/../outside", "l4/../../outside",
                   "/.mirage-sshfs", "../.mirage-sshfs/key", ".mirage-sshfs", "./../authorized_keys", "//../mirage.pub"]
        self.sftp(*(f"symlink {target} l{number}" for number, target in enumerate(targets)), "mkdir d", "symlink ../l4 d/up",
                  config="config-in")
        self.write("evil", "evil")
        tails = "", "/outside", "/../outside", "/d/up/../outside", "/.mirage-sshfs/key", "/mirage.pub"
        paths = [f"l{number}{tail}" for number in range(len(targets)) for tail in tails]
        os.mkdir(self.path("got"))
        lines = [line for at, path in enumerate(paths) for line in (f"-get {path} got/{at}", f"-ls -l {path}", f"-ls {path}/..")]
        said = self.sftp(*lines, "ls", config="config-in").out
        self.assertEqual(os.listdir(self.path("got")), [])
        for line in said.splitlines():
            if not line.startswith("sftp>"):
                self.assertNotRegex(line, "^(authorized_keys|mirage.pub|outside)|secret")
        # Writing through them makes files in the folder at most.
        for number in (0, 1, 2, 6):
            self.sftp(f"put evil l{number}", f"chmod 600 l{number}", config="config-in", ok=None)
        self.sftp("put evil l8/key", "put evil l9", config="config-in", ok=False)
        self.assertEqual(self.sftp("get outside outside2").code, 0)
        self.assertEqual(self.read("outside2"), mark)
        self.assertNotIn("evil", self.sftp("ls -a").out)
        self.assertEqual(self.sftp("get in/outside inside").code, 0)
        self.assertEqual(self.read("inside"), b"evil")
        self.expected["outside"] = mark

    def test_who_only_adds_changes_nothing_through_links(self):
        self.write("old", "old")
        self.write("evil", "evil")
        self.sftp("put old in/old", "mkdir in/dir", "put old in/dir/old", "symlink old in/theirs")
        self.sftp("symlink old mine", "symlink dir folder", config="config-add")
        for lines in (["put evil mine"], ["put evil folder/old"], ["rm folder/old"], ["chmod 600 mine"], ["rm theirs"],
                      ["rename theirs x"], ["put evil theirs"], ["symlink evil x", "rename x theirs"]):
            self.sftp(*lines, config="config-add", ok=False)
        self.sftp("symlink a b", "rm b", "put evil folder/new", config="config-add")
        self.sftp("get mine got", config="config-read")
        self.assertEqual(self.read("got"), b"old")
        self.sftp("symlink a c", config="config-read", ok=False)
        self.expected.update({"in/old": b"old", "in/dir/old": b"old", "in/dir/new": b"evil"})

    def test_a_drop_box_tells_no_links(self):
        self.write("old", "old")
        self.sftp("put old in/old", "symlink /some/where in/theirs", "symlink old in/near", "mkdir in/d")
        for line in "ls -l theirs", "ls -l near", "get near got", "cd near", "get theirs got", "ls -l /theirs/x", "rename near x":
            said = self.sftp(line, config="config-box", ok=False)
            self.assertNotRegex(said.text, "some|where|old")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        wire = Wire(self.spawn([tool("ssh"), "-F", self.path("config-box"), "-s", "server", "sftp"], **pipes))
        for path in "/theirs", "/near", "/near/../theirs":
            for kind in READLINK, REALPATH, STAT, LSTAT:
                self.assertEqual(wire.outcome(kind, string(path)), PERMISSION_DENIED, (kind, path))
        self.assertEqual(wire.outcome(SYMLINK, string("old"), string("/mine")), OK)
        self.assertEqual(wire.outcome(READLINK, string("/mine")), "old")
        self.assertEqual(wire.outcome(*opening("/mine", READ_IT)), PERMISSION_DENIED)

    def test_a_link_in_the_place_of_the_folder_leads_nowhere(self):
        self.sftp("mkdir sub", config="config-in")
        self.sftp("rename in elsewhere", "symlink / in")
        self.assertNotIn("outside", self.sftp("ls", config="config-in", ok=None).text)
        self.sftp("get outside got", config="config-in", ok=False)
