"""Shown the wrong thing: a clear line and an exit code, or an error to that client alone."""

import os
import random
import shutil
import signal
import subprocess
import time

from harness import Case, Server
from tools import content, kill_group, program, sha256, tool


class Start(Case):
    """A server that cannot serve says why in one line, and exits."""

    serve = False

    def refused(self, *options, says):
        result = self.run_program(program("mirage-sshfs"), "--listen", "127.0.0.1", "--port", "0", *options,
                                  ok=False, seconds=10)
        self.assertRegex(result.text, says)
        self.assertNotRegex(result.text, r"panicked|RUST_BACKTRACE|Os \{|Error\(")
        self.assertLessEqual(len(result.text.strip().splitlines()), 4, result.text)
        self.assertGreater(result.code, 0)

    def test_missing_disk(self):
        self.refused("--disk", self.path("nothing.img"), says=r"nothing\.img")

    def test_disk_that_is_a_folder(self):
        self.refused("--disk", self.scratch, says=self.scratch)

    def test_disk_that_is_no_fat(self):
        self.refused("--disk", self.write("noise.img", content(8 << 20)), says=r"(?i)noise\.img|FAT")

    def test_empty_disk(self):
        self.refused("--disk", self.write("empty.img", b""), says=r"(?i)empty|small|size|FAT|0 bytes")

    def test_blank_disk(self):
        """Zeros are formatted only when asked to."""
        blank = self.path("blank.img")
        os.truncate(self.write("blank.img", b""), 64 << 20)
        self.refused("--disk", blank, says="--format-if-blank")
        self.refused("--disk", blank, "--format-if-blank=ntfs", says="ntfs.*exfat or fat")
        self.server = self.start(blank, "--format-if-blank", "--key", self.public(self.key))
        self.write("up", b"x")
        self.sftp("put up file")
        self.server.stop()
        self.server = self.start(blank, "--format-if-blank", "--key", self.public(self.key))
        self.image = blank
        self.images.append(blank)
        self.expected["file"] = b"x"

    def test_blank_disk_becomes_what_is_asked_for(self):
        for words, size, fat, starts in [(["--format-if-blank"], 64 << 20, b"EXFAT   ", 3), (["--format-if-blank=exfat"], 64 << 20, b"EXFAT   ", 3),
                                         (["--format-if-blank"], 512 << 10, b"FAT12   ", 54), (["--format-if-blank=fat"], 64 << 20, b"FAT16   ", 54)]:
            with self.subTest(words=words, size=size):
                blank = self.path(f"blank{size}.img")
                os.truncate(self.write(os.path.basename(blank), b""), size)
                server = self.start(blank, *words, "--key", self.public(self.key))
                server.stop()
                with open(blank, "rb") as file:
                    self.assertEqual(file.read(128)[starts:starts + 8], fat)
                # exFAT keeps modes and links then, at the next start too.
                again = self.start(blank, "--key", self.public(self.key))
                again.stop()
                for log in (server.log(), again.log()):
                    self.assertEqual("which keeps modes, owners and links" in log, fat == b"EXFAT   ", log)
                self.run_program(program("fat"), "check", blank)
                os.unlink(blank)

    def test_noise_is_never_formatted(self):
        noise = self.write("noise.img", content(8 << 20))
        self.refused("--disk", noise, "--format-if-blank", says=r"(?i)noise\.img|FAT")
        self.assertEqual(self.read("noise.img"), content(8 << 20))

    def test_malformed_key(self):
        self.make_image("disk.img")
        for key in ["nonsense", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !!!!", ""]:
            self.refused("--disk", self.path("disk.img"), "--key", key, says=r"(?i)key")

    def test_key_that_is_not_supported(self):
        self.make_image("disk.img")
        self.refused("--disk", self.path("disk.img"), "--key", self.public(self.make_key("p384", "ecdsa", bits=384)), says="nistp384")

    def test_unknown_options(self):
        self.make_image("disk.img")
        self.refused("--disk", self.path("disk.img"), "--colour", says="--colour")
        self.refused("--disk", self.path("disk.img"), "--port", "70000", says="70000")
        self.refused("--disk", self.path("disk.img"), "--port", "ssh", says="ssh")
        self.refused("--disk", self.path("disk.img"), "--listen", "nowhere", says="nowhere")
        self.refused("--disk", says="--disk")

    def test_help_and_version(self):
        shown = self.run_program(program("mirage-sshfs"), "--help").text
        for option in ["--disk", "--port", "--listen", "--user", "--key", "--seed", "--read-only", "--format-if-blank", "--grow", "--logs",
                       "--login-grace-time", "--max-startups", "--max-sessions", "--per-source-max-startups",
                       "--per-source-net-block-size", "--per-source-penalties"]:
            self.assertIn(option, shown)
        self.assertRegex(self.run_program(program("mirage-sshfs"), "--version").text, r"\d+\.\d+")

    def test_port_in_use(self):
        self.image = self.make_image("disk.img")
        self.server = self.start(self.image)
        other = self.make_image("other.img")
        self.refused("--disk", other, "--port", str(self.server.port), says=rf"(?i){self.server.port}.*in use|in use.*{self.server.port}")
        self.sftp("ls")

    def test_two_servers_on_one_image(self):
        self.image = self.make_image("disk.img")
        self.server = self.start(self.image)
        self.refused("--disk", self.image, says=r"(?i)in use|lock|another|already")
        self.write("up", b"x")
        self.sftp("put up file")
        self.expected["file"] = b"x"


class ReadOnly(Case):
    serve = False

    def check_mount(self):
        point = self.mount()
        for change in ["mkdir new", "echo x > new", "rm mirage.pub", "mv mirage.pub other", "echo x >> mirage.pub"]:
            result = self.shell(f'cd "$1"; {change}', point, ok=False)
            self.assertIn("Permission denied", result.err, change)
        self.shell('grep -q ssh-ed25519 "$1/mirage.pub"', point)
        self.unmount(point)

    def test_option(self):
        self.image = self.make_image("disk.img")
        before = sha256(self.image)
        self.server = self.start(self.image, "--read-only")
        self.check_mount()
        self.server.stop()
        self.assertEqual(sha256(self.image), before, "--read-only wrote to the image")

    def test_image_that_cannot_be_written(self):
        """Served as it is, and the log says so. Root may write anything, so this is not root."""
        self.image = self.make_image("disk.img")
        os.chmod(self.image, 0o444)
        os.chmod(self.scratch, 0o755)
        self.server = Server(self, self.image, as_nobody=os.getuid() == 0).wait_listening()
        self.configure(self.server)
        self.assertRegex(self.server.log(), r"(?i)read.only")
        self.check_mount()


class Full(Case):
    size = "16M"

    def test_full_volume(self):
        kept = content(2_000_000, 9)
        self.write("kept", kept)
        self.write("big", content(20_000_000))
        self.write("small", content(300_000))
        self.sftp("mkdir d", "put kept d/kept")
        result = self.sftp("put big big", ok=False)
        self.assertRegex(result.err, r"(?i)failure|space|full")
        self.sftp("get d/kept down", "rm big", "put small small")
        self.assertEqual(self.read("down"), kept)
        self.expected.update({"d/kept": kept, "small": content(300_000)})

    def test_full_through_a_mount(self):
        point = self.mount()
        self.write("big", content(20_000_000))
        self.shell('cp "$2/big" "$1/big"', point, self.scratch, ok=False)
        self.shell('rm -f "$1/big"; echo x > "$1/file"; df "$1"', point)
        self.expected["file"] = b"x\n"

    def test_filled_by_many_small_files(self):
        """Directories need room too."""
        remote = self.paramiko_sftp()
        remote.mkdir("d")
        with remote.open("d/filler", "wb") as file:
            file.set_pipelined(True)
            try:
                for number in range(400):
                    file.write(content(40_000, number))
            except OSError:
                pass
        with self.assertRaises(OSError):
            for number in range(20_000):
                with remote.open(f"d/a rather long name that takes several slots {number}", "wb") as file:
                    file.write(b"x" * 3000)
        remote.remove("d/filler")
        with remote.open("d/after", "wb") as file:
            file.write(b"room again")
        self.expected["d/after"] = b"room again"

    def test_root_directory_full(self):
        """FAT16's root has a fixed number of slots (512 as a rule)."""
        remote = self.paramiko_sftp()
        with self.assertRaisesRegex(OSError, "the root folder is full"):
            for number in range(2000):
                remote.open(f"N{number}", "wb").close()
        for number in range(7, 12):     # a name may take more than one slot
            remote.remove(f"N{number}")
        with remote.open("again", "wb") as file:
            file.write(b"x")
        self.expected["again"] = b"x"


class Network(Case):
    """What strangers send before they are anyone. A real client is served meanwhile."""

    seconds = 90

    def served(self):
        self.write("up", content(200_000))
        self.sftp("put up file", "get file down", seconds=30)
        self.assertEqual(self.read("down"), content(200_000))
        self.expected["file"] = content(200_000)

    def test_garbage(self):
        dice = random.Random(5)
        for number in range(60):
            plain = self.socket()
            try:
                plain.sendall([dice.randbytes(dice.randrange(1, 5000)),
                               b"SSH-2.0-x\r\n" + dice.randbytes(3000),
                               b"GET / HTTP/1.1\r\n\r\n",
                               b"SSH-2.0-x\r\n" + b"\xff\xff\xff\xff" + bytes(1000),
                               b"SSH-2.0-x\r\n" + bytes(1000),
                               b"SSH-1.5-old\r\n"][number % 6])
            except OSError:
                pass            # closed on us already: as good
        self.served()

    def test_endless_identification(self):
        plain = self.socket()
        try:
            for _ in range(2000):
                plain.sendall(b"A" * 4096)
        except OSError:
            pass
        self.served()
        self.assertLess(self.server.memory(), 64 << 20)

    def test_half_open(self):
        """Gone in the middle of the handshake, with and without a word."""
        for number in range(30):
            plain = self.socket()
            plain.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"[:number])
            if number % 2:
                plain.close()
        self.served()

    def test_slow_client(self):
        """One byte at a time, and the last ones never."""
        slow = self.socket()
        for letter in b"SSH-2.0-slow":
            slow.sendall(bytes([letter]))
            time.sleep(0.05)
        self.served()

    def test_client_that_is_frozen(self):
        """A download whose client stops reading holds up nobody else."""
        self.write("big", content(30_000_000))
        self.sftp("put big big")
        self.write("batch", "get big frozen\n")
        client = self.spawn([tool("sftp"), "-F", self.path("config"), "-l", "20000", "-b", self.path("batch"), "server"],
                            cwd=self.scratch, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)
        kill_group(client, signal.SIGSTOP)      # sftp and its ssh
        self.served()
        kill_group(client)

    def test_200_idle_connections(self):
        idle = [self.socket() for _ in range(200)]
        # Refused while they last is as good as served, if their grace ends.
        self.until(lambda: self.sftp("ls", ok=None, seconds=20).code == 0, 75, "served beside 200 idle connections")
        self.served()
        for plain in idle:
            plain.close()
        self.served()

    def test_connections_that_come_and_go(self):
        for _ in range(1000):
            self.socket().close()
        self.served()

    def test_killed_clients(self):
        """Clients that vanish in the middle of an upload leave a clean volume."""
        self.write("big", content(30_000_000))
        self.write("batch", "put big part\n")
        for number in range(6):
            client = self.spawn([tool("sftp"), "-F", self.path("config"), "-b", self.path("batch"), "server"],
                                cwd=self.scratch, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.1 + 0.05 * number)
            kill_group(client)
        self.served()


class Volume(Case):
    """A damaged volume gives errors, never an end of the server."""

    serve = False

    def test_damaged_in_many_ways(self):
        """Noise over the table and the directories: served or refused, never a crash or a hang."""
        whole = self.make_image("whole.img", check=False)
        for number in range(30):
            self.write(f"f{number}", content(20_000, number))
        self.run_program(program("fat"), "add", whole, *[self.path(f"f{n}") for n in range(30)])
        dice = random.Random(11)
        for turn in range(12):
            damaged = self.path(f"damaged{turn}.img")
            shutil.copy(whole, damaged)
            with open(damaged, "r+b") as file:
                for _ in range(40):
                    file.seek(dice.randrange(11 if turn % 3 == 0 else 512, 400_000))
                    file.write(dice.randbytes(dice.choice([1, 2, 32])))
            server = Server(self, damaged, "--key", self.public(self.key))
            end = time.monotonic() + 10
            while "listening" not in server.log() and server.process.poll() is None:
                self.assertLess(time.monotonic(), end, f"neither serves nor stops:\n{server.log()}")
                time.sleep(0.02)
            if server.process.poll() is None:
                server.wait_listening()
                self.configure(server)
                self.sftp("-ls -l", "-get f3 down", "-put f1 new", "-rm f2", "-mkdir d", "-rename f4 f5", ok=None, seconds=20)
                server.stop()
            else:
                self.assertGreater(server.process.returncode, 0, server.log())
                server.ended = True
