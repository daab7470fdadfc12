"""The end of the server: asked for, in the middle of work, and by SIGKILL.

What a kill leaves on the volume, leaked clusters above all, the next start must repair: after its
clean stop `fsck.fat -n` finds nothing.
"""

import os
import random
import signal
import subprocess
import threading
import time

from harness import Case
from tools import big_file, content, paramiko, tool


class Kill(Case):
    seconds = 100
    fat = "16"

    def test_synced_files_survive_sigkill(self):
        """Five times: write, sync, kill, start again, look. What was synced is there, whole."""
        durable = {}
        self.sftp("mkdir work")     # a root directory of FAT16 would soon be full
        for turn in range(5):
            if turn:
                self.server = self.start(self.image)
                self.look(durable)
            self.kill_while_they_work(turn, durable, 2, random.Random(turn).uniform(0.4, 1.6))
        self.server = self.start(self.image)
        self.look(durable)
        self.assertGreater(len(durable), 15)
        # After the clean stop too, as mtools reads them: a start after a kill repairs what it left.
        for name in list(durable)[-5:]:
            (self.expected[f"work/{name}"],) = durable[name]

    def kill_in_the_middle(self, turns):
        """For guests, which end as a power cut ends them: kills the server while files are synced, and looks
        for them, so many times."""
        durable = {}
        self.sftp("mkdir work")
        for turn in range(turns):
            self.kill_while_they_work(turn, durable, 10, 0)
            self.server = self.start(self.image)
            self.look(durable)
        # After the repair too, as mtools reads them.
        for name in list(durable)[-5:]:
            (self.expected[f"work/{name}"],) = durable[name]

    def kill_while_they_work(self, turn, durable, synced, seconds):
        """What fails before the kill is a failure of the server's."""
        killed, churned, failed, before = threading.Event(), [], [], len(durable)

        def until_killed(work, *args):
            try:
                work(turn, killed, *args)
            except Exception as error:
                if not killed.is_set():
                    failed.append(f"{work.__name__}: {error!r}")

        workers = [threading.Thread(target=until_killed, args=args, daemon=True)
                   for args in ((self.work, durable), (self.churn, churned))]
        for worker in workers:
            worker.start()
        time.sleep(seconds)
        self.until(lambda: failed or len(durable) > before + synced and len(churned) > 1, 60, "files synced")
        killed.set()
        self.server.kill()
        for worker in workers:
            worker.join(20)
        self.assertEqual(failed, [])

    def work(self, turn, killed, durable):
        """Creates and replaces files, each synced; `durable` has what the server said is safe."""
        remote = self.paramiko_sftp()
        remote.chdir("work")
        for number in range(100_000):
            if killed.is_set():
                return
            name, data = f"t{turn}-{number}", content(random.Random(number).choice([0, 10, 5000, 90_000]), number)
            self.synced(remote, name, data)
            durable[name] = {data}
            # A sync is one of all that was answered before it: the replacement of the last time is safe now.
            if number:
                durable["state"] = {state}
            # A replacement: before the answer either may be there, after it the new one.
            state = content(3000, f"{turn}/{number}")
            self.synced(remote, "next", state)
            durable["state"] = durable.get("state", {None}) | {state}
            remote.posix_rename("next", "state")

    @staticmethod
    def synced(remote, name, data):
        with remote.open(name, "wb") as file:
            file.write(data)
            remote._request(paramiko().sftp.CMD_EXTENDED, "fsync@openssh.com", file.handle)

    def churn(self, turn, killed, churned):
        """Work that nobody asked to be safe, so that the kill lands in the middle of something."""
        remote = self.paramiko_sftp()
        remote.chdir("work")
        for number in range(100_000):
            if killed.is_set():
                return
            remote.mkdir(f"churn{turn}-{number}")
            with remote.open(f"churn{turn}-{number}/file", "wb") as file:
                file.set_pipelined(True)
                file.write(content(200_000, number))
            # All but the last few go again: the volume must not fill before the kill.
            remote.remove(f"churn{turn}-{number}/file")
            remote.rmdir(f"churn{turn}-{number}")
            churned.append(number)

    def look(self, durable):
        remote = self.paramiko_sftp()
        remote.chdir("work")
        for name, allowed in durable.items():
            try:
                with remote.open(name, "rb") as file:
                    got = file.read()
            except FileNotFoundError:
                got = None
            self.assertIn(got, allowed, f"{name} has {None if got is None else len(got)} bytes")
            durable[name] = {got}

    def test_mounted_sync_survives_sigkill(self):
        point = self.mount()
        for number in range(20):
            self.write(f"up{number}", content(100_000, number))
            self.shell('dd if="$2" of="$1" bs=16k conv=fsync status=none', f"{point}/f{number}", self.path(f"up{number}"))
            self.expected[f"f{number}"] = content(100_000, number)
        self.server.kill()
        self.start(self.image)


class Kill32(Kill):
    fat = "32"
    test_mounted_sync_survives_sigkill = None


class Stop(Case):
    seconds = 60
    size = "300M"

    def in_the_middle(self, *lines):
        """Starts a transfer, and returns when some of it went through."""
        self.write("batch", "\n".join(lines) + "\n")
        client = self.spawn([tool("sftp"), "-F", self.path("config"), "-l", "200000", "-b", self.path("batch"), "server"],
                            cwd=self.scratch, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return client

    def test_stop_during_an_upload(self):
        big_file(self.path("big"), 200 << 20)
        self.write("small", content(100_000))
        self.sftp("put small small")
        client = self.in_the_middle("put big big")
        remote = self.paramiko_sftp()
        self.until(lambda: "big" in remote.listdir() and remote.stat("big").st_size > 1 << 20, 20, "upload started")
        self.server.stop()
        client.communicate(timeout=20)
        self.assertNotEqual(client.returncode, 0)
        self.expected["small"] = content(100_000)

    def test_stop_during_a_download(self):
        self.expected["big"] = big_file(self.path("big"), 100 << 20)
        self.sftp("put big big")
        client = self.in_the_middle("get big down")
        self.until(lambda: os.path.exists(self.path("down")) and os.path.getsize(self.path("down")) > 1 << 20, 20, "download started")
        self.server.stop()
        client.communicate(timeout=20)

    def test_stop_with_a_mount(self):
        """What sshfs was told is written is written, though nobody synced."""
        point = self.mount()
        self.shell('echo x > "$1/file"; mkdir "$1/dir"', point)
        self.server.stop()
        self.unmount(point)
        self.expected["file"] = b"x\n"

    def test_interrupt(self):
        self.server.process.send_signal(signal.SIGINT)
        self.assertEqual(self.server.process.wait(10), 0, self.server.log())

    def test_terminate_twice(self):
        self.paramiko_sftp()
        self.server.process.terminate()
        self.server.stop()
