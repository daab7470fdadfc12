"""What stays when the server is stopped and started."""

from harness import Case
from tools import content, tool


class Again(Case):
    serve = False
    kinds = ["ssh-ed25519"]

    def fingerprint(self, server):
        """As ssh-keyscan sees it; the log says the same in OpenSSH's form."""
        keys = self.run_program(tool("ssh-keyscan"), "-p", str(server.port), "127.0.0.1").out
        lines = [line.split()[1:] for line in keys.splitlines() if not line.startswith("#")]
        self.assertEqual(sorted(line[0] for line in lines), sorted(self.kinds))
        self.write("scanned", "".join(" ".join(line) + "\n" for line in sorted(lines)))
        shown = self.run_program(tool("ssh-keygen"), "-l", "-f", self.path("scanned")).out
        shown = [line.split()[1] for line in shown.splitlines()]
        for key in shown:
            self.assertIn(f"host key {key} ", server.log())
        return shown

    def once(self, image, *options):
        server = self.start(image, *options)
        shown = self.fingerprint(server)
        server.stop()
        return shown

    def test_host_key_stays(self):
        self.image = self.make_image("disk.img")
        first = self.once(self.image)
        self.assertEqual(first, self.once(self.image))
        other = self.make_image("other.img")
        self.assertNotEqual(first, self.once(other))

    def test_host_key_from_a_seed(self):
        self.image = self.make_image("disk.img")
        other = self.make_image("other.img", fat="32")
        first = self.once(self.image, "--seed", "a long enough seed")
        self.assertEqual(first, self.once(other, "--seed", "a long enough seed"))
        self.assertNotEqual(first, self.once(other, "--seed", "another seed"))

    def test_both_host_keys_stay(self):
        """Each for itself: the ed25519 one is that of a start without the option."""
        self.image = self.make_image("disk.img")
        other = self.make_image("other.img")
        for options in ((), ("--seed", "a long enough seed")):
            self.kinds = ["ssh-ed25519"]
            plain = self.once(self.image, *options)
            self.kinds = ["ecdsa-sha2-nistp256", "ssh-ed25519"]
            both = self.once(self.image, "--nist-algorithms", *options)
            self.assertEqual(both[1:], plain)
            self.assertNotEqual(both[0], plain[0])
            self.assertEqual(both, self.once(self.image, "--nist-algorithms", *options))
            elsewhere = self.once(other, "--nist-algorithms", *options)
            self.assertEqual(both == elsewhere, bool(options))

    def test_files_stay(self):
        self.image = self.make_image("disk.img")
        for number in range(3):
            server = self.start(self.image)
            self.write("up", content(70_000, number))
            self.sftp(f"put up f{number}", *[f"get f{old} down{old}" for old in range(number)])
            self.expected[f"f{number}"] = content(70_000, number)
            server.stop()

    def test_changes_by_others_while_stopped(self):
        """mtools adds and removes: nothing remembered from before is believed."""
        self.image = self.make_image("disk.img")
        server = self.start(self.image)
        self.write("up", b"ours")
        self.sftp("put up ours", "put up gone")
        server.stop()
        self.write("theirs", content(100_000))
        self.run_program(tool("mcopy"), "-i", self.image, self.path("theirs"), "::/theirs")
        self.run_program(tool("mdel"), "-i", self.image, "::/gone")
        self.server = self.start(self.image)
        names = self.paramiko_sftp().listdir()
        self.assertIn("theirs", names)
        self.assertNotIn("gone", names)
        self.sftp("get theirs down")
        self.assertEqual(self.read("down"), content(100_000))
        self.expected.update({"ours": b"ours", "gone": None, "theirs": content(100_000)})
