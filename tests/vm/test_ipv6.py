"""A guest with IPv6, on its own link and behind routers that tell of a narrow path."""
import os
import time

from routed import Routed
from routers import CLIENTS, GATEWAY, GUEST, TAP, six
from tools import content, tool

MIB = 1 << 20
PATHS = (1420, 1280)


class Ipv6(Routed):
    guest = six(GUEST)
    line = f"--ipv4 {GUEST}/24 --ipv6 {six(GUEST)}/64 --ipv6-gateway {six(GATEWAY)}"

    def test_sshfs_and_paths(self):
        """From the next host, which asks by neighbour discovery, and from afar."""
        near = self.routers.within(self.routers.far)
        self.run_program(*near, tool("sftp"), "-F", self.path("config"), "-o", f"HostName={self.guest}", "-b", "-", "server",
                         stdin="ls\n")
        point = self.path("mnt")
        os.makedirs(point)
        # `ip netns exec` would give it mounts of its own.
        inside = ["nsenter", f"--net=/run/netns/{self.routers.client}"]
        client = self.spawn([*inside, tool("sshfs"), "-f", "-F", self.path("config"),
                             "-o", f"HostName={self.guest}", "server:/", point])
        self.until(lambda: f" {point} fuse.sshfs " in self.mount_table() or client.poll() is not None, 40, "the mount")
        self.mounts.append(point)
        self.write("up", content(3 * MIB))
        self.shell('cp "$1/up" "$2/file"; mkdir "$2/d"; mv "$2/file" "$2/d/file"; cmp "$1/up" "$2/d/file"', self.scratch, point)
        self.unmount(point)
        self.expected["d/file"] = content(3 * MIB)
        for mtu, host in zip(PATHS, CLIENTS):
            self.routers.narrow(mtu, True)
            self.routers.forget_paths()
            start = time.monotonic()
            self.from_client(six(host), "sftp", "-b", "-", "server", stdin="get d/file down\n", seconds=60)
            self.assertEqual(self.read("down"), content(3 * MIB))
            self.assertLess(time.monotonic() - start, 20)
            self.assertIn(f"path MTU to {six(host)}: {mtu}\n", self.server.log())
        self.assertIn(f"logged in from [{six(CLIENTS[0])}]:", self.server.log())
        found = self.run_program(*near, "ip", "-6", "neighbour", "show", "dev", TAP)
        self.assertIn(f"{self.guest} lladdr", found.out)
