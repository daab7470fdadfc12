"""IPv6 under Unix: clients at ::1, both families at once, and what keys and limits make of addresses."""

import os
import socket

from harness import Case, Server
from tools import content, tool


class Ipv6(Case):
    serve = False

    def listen(self, address, *options, host="::1"):
        """A server there, and a configuration for its clients."""
        self.image = self.make_image("disk.img")
        server = self.server = Server(self, self.image, "--listen", address, *options)
        server.port = int(server.wait_log(r"listening on \[[0-9a-f:]+\]:(\d+)", 20).group(1))
        self.at(host)
        return server

    def at(self, host, user="mirage", key=None, name="config"):
        text = self.read(os.path.basename(self.configure(self.server, user, key, name=name))).decode()
        self.write(name, text.replace("HostName 127.0.0.1", f"HostName {host}"))

    def test_sshfs(self):
        """As the log says it: with brackets."""
        server = self.listen("[::1]")
        line = server.wait_log(r"mount it with: .* sshfs (-p \d+ .*) (mirage@\[::1\]:/) mnt")
        self.assertIn(f"-p {server.port} ", line.group(1))
        self.write("up", content(3_000_000))
        point = self.path("mnt")
        os.makedirs(point)
        words = [f"IdentityFile={self.key}", f"UserKnownHostsFile={self.path('known_hosts')}", "StrictHostKeyChecking=accept-new"]
        self.run_program(tool("sshfs"), "-p", str(server.port), *(word for one in words for word in ("-o", one)), line.group(2), point)
        self.mounts.append(point)
        self.shell('cp "$1/up" "$2/new"; mkdir "$2/d"; mv "$2/new" "$2/d/file"; cmp "$1/up" "$2/d/file"', self.scratch, point)
        server.wait_log(r"mirage logged in from \[::1\]:\d+ with")
        self.expected["d/file"] = content(3_000_000)

    def test_both_at_once(self):
        server = self.listen("::")
        server.wait_log(r"mirage@127\.0\.0\.1:/ mnt")
        for host, shown in ("::1", r"\[::1\]"), ("127.0.0.1", r"127\.0\.0\.1"):
            self.at(host)
            self.sftp("ls")
            # Not as ::ffff:127.0.0.1.
            server.wait_log(rf"logged in from {shown}:\d+ with")

    def test_from(self):
        """Networks and patterns of either family, and with an IPv4 client behind an IPv6 socket."""
        server = self.listen("::")
        keys = {name: self.make_key(f"{name}-key", comment=name) for name in ("six", "four", "other", "text")}
        lines = {"six": "::/64,!::2", "four": "127.0.0.0/8", "other": "fd00::/8", "text": "::?"}
        self.write("authorized_keys", "".join(f'from="{lines[name]}" {self.public(key)}\n' for name, key in keys.items()))
        self.sftp("put authorized_keys")
        for name, host, ok in [("six", "::1", True), ("six", "127.0.0.1", False), ("four", "127.0.0.1", True),
                               ("four", "::1", False), ("other", "::1", False), ("text", "::1", True)]:
            self.at(host, name, keys[name], f"config-{name}")
            self.sftp("ls", config=f"config-{name}", ok=ok)
        server.wait_log(r"four: the key SHA256:\S+ is not usable: it may not be used from there")

    def test_a_network_is_a_source(self):
        """All of ::/120 count as one, as they are told; the other family is another."""
        self.listen("::", "--per-source-max-startups", "1", "--per-source-net-block-size", "32:120")
        first = socket.create_connection(("::1", self.server.port), timeout=15)
        self.addCleanup(first.close)
        self.assertTrue(first.recv(100).startswith(b"SSH-2.0-"))
        with socket.create_connection(("::1", self.server.port), timeout=15) as second:
            self.assertNotIn(b"SSH-2.0-", second.recv(100))
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=15) as other:
            self.assertTrue(other.recv(100).startswith(b"SSH-2.0-"))

    def test_addresses_that_are_none(self):
        image = self.make_image("other.img")
        for address in "::1/64", "[10.0.0.1]", "fe80::1%lo", "[::1", "::g":
            server = Server(self, image, "--listen", address)
            server.ended = True
            self.assertNotEqual(server.process.wait(10), 0)
            self.assertIn(f"--listen {address}: not an IP address", server.log())
