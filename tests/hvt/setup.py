"""Makes what the tests' tender runs in where KVM does not run kernels: Debian's kernel with KVM in QEMU, whose
emulated CPU has AMD's virtualisation. Unpacked from Debian 12's packages into a cache, as tests/xen does."""
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
XEN = os.path.join(os.path.dirname(HERE), "xen", "setup.py")
specification = importlib.util.spec_from_file_location("xen_setup", XEN)
xen = importlib.util.module_from_spec(specification)
specification.loader.exec_module(xen)

CACHE = os.path.join(os.path.dirname(xen.CACHE), "hvt")
MODULES = ["kvm", "kvm-amd", "tun", "bridge", "virtio_pci", "virtio_net", "virtio_blk", "9pnet_virtio", "9p"]
KEEP = 3


def tender(target):
    """Compiles the tender for any Linux."""
    xen.output("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", f"{HERE}/tender.c", "-o", target)


def build(versions, folder):
    root, tree = f"{folder}/root", f"{folder}/tree"
    xen.unpack([f"{name}={version}" for name, version in versions.items()], root)
    (version,) = os.listdir(f"{root}/lib/modules")
    xen.output(f"{root}/bin/busybox", "depmod", "-b", root, version)
    with open(f"{root}/boot/vmlinuz-{version}", "rb") as packed, open(f"{folder}/vmlinux", "wb") as elf:
        elf.write(xen.vmlinux(packed.read()))
    initramfs = xen.Initramfs(root, tree)
    initramfs.add(f"{root}/bin/busybox", "/bin/busybox")
    tender(f"{root}/tender")
    initramfs.add(f"{root}/tender", "/bin/tender")
    initramfs.add(f"{HERE}/init", "/init")
    initramfs.add_modules(version, MODULES)
    os.mkdir(f"{tree}/dev")
    initramfs.write(f"{folder}/initramfs")
    shutil.rmtree(root)
    shutil.rmtree(tree)


def prepare():
    """The folder with vmlinux and initramfs; made when an input changed."""
    known = xen.packages()
    versions = {name: known[name] for name in known if name.startswith("linux-image") or name == "busybox-static"}
    digest = hashlib.sha256(repr(sorted(versions.items())).encode())
    for name in ("setup.py", "tender.c", "init"):
        with open(f"{HERE}/{name}", "rb") as file:
            digest.update(file.read())
    folder = os.path.join(CACHE, digest.hexdigest()[:16])
    os.makedirs(CACHE, exist_ok=True)
    with open(f"{CACHE}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(folder):
            os.utime(folder)
            return folder
        work = tempfile.mkdtemp(dir=CACHE, prefix="new-")
        try:
            build(versions, work)
            os.rename(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        others = sorted((entry for entry in os.scandir(CACHE) if entry.is_dir() and entry.path != folder),
                        key=lambda entry: -entry.stat().st_mtime)
        for entry in others[KEEP:]:
            shutil.rmtree(entry.path)
    return folder


if __name__ == "__main__":
    try:
        print(prepare())
    except (xen.SetupError, subprocess.CalledProcessError) as problem:
        raise SystemExit(f"setup.py: {problem}") from None
