"""The kinds of keys that people have: RSA, keys on tokens, certificates. Each refusal has its line in the log."""

import base64
import hashlib
import re

from harness import Case
from sk_agent import PRESENT, VERIFIED, Agent, Token
from tools import paramiko, tool


class Keys(Case):
    serve = False

    def serves(self, **files):
        """A fresh server, whose log may say as much as another's, with these files in the root."""
        if self.server:
            self.server.stop()
        else:
            self.image = self.make_image("disk.img")
        self.server = self.start(self.image)
        names = {name: name.replace("_pub", ".pub") for name in files}
        for name, text in files.items():
            self.write(name, text + "\n")
        if files:
            self.sftp(*(f"put {name} {file}" for name, file in names.items()))

    def log_in(self, key, why=None, options=()):
        """Bob comes in, or not for a reason that the log has."""
        self.configure(self.server, "bob", key, name="config-bob")
        result = self.sftp("ls", config="config-bob", options=options, ok=None)
        self.assertEqual(result.code == 0, why is None, f"{result}\n{self.server.log()[-2000:]}")
        if why:
            self.assertIn("Permission denied (publickey)", result.err)
            self.server.wait_log(r"bob from 127\.0\.0\.1:\d+: .*" + why)

    def keygen(self, *args):
        return self.run_program(tool("ssh-keygen"), "-q", *args)

    def fingerprint(self, key):
        digest = hashlib.sha256(base64.b64decode(self.public(key).split()[1])).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


class Rsa(Keys):
    def make(self, bits):
        path = self.path(f"rsa{bits}")
        self.keygen("-t", "rsa", "-b", str(bits), "-N", "", "-f", path)
        return path

    def test_sizes(self):
        keys = [self.make(bits) for bits in (2048, 3072, 4096)]
        self.serves(bob_pub="\n".join(map(self.public, keys)))
        for key in keys:
            for hashed in "rsa-sha2-512", "rsa-sha2-256":
                self.log_in(key, options=["-o", f"PubkeyAcceptedAlgorithms={hashed}"])
            self.paramiko(user="bob", key=key)

    def test_sha1_and_short_keys(self):
        short, good = self.make(1024), self.make(2048)
        self.serves(bob_pub=self.public(good), carol_pub=self.public(short))
        self.configure(self.server, "bob", good, name="config-bob")
        self.sftp("ls", config="config-bob", options=["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"], ok=False)
        module = paramiko()

        class Old(module.Transport):
            """Looks at nothing that servers say of signatures (RFC 8308 3.1)."""
            server_extensions = property(lambda _: {}, lambda *_: None)

        transport = Old(("127.0.0.1", self.server.port), disabled_algorithms={"pubkeys": ["rsa-sha2-256", "rsa-sha2-512"]})
        self.addCleanup(transport.close)
        transport.start_client(timeout=15)
        with self.assertRaises(module.SSHException):
            transport.auth_publickey("bob", module.RSAKey.from_private_key_file(good))
        self.server.wait_log(rf"bob from \S+: {re.escape(self.fingerprint(good))} is refused: it signs with SHA-1 \(ssh-rsa\)")
        self.configure(self.server, "carol", short, name="config-carol")
        self.sftp("ls", config="config-carol", options=["-o", "RequiredRSASize=1024"], ok=False)
        self.server.wait_log("carol.pub line 1: an RSA key of 1024 bits, not of 2048 to 8192; skipped")


class Held(Keys):
    def test_a_login_holds_no_more_than_it_may(self):
        """Of a file of keys, however it is written, until it ends; a stranger who knows the name begins one."""
        module, key = paramiko(), self.make_key("bob-key")
        stranger = module.Ed25519Key.from_private_key_file(self.make_key("stranger"))
        self.serves(bob_pub="\n".join(f'from="127.0.0.1{"," * length}" {self.public(key)}' for length in [16_000] * 60))
        before = self.server.memory()
        for _ in range(4):
            transport = module.Transport(("127.0.0.1", self.server.port))
            self.addCleanup(transport.close)
            transport.start_client(timeout=15)
            with self.assertRaises(module.AuthenticationException):
                transport.auth_publickey("bob", stranger)
        self.assertLess(self.server.memory() - before, 4 << 20)
        self.server.wait_log("bob.pub: .* keys beyond the first .* left out")
        self.log_in(key)


class Tokens(Keys):
    def token(self, kind, *options, application="ssh:"):
        token = Token(kind, application)
        self.write("token.pub", token.line + "\n")
        agent = Agent(self.path("agent"), token)
        self.addCleanup(agent.close)
        self.serves(bob_pub=",".join(options) + " " + token.line if options else token.line)
        return token

    def with_token(self, why=None):
        self.log_in(self.path("token"), why, ["-o", f"IdentityAgent={self.path('agent')}"])

    def what_is_taken(self, kind):
        token = self.token(kind)
        self.with_token()
        token.flags = PRESENT | VERIFIED
        self.with_token()
        token.flags = VERIFIED
        self.with_token("SHA256:.* is refused: nobody touched its token")
        wrong = "is refused: its signature is wrong"
        # What was signed is what must be sent, and for this application.
        token.sent_flags = PRESENT
        self.with_token(wrong)
        token.flags, token.sent_flags, token.sent_counter = PRESENT, None, 1
        self.with_token(wrong)
        token.sent_counter, token.signed_application = None, "ssh:other"
        self.with_token(wrong)
        token.signed_application = None
        self.with_token()

    def test_ed25519(self):
        self.what_is_taken("ed25519")

    def test_ecdsa(self):
        self.what_is_taken("ecdsa")

    def test_options(self):
        token = self.token("ed25519", "no-touch-required", application="ssh:bob")
        token.flags = 0
        self.with_token()
        self.serves(bob_pub=f"verify-required {token.line}")
        token.flags = PRESENT
        self.with_token("its token did not verify its user")
        token.flags = PRESENT | VERIFIED
        self.with_token()

    def test_certificate_of_a_token(self):
        """Nobody need touch it when the authority's line and the certificate say so, not one of them."""
        token, ca = self.token("ecdsa"), self.make_key("ca")
        for option, line, why in [("clear", "no-touch-required,", "nobody touched"), ("no-touch-required", "", "nobody touched"),
                                  ("no-touch-required", "no-touch-required,", None)]:
            self.keygen("-s", ca, "-I", "tok", "-n", "bob", "-O", option, self.path("token.pub"))
            self.serves(bob_pub=f"{line}cert-authority {self.public(ca)}")
            token.flags = 0
            self.with_token(why)
            token.flags = PRESENT
            self.with_token()


class Certificates(Keys):
    def setUp(self):
        super().setUp()
        self.ca, self.user = self.make_key("ca", comment=""), self.make_key("user")
        self.refused = 0

    def sign(self, *args, ca=None, id="card", principal="bob", key=None):
        names = ["-n", principal] if principal else []
        self.keygen("-s", ca or self.ca, "-I", id, *names, *args, (key or self.user) + ".pub")

    def check(self, why, options="", *args, key=None, **kwargs):
        """With a line of the authority's, a certificate that is made so comes in, or does not."""
        line = f"cert-authority{options} {self.public(kwargs.get('ca') or self.ca)}"
        # A server's log has eight lines a minute of one kind.
        if self.refused % 3 == 0 or not self.server or line != self.line:
            self.serves(bob_pub=line)
        self.line = line
        self.refused += why is not None
        self.sign(*args, key=key, **kwargs)
        self.log_in(key or self.user, why and rf'certificate "[^"]*" \(serial 0\) is refused: {why}')

    def test_names_and_times(self):
        self.check(None)
        self.server.wait_log(r'bob logged in from \S+ with certificate "card" \(serial 0\) of '
                             + re.escape(self.fingerprint(self.user)))
        self.check(None, "", "-V", "-1d:+1d", principal="eve,bob")
        self.check("it has expired", "", "-V", "-2d:-1d")
        self.check("it is not yet valid", "", "-V", "+1d:+2d")
        self.check('it names "eve", not the user', principal="eve")
        self.check("it names no principal", principal=None)
        self.check(None, ',principals="staff, admin"', principal="admin")
        self.check('it names "bob", not principals=', ',principals="staff,admin"')
        stranger = self.make_key("ca2")
        self.sign(ca=stranger)
        self.serves(bob_pub=f"cert-authority {self.public(self.ca)}")
        self.log_in(self.user, "certificate .* is refused: its authority is not one of the user's: SHA256:")

    def test_critical_options(self):
        self.check("it may not be used from there", "", "-O", "source-address=10.0.0.0/8,192.0.2.1")
        self.check(None, "", "-O", "source-address=10.0.0.0/8,127.0.0.0/8")
        self.check('its critical option "x@example.com" is not supported', "", "-O", "critical:x@example.com=1")
        self.check("command=.*only internal-sftp", "", "-O", "force-command=/bin/sh")
        self.check("its force-command is another", ',command="internal-sftp"', "-O", "force-command=internal-sftp -R")
        for line, forced in [("", "internal-sftp -R"), (',command="internal-sftp -R"', "internal-sftp -R"),
                             (',restrict,command="internal-sftp -R"', None)]:
            self.check(None, line, *(["-O", f"force-command={forced}"] if forced else []))
            self.sftp("ls", config="config-bob")
            self.assertIn("ermission denied", self.sftp("rm mirage.pub", config="config-bob", ok=False).text)
        # Of the authority's line.
        self.serves(bob_pub=f'cert-authority,from="10.0.0.0/8" {self.public(self.ca)}')
        self.log_in(self.user, "no usable key")
        # An extension permits what is not there.
        self.check(None, "", "-O", "clear", "-O", "permit-pty", "-O", "extension:x@example.com=1")

    def test_kinds(self):
        """Of keys and of authorities."""
        for kind in "ecdsa", "rsa":
            ca, user = self.make_key(f"ca-{kind}", kind), self.make_key(f"user-{kind}", kind)
            self.check(None, ca=ca, key=user)
        self.serves(bob_pub=self.public(self.ca))
        self.log_in(self.user, "is not one of the user's")
        # Nor does an authority's key log in itself.
        self.serves(bob_pub=f"cert-authority {self.public(self.ca)}")
        self.log_in(self.ca, "not logged in, 1 attempts? failed")
        # RSA with SHA-1 is no signature of an authority's either.
        self.check("its authority did not sign it", "", "-t", "ssh-rsa", ca=ca)

    def test_revoked(self):
        other = self.make_key("other")
        lines = f"{self.public(other)}\ncert-authority {self.public(self.ca)}"
        self.sign()
        self.serves(bob_pub=lines, revoked_keys="# nobody\n")
        self.log_in(self.user)
        self.log_in(other)
        self.serves(revoked_keys=f"# stolen\n\n{self.fingerprint(self.user)} of a laptop\n{self.public(other)}")
        self.log_in(self.user, "certificate .* is refused: its key is revoked")
        self.log_in(other, "SHA256:.* is refused: it is revoked")
        self.serves(revoked_keys=self.public(self.user + "-cert"))
        self.log_in(self.user, "certificate .* is refused: its key is revoked")
        self.serves(revoked_keys=self.fingerprint(self.ca))
        self.log_in(self.user, "certificate .* is refused: its authority is revoked")
        self.log_in(other)
        # What is not understood may have meant any of them.
        self.write("revoked_keys", self.fingerprint(self.ca)[:-1] + "\n")
        self.sftp("put revoked_keys")
        for user, key in ("mirage", self.key), ("bob", other):
            self.configure(self.server, user, key, name="config-other")
            self.sftp("ls", config="config-other", ok=False)
        self.server.wait_log("error .*revoked_keys line 1: no key and no fingerprint; nobody can log in")
