"""Many clients at once, and very many one after another."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from harness import Case
from tools import big_file, content, paramiko, sha256, tool


class AtOnce(Case):
    size = "160M"

    def sftps(self, batches, seconds=50):
        """Runs one sftp for each batch, all at once; fails when one fails."""
        clients = []
        for number, lines in enumerate(batches):
            self.write(f"batch{number}", "\n".join(lines) + "\n")
            clients.append(self.spawn([tool("sftp"), "-F", self.path("config"), "-b", self.path(f"batch{number}"), "server"],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.scratch))
        for client in clients:
            out, _ = client.communicate(timeout=seconds)
            self.assertEqual(client.returncode, 0, f"{out}\n{self.server.log()[-3000:]}")

    def test_two_clients_on_two_files(self):
        for name in "ab":
            self.expected[name] = big_file(self.path(f"up-{name}"), 40 << 20, name)
        self.sftps([[f"put up-{name} {name}", f"get {name} down-{name}"] for name in "ab"])
        for name in "ab":
            self.assertEqual(sha256(self.path(f"down-{name}")), self.expected[name])

    def test_channels_count_as_connections(self):
        """Each has a window of its own. Those that the server cannot bear are refused, and nobody else notices."""
        opened = []
        connections = [self.paramiko_sftp() for _ in range(14)]
        for remote in connections:
            for _ in range(9):
                try:
                    opened.append(remote.get_channel().get_transport().open_sftp_client())
                except paramiko().SSHException:
                    pass
        self.assertEqual(len(connections) + len(opened), 128)
        for remote in connections + opened:
            remote.listdir()
        self.assertIn("refused another sftp channel", self.server.log())

    def test_two_clients_on_one_file(self):
        """Both write the whole of one file: each block is one's or the other's, whole."""
        one, two = content(8 << 20, 1), content(8 << 20, 2)
        self.write("one", one)
        self.write("two", two)
        self.sftp("put one file")
        # `reput` of a file as long would write nothing: write over it through two handles instead.
        first, second = self.paramiko_sftp(), self.paramiko_sftp()

        def overwrite(remote, data):
            with remote.open("file", "r+b") as file:
                file.set_pipelined(True)
                for start in range(0, len(data), 32768):
                    file.write(data[start:start + 32768])

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(overwrite, first, one), pool.submit(overwrite, second, two)]:
                done.result(40)
        self.sftp("get file down")
        down = self.read("down")
        self.assertEqual(len(down), 8 << 20)
        for start in range(0, len(down), 32768):
            end = start + 32768
            self.assertIn(down[start:end], (one[start:end], two[start:end]), f"block at {start}")
        self.expected["file"] = down

    def test_reader_beside_a_writer(self):
        """A file that is being replaced is never seen torn: the old one or the new one."""
        writer, reader = self.paramiko_sftp(), self.paramiko_sftp()
        old = None
        for number in range(30):
            data = content(50_000, number)
            with writer.open("next", "wb") as file:
                file.write(data)
            with ThreadPoolExecutor(1) as pool:
                renamed = pool.submit(writer.posix_rename, "next", "file")
                if old is not None:
                    with reader.open("file", "rb") as file:
                        self.assertIn(file.read(), (old, data))
                renamed.result(20)
            old = data
        self.expected["file"] = old

    def test_sixteen_connections(self):
        for number in range(16):
            self.write(f"up{number}", content(3_000_000, number))
            self.expected[f"dir{number}/file"] = content(3_000_000, number)
        self.sftps([[f"mkdir dir{n}", f"put up{n} dir{n}/file", f"get dir{n}/file down{n}", f"ls -l dir{n}"] for n in range(16)])
        for number in range(16):
            self.assertEqual(self.read(f"down{number}"), content(3_000_000, number))

    def test_many_in_one_directory(self):
        """Eight clients create, rename and remove in one directory."""
        batches = []
        self.write("up", b"x")
        for client in range(8):
            lines = []
            for number in range(40):
                lines += [f"put up c{client}-{number}", f"rename c{client}-{number} d{client}-{number}"]
                if number % 2:
                    lines.append(f"rm d{client}-{number}")
            batches.append(lines)
        self.sftps(batches)
        names = set(self.paramiko_sftp().listdir())
        want = {f"d{client}-{number}" for client in range(8) for number in range(0, 40, 2)}
        self.assertEqual(names - {"mirage.pub"}, want)
        self.expected["d7-38"] = b"x"

    def test_many_requests_in_flight(self):
        self.write("up", content(20_000_000))
        self.sftps([["put up a", "get a down"]])
        clients = [self.spawn([tool("sftp"), "-F", self.path("config"), "-R", "256", "-B", "4096", "-b",
                               self.write(f"b{n}", f"get a many{n}\n"), "server"], cwd=self.scratch,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for n in range(4)]
        for number, client in enumerate(clients):
            out, _ = client.communicate(timeout=50)
            self.assertEqual(client.returncode, 0, out)
            self.assertEqual(self.read(f"many{number}"), content(20_000_000))


class InARow(Case):
    """2,000 logins. What each one leaves behind would show."""

    seconds = 240
    SLACK = 1 << 20     # bytes: less than 600 for each of 1,900 connections

    def test_2000_logins(self):
        after_100 = None
        command = [tool("ssh"), "-F", self.path("config"), "-s", "server", "sftp"]
        for number in range(2000):
            # stdin is at its end at once: INIT never comes and the client closes the channel.
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
            self.assertNotEqual(done.returncode, 255, f"login {number}: {done.stderr}\n{self.server.log()[-2000:]}")
            if number == 99:
                after_100 = self.settled()
        self.assertLessEqual(self.settled(), after_100 + self.SLACK)

    def settled(self):
        time.sleep(1)
        return self.server.memory()
