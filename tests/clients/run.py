#!/usr/bin/python3
"""Runs the tests in several processes: run.py [-j PROCESSES] [--in FOLDER] [MODULE[.CLASS[.TEST]]]...

Every test has a server, a port and a folder of its own, so any two of them may run at once; those of tests/xen
share a machine with what the same process runs before and after. The ones that may take longest begin first. A test
that fails is shown in full when it ends, and by name in the end.
"""

import argparse
import contextlib
import io
import os
import signal
import sys
import time
import unittest
from concurrent.futures import ProcessPoolExecutor, as_completed

HERE = os.path.dirname(os.path.abspath(__file__))


def each_test(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from each_test(item)
        else:
            yield item


def run(name):
    """Runs one test in this process: how it ended, its seconds and all that it said."""
    begin, said = time.monotonic(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        result = unittest.TextTestRunner(said, verbosity=0).run(unittest.defaultTestLoader.loadTestsFromName(name))
    word = "ok" if result.wasSuccessful() and result.testsRun == 1 else "FAILED"
    if word == "ok" and result.skipped:
        word = "skipped: " + result.skipped[0][1]
    return word, time.monotonic() - begin, said.getvalue()


def heed_no_signal():
    """Ctrl-C and timeout(1) reach the whole group of processes: a test still ends with its cleaning up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # A function and not SIG_IGN, which the programs that a test starts would inherit.
        signal.signal(number, lambda *_: None)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("-j", type=int, default=os.cpu_count(), dest="processes")
    options.add_argument("--in", default=HERE, dest="folder", help="the folder of the tests [this one]")
    options.add_argument("names", nargs="*")
    options = options.parse_args()
    sys.path.insert(0, os.path.abspath(options.folder))
    # Told to end, it ends when the tests that run have cleaned up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(options.names) if options.names else loader.discover(options.folder)
    tests = sorted(each_test(suite), key=lambda test: -getattr(test, "seconds", 0))
    begin, failed = time.monotonic(), []
    with ProcessPoolExecutor(options.processes, initializer=heed_no_signal) as pool:
        running = {pool.submit(run, test.id()): test.id() for test in tests}
        try:
            for done in as_completed(running):
                word, seconds, said = done.result()
                name = running[done]
                print(f"{seconds:6.1f} s  {name} ... {word}", flush=True)
                if word == "FAILED":
                    failed.append(name)
                if word == "FAILED" or os.environ.get("KEEP_SCRATCH"):
                    print(said, flush=True)
        except BaseException:
            # A second signal would leave the pool half shut down, and this process waiting for it.
            heed_no_signal()
            pool.shutdown(cancel_futures=True)
            raise
    print(f"{len(tests)} tests in {time.monotonic() - begin:.0f} s, {len(failed)} failed")
    for name in failed:
        print(f"FAILED  {name}")
    return 1 if failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
