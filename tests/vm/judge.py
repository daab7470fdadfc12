"""Debian's Linux with its own exFAT driver in QEMU: reads volumes that were written here, and writes to them."""
import importlib.util
import os
import subprocess
import tarfile

from machine import QEMU
from tools import ROOT

LINUX = "console=ttyS0 quiet panic=-1 mitigations=off apparmor=0 audit=0 random.trust_cpu=on tsc=reliable"
XEN = os.path.join(ROOT, "tests", "xen")


def built(debian):
    """The folder with a Debian's kernel, which the Xen rig takes it from."""
    before = os.environ.get("XEN")
    os.environ["XEN"] = debian
    try:
        specification = importlib.util.spec_from_file_location(f"xen_setup_{debian}", os.path.join(XEN, "setup.py"))
        setup = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(setup)
    finally:
        if before is None:
            del os.environ["XEN"]
        else:
            os.environ["XEN"] = before
    return setup.prepare()


def run(debian, given, images, folder, seconds=150):
    """Runs the script `given`/script on the images, which are its disks from /dev/vdc on; the kernel's version, and
    what the script left in /out, file by file."""
    begin, end, console = (os.path.join(folder, name) for name in ("given.tar", "left.tar", "console"))
    with tarfile.open(begin, "w") as archive:
        archive.add(given, ".")
    with open(end, "wb") as file:
        file.truncate(4 << 20)
    at = built(debian)
    disks = [word for number, (path, more) in enumerate([(begin, ",readonly=on"), (end, ""), *((image, "") for image in images)])
             for word in ("-drive", f"if=none,id=d{number},format=raw,cache=unsafe,file={path}{more}",
                          "-device", f"virtio-blk-pci,drive=d{number}")]
    done = subprocess.run([QEMU, "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "192", "-nodefaults", "-display", "none",
                           "-no-reboot", "-kernel", f"{at}/vmlinux", "-initrd", f"{at}/judge.cpio", "-append", LINUX,
                           "-serial", f"file:{console}", *disks], stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
    try:
        with tarfile.open(end) as archive:
            left = {os.path.basename(member.name): archive.extractfile(member).read() for member in archive if member.isfile()}
    except tarfile.TarError:
        left = {}
    if left.get("code") != b"0\n":
        with open(console, errors="replace") as file:
            raise AssertionError(f"Linux' script: {left.get('log', b'').decode(errors='replace')}\n{file.read()[-3000:]}{done.stderr}")
    return left.pop("version").decode().strip(), left
