#!/usr/bin/python3
"""What a server's work costs: processor seconds of the whole server beside sshd's, in turns, and for mirage-sshfs alone
system calls and instructions. Rates on a machine that does other things say little; these say much.

    bench/cost.py [--rounds N] [--size MIB] [--only REGEX] [--openssh 13] [--write FOLDER]

Rates are given as the seconds that a GiB takes, and beside them the processor time of the client's two processes, sftp and
ssh: with a server that costs nothing it would still take at least half of that. With --write the table and a plot become
performance.md's middle and performance.svg in that folder; docs/performance.md says how to read them.
"""

import argparse
import ctypes
import os
import random
import re
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "tests", "clients")]
import plot  # noqa: E402
import newer  # noqa: E402
import run  # noqa: E402
from wire import READ_IT, Wire, opening, string  # noqa: E402

MIB = 1 << 20
TICK = os.sysconf("SC_CLK_TCK")
CIPHERS = {"chacha20-poly1305": "chacha20-poly1305@openssh.com", "aes256-gcm": "aes256-gcm@openssh.com",
           "aes256-ctr, hmac-sha2-256-etm": "aes256-ctr"}
READ, LSTAT = 5, 7
FILES = {"small": 2000, "many-small": 20_000}
LOGINS = 20
CROWD = 8


class Cpu:
    """Processor seconds of a server and of all that it started, also of what has ended."""

    def __init__(self, server):
        self.root = server.process.pid

    def seconds(self):
        """After its sessions have ended: a process counts for its parent when that has waited for it."""
        end = time.monotonic() + 10
        while time.monotonic() < end and len(self.tree()) > 1:
            time.sleep(0.02)
        if len(self.tree()) == 1 and os.path.exists(f"/proc/{self.root}/task") and not self.times(self.root)[1]:
            with open(f"/proc/{self.root}/schedstat") as stat:
                return int(stat.read().split()[0]) / 1e9
        # What lost its parent is ours since we adopt, and is waited for by nobody.
        orphans = [pid for pid in self.children().get(os.getpid(), []) if self.is_sshd(pid)]
        return sum(sum(self.times(pid)) for pid in {*self.tree(), *orphans}) / TICK

    def tree(self):
        children, ahead, found = self.children(), [self.root], []
        while ahead:
            pid = ahead.pop()
            found.append(pid)
            ahead += children.get(pid, [])
        return found

    @staticmethod
    def children():
        children = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            fields = Cpu.stat(pid)
            if fields:
                children.setdefault(int(fields[1]), []).append(int(pid))
        return children

    @staticmethod
    def stat(pid):
        """From the state on; none of a process that is gone."""
        try:
            with open(f"/proc/{pid}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()
        except OSError:
            return None

    @staticmethod
    def is_sshd(pid):
        """By its name, or its words, since one that its own loader starts has the loader's; clients have a file sshd.config."""
        try:
            with open(f"/proc/{pid}/cmdline") as words, open(f"/proc/{pid}/comm") as name:
                said = re.search(r"(^|[/\0])sshd(-session|-auth)?(?=[:\0 ]|$)", words.read())
                return said is not None or name.read().startswith("sshd")
        except OSError:
            return False

    @staticmethod
    def times(pid):
        """Its own ticks, and those of the children that it has waited for."""
        fields = Cpu.stat(pid) or [0] * 15
        return int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])


def session(server, *options):
    """SFTP over ssh's pipes, and the program."""
    program = subprocess.Popen(["ssh", "-F", server.config, *options, "-s", "server", "sftp"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return Wire(program), program


def ended(program):
    program.stdin.close()
    program.wait(30)


class Costs:
    """Each measure returns one number for one server: processor time for each of something, where nothing else is said."""

    def __init__(self, folder, size):
        self.folder, self.size = folder, size
        self.idle, self.waits, self.clients = {}, {}, {}

    def spent(self, server, action, parts):
        cpu = Cpu(server)
        before = cpu.seconds()
        action()
        return (cpu.seconds() - before) / parts

    def transfer(self, server, cipher, *lines):
        options = ["-c", CIPHERS[cipher], "-o", "MACs=hmac-sha2-256-etm@openssh.com"]
        run.run("sftp", "-q", "-F", server.config, *options, "-b", "-", "server", input="\n".join(lines).encode() + b"\n")

    def wall(self, server, cipher, action):
        """Seconds of a transfer that `get` or `put` makes, for a GiB; the client's own are kept for the row after it."""
        client = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
        begin, before = time.perf_counter(), client()
        self.transfer(server, cipher, f"{action} big /dev/null" if action == "get" else f"put {self.folder}/big put")
        took, spent = time.perf_counter() - begin, client() - before
        if action == "put":
            self.transfer(server, cipher, "rm put")
        self.clients.setdefault(server.name, []).append(spent / (self.size / (1 << 30)))
        return took / (self.size / (1 << 30))

    def client(self, server):
        """Of the runs that `wall` made, before it."""
        if not self.clients.get(server.name):
            raise SystemExit("the client's time is measured with the wall time: let --only match both")
        return self.clients[server.name].pop()

    def get(self, server, cipher):
        spent = self.spent(server, lambda: self.transfer(server, cipher, f"get big {self.folder}/down"), self.size / (1 << 30))
        if os.path.getsize(f"{self.folder}/down") != self.size:
            raise SystemExit("get: wrong size")
        return spent

    def put(self, server, cipher):
        spent = self.spent(server, lambda: self.transfer(server, cipher, f"put {self.folder}/big put"), self.size / (1 << 30))
        self.transfer(server, cipher, "rm put")
        return spent

    def random_reads(self, server, flight, count=8000):
        def reads():
            wire, program = session(server, "-c", CIPHERS["chacha20-poly1305"])
            _, handle = wire.ask(*opening("big", READ_IT))
            dice = random.Random(flight)
            ask = lambda: wire.send(struct.pack(">BI", READ, 9) + handle + struct.pack(
                ">QI", dice.randrange(self.size // 4096) * 4096, 4096))
            for number in range(count + flight):
                if number >= flight and len(wire.receive()) != 4096 + 9:
                    raise SystemExit(f"{server.name}: a read of another length")
                if number < count:
                    ask()
            ended(program)
        # The connection is not the reads': what a login costs is a line of its own.
        return (self.spent(server, reads, 1) - self.spent(server, lambda: ended(session(server)[1]), 1)) / count * 1e6

    def recursive(self, server, name):
        spent = self.spent(server, lambda: server.sftp(f"put -R {self.folder}/{name} {name}"), FILES[name])
        self.remove(server, name)
        return spent * 1e6

    def remove(self, server, name):
        with run.Mount(server) as point:
            run.run("rm", "-r", f"{point}/{name}")

    def untar(self, server, name):
        with run.Mount(server) as point:
            spent = self.spent_mounted(server, lambda: run.run(
                "tar", "xf", f"{self.folder}/{name}.tar", "-C", point, "--no-same-owner"))
            run.run("rm", "-r", f"{point}/{name}")
        return spent / FILES[name] * 1e6

    def spent_mounted(self, server, action):
        """While a session goes on: its processes are there."""
        now = lambda: sum(sum(Cpu.times(pid)) for pid in Cpu(server).tree()) / TICK
        before = now()
        action()
        return now() - before

    def login(self, server):
        def logins():
            for _ in range(LOGINS):
                ended(session(server)[1])
        return self.spent(server, logins, LOGINS) * 1000

    def memory(self, server):
        """Above that of the server before it had any; measured first, since sessions take what was left by others."""
        sessions = [session(server)[1] for _ in range(10)]
        used = server.memory() - self.idle[server.name]
        for program in sessions:
            ended(program)
        return used / 10 / 1024

    def kept(self, server):
        """What a server without sessions has beyond what it began with: at most what its volume's caches may have."""
        return max(server.memory() - self.idle[server.name], 0) / 1024

    def downloads(self, server):
        """Wall seconds of so many at once, and how long a ninth client's LSTATs wait meanwhile."""
        wire, ninth = session(server)
        waits, going = [], True

        def look():
            while going:
                begin = time.perf_counter()
                wire.ask(LSTAT, string("big"))
                waits.append(time.perf_counter() - begin)
                time.sleep(0.005)
        looking = threading.Thread(target=look)
        looking.start()
        begin = time.perf_counter()
        clients = [subprocess.Popen(["sftp", "-q", "-F", server.config, "server:big", "/dev/null"], stdout=subprocess.DEVNULL)
                   for _ in range(CROWD)]
        if any(client.wait(300) for client in clients):
            raise SystemExit(f"{server.name}: a download failed")
        took, going = time.perf_counter() - begin, False
        looking.join()
        ended(ninth)
        self.waits.setdefault(server.name, []).append(sorted(waits)[len(waits) * 95 // 100] * 1000)
        return took

    def ninth(self, server):
        """Of the runs that `downloads` made."""
        return self.waits[server.name].pop()

    def all(self):
        """name, unit, the most of sshd's that it should be, and the measure."""
        bounds = {"chacha20-poly1305": (0.50, 0.52), "aes256-gcm": (0.50, 0.55)}
        yield "memory of a connection", "KiB", None, self.memory
        for cipher in CIPHERS:
            get, put = bounds.get(cipher, (None, None))
            yield f"get, {cipher}", "s/GiB", get, lambda s, c=cipher: self.get(s, c)
            yield f"put, {cipher}", "s/GiB", put, lambda s, c=cipher: self.put(s, c)
        for flight in (1, 8, 32):
            yield f"4 KiB random reads, {flight} in flight", "µs", 0.65, lambda s, f=flight: self.random_reads(s, f)
        for action, bound in (("get", 1 / 1.2), ("put", 1 / 1.9)):
            for cipher in CIPHERS:
                yield (f"{action}, {cipher}, wall time", "s/GiB", bound,
                       lambda s, c=cipher, a=action: self.wall(s, c, a))
                yield f"{action}, {cipher}, the client alone", "s/GiB", None, self.client
        for folder, count in FILES.items():
            yield f"sftp put -R of {count:,} files, a file", "µs", 0.6, lambda s, f=folder: self.recursive(s, f)
            yield f"untar of {count:,} files on sshfs, a file", "µs", 0.6, lambda s, f=folder: self.untar(s, f)
        yield "login", "ms", 0.1, self.login
        yield f"{CROWD} downloads at once, wall time", "s", 1.3, self.downloads
        yield "a ninth client's LSTAT meanwhile, p95", "ms", 1.0, self.ninth
        yield "memory kept after all this", "KiB", None, self.kept


def system_calls(costs, server):
    """Of our process: a MiB of a download and of an upload, and a login."""
    def counted(action, parts):
        with tempfile.NamedTemporaryFile() as out:
            tracer = subprocess.Popen(["strace", "-f", "-c", "-o", out.name, "-p", str(server.process.pid)],
                                      stderr=subprocess.PIPE, text=True)
            tracer.stderr.readline()
            action()
            time.sleep(0.2)
            tracer.send_signal(2)
            tracer.wait(30)
            total = re.search(r"^100\.00\s+\S+\s+\S*\s+(\d+).*total$", open(out.name).read(), re.MULTILINE)
        return int(total.group(1)) / parts
    mib = costs.size / MIB
    chacha = "chacha20-poly1305"
    yield "system calls a MiB, get", counted(lambda: costs.transfer(server, chacha, "get big /dev/null"), mib)
    yield "system calls a MiB, put", counted(lambda: costs.transfer(server, chacha, f"put {costs.folder}/big put"), mib)
    yield "system calls a login", counted(lambda: costs.login(server), LOGINS)


def vectors():
    with open("/proc/cpuinfo") as info:
        flags = set(re.search(r"flags\s*:\s*(.*)", info.read()).group(1).split())
    wanted = ["sse2", "avx2", "avx512f", "avx512vl", "aes", "vaes", "pclmulqdq", "vpclmulqdq", "sha_ni"]
    return " ".join(name for name in wanted if name in flags)


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--rounds", type=int, default=7, help="how often each is measured on each server [7]")
    parse.add_argument("--size", type=int, default=256, help="MiB in the big file [256]")
    parse.add_argument("--only", default="", help="a regular expression that the measure's name matches")
    parse.add_argument("--openssh", choices=["13"], help="Debian 13's OpenSSH, server and clients, and not the installed one")
    parse.add_argument("--write", help="the folder of performance.md and performance.svg")
    options = parse.parse_args()
    # PR_SET_CHILD_SUBREAPER: sshd's grandchildren must not get lost.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    size = options.size * MIB
    folder = tempfile.mkdtemp(prefix="cost-", dir="/dev/shm")
    os.chmod(folder, 0o755)
    servers, programs = [], None
    if options.openssh:
        programs = newer.prepare(server=True)
        os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    try:
        tree = run.prepare(folder, size)
        run.small_files(folder, "many-small", FILES["many-small"])
        servers = [run.start_ours(folder, size, tree), run.start_sshd(folder, tree, programs)]
        heading = f"{run.machine(folder, size)}\nCPU has {vectors()}; medians of {options.rounds}, in turns"
        print(heading, flush=True)
        costs = Costs(folder, size)
        costs.idle = {server.name: server.memory() for server in servers}
        rows = []
        for name, unit, bound, measure in costs.all():
            if not re.search(options.only, name):
                continue
            found = {server.name: [] for server in servers}
            for turn in range(options.rounds):
                for server in servers if turn % 2 == 0 else reversed(servers):
                    found[server.name].append(measure(server))
            ours, theirs = found["mirage-sshfs"], found["sshd"]
            rows.append((name, unit, ours, theirs, bound))
            print(line(rows[-1]), flush=True)
        calls = list(system_calls(costs, servers[0])) if re.search(options.only, "system calls") else []
        for name, count in calls:
            print(f"{name:45} {count:8.1f}")
        if options.write:
            # The folder is gone by then.
            plot.write(options.write, heading.replace(f" ({folder})", ""), rows, calls)
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def line(row):
    name, unit, ours, theirs, bound = row
    one, two = statistics.median(ours), statistics.median(theirs)
    wanted = "" if bound is None else f" at most {bound:.2f}"
    return (f"{name:45} {unit:6} {one:9.3f} {two:9.3f}  {one / two:5.2f}{wanted}   "
            f"{min(ours):.3f}-{max(ours):.3f} | {min(theirs):.3f}-{max(theirs):.3f}")


if __name__ == "__main__":
    main()
