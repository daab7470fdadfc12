"""Silent strangers take all places of a guest of 32 MiB, and honest clients with a slow link log in nevertheless."""
import os
import subprocess
import time
import unittest

from case import LONG
from machine import INSIDE
from routed import Routed
from routers import CLIENTS, GUEST
from tools import ROOT

STRANGER = os.path.join(ROOT, "tests", "vm", "stranger.py")


class Crowd(Routed):
    """16 a second of them; a minute in the long form."""
    logins, seconds_each = (10, 6) if LONG else (3, 0)
    machine, cpu = "microvm", "qemu64,+rdrand"
    rate, seconds = 16, 200

    def log_in(self):
        """Seconds that a login took whose every piece is delayed."""
        begin = time.monotonic()
        proxy = f"/usr/bin/python3 {STRANGER} slow {GUEST} {INSIDE} {CLIENTS[0]} 0.12"
        self.from_client(CLIENTS[0], "sftp", "-o", f"ProxyCommand={proxy}", "-b", "/dev/null", "server", seconds=30)
        return time.monotonic() - begin

    def crowd(self, addresses):
        """How long each login took while the crowd came."""
        alone = self.log_in()
        strangers = self.spawn([*self.routers.within(self.routers.client), "/usr/bin/python3", STRANGER, "silent", GUEST,
                                str(INSIDE), str(self.rate), *addresses],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        begin, took = time.monotonic(), []
        self.server.wait_log("refused, MaxStartups")        # all places are taken
        for number in range(self.logins):
            time.sleep(max(0, begin + number * self.seconds_each - time.monotonic()))
            took.append(self.log_in())
        lasted = time.monotonic() - begin
        out, _ = strangers.communicate(timeout=30)
        self.assertGreater(int(out), 0.9 * self.rate * lasted)
        print(f"{len(took)} logins of {min(took):.1f} to {max(took):.1f} s, alone {alone:.1f} s, beside "
              f"{int(out) / lasted:.1f} silent connections a second from {len(addresses)} addresses for {lasted:.0f} s")
        # A login that takes its time is what is to be shown.
        self.assertGreater(min(took), 2)

    def test_from_many_addresses(self):
        self.crowd(CLIENTS[1:])

    @unittest.skipUnless(LONG, "a long test")
    def test_from_one_address(self):
        self.crowd(CLIENTS[1:2])
