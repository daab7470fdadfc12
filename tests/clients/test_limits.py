"""Strangers in numbers, guessers, and what each limit of the command line does to them."""

import signal
import socket
import subprocess
import threading
import time

from harness import Case
from tools import content, kill_group, program, tool

SIZE = 60_000_000


class Crowd(Case):
    """One client transfers while others only take places, stop in the middle of a handshake or guess keys."""

    seconds = 150
    size = "160M"

    def setUp(self):
        super().setUp()
        self.big = content(SIZE)
        self.write("big", self.big)
        self.wrong = self.make_key("wrong")
        self.stop = threading.Event()
        self.opened = {"silent": 0, "stopped": 0, "guesses": 0}

    def stand(self, kind, said, most):
        """Keeps 60 connections open at a time, and opens `most` in all."""
        held = []
        while not self.stop.is_set() and self.opened[kind] < most:
            try:
                plain = socket.create_connection(("127.0.0.1", self.server.port), timeout=5)
                plain.sendall(said)
            except OSError:
                continue
            held.append(plain)
            self.opened[kind] += 1
            if len(held) > 60:
                held.pop(0).close()
            time.sleep(0.004)
        self.stop.wait(60)
        for plain in held:
            plain.close()

    def guess(self, most):
        while not self.stop.is_set() and self.opened["guesses"] < most:
            client = self.spawn([tool("ssh"), "-F", self.path("config"), "-i", self.wrong, "-o", "IdentitiesOnly=yes",
                                 "-o", f"IdentityFile={self.wrong}", "-o", "ConnectTimeout=3", "nobody@server"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            client.wait()
            self.opened["guesses"] += 1

    def transfer(self):
        """Seconds for a download and an upload."""
        begin = time.monotonic()
        self.sftp("get big down", "put big big2")
        took = time.monotonic() - begin
        self.assertEqual(self.read("down"), self.big)
        return took

    def test_crowd(self):
        self.sftp("put big big")
        pairs = []
        hello = b"SSH-2.0-OpenSSH_9.9\r\n"
        for _ in range(4):
            alone = self.transfer()
            self.stop.clear()
            self.opened = dict.fromkeys(self.opened, 0)
            crowd = [threading.Thread(target=self.stand, args=("silent", b"", 400)),
                     threading.Thread(target=self.stand, args=("stopped", hello, 100)),
                     threading.Thread(target=self.guess, args=(10,))]
            for thread in crowd:
                thread.start()
            pairs.append((alone, self.transfer()))
            self.stop.set()
            for thread in crowd:
                thread.join()
            if alone / pairs[-1][1] >= 0.8:
                break
        self.assertGreaterEqual(max(alone / beside for alone, beside in pairs), 0.8, pairs)
        self.assertGreater(self.opened["silent"], 50, self.opened)
        self.assertLess(self.server.memory(), 96 << 20)
        self.expected["big2"] = self.big
        # Whoever comes afterwards is served, and the log is short.
        self.sftp("ls")
        self.assertLess(len(self.server.log().splitlines()), 120, self.server.log()[-6000:])


class Limits(Case):
    options = ("--max-startups", "3", "--per-source-penalties", "authfail:1 noauth:0 min:3 max:4",
               "--login-grace-time", "4", "--max-auth-tries", "2")

    def test_a_guesser_waits_and_then_does_not(self):
        wrong = self.make_key("wrong")
        self.configure(self.server, key=wrong, name="guesser")
        for _ in range(5):
            self.sftp("ls", config="guesser", ok=False)
        self.server.wait_log(r"mirage from 127\.0\.0\.1:\d+: not logged in, 1 attempts failed: closed by the client")
        told = self.sftp("ls", ok=None)
        self.assertNotEqual(told.code, 0)
        plain = self.socket()
        self.assertEqual(plain.makefile("rb").readline(), b"Not allowed at this time\r\n")
        self.server.wait_log("refused, PerSourcePenalties; 1 so far")
        self.until(lambda: self.sftp("ls", ok=None).code == 0, 10, "the guesser's neighbour is served again")

    def test_silent_ones_make_room_and_end(self):
        silent = [self.socket() for _ in range(4)]
        # The oldest goes, told or not: it may have had the version already.
        silent[0].makefile("rb").read()
        self.server.wait_log("refused, MaxStartups; 1 so far")
        self.sftp("ls")
        self.server.wait_log("refused, LoginGraceTime; 1 so far", 8)

    def test_tries_of_one_connection(self):
        for number in range(3):
            key = self.make_key(f"wrong{number}")
            with open(self.path("config"), "a") as file:
                file.write(f"  IdentityFile {key}\n")
        mine = f"  IdentityFile {self.key}\n"
        self.write("config", self.read("config").decode().replace(mine, "") + mine)
        self.assertRegex(self.sftp("ls", ok=False).err, "[Tt]oo many authentication failures|Connection")
        self.server.wait_log("mirage from .*: not logged in, 2 attempts failed: too many authentication failures")

    def test_wrong_values(self):
        for words in ["--max-startups=0", "--max-auth-tries=0", "--per-source-penalties=often", "--login-grace-time=2m",
                      "--client-alive-interval=often", "--client-alive-count-max=-1"]:
            name, value = words.split("=")
            result = self.run_program(program("mirage-sshfs"), "--disk", self.image, words, ok=False, seconds=10)
            self.assertIn(name, result.err)
            self.assertIn(value, result.err)


class Silence(Case):
    options = ("--client-alive-interval", "1", "--client-alive-count-max", "2")

    def idle(self):
        """An sftp that waits for commands, once it has logged in."""
        client = self.spawn([tool("sftp"), "-F", self.path("config"), "server"], cwd=self.scratch, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        client.stdin.write("pwd\n")
        client.stdin.flush()
        self.assertTrue(any("Remote working directory: /" in line for line in client.stdout))
        return client

    def test_a_stopped_client_is_ended_and_a_silent_one_stays(self):
        alive, stopped = self.idle(), self.idle()
        begin = time.monotonic()
        kill_group(stopped, signal.SIGSTOP)     # sftp and its ssh
        self.server.wait_log(r"mirage from 127\.0\.0\.1:\d+: timeout, the client does not respond")
        self.assertGreater(time.monotonic() - begin, 2.5)
        kill_group(stopped, signal.SIGCONT)
        self.assertRegex(stopped.communicate("ls\n", timeout=10)[0], "the client does not respond|[Cc]onnection")
        # It has been asked as often, and answered.
        out, _ = alive.communicate("ls\n", timeout=10)
        self.assertIn("mirage.pub", out)
        self.assertEqual(alive.returncode, 0)
        self.assertEqual(self.server.log().count("does not respond"), 1)
