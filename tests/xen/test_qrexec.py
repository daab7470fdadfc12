"""The guest's qrexec services, called as dom0 calls them: no test here has a network."""
import errno
import os
import struct
import subprocess
import threading

import case
import filecopy
import qrexec
from filecopy import DIRECTORY, END, LINK, REGULAR, checksum, entry
from qube import Caller, QubeCase
from tools import content, tool

MIB = 1 << 20


class Services(QubeCase):
    serve = False
    version = 3

    def setUp(self):
        super().setUp()
        self.image = self.make_image("disk.img")
        self.server = self.boot_qube(self.image, network=False)
        self.daemon = self.server.connect(self.version)

    def passive(self, service, name="mnt", **options):
        """Mounts as `qrexec-client-vm QUBE SERVICE sshfs -o passive :/ MOUNTPOINT` does in a client; the mount
        point and the call."""
        call = self.daemon.call(service, **options)
        point = self.path(name)
        os.makedirs(point)
        with call.socket() as plain, open(self.path(name + ".log"), "wb") as log:
            client = self.spawn([tool("sshfs"), "-f", "-o", "passive", ":/", point], stdin=plain, stdout=plain, stderr=log)

        def mounted():
            if client.poll() is not None:
                raise AssertionError(f"sshfs does not mount: {self.read(name + '.log')}\n{self.server.log()[-3000:]}")
            return f" {point} fuse.sshfs " in self.mount_table()
        self.until(mounted, 30, "a mount")
        self.mounts.append(point)
        return point, call

    def unmount_passive(self, point, call):
        self.unmount(point)
        self.assertEqual(call.wait()[0], 0)


class Sftp(Services):
    def test_connect_tcp(self):
        """SSH with no network at all, as one policy line allows it."""
        self.configure(self.server.forward("qubes.ConnectTCP+18022"))
        point = self.mount()
        self.write("up", content(MIB))
        self.shell('cp "$2" "$1/file"; cmp "$2" "$1/file"', point, self.path("up"))
        self.sftp("get file down")
        self.assertEqual(self.read("down"), content(MIB))
        self.assertNotEqual(self.daemon.call("qubes.ConnectTCP+1").end().wait()[0], 0)
        self.assertNotEqual(self.daemon.call("qubes.ConnectTCP").end().wait()[0], 0)
        self.expected["file"] = content(MIB)

    def test_passive(self):
        """The raw protocol: no SSH and no keys. The argument is a folder, and out of it leads nothing."""
        point, call = self.passive("mirage.Sftp+", source="work")
        self.write("up", content(MIB))
        self.shell('mkdir "$1/photos"; cp "$2" "$1/photos/file"; echo secret > "$1/private"', point, self.path("up"))
        self.server.wait_log("work")

        folder, of_folder = self.passive("mirage.Sftp+photos", "folder", source="photographer")
        self.assertEqual(os.listdir(folder), ["file"])
        self.shell('cmp "$2" "$1/file"; echo x > "$1/new"; ! cat "$1/../photos/../private" 2>/dev/null', folder, self.path("up"))

        reader, of_reader = self.passive("mirage.SftpReadOnly", "reader", source="viewer")
        self.shell('cmp "$2" "$1/photos/file"', reader, self.path("up"))
        for script in ('echo y > "$1/photos/file"', 'echo y > "$1/y"', 'rm "$1/photos/new"', 'mkdir "$1/d"',
                       'mv "$1/private" "$1/z"', 'touch -d 2001-01-01 "$1/private"'):
            self.shell(script, reader, ok=False)

        for mounted in ((folder, of_folder), (reader, of_reader), (point, call)):
            self.unmount_passive(*mounted)
        for argument in ("absent", "..", "a/b", ".mirage-sshfs"):
            self.assertNotEqual(self.daemon.call(f"mirage.Sftp+{argument}").end().wait()[0], 0, argument)
        self.expected.update({"photos/file": content(MIB), "photos/new": b"x\n", "private": b"secret\n", "y": None})

    def test_no_keys_are_needed(self):
        """An image without any key: who has only qrexec needs none."""
        self.server.stop()
        self.image = self.make_image("keyless.img", key=False)
        self.server = self.boot_qube(self.image, network=False)
        self.daemon = self.server.connect()
        self.unmount_passive(*self.passive("mirage.Sftp"))


class Calls(Services):
    def test_commands(self):
        """`qvm-run -p QUBE COMMAND` sends the command as the input of qubes.VMShell, from dom0 without a `+`."""
        def run(command):
            code, out, err = self.daemon.call("qubes.VMShell", source="dom0").send(f"{command}\nexit $?\n".encode()).end().wait()
            return code, (out + err).decode()
        for command, wanted in (("status", "mirage-sshfs"), ("users", "mirage"), ("df", "[0-9]"), ("fingerprint", "SHA256:"),
                                ("sync", "^$"), ("log *:debug", "^$"), ("help", "status")):
            code, said = run(command)
            self.assertEqual(code, 0, f"{command}: {said}")
            self.assertRegex(said, wanted)
        self.assertNotEqual(run("cat /etc/passwd")[0], 0)
        self.daemon.call("qubes.VMShell", source="dom0").send(b"poweroff\nexit $?\n").end()
        self.assertEqual(self.server.wait(40), 0, self.server.log())

    def test_what_dom0_calls(self):
        """Answered, and what is not known refused with 127."""
        for service in ("qubes.SuspendPre", "qubes.SuspendPreAll", "qubes.SuspendPost", "qubes.SuspendPostAll",
                        "qubes.SetDateTime", "qubes.WaitForRunningSystem", "qubes.WaitForSession", "qubes.PostInstall",
                        "qubes.WaitForNetworkUplink"):
            self.assertEqual(self.daemon.call(service, source="dom0", user="root").end().wait()[0], 0, service)
        for service in ("qubes.Gpg", "qubes.VMRootShell", "x", "mirage.Sftp2"):
            self.assertEqual(self.daemon.call(service).end().wait()[0], qrexec.SERVICE_NOT_FOUND, service)
        self.assertEqual(self.daemon.call(line="user:echo hello", service="").end().wait()[0], qrexec.SERVICE_NOT_FOUND)
        self.assertEqual(self.daemon.call("qubes.SuspendPreAll", kind=qrexec.JUST_EXEC).wait()[0], 0)

    def test_several_at_once(self):
        """Six calls, the ports of which all come back; and none waits for one that says nothing."""
        silent = self.daemon.call("mirage.Sftp")
        init = struct.pack(">IBI", 5, 1, 3)     # SSH_FXP_INIT, version 3
        calls = [self.daemon.call("mirage.Sftp", source=f"q{number}").send(init) for number in range(5)]
        for call in calls:
            self.until(lambda call=call: len(call.out) > 8, 30, "SSH_FXP_VERSION")
            self.assertEqual(call.out[4:9], struct.pack(">BI", 2, 3))
        for call in [*calls, silent]:
            call.end()
        for call in [*calls, silent]:
            self.assertEqual(call.wait()[0], 0)
        self.assertEqual(self.daemon.ports, {})

    def test_callers_that_never_come(self):
        """Their places are free again when others wait for them."""
        self.daemon.forget(30)
        self.server.rig.run("echo 8192 > /sys/module/xen_gntalloc/parameters/limit")
        late = self.daemon.call("qubes.WaitForSession", source="dom0", patience=40)
        self.assertEqual(late.wait()[0], 0)

    def test_daemon_restarts(self):
        """The agent offers the control channel again; a call that runs goes on."""
        call = self.daemon.call("mirage.Sftp")
        self.daemon.restart()
        self.assertEqual(self.daemon.call("qubes.SuspendPreAll").end().wait()[0], 0)
        call.send(struct.pack(">IBI", 5, 1, 3))
        self.until(lambda: len(call.out) > 8, 30, "SSH_FXP_VERSION")
        call.end()
        self.assertTrue(call.done.wait(30))

    def test_client_disappears(self):
        """A caller that is killed frees its place; as often as there are places, and more."""
        for _ in range(12):
            call = self.daemon.call("mirage.Sftp").send(struct.pack(">IBI", 5, 1, 3))
            self.until(lambda call=call: call.out, 30, "an answer")
            call.close()
            self.daemon.wait_terminated(call)
        self.assertEqual(self.daemon.call("qubes.SuspendPreAll").end().wait()[0], 0)


class Ways(Services):
    """The five ways of docs/qubes.md by which qubes share, as far as they need no network (test_qubes.py has that)."""
    seconds = 300

    def test_ways(self):
        owner, of_owner = self.passive("mirage.Sftp", "owner", source="owner")
        self.shell('cd "$1"; mkdir music work photos backup inbox; echo la > music/song; echo old > backup/first', owner)
        # One folder to many, who only read.
        many = [self.passive("mirage.SftpReadOnly+music", f"many{n}", source=f"listener{n}") for n in range(2)]
        for point, _ in many:
            self.shell('grep -q la "$1/song"; ! touch "$1/x" 2>/dev/null; ! rm "$1/song" 2>/dev/null', point)
        # A folder for each qube.
        for name in ("work", "photos"):
            point, call = self.passive(f"mirage.Sftp+{name}", name, source=name)
            self.shell('echo "$2" > "$1/own"; test "$(ls -A "$1")" = own', point, name)
            self.unmount_passive(point, call)
            self.expected[f"{name}/own"] = f"{name}\n".encode()
        # A vault: what was there before the session stays as it was.
        point, call = self.passive("mirage.SftpAdd+backup", "backup", source="work")
        self.shell('echo new > "$1/second"; cat "$1/first" > /dev/null', point)
        for script in ('rm "$1/first"', 'echo x > "$1/first"', 'mv "$1/first" "$1/other"', 'echo x >> "$1/first"'):
            self.shell(script, point, ok=False)
        self.unmount_passive(point, call)
        # Disposable qubes: one after the other comes, reads and is killed; none keeps a place.
        for number in range(2):
            call = self.daemon.call("mirage.SftpReadOnly+inbox", source=f"disp{number}").send(struct.pack(">IBI", 5, 1, 3))
            self.until(lambda call=call: len(call.out) > 8, 30, "SSH_FXP_VERSION")
            call.close()
            self.daemon.wait_terminated(call)
        for mounted in [*many, (owner, of_owner)]:
            self.unmount_passive(*mounted)
        self.expected.update({"music/song": b"la\n", "music/x": None, "backup/first": b"old\n", "backup/second": b"new\n"})


class Bursts(Services):
    # A call takes about a second in an emulated dom0 on a busy machine.
    seconds = 3600 if case.LONG else 400

    def burst(self, count):
        """So many calls of a service that ends at once, all at the same time; their exit codes."""
        codes, one_by_one = [], threading.Lock()

        def one():
            try:
                # The way into the emulated dom0 loses connections that are made all at once.
                with one_by_one:
                    call = self.daemon.call("qubes.WaitForSession", source="dom0", user="root", patience=120)
                codes.append(call.wait()[0])
            except Exception as error:
                codes.append(repr(error))
        callers = [threading.Thread(target=one) for _ in range(count)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        return codes

    def test_bursts(self):
        """More calls at once than there are places: they wait, and none fails. A caller gives up after 5 s, in which
        an emulated machine does not begin so many; here each has the time."""
        # dom0's module grants 1024 pages unless told otherwise, and a call takes 33.
        self.server.rig.run("echo 8192 > /sys/module/xen_gntalloc/parameters/limit")
        for _ in range(17 if case.LONG else 1):
            self.assertEqual(self.burst(60), [0] * 60)
        self.assertEqual(self.daemon.ports, {})


class OtherQube(Services):
    """The other end of a call's data channel is most often not dom0 but the calling qube."""
    seconds = 400

    def test_another_qube_calls(self):
        self.write("linux.img", bytes(1 << 20))
        caller = Caller(self, self.path("linux.img")).start()
        data = content(300_000)
        call = self.daemon.call("qubes.Filecopy", source="vault", caller=caller).send(entry("file", data) + END).end()
        code, answer, _ = call.wait(120)
        self.assertEqual((code, filecopy.result(answer)[0]), (0, 0))
        # A qube that dies in the middle of a call frees its place.
        call = self.daemon.call("mirage.Sftp", caller=caller).send(struct.pack(">IBI", 5, 1, 3))
        self.until(lambda: call.out, 30, "an answer")
        caller.guest.destroy()
        self.daemon.wait_terminated(call)
        self.assertEqual(self.daemon.call("qubes.SuspendPreAll").end().wait()[0], 0)
        self.expected["QubesIncoming/vault/file"] = data


class NewerDaemon(Calls):
    """Qubes 4.3's daemon speaks version 4 of the protocol, and says so."""
    version = 4
    test_several_at_once = test_daemon_restarts = test_client_disappears = test_commands = None


class Copies(Services):
    """`qvm-copy`: the sender gets the error that it shows its user."""

    def copy(self, *entries, source="work", end=END):
        """Sends a whole transfer; errno, and the last name. The receiver's checksum must be the sender's."""
        data = b"".join(entries) + end
        code, answer, said = self.daemon.call("qubes.Filecopy", source=source).send(data).end().wait()
        error, crc, name = filecopy.result(answer)
        if not error:
            self.assertEqual((code, crc), (0, checksum(data)), said)
        return error, name

    def test_files_and_folders(self):
        big = content(3 * MIB)
        tree = (entry("tree", mode=DIRECTORY), entry("tree/one", b"1"), entry("tree/two", b""), entry("tree", mode=DIRECTORY))
        self.assertEqual(self.copy(entry("big", big), *tree, entry("Ünïcödé name", b"x"))[0], 0)
        self.assertEqual(self.copy(entry("big", b"other"), source="vault")[0], 0)
        self.expected.update({"QubesIncoming/work/big": big, "QubesIncoming/work/tree/one": b"1",
                              "QubesIncoming/work/tree/two": b"", "QubesIncoming/work/Ünïcödé name": b"x",
                              "QubesIncoming/vault/big": b"other"})

    def test_errors(self):
        """An existing name is kept, a bad name makes nothing, a full volume says so."""
        self.assertEqual(self.copy(entry("file", b"first"))[0], 0)
        self.assertEqual(self.copy(entry("file", b"second")), (errno.EEXIST, "file"))
        self.assertEqual(self.copy(entry("FILE", b"second"))[0], errno.EEXIST)
        for name in ("..", "../evil", "a/../../evil", "/evil", "a/", "./evil", "", b"\xff\xfe", "a\nb", "\x1b[2J", "absent/evil"):
            self.assertNotEqual(self.copy(entry(name, b"x"))[0], 0, repr(name))
        self.assertNotEqual(self.copy(entry("link", b"/etc/passwd", LINK))[0], 0)
        self.assertNotEqual(self.copy(entry("device", b"", 0o060644))[0], 0)
        for source in ("..", "a/b", "."):
            call = self.daemon.call("qubes.Filecopy", source=source).send(entry("evil", b"x") + END).end()
            self.assertNotEqual(call.wait()[0], 0, source)
        # A refused file is not waited for: the answer comes while the sender has not ended its input.
        call = self.daemon.call("qubes.Filecopy").send(entry("huge", b"x" * 100_000, size=5 << 30))
        code, answer, _ = call.wait(60)
        self.assertEqual((code, filecopy.result(answer)[0]), (1, errno.EFBIG))
        call = self.daemon.call("qubes.Filecopy").send(entry("link", b"/etc/passwd", LINK))
        self.assertIn(b"qvm-copy --ignore-symlinks", call.wait(60)[2])
        # The receiver may stop listening before all is sent.
        self.assertIn(self.copy(entry("huge", b"", size=1 << 40), end=b"")[0], (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
        self.assertIn(self.copy(entry("full", content(60 * MIB)))[0], (errno.ENOSPC, errno.EDQUOT))
        self.assertEqual(self.copy(entry("after", b"x"))[0], 0)
        self.expected.update({"QubesIncoming/work/file": b"first", "QubesIncoming/work/after": b"x", "evil": None,
                              "QubesIncoming/evil": None, "QubesIncoming/work/evil": None, "QubesIncoming/work/link": None})

    def test_broken_off(self):
        """A sender that dies, or lies about lengths: no file with half of its content under its name."""
        half = entry("half", content(MIB), size=2 * MIB)
        call = self.daemon.call("qubes.Filecopy").send(half)
        call.close()
        self.daemon.wait_terminated(call)
        self.assertNotEqual(self.daemon.call("qubes.Filecopy").send(half).end().wait()[0], 0)
        self.assertNotEqual(self.daemon.call("qubes.Filecopy").send(END[:7]).end().wait()[0], 0)
        longest = struct.pack("<I", 0xFFFFFFFF) + END[4:]
        self.assertEqual(self.copy(longest, end=b"")[0], errno.ENAMETOOLONG)
        self.assertEqual(self.copy(entry("after", b"x"))[0], 0)
        self.expected.update({"QubesIncoming/work/half": None, "QubesIncoming/work/after": b"x"})

    def test_killed(self):
        """`qvm-kill` in a copy: what was copied before and synced is there, and of the rest no half under its name."""
        self.assertEqual(self.copy(entry("before", b"x"))[0], 0)
        self.assertEqual(self.daemon.call("qubes.VMShell", source="dom0").send(b"sync\nexit $?\n").end().wait()[0], 0)
        self.daemon.call("qubes.Filecopy").send(entry("half", content(4 * MIB), size=8 * MIB))
        self.server.kill()
        self.daemon.close()
        self.server = self.boot_qube(self.image, network=False)
        self.daemon = self.server.connect()
        self.assertEqual(self.copy(entry("after", b"x"))[0], 0)
        self.expected.update({"QubesIncoming/work/before": b"x", "QubesIncoming/work/half": None,
                              "QubesIncoming/work/after": b"x"})
