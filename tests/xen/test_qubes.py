"""The guest as a qube, with the tests' own dom0: see qube.py."""
import errno
import itertools

import case
import filecopy
from filecopy import DIRECTORY, END, LINK, REGULAR, entry
from qube import GATEWAY, GATEWAY6, LINUX_OPTIONS, QubeCase
from tools import content


class Routed(QubeCase):
    serve = False

    def test_a_route_and_options(self):
        """The network as Qubes has it, the address from the command line: one address, and a gateway outside of it."""
        self.image = self.make_image("disk.img")
        address = next(case.hosts)
        case.hosts = itertools.chain([address], case.hosts)
        self.server = self.start(self.image, f"--ipv4 10.0.2.{address}/32 --ipv4-gateway {GATEWAY}")
        self.write("up", "x")
        self.sftp("put up file")
        self.expected["file"] = b"x"


class Networked(QubeCase):
    # As without the feature no-default-kernelopts: Linux' options first, and quotes as typed.
    options = (LINUX_OPTIONS + '-l "*:info"',)

    def test_network_from_qubesdb(self):
        """A mount across a route goes on after the interface was taken away and given back with another
        address; and nothing that enrols the qube in memory balancing."""
        self.assertEqual(self.server.database.asked, 1)
        self.assertEqual(self.server.guest.store("control/feature-poweroff"), "1")
        self.assertIsNone(self.server.guest.store("memory/meminfo"))
        point = self.mount("-o", "reconnect", "-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=2")
        self.write("up", content(100_000))
        self.shell('cp "$2" "$1/before"', point, self.path("up"))
        for turn in range(2):
            self.server.change_network()
            # sshfs answers what was underway with an error, and the next as soon as it is connected again.
            self.until(lambda: self.run_program("cp", self.path("up"), f"{point}/after{turn}", ok=None).code == 0,
                       60, "a copy after the network was changed")
            self.expected[f"after{turn}"] = content(100_000)
        self.expected["before"] = content(100_000)

    def test_network_taken_away_and_restarted(self):
        """`qvm-prefs netvm none`, then the same network VM again, as after its restart."""
        self.server.guest.detach_network()
        with self.assertRaises(OSError):
            self.server.banner(2)
        self.server.guest.attach_network()
        self.until(self.server.answers, 60, "a banner after the network came back")

    def test_keys_from_qubesdb(self):
        """`qvm-features QUBE vm-config.key-alice …`, taken and withdrawn while the qube runs."""
        alice = self.make_key("alice")
        self.configure(self.server, "alice", alice, "alice-config")
        self.sftp("ls", config="alice-config", ok=False)
        self.server.database.write("/vm-config/key-alice", self.public(alice))
        self.sftp("ls", config="alice-config")
        self.server.database.remove("/vm-config/key-alice")
        self.sftp("ls", config="alice-config", ok=False)

    def test_qubesdb_restarts(self):
        """The guest asks the new daemon for everything, and clients notice nothing."""
        remote = self.paramiko_sftp()
        self.server.database.keys["/vm-config/key-bob"] = self.public(self.key)
        self.server.database.restart()
        self.server.database.wait_asked(2)
        self.assertEqual(remote.listdir(), ["mirage.pub"])
        self.configure(self.server, "bob", name="bob-config")
        self.sftp("ls", config="bob-config")


class Deferred(QubeCase):
    serve = False

    def test_a_network_that_comes_later(self):
        """`apply_deferred_netvm`: started without, then given one while it runs."""
        self.image = self.make_image("disk.img")
        self.server = qube = self.boot_qube(self.image, network=False)
        qube.connect()
        qube.give_network()
        self.assertEqual(qube.daemon.call("qubes.WaitForNetworkUplink", source="dom0", user="root").end().wait()[0], 0)
        qube.wait_listening()
        self.configure(qube)
        self.write("up", content(100_000))
        self.sftp("put up file")
        self.expected["file"] = content(100_000)


class Restored(QubeCase):
    def test_daemons_and_calls_after_a_restore(self):
        """QubesDB is asked anew, with the keys and the address that it has then, and calls go on."""
        qube = self.server
        qube.connect()
        silent = qube.daemon.call("mirage.Sftp")
        alice = self.make_key("alice")
        qube.guest.save("/guests/saved")
        silent.close()
        qube.keys["/vm-config/key-alice"] = self.public(alice)
        qube.guest.restore("/guests/saved")
        qube.database.wait_asked()
        qube.connect()
        for _ in range(3):
            self.assertEqual(qube.daemon.call("qubes.WaitForSession", source="dom0").end().wait()[0], 0)
        self.configure(qube, "alice", alice, "alice-config")
        self.write("up", content(100_000))
        self.until(qube.answers, 60, "a banner after the restore")
        self.sftp("put up file", config="alice-config")
        self.expected["file"] = content(100_000)


class Ipv6(QubeCase):
    serve = False

    def lead(self, address, port, host_port=None):
        """Leads a port of the host to the guest's address, by a port of dom0, which is the gateway on its link."""
        rig = self.server.rig
        # Linux makes the gateway's address of its hardware address.
        rig.run(f"ip -6 route replace {address}/128 dev vif{self.server.guest.domid}.0")
        # As long as the connection is there.
        leads = rig.connect(f"socat TCP4-LISTEN:{port},fork,reuseaddr 'TCP6:[{address}]:{case.PORT}'", 300)
        self.addCleanup(leads.close)
        if host_port:
            rig.stop_forward(host_port)
        return rig.forward("10.0.2.15", port, host_port)

    def answers(self):
        """QEMU's network accepts a connection before dom0 does."""
        try:
            return self.server.banner(3)
        except (AssertionError, OSError):
            return False

    def test_addresses_from_qubesdb(self):
        """sshfs over IPv6; its mount goes on when QubesDB tells of another address, and IPv4 beside it."""
        one, other = "fd09:24ef:4179::a89:9", "fd09:24ef:4179::a89:10"
        self.image = self.make_image("disk.img")
        self.server = self.start(self.image, keys={"/qubes-ip6": one, "/qubes-gateway6": GATEWAY6})
        beside, four = self.paramiko_sftp(), self.server.port
        self.server.wait_log(rf"listening on \[{one}\]:{case.PORT}\b")
        self.server.port = self.lead(one, 7000)
        self.addCleanup(self.server.rig.stop_forward, self.server.port)
        self.until(self.answers, 60, f"a banner at {one}")
        self.configure(self.server)
        point = self.mount("-o", "reconnect", "-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=2")
        self.server.wait_log(rf"logged in from \[{GATEWAY6}\]:\d+ with")
        self.write("up", content(200_000))
        self.run_program("cp", self.path("up"), f"{point}/before")
        self.server.database.write("/qubes-ip6", other)
        self.server.wait_log(rf"listening on \[{other}\]:{case.PORT}\b")
        self.lead(other, 7001, self.server.port)
        # sshfs answers what was underway with an error, and the next as soon as it is connected again.
        self.until(lambda: self.run_program("cp", self.path("up"), f"{point}/after", ok=None).code == 0,
                   60, f"a copy to {other}")
        self.shell('cmp "$1" "$2/before"; cmp "$1" "$2/after"', self.path("up"), point)
        self.assertIn("after", beside.listdir())
        self.expected.update({"before": content(200_000), "after": content(200_000)})
        self.unmount(point)
        self.server.port = four


class Blank(QubeCase):
    """No image at all: a blank private volume, and a key of QubesDB."""
    serve = False
    fat = "posix"       # what becomes of it

    def test_blank_volume(self):
        self.image = self.path("blank.img")
        with open(self.image, "wb") as file:
            file.truncate(48 << 20)
        self.images.append(self.image)
        self.server = self.start(self.image, "--format-if-blank", keys={"/vm-config/key-mirage": self.public(self.key)})
        self.write("up", "x")
        self.sftp("put up file")
        self.expected["file"] = b"x"
        # qvm-copy brings modes there, and links that do not lead out of what is copied.
        daemon = self.server.connect()

        def copy(*entries):
            _, answer, said = daemon.call("qubes.Filecopy", source="work").send(b"".join(entries) + END).end().wait()
            return filecopy.result(answer)[0], said
        tree, run = entry("tree", mode=DIRECTORY), entry("tree/run", b"#!", REGULAR | 0o111)
        self.assertEqual(copy(tree, run, entry("tree/link", b"./run", LINK), tree), (0, b""))
        self.assertEqual(copy(entry("tree/out", b"../run", LINK))[0], errno.ENOLINK)
        listed = self.sftp("ls -l QubesIncoming/work/tree").out
        self.assertRegex(listed, "(?m)^-rwxr-xr-x .* 2 .* run$")
        self.assertRegex(listed, "(?m)^lrwxrwxrwx .* 5 .* link$")
        self.assertNotIn("out", listed)
        self.expected["QubesIncoming/work/tree/run"] = b"#!"


class Ends(QubeCase):
    """`qvm-shutdown` in each state: libxl asks the same way."""
    serve = False

    def test_before_qubesdb(self):
        qube = self.boot_qube(self.make_image("disk.img"), database=False)
        qube.wait_log("serving")
        qube.stop()

    def test_before_the_network(self):
        qube = self.boot_qube(self.make_image("disk.img"), network=False)
        qube.wait_log("serving")
        qube.stop()
