#!/usr/bin/python3
"""One client transfers, alone and then beside a crowd, in pairs: what strangers cost a Unix process with the options
that it has by default. bench/README.md says how to read it.

    bench/crowd.py [--pairs N] [--seconds N] [--silent N] [--stopped N] [--guesses N]

The crowd of each pair comes from addresses of its own (127.0.0.0/8), so that no penalty of the last one spares the server
this one, and runs with the lowest priority: its processor would be another machine's.
"""
import argparse
import os
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "tests", "clients"))
from tools import big_file, program, sha256, tool  # noqa: E402
from wire import string  # noqa: E402

MIB = 1 << 20
SIZE = 64 * MIB
# What docs/security.md says of a Unix process, in bytes.
MEMORY = 32 * MIB
LEAST = 0.8


def kexinit():
    """A version and SSH_MSG_KEXINIT in clear: a handshake that has begun."""
    lists = ["curve25519-sha256", "ssh-ed25519", *["chacha20-poly1305@openssh.com"] * 2, *["hmac-sha2-256"] * 2,
             *["none"] * 2, "", ""]
    message = bytes([20]) + os.urandom(16) + b"".join(map(string, lists)) + bytes(5)
    padding = 8 - (len(message) + 5) % 8 + 8
    return b"SSH-2.0-OpenSSH_9.9\r\n" + struct.pack(">IB", len(message) + 1 + padding, padding) + message + bytes(padding)


class Server:
    def __init__(self, folder):
        self.folder = folder
        image, self.log = f"{folder}/disk.img", f"{folder}/server.log"
        for key in ("id", "wrong"):
            subprocess.check_call([tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", f"{folder}/{key}"])
        subprocess.check_call([program("fat"), "create", image, "512M"], stdout=subprocess.DEVNULL)
        shutil.copy(f"{folder}/id.pub", f"{folder}/mirage.pub")
        subprocess.check_call([program("fat"), "add", image, f"{folder}/mirage.pub"], stdout=subprocess.DEVNULL)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([program("mirage-sshfs"), "--disk", image, "--listen", "127.0.0.1", "--port", "0"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not (found := re.search(r"listening on 127\.0\.0\.1:(\d+)", self.said())):
            if self.process.poll() is not None:
                raise SystemExit(self.said())
            time.sleep(0.05)
        self.port = int(found.group(1))

    def said(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def memory(self):
        """PSS in bytes."""
        with open(f"/proc/{self.process.pid}/smaps_rollup") as rollup:
            return int(re.search(r"^Pss:\s+(\d+) kB", rollup.read(), re.MULTILINE).group(1)) * 1024

    def options(self, key):
        """ssh's."""
        words = [f"Port={self.port}", f"IdentityFile={self.folder}/{key}", "IdentitiesOnly=yes", "BatchMode=yes",
                 f"UserKnownHostsFile={self.folder}/known_hosts", "GlobalKnownHostsFile=/dev/null",
                 "StrictHostKeyChecking=accept-new", "ConnectTimeout=15"]
        return ["-F", "/dev/null", *(word for option in words for word in ("-o", option))]


class Client:
    """One connection of sftp that is told what to do as it goes."""

    def __init__(self, server):
        self.folder = server.folder
        self.sftp = subprocess.Popen([tool("sftp"), *server.options("id"), "-b", "-", "mirage@127.0.0.1"], text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=server.folder)

    def do(self, *lines):
        print(*lines, "!echo done", sep="\n", file=self.sftp.stdin, flush=True)
        while (line := self.sftp.stdout.readline()) != "done\n":
            if not line:
                raise SystemExit("the client that transfers was ended")

    def rate(self, digest, going_on):
        """MiB a second, up and down, until `going_on` says no; each copy is compared."""
        moved, took = 0, 0.0
        while going_on(took):
            begin = time.monotonic()
            self.do("get big down", "put down up")
            took += time.monotonic() - begin
            moved += 2 * SIZE
            if sha256(f"{self.folder}/down") != digest:
                raise SystemExit("what came is not what was there")
        return moved / MIB / took


class Crowd:
    def __init__(self, server, number, wanted, seconds):
        self.server, self.number, self.seconds = server, number, seconds
        self.held, self.done, self.logins = [], dict.fromkeys(wanted, 0), []
        self.most = 0
        says = {"silent": b"", "stopped": kexinit()}
        self.threads = [threading.Thread(target=self.stand, args=(kind, says[kind], wanted[kind])) for kind in says]
        self.threads += [threading.Thread(target=self.guess, args=(part, wanted["guesses"] // 4)) for part in range(4)]
        self.threads += [threading.Thread(target=self.log_in), threading.Thread(target=self.look)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.join()
        for plain in self.held:
            plain.close()

    def is_there(self):
        return any(thread.is_alive() for thread in self.threads[:-1])

    def stand(self, kind, said, count):
        """Opens connections, eight addresses in turn, and keeps them."""
        begin = time.monotonic()
        for n in range(count):
            time.sleep(max(0, begin + self.seconds * n / count - time.monotonic()))
            plain = socket.socket()
            plain.settimeout(10)
            plain.bind((f"127.{10 + self.number}.{1 if said else 2}.{1 + n % 8}", 0))
            try:
                plain.connect(("127.0.0.1", self.server.port))
                plain.sendall(said)
            except OSError:
                pass        # refused, which is as good
            self.held.append(plain)
            self.done[kind] += 1

    def guess(self, part, count):
        """Each from an address of its own, with a key that is nobody's."""
        begin = time.monotonic()
        for n in range(count):
            time.sleep(max(0, begin + self.seconds * n / count - time.monotonic()))
            code = subprocess.call(["nice", "-n", "19", tool("ssh"), *self.server.options("wrong"), "-b",
                                    f"127.{10 + self.number}.{3 + part}.{1 + n}", "mirage@127.0.0.1"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if code != 255:
                raise SystemExit(f"a wrong key: exit code {code}")
            self.done["guesses"] += 1

    def log_in(self):
        """Five honest ones that come meanwhile."""
        for n in range(5):
            time.sleep(self.seconds / 6)
            code = subprocess.call([tool("sftp"), *self.server.options("id"), "-b", "/dev/null", "mirage@127.0.0.1"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.logins.append(code == 0)

    def look(self):
        while self.is_there():
            self.most = max(self.most, self.server.memory())
            time.sleep(0.2)


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--pairs", type=int, default=5)
    parse.add_argument("--seconds", type=float, default=15, help="in which the crowd of a pair comes [15]")
    for kind, count in (("silent", 2000), ("stopped", 500), ("guesses", 200)):
        parse.add_argument(f"--{kind}", type=int, default=count)
    options = parse.parse_args()
    wanted = {kind: getattr(options, kind) for kind in ("silent", "stopped", "guesses")}
    folder = tempfile.mkdtemp(prefix="crowd-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    server = None
    try:
        server = Server(folder)
        digest = big_file(f"{folder}/big", SIZE)
        client = Client(server)
        client.do("put big big")
        ratios, most, logins = [], server.memory(), []
        print(f"each pair: {wanted}; alone the process has {most / MIB:.1f} MiB (PSS)")
        for number in range(options.pairs):
            alone = client.rate(digest, lambda took: took < options.seconds)
            with Crowd(server, number, wanted, options.seconds) as crowd:
                beside = client.rate(digest, lambda _: crowd.is_there())
            if crowd.done != {**wanted, "guesses": wanted["guesses"] // 4 * 4}:
                raise SystemExit(f"not the whole crowd came: {crowd.done}")
            ratios.append(beside / alone)
            most, logins = max(most, crowd.most), logins + crowd.logins
            print(f"pair {number + 1}: {alone:.0f} MiB/s alone, {beside:.0f} beside: {ratios[-1]:.2f}; "
                  f"{crowd.most / MIB:.1f} MiB; {sum(crowd.logins)} of {len(crowd.logins)} logins", flush=True)
        client.do("get up again")
        server.process.terminate()
        good = {"checksums": sha256(f"{folder}/again") == digest, "rate": statistics.median(ratios) >= LEAST,
                "memory": most <= MEMORY, "logins": all(logins), "end": server.process.wait(20) == 0,
                "log": len(server.said().splitlines()) < 60 * (options.pairs + 1)}
        print(f"median ratio {statistics.median(ratios):.2f} (at least {LEAST}); at most {most / MIB:.1f} MiB of "
              f"{MEMORY / MIB:.0f}; {len(server.said().splitlines())} lines of log; {good}")
        return 0 if all(good.values()) else 1
    finally:
        if server and server.process.poll() is None:
            server.process.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
