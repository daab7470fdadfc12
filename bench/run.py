#!/usr/bin/python3
"""Measures mirage-sshfs beside OpenSSH's sshd: same machine, same files, same clients, in turns.

`bench/run.py --help` has the options, bench/README.md says how to read the table.
"""

import argparse
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.environ.get("MIRAGE_BIN", os.path.join(ROOT, "target", "release"))
MIB = 1 << 20
CIPHERS = {"chacha20": "chacha20-poly1305@openssh.com", "aes256-ctr": "aes256-ctr"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*args, **kwargs):
    """Runs to the end; any failure ends the bench, since a failed transfer is no measurement."""
    done = subprocess.run(args, capture_output=True, timeout=300, **kwargs)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(args)}: exit {done.returncode}\n{done.stdout.decode()[-2000:]}{done.stderr.decode()[-2000:]}")
    return done


class Server:
    """One of the two. `config` is the ssh configuration that reaches it as host `server`."""

    def __init__(self, name, folder, key, command, port, user):
        self.name, self.folder = name, folder
        self.log = open(os.path.join(folder, f"{name}.log"), "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True)
        self.config = os.path.join(folder, f"{name}.config")
        with open(self.config, "w") as file:
            file.write(f"Host server\n HostName 127.0.0.1\n Port {port}\n User {user}\n IdentityFile {key}\n"
                       f" IdentitiesOnly yes\n BatchMode yes\n UserKnownHostsFile {folder}/known_hosts\n"
                       " GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking accept-new\n"
                       # What both have: else the client and sshd agree on a slower exchange of their own.
                       " KexAlgorithms curve25519-sha256\n")
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    with open(self.log.name, errors="replace") as text:
                        raise SystemExit(f"{name} does not start:\n{text.read()}") from None
                time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)

    def sftp(self, *lines, cipher=None):
        options = ["-c", CIPHERS[cipher]] if cipher else []
        run("sftp", "-q", "-F", self.config, *options, "-b", "-", "server", input="\n".join(lines).encode() + b"\n")

    def memory(self):
        """PSS of the server and its children, in bytes."""
        children = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parent = int(stat.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry))
        total, ahead = 0, [self.process.pid]
        while ahead:
            pid = ahead.pop()
            ahead += children.get(pid, [])
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                total += int(re.search(r"^Pss:\s+(\d+) kB", rollup.read(), re.MULTILINE).group(1)) * 1024
        return total


class Mount:
    """The served tree, mounted afresh, so that the kernel's cache is empty."""

    def __init__(self, server, *options):
        self.point = tempfile.mkdtemp(prefix="mnt-", dir=server.folder)
        run("sshfs", "-F", server.config, *options, "server:", self.point)

    def __enter__(self):
        return self.point

    def __exit__(self, *_):
        run("fusermount3", "-u", self.point)
        os.rmdir(self.point)


def seconds(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


class Measures:
    """Each returns one number for one server. What it needs is prepared and removed untimed."""

    def __init__(self, folder, size):
        self.folder, self.size = folder, size
        self.big, self.down = os.path.join(folder, "big"), os.path.join(folder, "down")

    def put(self, server, cipher):
        took = seconds(lambda: server.sftp(f"put {self.big} put", cipher=cipher))
        server.sftp("rm put")
        return self.size / MIB / took

    def get(self, server, cipher):
        took = seconds(lambda: server.sftp(f"get big {self.down}", cipher=cipher))
        if os.path.getsize(self.down) != self.size:
            raise SystemExit("get: wrong size")
        os.unlink(self.down)
        return self.size / MIB / took

    def mount_write(self, server):
        with Mount(server) as point:
            took = seconds(lambda: run("dd", f"if={self.big}", f"of={point}/put", "bs=1M", "conv=fsync", "status=none"))
            os.unlink(f"{point}/put")
        return self.size / MIB / took

    def mount_read(self, server):
        with Mount(server) as point:
            took = seconds(lambda: run("dd", f"if={point}/big", "of=/dev/null", "bs=1M", "status=none"))
        return self.size / MIB / took

    def random_reads(self, server, jobs):
        """4 KiB reads a second, past the kernel's cache, by as many processes as `jobs`."""
        with Mount(server, "-o", "direct_io") as point:
            readers = []
            for job in range(jobs):
                out, into = os.pipe()
                pid = os.fork()
                if pid == 0:
                    dice, count, file = random.Random(job), 0, os.open(f"{point}/big", os.O_RDONLY)
                    end = time.perf_counter() + 1.5
                    while time.perf_counter() < end:
                        if len(os.pread(file, 4096, dice.randrange(self.size // 4096) * 4096)) != 4096:
                            os._exit(1)
                        count += 1
                    os.write(into, str(count).encode())
                    os._exit(0)
                os.close(into)
                readers.append((pid, out))
            total = 0
            for pid, out in readers:
                total += int(os.read(out, 20))
                os.close(out)
                os.waitpid(pid, 0)
        return total / 1.5

    def untar(self, server):
        with Mount(server) as point:
            took = seconds(lambda: run("tar", "xf", f"{self.folder}/small.tar", "-C", point, "--no-same-owner"))
            run("rm", "-r", f"{point}/small")
        return took

    def list(self, server):
        with Mount(server) as point:
            return seconds(lambda: run("ls", "-l", f"{point}/many"))

    def list_sftp(self, server):
        return seconds(lambda: server.sftp("ls -l many"))

    def connect(self, server, *options):
        def once():
            subprocess.run(["ssh", "-F", server.config, *options, "-s", "server", "sftp"], stdin=subprocess.DEVNULL,
                           capture_output=True, timeout=30)
        return seconds(lambda: [once() for _ in range(10)]) / 10

    def fifty(self, server):
        def together():
            clients = []
            for _ in range(50):
                client = subprocess.Popen(["sftp", "-q", "-F", server.config, "-b", "/dev/stdin", "server"],
                                          stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                client.stdin.write(b"ls -l big\n")
                client.stdin.close()
                clients.append(client)
            for client in clients:
                if client.wait(120) != 0:
                    raise SystemExit(f"{server.name}: one of 50 clients failed: {client.stderr.read().decode()}")
        return seconds(together)

    def memory(self, server):
        clients = [subprocess.Popen(["ssh", "-F", server.config, "-s", "server", "sftp"], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(10)]
        for client in clients:
            client.stdin.write(b"\0\0\0\5\1\0\0\0\3")       # SFTP's INIT, answered when all is set up
            client.stdin.flush()
            client.stdout.read(9)
        used = server.memory() / MIB
        for client in clients:
            client.kill()
            client.wait()
        return used

    def all(self):
        """name, unit, whether more is better, and the measure."""
        mib = f"{self.size // MIB} MiB"
        for cipher in CIPHERS:
            yield f"put {mib}, {cipher}", "MiB/s", True, lambda s, c=cipher: self.put(s, c)
            yield f"get {mib}, {cipher}", "MiB/s", True, lambda s, c=cipher: self.get(s, c)
        yield f"sshfs write {mib}", "MiB/s", True, self.mount_write
        yield f"sshfs read {mib}", "MiB/s", True, self.mount_read
        yield "sshfs 4 KiB random reads, 1 job", "1/s", True, lambda s: self.random_reads(s, 1)
        yield "sshfs 4 KiB random reads, 8 jobs", "1/s", True, lambda s: self.random_reads(s, 8)
        yield "sshfs untar 2,000 files", "s", False, self.untar
        yield "sshfs ls -l of 5,000 files", "s", False, self.list
        yield "sftp ls -l of 5,000 files", "s", False, self.list_sftp
        yield "connect and authenticate", "s", False, self.connect
        yield "the same, client's own choice", "s", False, lambda s: self.connect(s, "-o", "KexAlgorithms=-none")
        yield "50 connections at once", "s", False, self.fifty
        yield "memory with 10 connections", "MiB", False, self.memory


def small_files(folder, name, count):
    """A folder of so many files of up to 8 KB, fifty in each of its own, and an archive of it."""
    dice = random.Random(1)
    for number in range(count):
        directory = f"{folder}/{name}/dir{number % (count // 50)}"
        os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/file{number}", "wb") as file:
            file.write(dice.randbytes(dice.randrange(8000)))
    run("tar", "cf", f"{folder}/{name}.tar", "-C", folder, name)


def prepare(folder, size):
    """The tree both serve, the archive, and the key."""
    tree = os.path.join(folder, "tree")
    os.makedirs(f"{tree}/many")
    for number in range(5000):
        with open(f"{tree}/many/file number {number}.txt", "w") as file:
            file.write(f"{number}\n")
    small_files(folder, "small", 2000)
    dice = random.Random(1)
    with open(f"{folder}/big", "wb") as file:
        for _ in range(size // MIB):
            file.write(dice.randbytes(MIB))
    shutil.copy(f"{folder}/big", f"{tree}/big")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", f"{folder}/id")
    return tree


def start_ours(folder, size, tree):
    image, port, fat = f"{folder}/disk.img", free_port(), os.path.join(BIN, "fat")
    run(fat, "create", image, f"{2 * size // MIB + 512}M", "--type", "32")
    shutil.copy(f"{folder}/id.pub", f"{folder}/mirage.pub")
    run(fat, "add", image, f"{folder}/mirage.pub", f"{tree}/big")
    command = [os.path.join(BIN, "mirage-sshfs"), "--disk", image, "--listen", "127.0.0.1", "--port", str(port)]
    server = Server("mirage-sshfs", folder, f"{folder}/id", command, port, "mirage")
    # Through the server itself: the directory is then laid out as its users would have it.
    server.sftp(f"put -R {tree}/many many")
    return server


def start_sshd(folder, tree, programs=None):
    """`programs`: the folder of another OpenSSH than the one that is installed, which is later than 9.8."""
    port, user = free_port(), os.environ.get("USER") or "root"
    if os.getuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)     # sshd insists on it
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/host")
    with open(f"{folder}/sshd_config", "w") as file:
        file.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
                   f"AuthorizedKeysFile {folder}/id.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
                   f"PasswordAuthentication no\nMaxStartups 200\nSubsystem sftp internal-sftp -d {tree}\n")
        if programs:
            file.write(f"SshdSessionPath {programs}/sshd-session\nSshdAuthPath {programs}/sshd-auth\n")
    sshd = f"{programs}/sshd" if programs else "/usr/sbin/sshd"
    return Server("sshd", folder, f"{folder}/id", [sshd, "-D", "-e", "-f", f"{folder}/sshd_config"], port, user)


def machine(folder, size):
    with open("/proc/cpuinfo") as info:
        model = re.search(r"model name\s*:\s*(.*)", info.read())
    kind = run("stat", "-f", "-c", "%T", folder).stdout.decode().strip()
    ours = run(os.path.join(BIN, "mirage-sshfs"), "--version").stdout.decode().strip()
    theirs = run("ssh", "-V").stderr.decode().strip()
    fuse = re.search(r"SSHFS version \S+", run("sshfs", "--version").stdout.decode()).group()
    return (f"{os.cpu_count()} cores, {model.group(1) if model else 'unknown CPU'}, Linux {os.uname().release}\n"
            f"{ours}; {theirs}; {fuse}\n"
            f"image and tree both on {kind} ({folder}); big file {size // MIB} MiB; servers and clients share the cores")


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--rounds", type=int, default=5, help="how often each is measured on each server [5]")
    parse.add_argument("--size", type=int, default=256, help="MiB in the big file [256]")
    parse.add_argument("--only", default="", help="a regular expression that the measure's name matches")
    parse.add_argument("--folder", help="where both keep their files [/dev/shm, or the temporary folder when that is small]")
    options = parse.parse_args()
    size = options.size * MIB
    base = options.folder
    if base is None and os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 8 * size + 512 * MIB:
        base = "/dev/shm"
    folder = tempfile.mkdtemp(prefix="bench-", dir=base)
    os.chmod(folder, 0o755)
    servers = []
    try:
        tree = prepare(folder, size)
        servers = [start_ours(folder, size, tree), start_sshd(folder, tree)]
        print(machine(folder, size), flush=True)
        measures = [m for m in Measures(folder, size).all() if re.search(options.only, m[0])]
        results = {(name, server.name): [] for name, *_ in measures for server in servers}
        for turn in range(options.rounds):
            for name, _, _, measure in measures:
                # A B, then B A: neither always comes first.
                for server in servers if turn % 2 == 0 else reversed(servers):
                    results[name, server.name].append(measure(server))
            print(f"round {turn + 1} of {options.rounds}", flush=True)
        print(f"\n{'median':34} {'unit':6} {'mirage-sshfs':>12} {'sshd':>12} {'ratio':>6}   spread (least-most)")
        for name, unit, more, _ in measures:
            ours, theirs = results[name, "mirage-sshfs"], results[name, "sshd"]
            one, two = statistics.median(ours), statistics.median(theirs)
            ratio = one / two if more else two / one
            print(f"{name:34} {unit:6} {number(one):>12} {number(two):>12} {ratio:6.2f}   "
                  f"{number(min(ours))}-{number(max(ours))} | {number(min(theirs))}-{number(max(theirs))}")
        print("\nratio: above 1 mirage-sshfs is better, below 1 sshd is")
    finally:
        for server in servers:
            server.stop()
        with open("/proc/mounts") as table:
            for point in re.findall(rf" ({re.escape(folder)}/mnt-\S+) ", table.read()):
                subprocess.run(["fusermount3", "-u", "-z", point])
        shutil.rmtree(folder, ignore_errors=True)


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


if __name__ == "__main__":
    main()
