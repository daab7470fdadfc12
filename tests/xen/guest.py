"""One guest of the rig: its configuration, its console and what `xl` does with it."""
import re
import shlex
import socket
import threading
import time

VIF = ["bridge=xenbr0", "script=/etc/xen/scripts/vif"]
# In the order in which Xen numbers a guest's disks.
DISK_NAMES = ["xvda", "xvdb", "xvdc", "xvdd"]


class Guest:
    """A PVH guest with one CPU.

    disks: paths of images on the host, or tuples of a path and `Rig.plug`'s options (`read_only`,
    `sector`) or `name` (xvdb). prepare: called with the guest when it exists and before it runs.
    """

    def __init__(self, rig, name, kernel, memory=32, command_line="", disks=(), interfaces=1, ramdisk=None, more="",
                 vif=None, prepare=None):
        self.rig, self.name, self.kernel, self.memory = rig, name, kernel, memory
        self.prepare = prepare
        self.command_line, self.interfaces, self.ramdisk, self.more = command_line, interfaces, ramdisk, more
        # Xen's own prefix. All guests share one bridge, so no two may have one address.
        self.vif = vif or [f"mac=00:16:3e:00:00:{len(rig.guests) + 1:02x}", *VIF]
        self.disks = [(disk, {}) if isinstance(disk, str) else disk for disk in disks]
        self.plugged = []
        self.said = bytearray()
        self.follower = None
        self.domid = None

    def configuration(self, files, devices):
        disks = ", ".join(f'"format=raw,vdev={name},access={access},script=/etc/xen/scripts/disk,target={device}"'
                          for name, access, device in devices)
        vifs = ", ".join([f'"{",".join(self.vif)}"'] * self.interfaces)
        escaped = self.command_line.replace("\\", "\\\\").replace('"', '\\"')
        return f"""type = "pvh"
name = "{self.name}"
{files}
cmdline = "{escaped}"
memory = {self.memory}
maxmem = {self.memory}
vcpus = 1
cpus = "1"
disk = [{disks}]
vif = [{vifs}]
on_poweroff = "destroy"
on_reboot = "destroy"
on_crash = "destroy"
{self.more}
"""

    def configure(self):
        """Plugs its disks, follows its console from the first byte, and writes what `xl create`
        reads; dom0's path of that."""
        rig, base = self.rig, f"/guests/{self.name}"
        devices = []
        for place, (image, options) in zip(DISK_NAMES, self.disks):
            options = dict(options)
            name = options.pop("name", place)
            number, device = rig.plug(image, **options)
            self.plugged.append(number)
            devices.append((name, "ro" if options.get("read_only") else "rw", device))
        files = [f'kernel = "{rig.put(self.kernel)}"']
        if self.ramdisk:
            files.append(f'ramdisk = "{rig.put(self.ramdisk)}"')
        log = f"/var/log/xen/console/guest-{self.name}.log"
        # dom0's busybox has a tail too, which looks once a second.
        self.follower = rig.connect(f"touch {log}; exec /usr/bin/tail -c +1 -f {log} 2>/dev/null", 86400)
        self.follower.settimeout(None)
        threading.Thread(target=self.follow, args=(self.follower,), daemon=True).start()
        rig.call(f"cat > {base}.cfg", self.configuration("\n".join(files), devices).encode())
        return f"{base}.cfg"

    def create(self):
        """`xl create`."""
        base = self.configure().removesuffix(".cfg")
        paused = "-p" if self.prepare else ""
        # The guest may be gone by the time it is asked for.
        status, said = self.rig.call(f"xl create {paused} {base}.cfg >{base}.out 2>&1 || {{ cat {base}.out; exit 1; }}; "
                                     f"xl domid {self.name} 2>/dev/null || true", seconds=60)
        said = said.decode(errors="replace")
        if status:
            raise AssertionError(f"xl create: {said}\n{self.details()}")
        self.domid = said.strip() or None
        if self.prepare:
            self.prepare(self)
            self.xl("unpause")

    def follow(self, follower):
        try:
            while piece := follower.recv(1 << 16):
                self.said += piece
        except OSError:
            pass

    # What it says

    def console(self):
        return self.said.decode(errors="replace").replace("\r\n", "\n")

    def wait_console(self, pattern, seconds=30, count=1):
        """Waits until the console matches `count` times; the last match. A guest that ended says no more."""
        looked, ended = time.monotonic(), False

        def found():
            nonlocal looked, ended
            matches = list(re.finditer(pattern, self.console()))
            if len(matches) >= count:
                return matches[count - 1]
            if time.monotonic() > looked + 2:
                looked = time.monotonic()
                # What it said last may come after the news of its end.
                if ended:
                    raise AssertionError(f"{self.name} ended without {pattern!r}\n{self.details()}")
                ended = not self.running()
            return None
        return self.rig.until(found, seconds, f"{pattern!r} on the console of {self.name}", self.details)

    def details(self):
        return f"console:\n{self.console()[-4000:]}\nXen:\n{self.rig.xen_log()[-1500:]}"

    # What is done to it

    def xl(self, command, *words, seconds=30):
        """`xl COMMAND guest WORDS…`"""
        return self.rig.run(" ".join(["xl", command, self.name, *words]), seconds)

    def running(self):
        return self.rig.call(f"xl domid {self.name}")[0] == 0

    def wait(self, seconds=30):
        """Waits for its end: Xen's reason, 0 power off, 1 reboot, 2 suspend, 3 crash, or None when
        it was destroyed. Its images are the host's again."""
        if self.domid:
            self.rig.run(f"n=0; while xenstore-exists /local/domain/{self.domid}/name 2>/dev/null; do "
                         f"[ $n -lt {seconds * 20} ] || {{ echo still running after {seconds} s; xl list; exit 1; }}; "
                         "n=$((n+1)); usleep 50000; done", seconds + 30)
        # `xl create` may have refused it, and logged nothing.
        log = self.rig.run(f"cat /var/log/xen/xl-{self.name}.log 2>/dev/null || true")
        # One that was saved before was suspended then.
        reasons = re.findall(r"has shut down, reason code (\d+)", log)
        self.release()
        return int(reasons[-1]) if reasons else None

    def release(self):
        while self.plugged:
            self.rig.unplug(self.plugged.pop())

    def shutdown(self, seconds=30):
        """`xl shutdown`, to its end; Xen's reason."""
        self.xl("shutdown")
        return self.wait(seconds)

    def destroy(self):
        if self.running():
            self.xl("destroy")
        return self.wait()

    def save(self, path, *options, seconds=150):
        """`xl save` to a file of dom0; without options the domain is gone then."""
        status, said = self.rig.call(f"xl save {' '.join(options)} {self.name} {path} 2>&1", seconds=seconds)
        if status:
            raise AssertionError(f"xl save: {said.decode(errors='replace')}\n{self.details()}")

    def restore(self, path, seconds=150):
        """`xl restore` of what `save` wrote: the guest goes on as another domain. The file, which
        lies in dom0's memory, goes."""
        paused = "-p" if self.prepare else ""
        status, said = self.rig.call(f"xl restore {paused} {path} 2>&1 && rm {path} && xl domid {self.name}", seconds=seconds)
        said = said.decode(errors="replace")
        if status:
            raise AssertionError(f"xl restore: {said}\n{self.details()}")
        self.domid = said.split()[-1]
        if self.prepare:
            self.prepare(self)
            self.xl("unpause")

    def attach_network(self):
        self.xl("network-attach", *map(shlex.quote, self.vif))

    def detach_network(self, number=0):
        self.xl("network-detach", str(number))

    def attach_disk(self, image, name, read_only=False, **options):
        number, device = self.rig.plug(image, read_only, **options)
        self.plugged.append(number)
        access = "ro" if read_only else "rw"
        self.xl("block-attach", f"format=raw,vdev={name},access={access},script=/etc/xen/scripts/disk,target={device}")

    def detach_disk(self, name):
        self.xl("block-detach", name)

    def store(self, path):
        """A value of the guest's part of the XenStore, None when there is none."""
        status, said = self.rig.call(f"xenstore-read /local/domain/{self.domid}/{path}")
        return said.decode().strip() if status == 0 else None

    def forget(self):
        """Ends the thread that follows the console."""
        if self.follower:
            try:
                self.follower.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.follower.close()
            self.follower = None
