"""A guest with a tap interface behind two routers, and what reaches it from the clients' namespace."""
from case import Case
from machine import BUSES, INSIDE
from routers import GATEWAY, GUEST, TAP, Routers
from tools import tool


class Routed(Case):
    """`netdev`: what is added to the tap's options. The guest has the limits that it has by default."""
    serve, netdev = False, ""
    guest, line = GUEST, f"--ipv4 {GUEST}/24 --ipv4-gateway {GATEWAY}"

    def setUp(self):
        super().setUp()
        self.routers = Routers()
        self.addCleanup(self.routers.forget)
        self.image = self.make_image("disk.img")
        netdev = f"tap,id=n,ifname={TAP},script=no,downscript=no{self.netdev}"
        self.server = self.boot(
            disks=[self.image], network=False, line=self.line,
            within=self.routers.within(self.routers.far),
            more=("-netdev", netdev, "-device", f"virtio-net-{BUSES[self.machine]},netdev=n"))
        shown = rf"\[{self.guest}\]" if ":" in self.guest else self.guest
        self.server.wait_log(f"listening on {shown}:{INSIDE}")
        self.server.port = INSIDE
        self.configure(self.server)

    def from_client(self, address, program, *words, **how):
        """Runs one of OpenSSH's programs in the clients' namespace; `server` is the guest."""
        options = [f"HostName={self.guest}", f"BindAddress={address}"]
        return self.run_program(*self.routers.within(self.routers.client), tool(program), "-F", self.path("config"),
                                *(word for option in options for word in ("-o", option)), *words, cwd=self.scratch, **how)
