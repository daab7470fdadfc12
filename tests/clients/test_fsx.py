"""`fsx`: 10,000 random operations on a file of a mount, each read compared with what was written.

Three seeds in each of five ways to mount, each way another path through sshfs and the kernel.
"""

import os

from harness import Case
from tools import sha256, tool

OPERATIONS = 10_000

# fsx keeps what it has mapped for reading, so each reopening leaves a file open: not more than a session may have.
# posix_fallocate and holes are left out: sshfs has neither.
WEIGHTS = {"read": 10, "write": 10, "truncate": 5, "close_open": 0.5, "fsync": 0.2, "fdatasync": 0.2,
           "posix_fadvise": 1, "copy_file_range": 1}
# ENODEV with direct_io.
MAPPED = {"mapread": 10, "mapwrite": 10, "invalidate": 1, "sendfile": 2}


class Default(Case):
    """Write-back by sshfs, the kernel's page cache while a file is open."""

    seconds = 240
    mount_options = ()
    weights = WEIGHTS | MAPPED
    operations = OPERATIONS

    def exercise(self, seed):
        point = self.mount(*self.mount_options)
        settings = "".join(f"{name} = {weight}\n" for name, weight in self.weights.items())
        config = self.write("fsx.toml", "flen = 262144\n[opsize]\nmax = 65536\n[weights]\n" + settings)
        file = os.path.join(point, "file")
        # -q -q: only what went wrong, and then with the operations before it.
        self.run_program(tool("fsx"), "-q", "-q", "-f", config, "-N", str(self.operations), "-S", str(seed),
                         "-P", self.scratch, file)
        # What the mount shows in the end is what mtools reads of the image.
        self.expected["file"] = sha256(file)

    def test_seed_1(self):
        self.exercise(1)

    def test_seed_2(self):
        self.exercise(2)

    def test_seed_3(self):
        self.exercise(3)


class DirectIo(Default):
    """No page cache: each read and write is a request. The kernel maps no file then."""

    mount_options = ("-o", "direct_io")
    weights = WEIGHTS | dict.fromkeys(MAPPED, 0)


class KernelCache(Default):
    """Pages stay from one opening to the next; large requests."""

    mount_options = ("-o", "kernel_cache,max_read=65536,max_write=65536")


class Synchronous(Default):
    """Each write waits for its answer; no cache of attributes, no read-ahead."""

    mount_options = ("-o", "sshfs_sync,dir_cache=no,no_readahead")


class Connections(Default):
    """Four SSH connections, and sshfs' work-arounds for servers that lack something."""

    mount_options = ("-o", "max_conns=4,auto_cache,workaround=rename:truncate:fstat")
