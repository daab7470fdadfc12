"""Mixed load on a guest of 32 MiB: SOAK_SECONDS of it (`make soak`: an hour), 30 in the normal run.

Prints what was done and the most memory that the guest had in use.
"""
import os
import random
import re
import subprocess
import threading
import time

from case import Case
from tools import content, tool

SECONDS = int(os.environ.get("SOAK_SECONDS", "30"))
CLIENTS = 4


class Soak(Case):
    seconds = SECONDS + 180
    size = "256M"

    def test_mixed_load(self):
        counts, failures, kept = {}, [], {}
        end = time.monotonic() + SECONDS

        def work(client):
            choice = random.Random(client)
            mine = {}
            round_number = 0
            try:
                while time.monotonic() < end and not failures:
                    round_number += 1
                    self.round(client, round_number, choice, mine, counts)
            except Exception as error:      # told by the main thread
                failures.append(f"client {client}, round {round_number}: {error}")
            kept.update(mine)

        threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [], self.server.log()[-3000:])
        self.expected.update(kept)
        self.server.stop()
        memory = re.search(r"at most (\d+) of (\d+) KiB", self.server.log())
        self.assertTrue(memory, "the guest did not say what memory it used")
        print(f"soak: {SECONDS} s, {CLIENTS} clients, {counts}, {memory[0]} of memory", flush=True)

    def round(self, client, number, choice, mine, counts):
        """One login with some transfers; what is read must be what was written."""
        base = f"c{client}"
        size = choice.choice([0, 1, 511, 4096, 100_003, 1_000_000])
        data = content(size, client * 1_000_003 + number)
        self.write(f"{base}-up", data)
        lines = [f"-mkdir {base}", f"put {base}-up {base}/new", f"get {base}/new {base}-down"]
        name = f"{base}/file {choice.randrange(12)}"
        lines += [f'rename {base}/new "{name}"', f"ls -l {base}"]
        mine[name] = data
        if len(mine) > 6:
            gone = choice.choice(sorted(mine))
            lines.append(f'rm "{gone}"')
            del mine[gone]
        batch = self.write(f"{base}-batch", "\n".join(lines) + "\n")
        done = subprocess.run([tool("sftp"), "-F", self.path("config"), "-b", batch, "server"],
                              cwd=self.scratch, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=120)
        if done.returncode:
            raise AssertionError(f"sftp ended with {done.returncode}: {done.stdout}{done.stderr}")
        if self.read(f"{base}-down") != data:
            raise AssertionError(f"{size} bytes came back changed")
        for what, how_many in (("logins", 1), ("bytes", 2 * size), ("files", 1)):
            counts[what] = counts.get(what, 0) + how_many
