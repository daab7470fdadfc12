"""OpenSSH's `scp`, and `ssh` used for what this server is not: a shell."""

import os

from harness import Case
from tools import content

NO_PROGRAMS = "use sftp, sshfs, or scp without -O"


class Scp(Case):
    def test_up_and_down(self):
        up = self.write("up", content(3_000_000))
        self.scp(up, "server:file")
        self.scp("server:file", self.path("down"))
        self.assertEqual(self.read("down"), content(3_000_000))
        self.expected["file"] = content(3_000_000)

    def test_tree(self):
        for number in range(20):
            self.write(f"tree/d{number % 4}/f {number}", content(number * 777, number))
            self.expected[f"tree/d{number % 4}/f {number}"] = content(number * 777, number)
        self.scp("-r", "-p", self.path("tree"), "server:tree")
        self.scp("-r", "server:tree", self.path("back"))
        self.shell('diff -r "$1" "$2"', self.path("tree"), self.path("back"))

    def test_into_a_folder_and_with_times(self):
        up = self.write("up", b"x")
        os.utime(up, (1_500_000_000, 1_500_000_000))
        self.sftp("mkdir d")
        self.scp("-p", up, "server:/d/")
        self.scp("-p", "server:/d/up", self.path("down"))
        self.assertEqual(os.stat(self.path("down")).st_mtime, 1_500_000_000)
        self.expected["d/up"] = b"x"

    def test_home_is_the_root(self):
        """A path with ~ is sent to the server to be expanded."""
        up = self.write("up", b"x")
        self.sftp("mkdir d")
        self.scp(up, "server:~/d/file")
        self.scp("server:~mirage/d/file", self.path("down"))
        self.assertEqual(self.read("down"), b"x")
        self.expected["d/file"] = b"x"

    def test_missing_file(self):
        self.assertIn("No such file", self.scp("server:nothing", self.path("down"), ok=False).text)

    def test_old_protocol_is_refused_at_once(self):
        """`scp -O` runs a program on the server: it must end with an error, not wait."""
        up = self.write("up", b"x")
        self.assertIn(NO_PROGRAMS, self.scp("-O", up, "server:file", ok=False, seconds=10).err)
        self.assertIn(NO_PROGRAMS, self.scp("-O", "server:mirage.pub", self.path("down"), ok=False, seconds=10).err)
        self.expected["file"] = None


class NoShell(Case):
    def test_command_is_refused_at_once(self):
        refused = self.ssh("server", "echo ran", ok=False, seconds=10)
        self.assertEqual((refused.code, refused.out), (1, ""))
        self.assertIn(NO_PROGRAMS, refused.err)

    def test_poweroff_is_refused(self):
        """What ends a machine that nobody else can end does not end this one."""
        self.assertIn(NO_PROGRAMS, self.ssh("server", "poweroff", ok=False, seconds=10).err)
        self.sftp("ls")

    def test_command_with_input_is_refused_at_once(self):
        """More than a window, which the client still sends when the answer comes."""
        self.shell('head -c 3000000 /dev/zero | ssh -F "$1" server cat 2>&1 | grep -F "$2"',
                   self.path("config"), NO_PROGRAMS, seconds=10)

    def test_shell_is_refused_at_once(self):
        refused = self.ssh("server", ok=False, seconds=10)
        self.assertEqual(refused.code, 1)
        self.assertIn(NO_PROGRAMS, refused.err)

    def test_forced_terminal_is_told_why(self):
        """`ssh -tt` would end without a word if it were refused the terminal."""
        for command in [], ["top"]:
            refused = self.ssh("-tt", "server", *command, ok=False, seconds=10)
            self.assertEqual(refused.code, 1, command)
            self.assertIn(NO_PROGRAMS + ".\r\n", refused.err, command)

    def test_unknown_subsystem_is_refused_at_once(self):
        self.ssh("-s", "server", "netconf", ok=False, seconds=10)
        self.server.wait_log('refused the subsystem "netconf": only sftp is served')


class SftpServer(Case):
    """The program that OpenSSH's server has, by its path."""

    def test_it_is_the_subsystem(self):
        self.write("up", b"x")
        for number, path in enumerate(["/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server -e -l INFO"]):
            self.sftp(f"put up file{number}", options=("-s", path))
            self.expected[f"file{number}"] = b"x"
        point = self.mount("-o", "sftp_server=/usr/lib/openssh/sftp-server")
        self.assertEqual(self.shell('cat "$1/file0"', point).out, "x")

    def test_it_can_be_asked_to_read_only(self):
        self.write("up", b"x")
        reader = ("-s", "/usr/lib/openssh/sftp-server -R")
        self.assertIn("mirage.pub", self.sftp("ls", options=reader).out)
        for line in "put up file", "rm mirage.pub", "mkdir d":
            self.assertIn("ermission denied", self.sftp(line, options=reader, ok=False).err, line)
        self.expected["file"] = None

    def test_options_that_it_has_not_are_named(self):
        for option, line in ("-d /photos", "-d"), ("-u 077", "-u"), ("-P remove", "-P"):
            refused = self.ssh("server", f"/usr/lib/openssh/sftp-server {option}", ok=False, seconds=10)
            self.assertEqual(refused.code, 1)
            self.assertIn(f"This server's sftp-server takes no {line}.\n", refused.err)

    def test_forwarding_is_refused_and_harms_nothing(self):
        self.ssh("-W", "127.0.0.1:22", "server", ok=False, seconds=10)
        self.ssh("-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:9", "-N", "server", ok=False, seconds=10)
        self.sftp("ls")
