"""The programs that the tests run, and the files that they move."""

import hashlib
import importlib
import os
import shutil
import signal
import warnings

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
# Another folder of the same two programs, to try the tests against something else.
BIN = os.environ.get("MIRAGE_BIN", os.path.join(TARGET, "release"))

PACKAGES = {
    "fsck.fat": "dosfstools", "mkfs.fat": "dosfstools", "fsck.exfat": "exfatprogs", "mkfs.exfat": "exfatprogs",
    "mcopy": "mtools", "ssh": "openssh-client",
    "sftp": "openssh-client", "scp": "openssh-client", "ssh-keygen": "openssh-client",
    "sshfs": "sshfs", "fusermount3": "fuse3", "rclone": "rclone", "git": "git", "tar": "tar",
    "lftp": "lftp", "psftp": "putty-tools", "puttygen": "putty-tools", "paramiko": "python3-paramiko",
    "asyncssh": "python3-asyncssh", "vim.tiny": "vim-tiny", "qemu-img": "qemu-utils", "ssh-agent": "openssh-client",
    "ssh-add": "openssh-client", "systemd-analyze": "systemd", "gio": "libglib2.0-bin", "dbus-run-session": "dbus-daemon",
    "restic": "restic",
}

# Programs that cargo builds for the tests: `make tools` does.
CARGO_TOOLS = os.path.join(TARGET, "tools", "bin")


def tool(name):
    """The full path of a client program; a missing one fails the test and names its package."""
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", CARGO_TOOLS]))
    if path is None:
        how = "make tools" if name == "fsx" else f"apt-get install {PACKAGES.get(name, name)}"
        raise AssertionError(f"{name} is missing: {how}")
    return path


def program(name):
    """The full path of a program of this project."""
    path = os.path.join(BIN, name)
    if not os.access(path, os.X_OK):
        raise AssertionError(f"{path} is missing: cargo build --release")
    return path


def module(name):
    """A client that is a Python module; a missing one fails the test and names its package."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")     # of old ciphers that it would know
            return importlib.import_module(name)
    except ImportError:
        raise AssertionError(f"{name} is missing: apt-get install {PACKAGES[name]}; run with /usr/bin/python3") from None


def paramiko():
    return module("paramiko")


def asyncssh():
    return module("asyncssh")


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content(size, seed=1):
    """`size` bytes that do not compress and are the same for the same seed."""
    return hashlib.shake_128(f"{seed}/{size}".encode()).digest(size)


def big_file(path, size, seed=1):
    """A file of `size` bytes no two MiB of which are alike; its sha256."""
    digest, block = hashlib.sha256(), content(1 << 20, seed)
    with open(path, "wb") as file:
        for number in range(0, size, 1 << 20):
            piece = (number.to_bytes(8, "big") + block)[:min(1 << 20, size - number)]
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def kill_group(process, number=signal.SIGKILL):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass
