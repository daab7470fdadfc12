"""sqlite on a mount, in each journal mode. Locks are the kernel's and hold within one mount."""

import os
import signal
import sqlite3
import subprocess
import sys

from mounted import Mounted

# Fills a table, then begins a transaction that is larger than sqlite's cache, says so, and waits for its end.
WRITER = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute("pragma cache_size = 10")
base.execute("begin")
base.execute("update t set b = zeroblob(2000)")
print("in the middle", flush=True)
sys.stdin.read()
"""


class Sqlite(Mounted):
    def setUp(self):
        super().setUp()
        self.bases = []

    def tearDown(self):
        for base in self.bases:     # after a failure: an open file keeps the volume mounted
            base.close()
        super().tearDown()

    def open(self, mode, locking="normal"):
        base = sqlite3.connect(os.path.join(self.mnt, "base"), timeout=20)
        self.bases.append(base)
        base.execute(f"pragma locking_mode = {locking}")
        self.assertEqual(base.execute(f"pragma journal_mode = {mode}").fetchone(), (mode,))
        return base

    def fill(self, base):
        base.execute("create table t(a integer primary key, b blob)")
        for turn in range(5):
            with base:
                base.executemany("insert into t(b) values(?)", [(bytes([turn]) * 700,)] * 200)

    def sound(self, base, rows):
        self.assertEqual(base.execute("pragma integrity_check").fetchone(), ("ok",))
        self.assertEqual(base.execute("select count(*), min(length(b)), max(length(b)) from t").fetchone(), rows)
        base.close()

    def work(self, mode):
        base = self.open(mode)
        self.fill(base)
        with base:
            base.execute("delete from t where a % 4 = 0")
        if mode != "off":       # which cannot roll back
            base.execute("update t set b = 'x'")
            base.rollback()
        base.execute("vacuum")
        base.close()
        self.sound(self.open(mode), (750, 700, 700))

    def killed(self, mode):
        """A writer is killed in the middle: the next to open the base finds all or nothing of its work."""
        base = self.open(mode)
        self.fill(base)
        base.close()
        writer = self.spawn([sys.executable, "-c", WRITER, os.path.join(self.mnt, "base")],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(writer.stdout.readline(), b"in the middle\n")
        writer.send_signal(signal.SIGKILL)
        writer.wait(10)
        writer.stdin.close()
        writer.stdout.close()
        self.sound(self.open(mode), (1000, 700, 700))

    def test_delete(self):
        self.work("delete")

    def test_truncate(self):
        self.work("truncate")

    def test_persist(self):
        self.work("persist")

    def test_memory(self):
        self.work("memory")

    def test_wal(self):
        self.work("wal")

    def test_off(self):
        self.work("off")

    def test_writer_killed_delete(self):
        self.killed("delete")

    def test_writer_killed_truncate(self):
        self.killed("truncate")

    def test_writer_killed_persist(self):
        self.killed("persist")

    def test_writer_killed_wal(self):
        self.killed("wal")

    def test_two_processes_take_turns(self):
        base = self.open("delete")
        base.execute("create table t(n integer)")
        base.execute("insert into t values(0)")
        base.commit()
        base.close()
        script = ("import sqlite3, sys\nfor _ in range(25):\n  base = sqlite3.connect(sys.argv[1], timeout=40)\n"
                  "  with base: base.execute('update t set n = n + 1')\n  base.close()\n")
        writers = [self.spawn([sys.executable, "-c", script, os.path.join(self.mnt, "base")]) for _ in range(2)]
        for writer in writers:
            self.assertEqual(writer.wait(50), 0)
        self.assertEqual(self.open("delete").execute("select n from t").fetchone(), (50,))


class DirectIo(Sqlite):
    """Without the page cache. WAL needs memory that processes share, which such a file cannot give."""

    mount_options = ("-o", "direct_io")

    def test_wal(self):
        with self.assertRaisesRegex(sqlite3.OperationalError, "disk I/O error"):
            self.work("wal")

    def test_wal_of_one_process(self):
        base = self.open("wal", locking="exclusive")
        self.fill(base)
        self.sound(base, (1000, 700, 700))

    test_writer_killed_wal = None
