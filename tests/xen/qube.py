"""A guest as a qube: what Qubes' dom0 and its network VM are to it.

It boots as Qubes boots it (qubes-core-admin, templates/libvirt/xen.xml and qubes/vm/qubesvm.py): paused
until QubesDB is served, 32 MiB, the private volume as xvdb, an interface that is routed and not bridged,
and the qrexec daemon comes when the guest's agent does.
"""
import base64
import os

import case
from qrexec import Daemon, Forward
from qubesdb import QubesDb

MAC = "00:16:3e:5e:6c:00"       # that of every qube
GATEWAY = "10.137.0.6"
GATEWAY6 = "fe80::fcff:ffff:feff:ffff"
# What Qubes adds to kernelopts without the feature no-default-kernelopts (qubes/config.py).
LINUX_OPTIONS = ("systemd.machine_id=0123456789abcdef0123456789abcdef root=/dev/mapper/dmroot ro nomodeset "
                 "console=hvc0 rd_NO_PLYMOUTH rd.plymouth.enable=0 plymouth.enable=0 xen_privcmd.unrestricted ")


def vif(address):
    return [f"mac={MAC}", f"ip={address} {GATEWAY}", "script=/etc/xen/scripts/vif-route"]


def network_keys(address):
    """What dom0 writes when a qube has a network VM, or is given another."""
    return {"/qubes-mac": MAC, "/qubes-ip": address, "/qubes-netmask": "255.255.255.255",
            "/qubes-gateway": GATEWAY, "/qubes-primary-dns": "10.139.1.1", "/qubes-secondary-dns": "10.139.1.2"}


def base_keys():
    """What dom0 writes for every StandaloneVM (qubes-core-admin, create_qdb_entries)."""
    return {"/name": "mirage-sshfs", "/type": "StandaloneVM", "/default-user": "user", "/qubes-vm-type": "AppVM",
            "/qubes-vm-updateable": "True", "/qubes-vm-persistence": "full", "/qubes-debug-mode": "0",
            "/qubes-base-template": "", "/qubes-timezone": "Europe/Berlin", "/qubes-iptables-error": "",
            "/qubes-block-devices": "", "/qubes-usb-devices": "", "/qubes-gui-enabled": "False",
            "/qubes-service/meminfo-writer": "1", "/keyboard-layout": "us++",
            "/qubes-random-seed": base64.b64encode(os.urandom(64)).decode()}


class Qube(case.Server):
    """`network` is whether it has a network VM, `database` whether QubesDB is there; `keys` come on top of those
    that dom0 always writes."""

    def __init__(self, test, disks, line, network=True, database=True, keys=None, **guest):
        self.case, self.ended, self.rig = test, False, case.rig()
        self.port, self.inside = None, case.PORT
        self.address = f"10.0.2.{next(case.hosts)}" if network else None
        self.keys = base_keys() | (network_keys(self.address) if network else {}) | (keys or {})
        self.database = self.daemon = None
        self.forwards = []
        test.servers.append(self)
        test.addCleanup(self.end)
        self.guest = self.rig.guest(case.KERNEL, command_line=line, disks=disks, interfaces=int(network),
                                    vif=vif(self.address), prepare=self.serve_database if database else None, **guest)

    def serve_database(self, guest):
        for peer in (self.daemon, self.database):   # of a domain that was restored as this one
            if peer:
                peer.close()
        self.database = QubesDb(self.rig, guest.domid, self.keys)

    def connect(self, version=3):
        """The qrexec daemon, when the guest's agent is there."""
        self.daemon = Daemon(self.rig, self.guest.domid, version)
        return self.daemon

    def forward(self, service, **options):
        """A port of the host, each connection to which calls the service; clients then mean it."""
        self.forwards.append(Forward(self.daemon, service, **options))
        self.port = self.forwards[-1].port
        return self

    def change_network(self):
        """`qvm-prefs QUBE netvm OTHER` in the order in which dom0 does it, here with another address."""
        self.rig.stop_forward(self.port)
        self.guest.detach_network()
        self.give_network()
        self.rig.forward(self.address, self.inside, self.port)

    def give_network(self):
        self.address = f"10.0.2.{next(case.hosts)}"
        for path, value in network_keys(self.address).items():
            self.database.write(path, value)
        self.guest.vif = vif(self.address)
        self.guest.attach_network()

    def end(self):
        for forward in self.forwards:
            forward.close()
        for peer in (self.daemon, self.database):
            if peer:
                peer.close()
        if self.forwards:
            self.port = None    # not one of QEMU's
        super().end()


class QubeCase(case.Case):
    """`serve` boots a qube with a network VM and an image as its private volume."""

    seconds = 400

    def start(self, image, *options, port=0, **qube):
        server = self.boot_qube(image, " ".join(options), **qube).wait_listening()
        self.configure(server)
        return server

    def boot_qube(self, image, line="", **qube):
        return Qube(self, [(image, {**self.disk, "name": "xvdb"})] if image else [], line, memory=self.memory, **qube)

    def tearDown(self):
        super().tearDown()
        for server in self.servers:
            for peer in (server.database, server.daemon):
                self.assertFalse(peer and peer.wrong, f"{peer} {peer and peer.wrong}")


class Caller:
    """Another qube, with Linux in it: its own end of a vchan, for calls that do not come from dom0."""

    def __init__(self, test, image, memory=160, files="linux.cpio", line=""):
        self.rig = case.rig()
        self.address = f"10.0.2.{next(case.hosts)}"
        self.guest = self.rig.guest(f"{self.rig.files}/vmlinuz", memory=memory, ramdisk=f"{self.rig.files}/{files}",
                                    command_line=f"console=hvc0 quiet panic=-1 address={self.address}/24 {line}", disks=[image])
        self.port = None
        test.addCleanup(self.end)

    def start(self, said="guest ready"):
        self.guest.wait_console(said, 180)
        self.port = self.rig.forward(self.address, 9)
        self.rig.until(lambda: self.rig.answers(self.port), 60, "the calling qube to take commands")
        return self

    def connect(self, script, seconds):
        return self.rig.connect(script, seconds, self.port)

    def call(self, script, data=b"", seconds=30):
        return self.rig.call(script, data, seconds, self.port)

    def end(self):
        if self.rig.alive():
            self.guest.destroy()
            if self.port:
                self.rig.stop_forward(self.port)
        self.guest.forget()
