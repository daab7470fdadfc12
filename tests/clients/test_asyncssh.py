"""asyncssh: another SSH of its own, with many requests in flight."""

import asyncio
import os

from harness import Case
from tools import asyncssh, content


class Files(Case):
    def sftp(self, work):
        """Runs the coroutine function `work` with a connected SFTP client."""
        async def session():
            async with asyncssh().connect("127.0.0.1", self.server.port, username="mirage", client_keys=[self.key],
                                          known_hosts=None, config=None, agent_path=None) as connection:
                async with connection.start_sftp_client() as remote:
                    await work(remote)
        asyncio.run(asyncio.wait_for(session(), 50))

    def test_tree_there_and_back_with_times(self):
        for number in range(20):
            name = f"tree/dir {number % 5}/file-{number}"
            os.utime(self.write(name, content(number * 3000, number)), (1_600_000_000, 1_600_000_000))
            self.expected[name] = content(number * 3000, number)

        async def work(remote):
            await remote.put(self.path("tree"), "/tree", recurse=True, preserve=True)
            await remote.get("/tree", self.path("back"), recurse=True, preserve=True)
            self.assertEqual(len(await remote.glob("/tree/**/file-*")), 20)
        self.sftp(work)
        self.shell('diff -r "$1" "$2"', self.path("tree"), self.path("back"))
        self.assertEqual(os.stat(self.path("back/dir 3/file-3")).st_mtime, 1_600_000_000)

    def test_128_requests_at_once_of_any_size(self):
        up = self.write("up", content(1_500_001))

        async def work(remote):
            for size in [1000, 262_144]:
                await remote.put(up, f"file{size}", block_size=size, max_requests=128)
                await remote.get(f"file{size}", self.path("down"), block_size=size, max_requests=128)
                self.assertEqual(self.read("down"), content(1_500_001))
                self.expected[f"file{size}"] = content(1_500_001)
        self.sftp(work)

    def test_one_file_in_many_ways(self):
        async def work(remote):
            async with remote.open("file", "w+b") as file:
                await file.write(b"hello")
                await file.write(b"X", 1)
                await file.fsync()
                await file.seek(0)
                self.assertEqual(await file.read(), b"hXllo")
                self.assertGreater((await file.statvfs()).bfree, 0)
                await file.utime((0, 1_600_000_000))
            self.assertEqual((await remote.stat("file")).mtime, 1_600_000_000)
            async with remote.open("file", "ab") as file:
                await file.write(b" tail")
            await remote.truncate("file", 3)
            async with remote.open("file", "ab") as file:
                await file.write(b" end")
            await remote.posix_rename("file", "there")
            await remote.mkdir("/x")
            self.assertEqual(await remote.realpath("/x/../there"), "/there")
            self.assertFalse(await remote.exists("file"))
        self.sftp(work)
        self.expected.update({"file": None, "there": b"hXl end"})

    def test_rename_of_version_3_replaces_nothing(self):
        async def work(remote):
            for name in ["a", "b"]:
                async with remote.open(name, "wb") as file:
                    await file.write(name.encode())
            with self.assertRaises(asyncssh().SFTPError) as refused:
                await remote.rename("a", "b")
            self.assertIn("exists", str(refused.exception))
        self.sftp(work)
        self.expected.update({"a": b"a", "b": b"b"})

    def test_removal_of_a_tree(self):
        async def work(remote):
            await remote.makedirs("a/b/c")
            for number in range(30):
                async with remote.open(f"a/b/{number}", "wb") as file:
                    await file.write(b"x")
            await remote.rmtree("a")
            self.assertNotIn("a", await remote.listdir("/"))
        self.sftp(work)
        self.expected["a/b/7"] = None
