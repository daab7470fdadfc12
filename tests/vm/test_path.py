"""A guest behind a path whose MTU is smaller than its own, as through a VPN or a tunnel."""
import time

from case import Case
from machine import BUSES, INSIDE
from routers import CLIENTS, GATEWAY, GUEST, TAP, Routers
from tools import content, tool

MIB = 1 << 20


class Narrow(Case):
    """With segmentation by the device."""
    serve, offload = False, "with"

    def setUp(self):
        super().setUp()
        self.routers = Routers()
        self.addCleanup(self.routers.forget)
        self.image = self.make_image("disk.img")
        netdev = f"tap,id=n,ifname={TAP},script=no,downscript=no"
        if self.offload == "without":
            netdev += ",vnet_hdr=off"
        self.server = self.boot(
            disks=[self.image], network=False, line=f"--ipv4 {GUEST}/24 --ipv4-gateway {GATEWAY}",
            within=self.routers.within(self.routers.far),
            more=("-netdev", netdev, "-device", f"virtio-net-{BUSES[self.machine]},netdev=n"))
        self.server.wait_log(f"{self.offload} segmentation offload")
        self.server.wait_log(f"listening on {GUEST}:{INSIDE}")
        self.server.port = INSIDE
        self.configure(self.server)

    def get(self, client, size):
        """Uploads and downloads again; how many seconds the download took."""
        name = f"{client}-{size}"
        self.write(name, content(size))
        self.expected[name] = content(size)
        options = [f"HostName={GUEST}", f"BindAddress={client}"]
        self.routers.forget_paths()
        batch = f"put {name}\nget {name} came\n"
        start = time.monotonic()
        self.run_program(*self.routers.within(self.routers.client), tool("sftp"), "-F", self.path("config"),
                         *(word for option in options for word in ("-o", option)), "-b", "-", "server",
                         stdin=batch, cwd=self.scratch, seconds=60)
        self.assertEqual(self.read("came"), content(size))
        return time.monotonic() - start

    def test_downloads(self):
        clients = iter(CLIENTS)
        for mtu in (1420, 1280):
            for icmp in (True, False):
                with self.subTest(mtu=mtu, icmp=icmp):
                    self.routers.narrow(mtu, icmp)
                    client = next(clients)
                    first = self.get(client, 3 * MIB)
                    # What was learnt is known to the next connection.
                    second = self.get(client, 3 * MIB + 1)
                    print(f"path MTU {mtu}, {'with' if icmp else 'without'} ICMP: {first:.1f} s, then {second:.1f} s")
                    # One time-out, or two, after 1 and 2 seconds, and what a busy machine needs.
                    self.assertLess(first, 20)
                    self.assertLess(second, 10)
        for client, mtu in zip(CLIENTS, (1420, 1280, 1280, 1280)):
            self.assertIn(f"path MTU to {client}: {mtu}\n", self.server.log())


class NarrowWithoutOffload(Narrow):
    machine, cpu, offload = "microvm", "qemu64,+rdrand", "without"
