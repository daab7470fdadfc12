"""The newest OpenSSH that Debian has, with sshfs of the same suite: the tests of the installed ones again, and
mlkem768x25519-sha256, which OpenSSH 9.2 has not."""

import os

import newer
import test_crypto
import test_scp
import test_sftp
import test_sshfs
from harness import Case
from tools import big_file, content


class Newer(Case):
    @staticmethod
    def client(name):
        return os.path.join(newer.prepare(), name)


class Hybrid(Newer):
    exchange = "mlkem768x25519-sha256"

    def test_it_is_what_both_prefer(self):
        said = self.sftp("ls", options=("-v",)).err
        self.assertRegex(said, r"OpenSSH_(9\.9|[1-9]\d)")
        self.assertIn(f"kex: algorithm: {self.exchange}", said)
        self.assertIn("strict KEX ordering", self.sftp("ls", options=("-vvv",)).err)

    def test_without_it_the_other_is_used(self):
        said = self.sftp("ls", options=("-v", "-o", f"KexAlgorithms=-{self.exchange}")).err
        self.assertIn("kex: algorithm: curve25519-sha256", said)

    def test_rekeying(self):
        self.expected["file"] = big_file(self.path("up"), 16 << 20)
        said = self.sftp("put up file", "get file down", options=("-v", "-o", "RekeyLimit=1M")).err
        self.shell('cmp "$1" "$2"', self.path("up"), self.path("down"))
        self.assertGreater(said.count(f"kex: algorithm: {self.exchange}"), 25)

    def test_sixteen_at_once(self):
        self.at_once(16, 1_000_000)


class Sftp(Newer, test_sftp.Transfer):
    def test_copy_on_the_server(self):
        self.write("up", content(300_000))
        self.sftp("put up a", "cp a b", "df", "ls -l")
        self.expected["b"] = content(300_000)


class Scp(Newer, test_scp.Scp):
    pass


class NoShell(Newer, test_scp.NoShell):
    pass


class Idle(Newer, test_crypto.LongLived):
    pass


class Sshfs(Newer, test_sshfs.Files):
    def test_git(self):
        self.use_git(self.mnt)
