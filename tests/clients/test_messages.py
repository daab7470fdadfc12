"""What users read when something cannot be done.

sshfs makes an errno of the status code alone; the text beside the code reaches the users of the others.
"""

import struct
import subprocess
import sys

from harness import Case
from mounted import Mounted
from tools import content, tool
from wire import (BAD_MESSAGE, CREATE, FAILURE, MKDIR, NO_ATTRIBUTES, NO_SUCH_FILE, OK, OPENDIR, PERMISSION_DENIED, RENAME, RMDIR,
                  SETSTAT, STAT, SYMLINK, UNSUPPORTED, WRITE_IT, Wire, opening, string)


class Sshfs(Mounted):
    seconds = 90
    size = "2M"
    fat = "12"

    def says(self, words, script):
        self.assertIn(words, self.sh(script, ok=False).err, script)

    def test_full(self):
        """Neither "File exists", which sshfs makes of FAILURE for mkdir, nor "Operation not permitted"."""
        self.sh('mkdir d; (dd if=/dev/zero of=fill bs=32k; dd if=/dev/zero of=fill bs=512 oflag=append conv=notrunc) || true',
                ok=None)
        self.assertEqual(self.sh("df --output=avail . | tail -1").out.split(), ["0"])
        self.says("Input/output error", "mkdir new")
        self.says("Input/output error", "cp mirage.pub copy")
        self.says("Input/output error", "truncate -s 100000 mirage.pub")
        self.says("Input/output error", "n=0; while : > d/file-with-a-long-name-$n; do n=$((n + 1)); done")
        self.sh("rm fill; mkdir new")

    def test_exists_and_not_empty(self):
        self.sh("mkdir -p d/e; echo x > f")
        self.says("File exists", "mkdir d")
        self.says("File exists", "mkdir f")
        self.says("File exists", "set -C; : > f")
        self.says("Directory not empty", "rmdir d")
        self.says("Is a directory", ": > d")
        self.says("Is a directory", "rm d")
        self.says("Not a directory", "rmdir f")
        self.says("Not a directory", "cat f/x")

    def test_missing(self):
        for script in ["cat no", "rm no", "rmdir no", "ls no", "mkdir no/d", "touch no/f", "truncate -c -s 5 no/f; mv no b"]:
            self.says("No such file or directory", script)

    def test_what_fat_lacks(self):
        self.sh("echo x > f")
        self.says("Operation not supported", "ln -s f l")
        self.says("Operation not permitted", "ln f l")
        self.says("Operation not permitted", "mkfifo p")

    def test_archive_with_a_link(self):
        self.shell('cd "$1"; echo x > target; ln -s target link; echo y > z; tar cf tar target link z', self.scratch)
        self.says("link: Cannot create symlink to ‘target’: Operation not supported", 'tar xf "$2/tar"')
        self.assertEqual(self.sh("cat target z; ls").out, "x\ny\nmirage.pub\ntarget\nz\n")

    def test_too_large(self):
        # There is no code of version 3 that becomes EFBIG.
        self.says("Operation not permitted", ": > f; truncate -s 4G f")
        self.assertEqual(self.sh("stat -c %s f").out, "0\n")
        self.says("Input/output error", "printf x | dd of=f bs=1 seek=4294967295 status=none")
        self.assertEqual(self.sh("stat -c %s f").out, "0\n")

    def test_read_only_file(self):
        self.sh("echo x > f; chmod 444 f")
        self.says("Permission denied", "echo y > f")
        self.says("Permission denied", "echo y >> f")

    def test_too_many_open_files(self):
        script = "files = []\nwhile len(files) < 300: files.append(open('mirage.pub'))\n"
        self.says("Operation not permitted", f'{sys.executable} -c "{script}"')
        self.sh(f'{sys.executable} -c "{script.replace("300", "250")}"')

    def test_root_folder_full(self):
        """FAT16's has 512 places."""
        self.says("Input/output error", "for n in $(seq 600); do : > D$n || exit; done")
        self.says("Input/output error", "mkdir another")
        self.sh("rm D1; mkdir d; echo x > d/f; test $(df --output=pcent . | tail -1 | tr -d ' %') -lt 50")

    def test_name_that_cannot_be_kept(self):
        self.says("Bad message", r": > $(printf 'photo\357\277\277.jpg')")
        self.says("Bad message", r"mkdir $(printf '\357\277\276')")

    def test_name_that_is_not_utf8(self):
        for script in ["mkdir", "touch", "mv mirage.pub"]:
            self.says("Bad message", f'{script} "$(printf "caf\\351")"')

    def test_name_of_the_servers_own(self):
        self.says("Permission denied", "mkdir .mirage-sshfs")
        self.says("Permission denied", ": > .mirage-sshfs")


class SshfsReadOnly(Sshfs):
    options = ("--read-only",)

    def test_full(self):
        for script in ["mkdir new", "mkdir mirage.pub", ": > new", "echo x >> mirage.pub", "rm mirage.pub", "mv mirage.pub b",
                       "truncate -s 1 mirage.pub", "chmod 600 mirage.pub", "touch mirage.pub"]:
            self.says("File exists" if script == "mkdir mirage.pub" else "Permission denied", script)

    test_exists_and_not_empty = test_what_fat_lacks = test_archive_with_a_link = None
    test_too_large = test_too_many_open_files = test_read_only_file = test_name_of_the_servers_own = None
    test_root_folder_full = test_name_that_cannot_be_kept = None
    test_name_that_is_not_utf8 = None


class OnTheWire(Case):
    """What we send, word for word: each code with its text, the standard one first."""

    size = "2M"
    fat = "12"

    def setUp(self):
        super().setUp()
        self.wire = Wire(self.spawn([tool("ssh"), "-F", self.path("config"), "-s", "server", "sftp"], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE))

    def says(self, code, text, kind, *fields):
        self.assertEqual(self.wire.status(kind, *fields), (code, text), fields)

    def test_texts(self):
        make = WRITE_IT | CREATE
        self.says(OK, "Success", MKDIR, string("d"), NO_ATTRIBUTES)
        self.says(OK, "Success", MKDIR, string("d/e"), NO_ATTRIBUTES)
        self.says(NO_SUCH_FILE, "No such file", STAT, string("no"))
        self.says(NO_SUCH_FILE, "No such file: not a directory", STAT, string("mirage.pub/"))
        self.says(NO_SUCH_FILE, "No such file: not a directory", STAT, string("mirage.pub/../d"))
        self.says(NO_SUCH_FILE, "No such file: not a directory", OPENDIR, string("mirage.pub"))
        self.says(FAILURE, "Failure: it is a directory's name", *opening("new/", make))
        self.says(FAILURE, "Failure: it is a directory", *opening("d", make))
        self.says(FAILURE, "Failure: it exists already", MKDIR, string("d"), NO_ATTRIBUTES)
        self.says(FAILURE, "Failure: the directory is not empty", RMDIR, string("d"))
        self.says(FAILURE, "Failure: a directory cannot be moved into itself", RENAME, string("d"), string("d/e/f"))
        self.says(PERMISSION_DENIED, "Permission denied: the name is the server's own", *opening(".mirage-sshfs", make))
        self.says(UNSUPPORTED, "Operation unsupported: FAT has no symbolic links", SYMLINK, string("a"), string("b"))

    def test_names_that_cannot_be(self):
        """Neither is missing: it could not be there."""
        for kind, *fields in opening(b"\xff.txt", WRITE_IT | CREATE), (MKDIR, string(b"d\xe9"), NO_ATTRIBUTES), \
                (RENAME, string("mirage.pub"), string(b"\xc3(")), (STAT, string(b"\xff")):
            self.says(BAD_MESSAGE, "Bad message: the name is not UTF-8", kind, *fields)
        self.says(BAD_MESSAGE, "Bad message: the name is too long", MKDIR, string("x" * 256), NO_ATTRIBUTES)

    def test_full(self):
        self.assertEqual(self.wire.outcome(*opening("f", WRITE_IT | CREATE)), OK)
        self.says(14, "No space on filesystem: no space left on the volume", SETSTAT, string("f"), struct.pack(">IQ", 1, 3_000_000))
        self.says(FAILURE, "Failure: FAT files end at 4 GiB - 1 byte", SETSTAT, string("f"), struct.pack(">IQ", 1, 1 << 32))


class Others(Case):
    """Clients that show the code's name or the server's text."""

    size = "2M"
    fat = "12"

    def setUp(self):
        super().setUp()
        self.write("big", content(3_000_000))

    def test_sftp(self):
        self.sftp("mkdir d", "mkdir d/e")
        for line, words in [
                ("put big", 'write remote "/big": Failure'), ("mkdir d", 'remote mkdir "/d": Failure'),
                ("rmdir d", 'remote rmdir "/d": Failure'), ("get no", 'File "/no" not found'),
                ("rm no", "remote delete /no: No such file or directory"),
                ("symlink mirage.pub l", "Operation unsupported"),
                ("ln mirage.pub l", "Server does not support hardlink@openssh.com extension"),
                ("mkdir .mirage-sshfs", "Permission denied")]:
            self.assertIn(words, self.sftp(line, ok=False).err, line)

    def test_rclone(self):
        def says(words, *args):
            said = self.run_program(tool("rclone"), "--config", self.write("config.rclone", ""), "--sftp-host", "127.0.0.1",
                                    "--sftp-port", str(self.server.port), "--sftp-user", "mirage", "--sftp-key-file", self.key,
                                    "--retries", "1", "--low-level-retries", "1", *args, ok=False).err
            self.assertIn(words, said, args)
        says("no space left on the volume", "copyto", self.path("big"), ":sftp:big")
        says("permission denied", "copyto", self.key, ":sftp:.mirage-sshfs")
        says("directory not found", "ls", ":sftp:no")

    def test_lftp(self):
        def says(words, command):
            said = self.run_program(
                tool("lftp"), "--norc", "-c", f'set sftp:connect-program "ssh -a -x -F {self.path("config")}"; '
                f"set net:max-retries 1; open sftp://mirage:none@server; {command}", cwd=self.scratch, ok=False).err
            self.assertIn(words, said, command)
        self.sftp("mkdir d", "mkdir d/e")
        says("no space left on the volume", "put big")
        says("it exists already", "mkdir d")
        says("the directory is not empty", "rmdir d")
        says("No such file", "get no")
        says("FAT has no symbolic links", "ln -s a b")

    def test_curl(self):
        def says(words, *args):
            said = self.run_program(tool("curl"), "-sS", "-k", "-u", "mirage:", "--key", self.key, *args, ok=False).err
            self.assertRegex(said, words, args)
        url = f"sftp://127.0.0.1:{self.server.port}/"
        self.sftp("mkdir d")
        says("No such file or directory", url + "no")
        says("mkdir command failed: Operation failed", "-Q", "mkdir /d", url)
        says("rm command failed: No such file or directory", "-Q", "rm /no", url)
        # What we send is OnTheWire's; of it libssh2 1.10 makes the former, Debian's 1.10.0-3+deb12u1 the latter.
        says("symlink command failed: (Operation not supported by SFTP server|Unknown error in libssh2)", "-Q", "symlink /a /b", url)

    def test_paramiko(self):
        remote = self.paramiko_sftp()
        remote.mkdir("d")
        remote.mkdir("d/e")
        for words, call in [("it exists already", lambda: remote.mkdir("d")), ("is not empty", lambda: remote.rmdir("d")),
                            ("FAT has no symbolic links", lambda: remote.symlink("a", "b")),
                            ("FAT files end at 4 GiB", lambda: remote.truncate("mirage.pub", 1 << 32)),
                            ("the name cannot be kept", lambda: remote.mkdir("d/\uffff")),
                            ("no space left", lambda: remote.truncate("mirage.pub", 3_000_000)),
                            ("it is a directory", lambda: remote.open("d", "wb")), ("it exists", lambda: remote.rename("d", "mirage.pub"))]:
            with self.assertRaisesRegex(OSError, words):
                call()
