"""The guest's network: absent, taken away, given back."""
import time

from case import Case
from tools import content


class Network(Case):
    def test_none_at_all(self):
        """Serves nobody, and still answers `xl shutdown`."""
        server = self.boot(disks=[self.make_image("other.img")], interfaces=0)
        time.sleep(3)
        self.assertTrue(server.guest.running(), server.log())
        server.stop()

    def test_detach_and_attach_with_clients(self):
        self.write("up", content(100_000))
        self.sftp("put up before")
        remote = self.paramiko_sftp()
        self.mount()
        for turn in range(2):
            self.server.guest.detach_network()
            with self.assertRaises(OSError):
                self.server.banner(2)
            self.server.guest.attach_network()
            self.until(self.server.answers, 30, "a banner after the network came back")
            self.sftp(f"put up after{turn}", f"get after{turn} down")
            self.assertEqual(self.read("down"), content(100_000))
            self.expected[f"after{turn}"] = content(100_000)
        self.expected["before"] = content(100_000)
        remote.close()

    def test_ping(self):
        """dom0 asks, as another machine on the same network."""
        self.server.rig.run(f"ping -c 3 -W 5 {self.server.address}", seconds=30)
        self.server.rig.run(f"ping -c 3 -W 5 -s 1400 {self.server.address}", seconds=30)

    def test_closed_port(self):
        """A connection to another port is refused at once, not left to time out."""
        status, said = self.server.rig.call(f"timeout 10 bash -c 'exec 3<>/dev/tcp/{self.server.address}/1' 2>&1", seconds=20)
        self.assertEqual(status, 1, said)       # 124 is timeout's
        self.assertIn(b"Connection refused", said)
