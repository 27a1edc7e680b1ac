#!/usr/bin/env python3
"""Make a Python environment in the cache folder, for tests and benchmarks.

    venv.py readers    the readers that results must open in, and Jupyter's client (0.5 GB)
    venv.py torch      PyTorch, the baseline of the benchmark (6 GB)

An environment that is complete is left as it is. Versions and hashes are in tools/requirements, which tools/lock.py writes.
"""

import shutil
import subprocess
import sys

from setup import CACHE, REQUIREMENTS, alone, fail, install, say

ENVIRONMENTS = ["readers", "torch"]

OLDEST = (3, 11)


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in ENVIRONMENTS:
        fail(f"usage: venv.py {'|'.join(ENVIRONMENTS)}")
    if sys.version_info < OLDEST:
        fail(f"these packages need Python {OLDEST[0]}.{OLDEST[1]}, and this is {sys.version.split()[0]}; "
             "name another with make PYTHON=…")
    CACHE.mkdir(parents=True, exist_ok=True)
    with alone():
        make(sys.argv[1])


def make(name):
    wanted = (REQUIREMENTS / f"{name}.txt").read_text()
    folder = CACHE / name
    # Written last. The Python that it was made with may be gone.
    complete, python = folder / "packages.txt", folder / "bin" / "python"
    if complete.exists() and complete.read_text() == wanted and python.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    say(f"making the Python environment `{name}` in {folder}")
    if subprocess.run([sys.executable, "-I", "-m", "venv", str(folder)]).returncode != 0:
        fail(f"{sys.executable} cannot make an environment; see its message above (Debian: python3-venv)")
    install(python, name)
    complete.write_text(wanted)


if __name__ == "__main__":
    main()
