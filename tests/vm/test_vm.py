"""The kernel on QEMU's q35 (virtio over PCI) and microvm (virtio over MMIO)."""
import json
import subprocess
import time
import unittest

from case import LONG, Case
import test_kill  # which `case` finds
from tools import content, tool

MIB = 1 << 20


class Q35(Case):
    options = ("--watchdog", "5")

    def test_put_and_get(self):
        sizes = [0, 1, 4096, 1_000_003, 4 * MIB]
        for size in sizes:
            self.write(f"up{size}", content(size))
            self.expected[f"dir/Ünï {size}"] = content(size)
        self.sftp("mkdir dir", *(f'put up{size} "dir/Ünï {size}"' for size in sizes),
                  *(f'get "dir/Ünï {size}" down{size}' for size in sizes))
        for size in sizes:
            self.assertEqual(self.read(f"down{size}"), content(size))
        # The time of day is the machine's clock's.
        self.assertLess(abs(self.paramiko_sftp().stat("dir/Ünï 1").st_mtime - time.time()), 60)

    def test_git(self):
        self.use_git(self.mount())


class Microvm(Q35):
    machine, cpu = "microvm", "qemu64,+rdrand"


class MicrovmAcpi(Case):
    """Devices, the power button and the switch are those that ACPI's tables tell of."""
    machine = "microvm-acpi"

    def test_put_and_get(self):
        self.write("up", content(MIB + 1))
        self.expected["file"] = content(MIB + 1)
        self.sftp("put up file", "get file down")
        self.assertEqual(self.read("down"), content(MIB + 1))
        self.server.stop()
        self.assertIn("asked to end by the power button", self.server.log())


class LittleMemory(Case):
    machine, memory, size = "microvm", 24, "64M"

    def test_four_clients(self):
        self.at_once(4, MIB)


class Killed(Case, test_kill.Kill):
    """SIGKILL for QEMU in the middle of writes, with the work and the checks of tests/clients'."""

    seconds = 200
    test_mounted_sync_survives_sigkill = test_synced_files_survive_sigkill = None

    def test_synced_files_survive_a_kill(self):
        self.kill_in_the_middle(5 if LONG else 2)


class Ends(Case):
    def test_ctrl_c(self):
        """Also where there is a power button."""
        self.server.vm.press_ctrl_c()
        self.server.wait()
        self.assertIn("the volume is flushed and clean", self.server.log())

    def test_ctrl_alt_del(self):
        """As Firecracker asks: by the keyboard controller."""
        self.server.vm.press_ctrl_alt_del()
        self.server.wait()
        for said in ("asked to end by Ctrl-Alt-Del", "the volume is flushed and clean"):
            self.assertIn(said, self.server.log())

    def test_asked_while_clients_write(self):
        self.write("up", content(6 * MIB))
        # More than it can have done by then.
        batch = self.write("batch", "put up big\n" * 200)
        client = self.spawn([tool("sftp"), "-F", self.path("config"), "-b", batch, "server"], cwd=self.scratch,
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        remote = self.paramiko_sftp()
        self.until(lambda: "big" in remote.listdir(), 30, "an upload")
        self.server.stop()
        self.assertNotEqual(client.wait(30), 0)


class Stands(Case):
    serve = False

    def test_a_loop_that_stands_ends_the_machine(self):
        server = self.boot("--watchdog", "2", "stand-still", disks=[self.make_image("disk.img", check=False)])
        server.wait_log("listening")
        begin = time.monotonic()
        server.wait()
        self.assertGreater(time.monotonic() - begin, 1.5)
        for said in ("watchdog: the loop stands still", "\nrip ", "\nfrom "):
            self.assertIn(said, server.log())

    def test_one_that_sleeps_does_not(self):
        self.server = self.start(self.make_image("disk.img"), "--watchdog", "2")
        time.sleep(5)
        self.sftp("ls")


class Seed(Case):
    """As in tests/clients: the guest's whole memory."""

    seed = "correct-horse-battery-staple-4711"
    options = ("--seed", seed)

    def test_it_is_nowhere_in_memory(self):
        self.sftp("ls")
        self.assertIn("from --seed", self.server.log())
        self.server.vm.qemu.ask("pmemsave", val=0, size=self.memory << 20, filename=self.path("memory"))
        memory = self.read("memory")
        self.assertIn(b"mirage-sshfs", memory)
        found = memory.find(self.seed.encode())
        self.assertEqual(found, -1, f"at {found:#x}: {memory[found - 64:found + 64]!r}")


class Devices(Case):
    serve = False

    def test_two_disks(self):
        """--disk chooses; the other is not touched."""
        first, self.image = self.make_image("first.img"), self.make_image("second.img")
        before = self.read("first.img")
        self.server = self.boot("--disk", "vdb", disks=[first, self.image]).wait_listening()
        self.configure(self.server)
        self.write("up", "x")
        self.sftp("put up file")
        self.server.stop()
        self.expected["file"] = b"x"
        self.assertEqual(self.read("first.img"), before)

    def test_read_only_disk(self):
        image = self.make_image("disk.img")
        before = self.read("disk.img")
        self.server = self.start((image, ",readonly=on"))
        self.assertIn("read-only", self.server.log())
        self.write("up", "x")
        self.sftp("put up file", ok=False)
        self.sftp("get mirage.pub down")
        self.server.stop()
        self.assertEqual(self.read("disk.img"), before)

    def test_nist_algorithms(self):
        """The key stays where the image goes."""
        image = self.make_image("disk.img")
        shown = set()
        for machine in ("q35", "microvm"):
            server = self.start(image, "--nist-algorithms", machine=machine)
            self.sftp("ls", options=("-o", "KexAlgorithms=ecdh-sha2-nistp256",
                                     "-o", "HostKeyAlgorithms=ecdsa-sha2-nistp256"))
            shown.add(server.wait_log(r"ECDSA host key (SHA256:\S+)").group(1))
            server.stop()
        self.assertEqual(len(shown), 1)

    def test_first_sector_refused(self):
        """A disk that takes no write of its first sector, as cloud-hypervisor's without image_type=raw: one line
        says so, and what is there can be read."""
        image = self.make_image("disk.img")
        before = self.read("disk.img")
        disk = {"driver": "blkdebug", "node-name": "d", "image": {"driver": "file", "filename": image},
                "inject-error": [{"event": "none", "iotype": "write", "sector": 0, "errno": 5}]}
        more = ("-blockdev", json.dumps(disk), "-device", "virtio-blk-pci,drive=d,werror=report")
        self.server = self.boot(more=more).wait_listening()
        self.configure(self.server)
        self.assertEqual(self.server.log().count("image_type=raw"), 1)
        self.write("up", "x")
        self.sftp("put up file", ok=False)
        self.sftp("get mirage.pub down")
        self.server.stop()
        self.assertEqual(self.read("disk.img"), before)

    def test_4096_byte_sectors(self):
        """A disk that takes whole 4 KiB only, and a volume made for it."""
        self.image = self.path("disk.img")
        self.run_program(tool("mkfs.fat"), "-S", "4096", "-C", self.image, str(64 << 10))
        self.images.append(self.image)
        more = ("-device", "virtio-blk-pci,drive=large,logical_block_size=4096,physical_block_size=4096",
                "-drive", f"if=none,id=large,format=raw,file={self.image}")
        self.server = self.boot("--key", self.public(self.key), more=more).wait_listening()
        self.configure(self.server)
        self.write("up", content(100_001))
        self.sftp("put up file", "get file down")
        self.expected["file"] = content(100_001)


class Missing(Case):
    """What is missing is named on the console, and the machine ends."""
    serve = False

    def ends_saying(self, *wanted, **machine):
        server = self.boot(**machine)
        server.wait()
        for words in wanted:
            self.assertIn(words, server.log())

    def test_nothing_there(self):
        for machine in ("q35", "microvm"):
            with self.subTest(machine):
                self.ends_saying("error kernel: no disk: attach", machine=machine, network=False)

    def test_no_network(self):
        image = self.make_image("disk.img")
        self.ends_saying("error kernel: no network interface", disks=[image], network=False)

    def test_no_such_disk(self):
        image = self.make_image("disk.img")
        self.ends_saying("error kernel: no disk xvdb: there are vda", disks=[image], line="--disk xvdb")

    def test_no_volume(self):
        image = self.path("random.img")
        self.write("random.img", content(MIB))
        self.ends_saying("error kernel: the disk: ", disks=[image])
        self.assertEqual(self.read("random.img"), content(MIB))

    def test_bad_command_lines(self):
        words = ['virtio_mmio.device=', 'virtio_mmio.device=4K@0x200000:5', 'virtio_mmio.device=4K@0xfffffffff000:5',
                 'virtio_mmio.device=4K@0xd0000000:5', 'virtio_mmio.device=4K@0xd0000800:5', '--port', '70000',
                 'pci=off', '--ipv4', '10.0.2/24', '--nonsense', 'root=/dev/vda', '\\', '"open']
        for machine in ("q35", "microvm"):
            with self.subTest(machine):
                self.ends_saying("ignored on the command line: virtio_mmio.device=: not SIZE@ADDRESS:INTERRUPT",
                                 "virtio_mmio.device at 0x200000: not device memory of its own",
                                 "virtio_mmio.device at 0xfffffffff000: not device memory of its own",
                                 "virtio_mmio.device at 0xd0000000: no virtio device",
                                 "virtio_mmio.device at 0xd0000800: not device memory of its own",
                                 '--port "70000"', '--ipv4 "10.0.2/24"', 'unknown option "--nonsense"',
                                 # It may be a secret's, and is not shown.
                                 "a word too many after --nonsense",
                                 "error kernel: no disk", machine=machine, network=False, line=" ".join(words))

    def test_no_address(self):
        """It runs on, says what to do, and ends when it is asked to."""
        image = self.make_image("disk.img")
        server = self.boot(disks=[image], line="")
        server.wait_log("no address: give --ipv4 and --ipv4-gateway")
        server.stop()


@unittest.skipUnless(LONG, "a long test")
class Boots(Case):
    serve = False
    # A hundred machines, which may have to share their host.
    seconds = 600

    def test_fifty_boots(self):
        image = self.make_image("disk.img")
        for machine in ("q35", "microvm"):
            for number in range(50):
                with self.subTest(machine=machine, boot=number):
                    server = self.boot(disks=[image], machine=machine).wait_listening()
                    server.stop()
