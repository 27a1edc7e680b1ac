#!/usr/bin/env python3
"""Runs a command several times while other work keeps every core busy.

    tools/stress.py TIMES COMMAND…

Ends with 1 where it failed once. `make stress` runs so the tests that run alone.
"""

import multiprocessing
import os
import subprocess
import sys
import time


def burn():
    while True:
        pass


def main():
    times, command = int(sys.argv[1]), sys.argv[2:]
    busy = [multiprocessing.Process(target=burn, daemon=True) for _ in range(os.cpu_count() or 1)]
    for process in busy:
        process.start()
    passed = 0
    for turn in range(1, times + 1):
        started = time.monotonic()
        code = subprocess.run(command).returncode
        passed += code == 0
        print(f"stress: turn {turn} of {times} ended with {code} after {time.monotonic() - started:.0f} s, "
              f"{passed} passed", flush=True)
    for process in busy:
        process.terminate()
    return int(passed < times)


if __name__ == "__main__":
    sys.exit(main())
