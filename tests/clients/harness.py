"""What every test with real clients stands on: a scratch folder, an image, a server, its clients.

`Case` makes them, bounds each test's time, and after each test checks what must hold whatever the
test did: the server stops cleanly, `fsck.fat -n` or `fsck.exfat -n` and `fat check` find nothing, and
mtools, which shares no code with the server, reads the bytes that the test expects. Of exFAT volumes
`fat cat` reads them.
"""

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import newer
from tools import content, kill_group, paramiko, program, sha256, tool

USER = "mirage"


class Result:
    """What a finished client printed, and its exit code."""

    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err

    @property
    def text(self):
        return self.out + self.err

    def __str__(self):
        return f"{' '.join(map(str, self.args))}\nexit {self.code}\n{self.out[-3000:]}{self.err[-3000:]}"


class Server:
    """One running mirage-sshfs. Its log is in `log_path`, its port in `port` once it listens."""

    def __init__(self, case, image, *options, port=0, as_nobody=False):
        self.ended = False      # as the test wanted it
        other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if as_nobody else []
        self.log_path = os.path.join(case.scratch, f"server-{len(case.servers)}.log")
        with open(self.log_path, "wb") as log:
            self.process = case.spawn(
                [*other, program("mirage-sshfs"), "--disk", image, "--port", str(port),
                 "--listen", "127.0.0.1", "--per-source-penalties", "no", *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.port = None
        case.servers.append(self)

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def wait_listening(self, seconds=20):
        found = self.wait_log(r"listening.*?127\.0\.0\.1\D+?(\d+)", seconds)
        self.port = int(found.group(1))
        return self

    def wait_log(self, pattern, seconds=10):
        """Waits until the log matches; fails with the log in hand."""
        end = time.monotonic() + seconds
        while True:
            running = self.process.poll() is None
            found = re.search(pattern, self.log(), re.IGNORECASE)
            if found:
                return found
            if not running:
                raise AssertionError(f"server exited {self.process.returncode}:\n{self.log()}")
            if time.monotonic() > end:
                raise AssertionError(f"no {pattern!r} in the server's log after {seconds} s:\n{self.log()}")
            time.sleep(0.02)

    def memory(self):
        """Resident memory in bytes."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) * 1024

    def stop(self, seconds=10):
        """SIGTERM must end it with exit code 0 in time."""
        self.ended = True
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            kill_group(self.process)
            raise AssertionError(f"still running {seconds} s after SIGTERM:\n{self.log()[-4000:]}") from None
        if code != 0:
            raise AssertionError(f"exit code {code} after SIGTERM:\n{self.log()[-4000:]}")

    def kill(self):
        self.ended = True
        kill_group(self.process)
        self.process.wait(10)


class Booted:
    """What the servers of tests/vm and tests/xen have in common: `log` and `port` are theirs."""

    def banner(self, seconds=20):
        """SSH's first line. QEMU's network accepts connections before the guest does."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as plain:
            line = plain.makefile("rb").readline()
        if not line.startswith(b"SSH-2.0-"):
            raise AssertionError(f"no banner: {line!r}\n{self.log()}")
        return line


class Case(unittest.TestCase):
    """A test with its own scratch folder. Class attributes say which image and server it wants."""

    seconds = 60        # a test that is not done by then fails
    size = "48M"
    fat = "16"
    options = ()        # further options of the server
    serve = True        # start one before the test
    follows_links = False   # mounts follow symbolic links that lead up or are absolute
    maxDiff = 2000

    def setUp(self):
        self.processes, self.servers, self.mounts = [], [], []
        self.expected = {}      # path on the volume -> bytes, sha256 in hex, or None for "absent"
        self.images = []        # checked after the test
        self.server = None
        # A client stuck in the kernel on a dead mount is freed only by the death of its sshfs.
        self.watchdog = threading.Timer(self.seconds + 5, self.kill_all)
        self.watchdog.daemon = True
        self.watchdog.start()
        signal.signal(signal.SIGALRM, self.too_late)
        signal.alarm(self.seconds)
        self.scratch = tempfile.mkdtemp(prefix="clients-")
        self.addCleanup(self.clean)
        self.key = self.make_key("id")
        if self.serve:
            self.image = self.make_image("disk.img", self.fat, self.size)
            self.server = self.start(self.image)

    def tearDown(self):
        """The checks after each test; not reached when setUp failed."""
        for mount in list(self.mounts):
            self.unmount(mount)
        for server in self.servers:
            if not server.ended:
                server.stop()
            self.assertNotRegex(server.log(), "panicked at")
        for image in self.images:
            self.check_image(image)
        for path, want in self.expected.items():
            self.check_bytes(self.image, path, want)

    def too_late(self, *_):
        log = self.servers[-1].log()[-3000:] if self.servers else ""
        # The checks after the test get a little time of their own.
        signal.alarm(30)
        raise AssertionError(f"not done after {self.seconds} s\n{log}")

    def kill_all(self):
        for process in self.processes:
            if process.poll() is None:
                kill_group(process)

    def clean(self):
        signal.alarm(0)
        self.watchdog.cancel()
        for mount in self.mounts:
            subprocess.run(["fusermount3", "-u", "-z", mount], capture_output=True)
        for process in self.processes:
            kill_group(process)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        if os.environ.get("KEEP_SCRATCH"):
            print(f"\n{self.id()}: {self.scratch}")
        else:
            shutil.rmtree(self.scratch, ignore_errors=True)

    # Processes

    def spawn(self, args, **kwargs):
        """A process in a group of its own, killed at the end of the test at the latest."""
        process = subprocess.Popen(args, start_new_session=True, **kwargs)
        self.processes.append(process)
        return process

    def run_program(self, *args, ok=True, stdin=None, seconds=None, cwd=None):
        """Runs to the end. `ok`: True wants exit code 0, False another, None either."""
        environment = dict(os.environ, LC_ALL="C.UTF-8", TZ="UTC", HOME=self.scratch)
        environment.pop("SSH_AUTH_SOCK", None)
        environment.pop("MTOOLS_SKIP_CHECK", None)
        process = self.spawn(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=environment, cwd=cwd)
        try:
            out, err = process.communicate((stdin or "").encode(), timeout=seconds or self.seconds)
        except subprocess.TimeoutExpired:
            kill_group(process)
            raise AssertionError(f"hangs: {' '.join(args)}\n{self.server and self.server.log()[-3000:]}") from None
        result = Result(args, process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
        if ok is not None and (result.code == 0) != ok:
            log = self.servers[-1].log()[-2000:] if self.servers else ""
            raise AssertionError(f"{result}\nserver's log:\n{log}")
        return result

    # Images and keys

    def path(self, name):
        return os.path.join(self.scratch, name)

    def write(self, name, data):
        """A file in the scratch folder."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return path

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def make_key(self, name, kind="ed25519", comment="test", bits=None):
        """A key pair NAME and NAME.pub in the scratch folder; the private one's path."""
        path = self.path(name)
        bits = ["-b", str(bits)] if bits else ["-b", "3072"] if kind == "rsa" else []
        self.run_program(tool("ssh-keygen"), "-q", "-t", kind, *bits, "-C", comment, "-N", "", "-f", path)
        return path

    def public(self, key):
        with open(key + ".pub") as file:
            return file.read().strip()

    def make_image(self, name, fat="16", size="48M", key=True, check=True):
        """A formatted image, with `mirage.pub` in its root unless `key` is false."""
        image = self.path(name)
        if fat in ("exfat", "posix"):
            self.run_program("truncate", "-s", size, image)
            self.run_program(tool("mkfs.exfat"), image)
            if fat == "posix":
                self.run_program(program("fat"), "posix", image)
        else:
            self.run_program(program("fat"), "create", image, size, "--type", fat)
        if key:
            public = self.write("mirage.pub", self.public(self.key) + "\n")
            self.run_program(program("fat"), "add", image, public)
        if check:
            self.images.append(image)
        return image

    def check_image(self, image):
        if self.fat == "posix":
            # Debian 12's fsck.exfat does not know the entries that stand behind names, Debian 13's does.
            fsck = self.run_program(os.path.join(newer.prepare(), "fsck.exfat"), "-n", image)
            self.assertRegex(fsck.text, r"clean\. directories \d+, files \d+\s*$")
            self.run_program(program("fat"), "check", image)
            plain = self.path("plain.img")
            self.run_program("cp", "--sparse=always", image, plain)
            self.run_program(program("fat"), "plain", plain)
            image = plain
        name = "fsck.exfat" if self.is_exfat(image) else "fsck.fat"
        fsck = self.run_program(tool(name), "-n", image, ok=None)
        self.assertEqual(fsck.code, 0, f"{name} finds fault\n{fsck}")
        self.assertNotRegex(fsck.text, r"(?i)dirty bit")
        self.run_program(program("fat"), "check", image)

    @staticmethod
    def is_exfat(image):
        with open(image, "rb") as file:
            return file.read(11)[3:] == b"EXFAT   "

    def check_bytes(self, image, path, want):
        """What mtools reads of a file on the volume."""
        if self.is_exfat(image):
            self.check_bytes_of_exfat(image, path, want)
            return
        local = self.path("mtools-copy")
        if os.path.exists(local):
            os.unlink(local)
        name = "::/" + path.lstrip("/")
        got = self.run_program(tool("mcopy"), "-n", "-i", image, name, local, ok=None)
        if want is None:
            self.assertNotEqual(got.code, 0, f"{path} should be gone")
            return
        self.assertEqual(got.code, 0, f"mtools cannot read {path}\n{got}")
        if isinstance(want, bytes):
            want = hashlib.sha256(want).hexdigest()
        self.assertEqual(sha256(local), want, f"{path} differs as mtools reads it")

    def check_bytes_of_exfat(self, image, path, want):
        local = self.path("copy")
        # `fat` takes the characters that others show as those of private use.
        path = "".join(chr(ord(c) - 0xF000) if 0xF000 < ord(c) < 0xF080 else c for c in path)
        with open(local, "wb") as file:
            got = self.spawn([program("fat"), "cat", image, path], stdout=file, stderr=subprocess.DEVNULL)
            code = got.wait(self.seconds)
        self.assertEqual(code == 0, want is not None, path)
        if want is not None:
            want = hashlib.sha256(want).hexdigest() if isinstance(want, bytes) else want
            self.assertEqual(sha256(local), want, f"{path} differs")

    # Server and clients

    def start(self, image, *options, port=0):
        """A server that listens, and ~/config for ssh, sftp and scp to reach it as `server`."""
        server = Server(self, image, *self.options, *options, port=port).wait_listening()
        self.configure(server)
        return server

    def configure(self, server, user=USER, key=None, name="config"):
        """An OpenSSH client configuration in which the host is called `server`."""
        return self.write(name, f"""Host server
  HostName 127.0.0.1
  Port {server.port}
  User {user}
  IdentityFile {key or self.key}
  IdentitiesOnly yes
  BatchMode yes
  UserKnownHostsFile {self.path('known_hosts')}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking accept-new
  CheckHostIP no
  ConnectTimeout 15
""")

    # The full path of one of OpenSSH's programs or of sshfs: another suite's, for some tests.
    client = staticmethod(tool)

    def ssh(self, *args, config="config", **kwargs):
        return self.run_program(self.client("ssh"), "-F", self.path(config), *args, **kwargs)

    def scp(self, *args, **kwargs):
        return self.run_program(self.client("scp"), "-F", self.path("config"), *args, **kwargs)

    def sftp(self, *lines, options=(), config="config", **kwargs):
        """Runs a batch; with `-b` the first line that fails ends it with exit code 1."""
        return self.run_program(self.client("sftp"), "-F", self.path(config), *options, "-b", "-", "server",
                                stdin="\n".join(lines) + "\n", cwd=self.scratch, **kwargs)

    def mount(self, *options, name="mnt"):
        """Mounts the volume with sshfs; the mount point."""
        # Since a security update sshfs refuses such links, unless it is told not to.
        if self.follows_links and "no_contain_symlinks" in self.run_program(self.client("sshfs"), "--help").text:
            options += ("-o", "no_contain_symlinks")
        point = self.path(name)
        os.makedirs(point, exist_ok=True)
        log = open(self.path(name + ".log"), "wb")
        client = self.spawn([self.client("sshfs"), "-f", "-F", self.path("config"), *options, "server:/", point],
                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        end = time.monotonic() + 15
        while f" {point} fuse.sshfs " not in self.mount_table():
            if client.poll() is not None or time.monotonic() > end:
                with open(self.path(name + ".log"), errors="replace") as text:
                    raise AssertionError(f"sshfs does not mount: {text.read()}\n{self.server.log()[-3000:]}")
            time.sleep(0.02)
        self.mounts.append(point)
        return point

    @staticmethod
    def mount_table():
        with open("/proc/mounts") as table:
            return table.read()

    def unmount(self, point):
        """Also of a mount that ends by itself, maybe right now, as sshfs does when its server goes away."""
        def mounted():
            return f" {point} " in self.mount_table()
        if mounted():
            done = self.run_program(tool("fusermount3"), "-u", point, ok=None)
            self.assertFalse(done.code and mounted(), done)
        self.mounts.remove(point)

    def shell(self, script, *args, **kwargs):
        """A shell script: what a mounted volume meets runs outside Python, which it could stop."""
        return self.run_program("/bin/sh", "-euc", script, "sh", *args, **kwargs)

    def use_git(self, point):
        """Commits, a rename and a clone in a folder of a mounted volume."""
        self.shell("""
            cd "$1"
            export GIT_CONFIG_GLOBAL="$2/gitconfig" GIT_CONFIG_NOSYSTEM=1
            git config --global user.name Test; git config --global user.email test@example.org
            git config --global safe.directory '*'; git config --global init.defaultBranch main
            git init -q repo; cd repo
            for n in 1 2; do
                for f in a b c; do echo "$n $f" > "$f"; done
                git add -A; git commit -q -m "commit $n"
            done
            git mv a renamed; git commit -q -m rename
            git clone -q . "$2/outside"; git -C "$2/outside" fsck --strict; git fsck --strict
            test -z "$(git status --porcelain)"
        """, point, self.scratch)
        self.expected["repo/renamed"] = b"2 a\n"

    def at_once(self, clients, size):
        """So many clients of sftp put and get a file of their own."""
        running = []
        for number in range(clients):
            self.write(f"up{number}", content(size, number))
            self.expected[f"dir{number}/file"] = content(size, number)
            batch = self.write(f"batch{number}", f"mkdir dir{number}\nput up{number} dir{number}/file\n"
                                                 f"get dir{number}/file down{number}\nls -l dir{number}\n")
            running.append(self.spawn([self.client("sftp"), "-F", self.path("config"), "-b", batch, "server"],
                                      cwd=self.scratch, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True))
        for client in running:
            out, _ = client.communicate(timeout=self.seconds - 20)
            self.assertEqual(client.returncode, 0, f"{out}\n{self.server.log()[-6000:]}")
        for number in range(clients):
            self.assertEqual(self.read(f"down{number}"), content(size, number))

    def paramiko(self, user=USER, key=None):
        """A connected paramiko SSHClient, closed after the test."""
        module = paramiko()
        client = module.SSHClient()
        client.set_missing_host_key_policy(module.AutoAddPolicy())
        client.connect("127.0.0.1", self.server.port, user, key_filename=key or self.key, timeout=15,
                       banner_timeout=15, auth_timeout=15, allow_agent=False, look_for_keys=False)
        self.addCleanup(client.close)
        return client

    def paramiko_sftp(self, **kwargs):
        channel = self.paramiko(**kwargs).open_sftp()
        channel.get_channel().settimeout(30)
        return channel

    def socket(self):
        """A plain TCP connection to the server, closed after the test."""
        plain = socket.create_connection(("127.0.0.1", self.server.port), timeout=15)
        self.addCleanup(plain.close)
        return plain

    def until(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                self.fail(f"not within {seconds} s: {what}")
            time.sleep(0.1)
