#!/usr/bin/python3
"""Half an hour of what wears a server out: new keys all the time, clients that are killed, and a link that is lost.

    bench/soak.py [--minutes N]

As root, since server and clients are in network namespaces of their own. Three clients at a time put, get, rename and
remove files; some are killed in the middle; the link goes down for seconds, which connections outlive, and sometimes for
so long that they do not. What a client was told is done must be there in the end, by another client and by mtools, the
volume clean, and the server's memory and open files no more than in the beginning.
"""
import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "tests", "clients"))
from tools import content, kill_group, program, sha256, tool  # noqa: E402

MIB = 1 << 20
SERVER, CLIENT = "10.78.0.1", "10.78.0.2"
# Files that each client has on the volume at a time.
FILES = 12


def run(*command, **how):
    done = subprocess.run(command, capture_output=True, text=True, **how)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


class Link:
    """Two namespaces and the cable between them."""

    def __init__(self):
        self.server, self.client = (f"soak-{os.getpid()}-{name}" for name in ("server", "client"))
        for namespace in (self.server, self.client):
            run("ip", "netns", "add", namespace)
        run("ip", "link", "add", "cable", "netns", self.server, "type", "veth", "peer", "name", "cable", "netns", self.client)
        for namespace, address in ((self.server, SERVER), (self.client, CLIENT)):
            run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "cable")
            run("ip", "-n", namespace, "link", "set", "cable", "up")

    def lose(self, seconds, stop):
        # The client's end: what it routes stays, and what is sent gets lost.
        run("ip", "netns", "exec", self.client, "ip", "rule", "add", "priority", "10", "blackhole")
        stop.wait(seconds)
        run("ip", "netns", "exec", self.client, "ip", "rule", "delete", "priority", "10", "blackhole")

    def forget(self):
        for namespace in (self.server, self.client):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True)


class Soak:
    def __init__(self, folder, link):
        self.folder, self.link, self.stop = folder, link, threading.Event()
        self.image, self.log = f"{folder}/disk.img", f"{folder}/log"
        run(tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/id")
        shutil.copy(f"{folder}/id.pub", f"{folder}/mirage.pub")
        run(program("fat"), "create", self.image, "256M")
        run(program("fat"), "add", self.image, f"{folder}/mirage.pub")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", link.server, program("mirage-sshfs"), "--disk", self.image, "--listen", SERVER,
                 "--rekey-limit", "2M 20"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while "listening" not in self.said():
            if self.process.poll() is not None:
                raise SystemExit(self.said())
            time.sleep(0.05)
        self.kept, self.counts, self.faults = {}, dict.fromkeys(("done", "killed", "lost", "losses", "exchanges"), 0), []
        self.lock = threading.Lock()

    def said(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def count(self, what, more=1):
        with self.lock:
            self.counts[what] += more

    def sftp(self, *lines, kill_after=None):
        """The exit code, 255 when the connection was lost; None when it was killed."""
        options = ["Port=18022", f"IdentityFile={self.folder}/id", "IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=no",
                   f"UserKnownHostsFile={self.folder}/known_hosts", "GlobalKnownHostsFile=/dev/null", "ConnectTimeout=10",
                   "ServerAliveInterval=3", "ServerAliveCountMax=5", f"RekeyLimit={random.choice(['16K', '1M', 'default 1'])}"]
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.link.client, tool("sftp"), "-F", "/dev/null", "-v",
             *(word for option in options for word in ("-o", option)), "-b", "-", f"mirage@{SERVER}"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
        timer = threading.Timer(kill_after or 300, kill_group, (process,))
        timer.start()
        _, err = process.communicate("\n".join(lines) + "\n")
        timer.cancel()
        self.count("exchanges", err.count("SSH2_MSG_NEWKEYS received"))
        if process.returncode == -signal.SIGKILL and kill_after:
            return None
        gone = re.search(r"onnection (closed|reset|timed out|refused)|Broken pipe|not responding|Not allowed", err)
        if process.returncode not in (0, 255) and not gone:
            print(err[-1500:])
        return 255 if gone and process.returncode else process.returncode

    def work(self, number):
        """Only this thread has these files; a name is never used twice, so that what is in doubt is let go."""
        dice, mine, turn = random.Random(number), {}, 0
        local = f"{self.folder}/local{number}"
        os.mkdir(local)
        if not self.until_done(f"mkdir d{number}"):
            return
        while not self.stop.is_set():
            turn += 1
            name, data = f"d{number}/f{turn}", content(dice.choice([100, 70_000, 1_000_000, 6_000_000]), turn)
            with open(f"{local}/up", "wb") as file:
                file.write(data)
            if dice.random() < 0.2:
                if self.sftp(f"put {local}/up {name}", kill_after=dice.uniform(0.05, 0.8)) is None:
                    self.count("killed")
                self.until_done(f"-rm {name}")
                continue
            lines = [f"put -f {local}/up {name}"]
            gone = None
            if len(mine) >= FILES:
                gone = dice.choice(sorted(mine))
                lines.append(f"rm {gone}")
            old = dice.choice(sorted(mine.keys() - {gone})) if len(mine) > 2 else None
            if old:
                lines += [f"get {old} {local}/down", f"rename {old} {old}r"]
            code = self.sftp(*lines)
            if code == 0:
                self.count("done")
                mine[name] = hashlib.sha256(data).hexdigest()
                if old and sha256(f"{local}/down") != mine[old]:
                    self.faults.append(f"{old} has other bytes")
                if old:
                    mine[f"{old}r"] = mine.pop(old)
                mine.pop(gone, None)
            elif code == 255:
                # The connection was lost: what was asked for last is in doubt.
                self.count("lost")
                for doubtful in {name, gone, old} - {None}:
                    mine.pop(doubtful, None)
                self.until_done(*(f"-rm {x}" for x in (name, gone, old, f"{old}r") if x))
            else:
                self.faults.append(f"sftp: exit code {code} for {lines}")
        with self.lock:
            self.kept.update(mine)

    def until_done(self, *lines):
        """Again when the connection is lost; false in the end."""
        for _ in range(20):
            if self.sftp(*lines) in (0, 1):
                return True
            time.sleep(3)
        self.faults.append(f"never done: {lines}")
        return False

    def lose(self):
        dice = random.Random(9)
        while not self.stop.wait(dice.uniform(8, 20)):
            # TCP outlives some seconds; ssh gives up after 15.
            self.link.lose(dice.choice([1, 2, 4, 6, 25]), self.stop)
            self.count("losses")

    def used(self):
        """PSS in bytes, and open files."""
        with open(f"/proc/{self.process.pid}/smaps_rollup") as rollup:
            pss = int(re.search(r"^Pss:\s+(\d+) kB", rollup.read(), re.MULTILINE).group(1)) * 1024
        return pss, len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def soak(self, minutes):
        threads = [threading.Thread(target=self.work, args=(number,)) for number in range(3)]
        threads.append(threading.Thread(target=self.lose))
        for thread in threads:
            thread.start()
        samples, begin, told = [], time.monotonic(), 0
        while (passed := time.monotonic() - begin) < 60 * minutes and self.process.poll() is None and not self.faults:
            time.sleep(2)
            samples.append(self.used())
            if passed // 120 > told:
                told = passed // 120
                print(f"{passed / 60:5.1f} min  {samples[-1][0] / MIB:5.1f} MiB  {samples[-1][1]:3} files open  {self.counts}", flush=True)
        self.stop.set()
        for thread in threads:
            thread.join()
        self.judge(samples)

    def judge(self, samples):
        if self.process.poll() is not None:
            self.faults.append(f"the server ended:\n{self.said()[-2000:]}")
        else:
            # By a client, and then without the server.
            wanted = sorted(self.kept)
            os.mkdir(f"{self.folder}/all")
            self.until_done(*(f"get {name} {self.folder}/all/{n}" for n, name in enumerate(wanted)))
            for n, name in enumerate(wanted):
                if not os.path.exists(f"{self.folder}/all/{n}") or sha256(f"{self.folder}/all/{n}") != self.kept[name]:
                    self.faults.append(f"{name} is lost")
            self.process.terminate()
            if self.process.wait(20) != 0:
                self.faults.append("the server did not end well")
            for command in ([tool("fsck.fat"), "-n", self.image], [program("fat"), "check", self.image]):
                checked = subprocess.run(command, capture_output=True, text=True)
                if checked.returncode != 0:
                    self.faults.append(f"{command[0]}: {checked.stdout}{checked.stderr}")
            for name in wanted:
                copied = subprocess.run([tool("mcopy"), "-n", "-i", self.image, f"::/{name}", "-"], capture_output=True)
                if hashlib.sha256(copied.stdout).hexdigest() != self.kept[name]:
                    self.faults.append(f"{name} is another for mtools")
        # From where all has been in use once.
        quarter = max(1, len(samples) // 4)
        early, late = (statistics.median(pss for pss, _ in part) for part in (samples[quarter:2 * quarter], samples[-quarter:]))
        if late > 1.1 * early + MIB:
            self.faults.append("memory grows")
        if max(files for _, files in samples[-quarter:]) > max(files for _, files in samples[:2 * quarter]) + 4:
            self.faults.append("open files grow")
        print(f"{self.counts}; {len(self.kept)} files in the end; memory {early / MIB:.1f} MiB in the second quarter, "
              f"{late / MIB:.1f} in the last, {max(pss for pss, _ in samples) / MIB:.1f} at most; "
              f"{len(self.said().splitlines())} lines of log")


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--minutes", type=float, default=30)
    options = parse.parse_args()
    folder = tempfile.mkdtemp(prefix="soak-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    link = soak = None
    try:
        link = Link()
        soak = Soak(folder, link)
        soak.soak(options.minutes)
        for fault in soak.faults:
            print(f"FAULT: {fault}")
        return 1 if soak.faults else 0
    finally:
        if soak and soak.process.poll() is None:
            soak.process.kill()
        if link:
            link.forget()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
