"""What is agreed on the wire, and connections that live long.

mlkem768x25519-sha256 needs OpenSSH 9.9 and Debian 12 has 9.2: test_newer.py has it.
"""

import re
import subprocess
import time

from harness import Case
from tools import big_file, content, paramiko, tool

CIPHERS = ["chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr", "aes128-ctr"]
MACS = ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"]
EXCHANGES = ["curve25519-sha256", "curve25519-sha256@libssh.org"]


class Algorithms(Case):
    def test_each_cipher(self):
        self.write("up", content(3_000_000))
        for cipher in CIPHERS:
            self.sftp("put up file", "get file down", options=("-c", cipher))
            self.assertEqual(self.read("down"), content(3_000_000))
            self.sftp("rm file")

    def test_each_mac(self):
        self.write("up", content(1_000_000))
        for mac in MACS:
            result = self.sftp("put up file", "get file down", options=("-v", "-c", "aes128-ctr", "-o", f"MACs={mac}"))
            self.assertIn(f"kex: server->client cipher: aes128-ctr MAC: {mac}", result.err)
            self.assertEqual(self.read("down"), content(1_000_000))
            self.sftp("rm file")

    def test_each_cipher_and_mac_of_paramiko(self):
        """Another implementation, as far as it knows them."""
        module = paramiko()
        ciphers = [cipher for cipher in CIPHERS if cipher in module.Transport._cipher_info]
        macs = [mac for mac in MACS if mac in module.Transport._mac_info]
        self.assertTrue({"aes128-ctr", "aes256-ctr"} <= set(ciphers) and "hmac-sha2-256" in macs, (ciphers, macs))
        for cipher, mac in [(cipher, macs[0]) for cipher in ciphers] + [("aes256-ctr", mac) for mac in macs]:
            transport = module.Transport(("127.0.0.1", self.server.port))
            options = transport.get_security_options()
            options.ciphers, options.digests = (cipher,), (mac,)
            transport.connect(username="mirage", pkey=module.Ed25519Key.from_private_key_file(self.key))
            with module.SFTPClient.from_transport(transport) as client:
                with client.open("/file", "wb") as file:
                    file.write(content(300_000))
                with client.open("/file", "rb") as file:
                    self.assertEqual(file.read(), content(300_000), (cipher, mac))
                client.remove("/file")
            transport.close()

    def test_each_key_exchange(self):
        for exchange in EXCHANGES:
            result = self.sftp("ls", options=("-v", "-o", f"KexAlgorithms={exchange}"))
            self.assertIn(f"kex: algorithm: {exchange}", result.err)

    def test_weak_ones_are_not_offered(self):
        for option in ["Ciphers=aes128-cbc", "Ciphers=3des-cbc", "KexAlgorithms=diffie-hellman-group14-sha1",
                       "KexAlgorithms=ecdh-sha2-nistp256", "HostKeyAlgorithms=ssh-rsa",
                       "HostKeyAlgorithms=ecdsa-sha2-nistp256"]:
            self.assertIn("no matching", self.sftp("ls", options=("-o", option), ok=False).err.lower())

    def test_strict_key_exchange(self):
        log = self.sftp("ls", options=("-vvv",)).err
        self.assertIn("kex-strict-s-v00@openssh.com", log)
        self.assertIn("strict KEX ordering", log)

    def test_host_key_is_ed25519(self):
        self.assertIn("Server host key: ssh-ed25519 SHA256:", self.sftp("ls", options=("-v",)).err)


class Rekey(Case):
    seconds = 90
    size = "100M"

    def test_rekey_during_transfers(self):
        digest = big_file(self.path("up"), 64 << 20)
        result = self.sftp("put up file", "get file down", options=("-v", "-o", "RekeyLimit=1M"))
        self.shell('cmp "$1" "$2"', self.path("up"), self.path("down"))
        self.assertGreater(result.err.count("SSH2_MSG_KEXINIT sent"), 100)
        self.expected["file"] = digest

    def test_rekey_with_each_cipher(self):
        """After bytes, after more of them, and after a second."""
        for limit, size, least in [("16K", 1_000_000, 20), ("1M", 5_000_000, 8), ("default 1", 100_000, 2)]:
            self.write("up", content(size))
            for cipher in CIPHERS:
                pause = "!sleep 1.2\nls" if " " in limit else ""
                result = self.sftp("put up file", pause, "get file down",
                                   options=("-v", "-c", cipher, "-o", f"RekeyLimit={limit}"))
                self.assertEqual(self.read("down"), content(size))
                self.assertGreaterEqual(result.err.count("SSH2_MSG_KEXINIT sent"), least, (cipher, limit))
            self.expected["file"] = content(size)


class Strict(Case):
    options = ("--strict-algorithms",)

    def test_only_post_quantum_and_encrypt_then_mac(self):
        """The installed client may be older than mlkem768x25519: what is offered is what it says."""
        log = self.sftp("ls", options=("-vvv", "-c", "aes256-ctr"), ok=None).err
        offered = log[log.index("peer server KEXINIT proposal"):]
        lists = re.findall(r"debug2: (KEX algorithms|MACs stoc|MACs ctos): (\S+)", offered)
        self.assertEqual(dict(lists)["KEX algorithms"].split(",")[0], "mlkem768x25519-sha256")
        self.assertNotIn("curve25519-sha256", dict(lists)["KEX algorithms"])
        for way in ("stoc", "ctos"):
            self.assertEqual(dict(lists)[f"MACs {way}"].split(","), MACS[:2])


class Nist(Case):
    """For clients in FIPS mode and old ones."""
    options = ("--nist-algorithms",)
    seconds = 90
    only = ("-o", "KexAlgorithms=ecdh-sha2-nistp256", "-o", "HostKeyAlgorithms=ecdsa-sha2-nistp256",
            "-o", "Ciphers=aes256-gcm@openssh.com,aes128-ctr", "-o", "MACs=hmac-sha2-256")

    def test_transfers(self):
        digest = big_file(self.path("up"), 8 << 20)
        result = self.sftp("put up file", "get file down", options=("-v", *self.only))
        self.assertIn("kex: algorithm: ecdh-sha2-nistp256", result.err)
        self.assertIn("Server host key: ecdsa-sha2-nistp256 SHA256:", result.err)
        self.shell('cmp "$1" "$2"', self.path("up"), self.path("down"))
        self.expected["file"] = digest

    def test_many_exchanges(self):
        """One secret and one signature in some hundred begin with a zero byte, which is not sent (RFC 4251 5)."""
        digest = big_file(self.path("up"), 8 << 20)
        result = self.sftp("put up file", "get file down", options=("-v", "-o", "RekeyLimit=16K", *self.only))
        self.shell('cmp "$1" "$2"', self.path("up"), self.path("down"))
        self.assertGreater(result.err.count("SSH2_MSG_KEXINIT sent"), 200)
        self.expected["file"] = digest

    def test_paramiko(self):
        """Another implementation, with an exchange of this curve and its key alone."""
        module = paramiko()
        transport = module.Transport(("127.0.0.1", self.server.port))
        options = transport.get_security_options()
        options.kex, options.key_types = ("ecdh-sha2-nistp256",), ("ecdsa-sha2-nistp256",)
        transport.connect(username="mirage", pkey=module.Ed25519Key.from_private_key_file(self.key))
        with module.SFTPClient.from_transport(transport) as client:
            with client.open("/file", "wb") as file:
                file.write(content(300_000))
            with client.open("/file", "rb") as file:
                self.assertEqual(file.read(), content(300_000))
        self.assertEqual(transport.get_remote_server_key().get_name(), "ecdsa-sha2-nistp256")
        transport.close()
        self.expected["file"] = content(300_000)

    def test_others_have_what_they_had(self):
        log = self.sftp("ls", options=("-v",)).err
        self.assertIn("Server host key: ssh-ed25519 SHA256:", log)
        self.assertNotIn("kex: algorithm: ecdh-", log)


class OurRekey(Case):
    """New keys that the server asks for, after bytes in either direction or after a time."""
    seconds = 90
    size = "100M"
    serve = False

    def transfer(self, limit, size, least, options=(), pause=""):
        server = self.start(self.make_image(f"{size}.img"), "--rekey-limit", limit)
        self.write("up", content(size))
        for cipher in CIPHERS:
            result = self.sftp("put up file", pause, "get file down", options=("-v", "-c", cipher, *options))
            self.assertEqual(self.read("down"), content(size), cipher)
            # The client says it for each exchange that the server began.
            self.assertGreaterEqual(result.err.count("SSH2_MSG_KEXINIT received"), least, cipher)
        server.stop()

    def test_limits_of_bytes(self):
        self.transfer("16K", 1_000_000, 8)
        self.transfer("1M", 8_000_000, 8)

    def test_limit_of_time(self):
        self.transfer("default 1", 100_000, 2, pause="!sleep 1.2\nls")

    def test_both_sides(self):
        self.transfer("100K", 1_000_000, 8, options=("-o", "RekeyLimit=64K"))


class LongLived(Case):
    def test_idle_with_keepalives(self):
        client = self.spawn([self.client("ssh"), "-F", self.path("config"), "-o", "ServerAliveInterval=1",
                             "-o", "ServerAliveCountMax=1", "-s", "server", "sftp"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(6)
        self.assertIsNone(client.poll(), "ended while idle")
        client.stdin.write(b"\0\0\0\5\1\0\0\0\3")       # INIT, version 3
        client.stdin.flush()
        self.assertEqual(client.stdout.read(9)[4:], b"\2\0\0\0\3")
        client.communicate(timeout=10)

    def test_mount_that_idles(self):
        point = self.mount("-o", "ServerAliveInterval=1,ServerAliveCountMax=1,reconnect")
        time.sleep(4)
        self.shell('echo x > "$1/file"', point)
        self.expected["file"] = b"x\n"


class Shared(Case):
    """Many sessions over one connection."""

    def setUp(self):
        super().setUp()
        with open(self.path("config"), "a") as file:
            file.write(f"  ControlPath {self.path('control')}\n")
        self.master = self.spawn([tool("ssh"), "-F", self.path("config"), "-M", "-N", "server"],
                                 stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.until(lambda: self.ssh("-O", "check", "server", ok=None).code == 0, 15, "master connected")

    def tearDown(self):
        self.master.terminate()
        self.master.wait(10)
        super().tearDown()

    def test_eight_at_once(self):
        clients = []
        for number in range(8):
            self.write(f"up{number}", content(2_000_000, number))
            self.write(f"batch{number}", f"put {self.path(f'up{number}')} f{number}\nget f{number} {self.path(f'down{number}')}\n")
            clients.append(self.spawn([tool("sftp"), "-F", self.path("config"), "-b", self.path(f"batch{number}"), "server"],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        for number, client in enumerate(clients):
            out, _ = client.communicate(timeout=40)
            self.assertEqual(client.returncode, 0, out)
            self.assertEqual(self.read(f"down{number}"), content(2_000_000, number))
            self.expected[f"f{number}"] = content(2_000_000, number)
        self.assertIsNone(self.master.poll())

    def test_thirty_in_a_row(self):
        for number in range(30):
            self.write("up", f"{number}")
            self.sftp(f"put up f{number}", "ls")
            self.expected[f"f{number}"] = str(number).encode()
        self.assertIsNone(self.master.poll())
