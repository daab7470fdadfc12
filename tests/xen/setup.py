"""Makes what a real Xen in QEMU boots from: the hypervisor, dom0's kernel and dom0's initramfs, all
from Debian 12's packages, or Debian 13's. They are unpacked into a cache folder, none is installed.

    tests/xen/setup.py              prints the folder
    XEN=13 tests/xen/setup.py       the same for Debian 13's
"""
import contextlib
import fcntl
import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "clients"))
from debian import Apt, Problem, closure, output  # noqa: E402

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mirage-sshfs", "xen")
# Of each Debian its Xen, its Linux, and the suite when it is not the installed one.
DEBIANS = {"12": ("4.17", "6.1", None), "13": ("4.20", "6.12", "trixie")}
DEBIAN = os.environ.get("XEN") or "12"
if DEBIAN not in DEBIANS:
    sys.exit(f"XEN={DEBIAN}: not a Debian whose Xen the tests know: {', '.join(DEBIANS)}")
XEN, LINUX, SUITE = DEBIANS[DEBIAN]
XEN_BIN = f"/usr/lib/xen-{XEN}/bin"
PACKAGES = [f"xen-hypervisor-{XEN}-amd64", f"xen-utils-{XEN}", "xenstore-utils", "bash", "busybox-static",
            "coreutils", "libc-bin", "socat", "libxen-dev", "kmod", "zstd", "systemd", "sshfs", "fuse3"]
PROGRAMS = [f"{XEN_BIN}/{name}" for name in ("xl", "libxl-save-helper", "xenstored", "xenconsoled", "xenconsole",
                                              "xen-init-dom0")] + [
    f"/usr/bin/xenstore-{name}" for name in ("read", "write", "ls", "list", "exists", "rm", "watch")] + [
    "/bin/bash", "/bin/vchan", "/usr/bin/socat", "/usr/bin/tail"]
MODULES = ["xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs", "xen-netback", "xen-blkback",
           "bridge", "virtio_pci", "virtio_net", "virtio_scsi", "sd_mod"]
# Of the Linux guest that tests the rig itself, and is another qube.
GUEST_MODULES = ["xen-netfront", "xen-blkfront", "xen-evtchn", "xen-gntdev", "xen-gntalloc", "fuse"]
# Of the Linux that tests/vm has judge exFAT volumes.
JUDGE_MODULES = ["virtio_pci", "virtio_blk", "exfat"]
GUEST_PROGRAMS = ["/bin/bash", "/bin/vchan", "/usr/bin/socat", "/usr/bin/xenstore-exists"]
# Of the Linux guest that mounts by packaging/qube.
MOUNTING_PROGRAMS = ["/lib/systemd/systemd", "/bin/systemctl", "/usr/bin/sshfs", "/bin/fusermount3"]
EXECUTOR = "/usr/lib/systemd/systemd-executor"
QUBE = os.path.join(os.path.dirname(os.path.dirname(HERE)), "packaging", "qube")
# Later ones misread a guest's access to CR2 when they emulate AMD's virtualisation.
QEMU_VERSION = "7.2"
QEMU_PACKAGES = ["qemu-system-x86", "qemu-system-common", "qemu-system-data"]
KEEP = 3    # caches of other versions


def packages():
    """The packages by name with their versions, with all libraries that they need. Remembered until
    apt's lists change: asking apt takes seconds."""
    lists, remembered = "/var/lib/apt/lists", f"{CACHE}/versions-{DEBIAN}"
    stamp = [(entry.name, entry.stat().st_mtime_ns) for entry in os.scandir(lists)] if os.path.isdir(lists) else []
    stamp = repr((sorted(stamp), PACKAGES))
    try:
        with open(remembered) as file:
            known = json.load(file)
        if known["stamp"] == stamp:
            return known["versions"]
    except (OSError, ValueError, KeyError):
        pass
    os.makedirs(CACHE, exist_ok=True)
    with apt() as ask:
        versions = closure(ask, [kernel_package(ask), *PACKAGES])
    with tempfile.NamedTemporaryFile("w", dir=CACHE, delete=False) as file:
        json.dump({"stamp": stamp, "versions": versions}, file)
    os.rename(file.name, remembered)
    return versions


@contextlib.contextmanager
def apt():
    """What runs apt's programs: the installed Debian's, or with another suite's lists."""
    if SUITE is None:
        yield output
        return
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        yield Apt(f"{folder}/apt", SUITE)


def kernel_package(ask):
    kernel = re.search(rf"Depends: (linux-image-{re.escape(LINUX)}\S+)", ask("apt-cache", "depends", "linux-image-amd64"))
    if not kernel:
        raise Problem(f"apt knows no linux-image-{LINUX}: this needs Debian 12, and `apt-get update` as root first")
    return kernel[1]


def key(versions):
    """Changes when any input does."""
    digest = hashlib.sha256()
    inputs = [f"{folder}/{name}" for folder in (f"{HERE}/dom0", f"{HERE}/linux", QUBE) for name in sorted(os.listdir(folder))]
    for name in (f"{HERE}/setup.py", *inputs):
        with open(name, "rb") as file:
            digest.update(os.path.basename(name).encode() + b"\0" + file.read() + b"\0")
    digest.update("".join(f"{name}={version}\n" for name, version in sorted(versions.items())).encode())
    return digest.hexdigest()[:16]


def unpack(ask, wanted, folder):
    """Downloads packages, `name=version` each, and unpacks them into `folder`."""
    debs = tempfile.mkdtemp(dir=os.path.dirname(folder))
    ask("apt-get", "-o", "APT::Sandbox::User=root", "download", "-qq", *wanted, cwd=debs)
    os.makedirs(folder, exist_ok=True)
    for deb in sorted(os.listdir(debs)):
        output("dpkg", "-x", f"{debs}/{deb}", folder)
    # Packages of Debian 13 have nothing beside /usr.
    for name in ("bin", "sbin", "lib", "lib64"):
        if not os.path.exists(f"{folder}/{name}"):
            os.symlink(f"usr/{name}", f"{folder}/{name}")
    shutil.rmtree(debs)


def run_in(root, program, *args, **options):
    """A program of the unpacked packages with their own loader and libraries; what it prints."""
    loader = [f"{root}/lib64/ld-linux-x86-64.so.2", "--argv0", os.path.basename(program), "--library-path", libraries(root)]
    real = root + program
    while os.path.islink(real):
        to = os.readlink(real)
        real = root + to if to.startswith("/") else os.path.join(os.path.dirname(real), to)
    return subprocess.run([*loader, real, *args], check=True, stdout=subprocess.PIPE, **options).stdout


def libraries(root):
    return ":".join(f"{root}{path}" for path in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
                                                 "/usr/lib/x86_64-linux-gnu/systemd"))


def vmlinux(root, image):
    """The ELF inside a bzImage (Linux Documentation/arch/x86/boot.rst, `payload_offset`): unpacked
    here, because under emulation the kernel would take long to unpack itself."""
    sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * 512 + offset
    payload = image[start:start + length]
    if payload[:4] == b"\x28\xb5\x2f\xfd":      # Zstandard; its length stands behind it
        elf = run_in(root, "/usr/bin/zstd", "-dcq", input=payload[:-4])
    else:
        elf = lzma.LZMADecompressor().decompress(payload)
    if elf[:4] != b"\x7fELF":
        raise Problem("dom0's kernel is packed with neither xz nor Zstandard")
    return elf


def compile_vchan(root):
    """dom0's `vchan`, with the unpacked libxenvchan."""
    folder = f"{root}/usr/lib/x86_64-linux-gnu"
    output("gcc", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{root}/usr/include", f"{HERE}/dom0/vchan.c", "-o",
           f"{root}/bin/vchan", f"-L{folder}", f"-Wl,-rpath-link,{libraries(root)}",
           # Their glibc may be newer than that of the linker.
           "-Wl,--allow-shlib-undefined", "-lxenvchan", "-lxenstore", "-lxenevtchn")


def module_name(path):
    return os.path.basename(path).removesuffix(".xz")


class Initramfs:
    """Collects files of the unpacked packages in `root` for an initramfs in `folder`."""

    def __init__(self, root, folder):
        self.root, self.folder = root, folder

    def add(self, source, path):
        target = self.folder + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)

    def add_program(self, path):
        """A program and its libraries, as the packages' own dynamic linker finds them."""
        self.add(self.root + path, path)
        listed = output(f"{self.root}/lib64/ld-linux-x86-64.so.2", "--library-path", libraries(self.root),
                        "--list", self.root + path)
        if missing := re.findall(r"(\S+) => not found", listed):
            raise Problem(f"{path} needs {' '.join(missing)}: a package is missing from setup.py's list")
        for library in re.findall(rf"{re.escape(self.root)}(/\S+)", listed):
            self.add(self.root + library, library)

    def add_modules(self, version, names):
        """The modules and what they need, and `/modules/order`, in which to load them."""
        base = f"{self.root}/lib/modules/{version}"
        with open(f"{base}/modules.dep") as file:
            needs = dict(line.rstrip("\n").split(":") for line in file)
        paths = {os.path.basename(path).split(".")[0].replace("-", "_"): path for path in needs}
        order = []
        for path in filter(None, (paths.get(name.replace("-", "_")) for name in names)):    # or built in
            # depmod lists what a module needs with the first to load at the end.
            order += [p for p in (*reversed(needs[path].split()), path) if p not in order]
        for path in order:
            self.add_module(f"{base}/{path}")
        with open(f"{self.folder}/modules/order", "w") as file:
            file.write("".join(module_name(path) + "\n" for path in order))

    def add_module(self, source):
        """Unpacked: dom0's insmod takes nothing else."""
        os.makedirs(f"{self.folder}/modules", exist_ok=True)
        opened = lzma.open if source.endswith(".xz") else open
        with opened(source, "rb") as packed, open(f"{self.folder}/modules/{module_name(source)}", "wb") as module:
            shutil.copyfileobj(packed, module)

    def write(self, path):
        with open(path, "wb") as file:
            names = output("find", ".", cwd=self.folder)
            subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=self.folder, check=True,
                           input=names.encode(), stdout=file)


def build(versions, folder):
    """Fills `folder`: xen, vmlinux and dom0.cpio; vmlinuz and linux.cpio for a Linux guest; judge.cpio for vmlinux
    without Xen."""
    root = f"{folder}/root"
    with apt() as ask:
        unpack(ask, [f"{name}={version}" for name, version in versions.items()], root)
    (version,) = os.listdir(f"{root}/lib/modules")
    run_in(root, "/sbin/depmod", "-b", root, version)
    with gzip.open(f"{root}/boot/xen-{XEN}-amd64.gz") as packed, open(f"{folder}/xen", "wb") as elf:
        shutil.copyfileobj(packed, elf)
    shutil.copy(f"{root}/boot/vmlinuz-{version}", f"{folder}/vmlinuz")
    with open(f"{folder}/vmlinuz", "rb") as packed, open(f"{folder}/vmlinux", "wb") as elf:
        elf.write(vmlinux(root, packed.read()))
    build_dom0(root, version, f"{folder}/tree").write(f"{folder}/dom0.cpio")
    guest = Initramfs(root, f"{folder}/guest")
    guest.add(f"{root}/bin/busybox", "/bin/busybox")
    for program in GUEST_PROGRAMS:
        guest.add_program(program)
    guest.add(f"{HERE}/dom0/command", "/bin/command")
    guest.add(f"{HERE}/linux/init", "/init")
    guest.add_modules(version, GUEST_MODULES)
    guest.write(f"{folder}/linux.cpio")
    add_mounting(guest)
    guest.write(f"{folder}/mounting.cpio")
    judge = Initramfs(root, f"{folder}/judge")
    judge.add(f"{root}/bin/busybox", "/bin/busybox")
    judge.add(f"{HERE}/linux/judge", "/init")
    judge.add_modules(version, JUDGE_MODULES)
    judge.write(f"{folder}/judge.cpio")
    for unpacked in (root, f"{folder}/tree", f"{folder}/guest", f"{folder}/judge"):
        shutil.rmtree(unpacked)


def add_mounting(guest):
    """systemd, sshfs and packaging/qube as docs/qubes.md installs it; the user's systemd mounts when it begins."""
    for program in MOUNTING_PROGRAMS:
        guest.add_program(program)
    # Later versions begin each process by it.
    if os.path.exists(f"{guest.root}{EXECUTOR}"):
        guest.add_program(EXECUTOR)
    os.chmod(f"{guest.folder}/bin/fusermount3", 0o4755)     # as its package does when it is installed
    shutil.copytree(f"{guest.root}/usr/lib/systemd/user", f"{guest.folder}/usr/lib/systemd/user", symlinks=True)
    for name in ("default.target", "user.service"):
        guest.add(f"{HERE}/linux/{name}", f"/etc/systemd/system/{name}")
    # There is no journal.
    guest.add(f"{HERE}/linux/log.conf", "/etc/systemd/user/mirage-mount@.service.d/log.conf")
    guest.add(f"{HERE}/linux/qrexec-client-vm", "/usr/bin/qrexec-client-vm")
    guest.add(f"{QUBE}/mirage-mount", "/usr/bin/mirage-mount")
    guest.add(f"{QUBE}/mirage-mount@.service", "/usr/lib/systemd/user/mirage-mount@.service")
    wants = f"{guest.folder}/home/user/.config/systemd/user/default.target.wants"
    os.makedirs(wants)
    os.symlink("/usr/lib/systemd/user/mirage-mount@.service", f"{wants}/mirage-mount@mirage-sshfs.service")
    os.symlink("/proc/self/mounts", f"{guest.folder}/etc/mtab")
    for name, text in (("passwd", "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"),
                       ("group", "root:x:0:\nuser:x:1000:\n"), ("machine-id", "0" * 31 + "1\n")):
        with open(f"{guest.folder}/etc/{name}", "w") as file:
            file.write(text)


def build_dom0(root, version, tree):
    for path in ("dev", "proc", "sys", "tmp", "root", "run/xen", "run/xenstored", "var/lib/xen", "var/lib/xenstored",
                 "var/log/xen/console", "var/lock", "guests"):
        os.makedirs(f"{tree}/{path}")
    os.symlink("../run", f"{tree}/var/run")
    dom0 = Initramfs(root, tree)
    dom0.add(f"{root}/bin/busybox", "/bin/busybox")
    for name in output(f"{root}/bin/busybox", "--list").split():
        if name not in ("busybox", "bash"):
            os.symlink("busybox", f"{tree}/bin/{name}")
    compile_vchan(root)
    for program in PROGRAMS:
        dom0.add_program(program)
    # glibc loads it by name when a thread ends.
    dom0.add(f"{root}/lib/x86_64-linux-gnu/libgcc_s.so.1", "/lib/x86_64-linux-gnu/libgcc_s.so.1")
    dom0.add_modules(version, MODULES)
    dom0.add(f"{HERE}/dom0/init", "/init")
    dom0.add(f"{HERE}/dom0/command", "/bin/command")
    for name in ("disk", "vif", "vif-route"):
        dom0.add(f"{HERE}/dom0/{name}", f"/etc/xen/scripts/{name}")
    for path, text in (("passwd", "root:x:0:0::/root:/bin/sh\n"), ("group", "root:x:0:\n"), ("xen/xl.conf", "")):
        with open(f"{tree}/etc/{path}", "w") as file:
            file.write(text)
    return dom0


def prepare():
    """The folder with all files; made when an input changed. Takes about half a minute then."""
    versions = packages()
    folder = os.path.join(CACHE, key(versions))
    os.makedirs(CACHE, exist_ok=True)
    with open(f"{CACHE}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(folder):
            os.utime(folder)
            return folder
        print(f"building Xen's dom0 in {folder}", file=sys.stderr, flush=True)
        work = tempfile.mkdtemp(dir=CACHE, prefix="new-")
        try:
            build(versions, work)
            os.rename(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        others = sorted((entry for entry in os.scandir(CACHE) if entry.is_dir() and entry.path != folder
                         and re.fullmatch("[0-9a-f]{16}", entry.name)), key=lambda entry: -entry.stat().st_mtime)
        for entry in others[KEEP:]:
            shutil.rmtree(entry.path)
    return folder


def qemu():
    """The command of a QEMU that can run Xen: the installed one, or one unpacked beside it."""
    version = output("qemu-system-x86_64", "--version")
    if f"version {QEMU_VERSION}." in version:
        return ["qemu-system-x86_64"]
    folder = f"{CACHE}/qemu-{QEMU_VERSION}"
    os.makedirs(CACHE, exist_ok=True)
    with open(f"{CACHE}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(folder):
            wanted = []
            for name in QEMU_PACKAGES:
                found = re.search(rf"\| (1:{re.escape(QEMU_VERSION)}\+\S+) ", output("apt-cache", "madison", name))
                if not found:
                    raise Problem(f"needs QEMU {QEMU_VERSION}, Debian 12's; apt knows no such {name}")
                wanted.append(f"{name}={found[1]}")
            unpack(output, wanted, f"{folder}.new")
            os.rename(f"{folder}.new", folder)
    return [f"{folder}/usr/bin/qemu-system-x86_64", "-L", f"{folder}/usr/share/qemu", "-L", "/usr/share/seabios"]


if __name__ == "__main__":
    try:
        print(prepare())
    except Problem as problem:
        sys.exit(f"setup.py: {problem}")
