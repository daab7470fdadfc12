"""Who may log in, and what the log says about who may not."""

import re
import subprocess

from harness import Case
from tools import content, paramiko, program, tool


class Keys(Case):
    def try_login(self, user, key, ok):
        """`sftp` as that user; the server's word for a refusal offers nothing but keys."""
        server = self.server or self.servers[-1]
        self.configure(server, user, key, name=f"config-{user}")
        result = self.sftp("ls", config=f"config-{user}", ok=None)
        self.assertEqual(result.code == 0, ok, f"{result}\n{server.log()[-2000:]}")
        if not ok:
            self.assertRegex(result.err, r"Permission denied \(publickey\)|Connection (closed|reset)")
        return result

    def upload(self, name, text):
        self.write("key-upload", text)
        self.sftp(f"put key-upload {name}")


class Refused(Keys):
    def test_wrong_key(self):
        self.try_login("mirage", self.make_key("other"), False)
        self.try_login("mirage", self.key, True)

    def test_unknown_user(self):
        self.try_login("nobody", self.key, False)
        for name in ["..", "mirage.pub", "../mirage", ".", "mirage/", ""]:
            module = paramiko()
            with self.assertRaises((module.AuthenticationException, module.SSHException, EOFError)):
                self.paramiko(user=name)

    def test_log_before_there_is_a_user(self):
        self.socket().sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(300))
        self.server.wait_log(r"warn  server: 127\.0\.0\.1:\d+: protocol error")
        self.assertNotIn("  from ", self.server.log())

    def test_password(self):
        result = self.ssh("-o", "PreferredAuthentications=password,keyboard-interactive", "-o", "PubkeyAuthentication=no",
                          "server", ok=False, seconds=15)
        self.assertIn("Permission denied (publickey)", result.err)
        module = paramiko()
        client = module.SSHClient()
        client.set_missing_host_key_policy(module.AutoAddPolicy())
        self.addCleanup(client.close)
        with self.assertRaises((module.AuthenticationException, module.SSHException)):
            client.connect("127.0.0.1", self.server.port, "mirage", password="mirage",
                           allow_agent=False, look_for_keys=False, timeout=15)

    def test_wrong_keys_first(self):
        """An agent offers others' keys before the right one."""
        for number in range(4):
            self.make_key(f"wrong{number}")
        with open(self.path("config"), "a") as file:
            for number in range(4):
                file.write(f"  IdentityFile {self.path(f'wrong{number}')}\n")
        text = re.sub(r"  IdentityFile .*id\n", "", self.read("config").decode()) + f"  IdentityFile {self.key}\n"
        self.write("config", text)
        self.sftp("ls")

    def test_too_many_wrong_keys(self):
        """Ten failures end the connection, and the client is told why."""
        keys = [word for number in range(11) for word in ("-i", self.make_key(f"wrong{number}"))]
        result = self.ssh(*keys, "server", "true", ok=False, seconds=15)
        self.assertRegex(result.err, "(?i)received disconnect.*:2: too many authentication failures")

    def test_server_that_stops(self):
        """Clients that are connected are told."""
        client = self.spawn([tool("ssh"), "-F", self.path("config"), "-s", "server", "sftp"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        client.stdin.write(b"\0\0\0\5\1\0\0\0\3")
        client.stdin.flush()
        client.stdout.read(9)
        self.server.stop()
        self.assertRegex(client.communicate(timeout=10)[1].decode(), "Received disconnect.*:11: the server stops")

    def test_kind_that_is_not_supported(self):
        key = self.make_key("p384", "ecdsa", bits=384)
        self.upload("carol.pub", self.public(key) + "\n")
        self.try_login("carol", key, False)
        self.server.wait_log("carol.pub line 1: ecdsa-sha2-nistp384 keys are not supported, use ssh-ed25519; skipped")

    def test_file_that_is_no_key(self):
        self.upload("dave.pub", content(3000))
        self.upload("erin.pub", "")
        self.upload("frank.pub", "ssh-ed25519 AAAA\n")
        for user in ["dave", "erin", "frank"]:
            self.try_login(user, self.key, False)
        self.try_login("mirage", self.key, True)


class Accepted(Keys):
    def test_ecdsa(self):
        key = self.make_key("ec", "ecdsa")
        self.upload("carol.pub", self.public(key) + "\n")
        self.try_login("carol", key, True)

    def test_user_added_and_removed_while_running(self):
        bob = self.make_key("bob-key")
        self.try_login("bob", bob, False)
        self.upload("bob.pub", self.public(bob) + "\n")
        self.try_login("bob", bob, True)
        self.sftp("rm bob.pub")
        self.try_login("bob", bob, False)

    def test_authorized_keys(self):
        ann, ben, ann2 = self.make_key("ann-key", comment="ann"), self.make_key("ben-key", "ecdsa", "ben"), \
            self.make_key("ann2-key", comment="ann")
        self.upload("authorized_keys", f"# who may come in\n\n{self.public(ann)}\r\n{self.public(ben)}\nnonsense here\n"
                    f"{self.public(ann2)}")
        for user, key, ok in [("ann", ann, True), ("ann", ann2, True), ("ben", ben, True), ("ann", ben, False),
                              ("ben", ann, False), ("mirage", ann, False), ("mirage", self.key, True)]:
            self.try_login(user, key, ok)

    def test_many_keys(self):
        """More than fit into one read, and one that begins in one and ends in the next."""
        ann, last = self.make_key("ann-key", comment="ann"), self.make_key("last-key", comment="last")
        others = [self.public(self.key).replace("test", f"user{number}") for number in range(3000)]
        others.insert(1500, self.public(ann))
        for padding in range(0, 120, 7):
            self.upload("authorized_keys", "#" * padding + "\n" + "\n".join(others) + "\n" + self.public(last))
            self.try_login("last", last, True)
        self.try_login("ann", ann, True)
        self.try_login("user2999", self.key, True)

    def test_too_many_keys(self):
        """What is not read is said, and so is how much of it could not be used."""
        ann, last = self.make_key("ann-key", comment="ann"), self.make_key("last-key", comment="last")
        self.upload("authorized_keys", f"{self.public(ann)}\n" + "no key\n" * 200_000 + self.public(last))
        self.try_login("ann", ann, True)
        self.try_login("last", last, False)
        self.server.wait_log("/authorized_keys has more than 1 MiB: what comes after that is not read")
        self.server.wait_log(r"/authorized_keys line 2: .*; skipped, and 1\d+ more")

    def test_several_keys_in_one_file(self):
        bob, second = self.make_key("bob-key"), self.make_key("bob-second", "ecdsa")
        self.upload("bob.pub", f"{self.public(bob)}\n{self.public(second)}\n")
        self.try_login("bob", bob, True)
        self.try_login("bob", second, True)


class Options(Keys):
    """Options in front of a key. What they forbid is tried in full by server/tests/memory/access.rs."""

    def test_reader_of_one_folder(self):
        ann = self.make_key("ann-key", comment="ann")
        self.sftp("mkdir photos", "mkdir other", "put mirage.pub photos/cat")
        self.upload("authorized_keys", 'restrict,from="127.0.0.*",command="internal-sftp -R -d /photos" ' + self.public(ann))
        listed = self.try_login("ann", ann, True)
        self.assertEqual(listed.out.split()[2:], ["cat"])
        for line in "get /mirage.pub", "get ../mirage.pub", "ls /../other", "cd ../other":
            self.assertRegex(self.sftp(line, config="config-ann", ok=False).text, "No such file|not found", line)
        for line in "put mirage.pub new", "rm cat", "mkdir d", "rename cat dog", "chmod 600 cat", "put mirage.pub cat":
            self.assertIn("ermission denied", self.sftp(line, config="config-ann", ok=False).text, line)
        self.sftp("get cat", config="config-ann")
        self.server.wait_log(r"ann logged in from .* to /photos, read-only")

    def test_from_elsewhere(self):
        ann = self.make_key("ann-key", comment="ann")
        self.upload("authorized_keys", f'from="10.0.0.0/8" {self.public(ann)}\n')
        self.try_login("ann", ann, False)
        self.server.wait_log(r"ann: the key SHA256:\S+ is not usable: it may not be used from there")

    def test_unknown_option(self):
        ann = self.make_key("ann-key", comment="ann")
        self.upload("ann.pub", f"read-only {self.public(ann)}\n")
        self.try_login("ann", ann, False)
        self.server.wait_log(r'ann.pub line 1: the option "read-only" is not supported; skipped')


class CommandLine(Keys):
    serve = False

    def test_user_and_key(self):
        alice, other = self.make_key("alice-key", comment=""), self.make_key("other")
        self.image = self.make_image("disk.img", key=False)
        self.server = self.start(self.image, "--user", "alice", "--key", self.public(alice))
        self.try_login("alice", alice, True)
        self.try_login("alice", other, False)
        self.try_login("mirage", self.key, False)

    def test_command_line_comes_before_the_volume(self):
        other = self.make_key("other")
        self.image = self.make_image("disk.img")
        self.server = self.start(self.image, "--user", "mirage", "--key", self.public(other))
        self.try_login("mirage", other, True)
        self.try_login("mirage", self.key, False)

    def test_no_key_at_all(self):
        """It serves nobody yet: the log says so, and what to do."""
        self.image = self.make_image("disk.img", key=False)
        server = self.start(self.image)
        self.assertRegex(server.log(), r"(?i)\bno\b.*\b(key|user)")
        self.assertRegex(server.log(), r"\.pub|--key|authorized_keys")

    def test_keygen(self):
        """The server's own key pairs are good for ssh-keygen and ssh."""
        self.run_program(program("mirage-sshfs"), "keygen", self.path("made"))
        self.assertIn("ED25519", self.run_program(tool("ssh-keygen"), "-l", "-f", self.path("made.pub")).out)
        self.image = self.make_image("disk.img", key=False)
        self.server = self.start(self.image, "--user", "mirage", "--key", self.public(self.path("made")))
        self.try_login("mirage", self.path("made"), True)


class Seed(Case):
    """What --seed says is as secret as the host key that is made of it."""

    seed = "correct-horse-battery-staple-4711"
    options = ("--seed", seed)

    def test_it_is_nowhere_in_memory(self):
        self.sftp("ls")
        self.server.wait_log("from --seed")
        found, pid = set(), self.server.process.pid
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
            for line in maps:
                places, rights, *_, name = line.split()
                start, end = (int(place, 16) for place in places.split("-"))
                if "w" in rights:
                    memory.seek(start)
                    if self.seed.encode() in memory.read(end - start):
                        found.add(name)
        # There the system itself has the command line.
        self.assertEqual(found, {"[stack]"})
