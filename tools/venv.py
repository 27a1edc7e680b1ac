#!/usr/bin/env python3
"""Make a Python environment in the cache folder, for tests and benchmarks.

    venv.py readers    the readers that results must open in, and Jupyter's client (0.5 GB)
    venv.py torch      PyTorch, the baseline of the benchmark (6 GB)

An environment that is complete is left as it is.
"""

import shutil
import subprocess
import sys

from setup import CACHE, VERSION, alone, fail, say

PACKAGES = {
    "readers": [
        "pyarrow==26.0.1", "pandas==3.1.1", "polars==2.1.0", "duckdb==2.0.0", "numpy==2.4.6",
        "jupyter_client==8.10.0", "nbconvert==7.17.2", "nbformat==5.11.1",
    ],
    "torch": [f"torch=={VERSION}", "numpy==2.4.6", "pyarrow==26.0.1", "pillow==13.0.0"],
}

OLDEST = (3, 11)


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in PACKAGES:
        fail(f"usage: venv.py {'|'.join(PACKAGES)}")
    if sys.version_info < OLDEST:
        fail(f"these packages need Python {OLDEST[0]}.{OLDEST[1]}, and this is {sys.version.split()[0]}; "
             "name another with make PYTHON=…")
    CACHE.mkdir(parents=True, exist_ok=True)
    with alone():
        make(sys.argv[1])


def make(name):
    wanted = "\n".join(PACKAGES[name]) + "\n"
    folder = CACHE / name
    complete = folder / "packages.txt"
    if complete.exists() and complete.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    say(f"making the Python environment `{name}` in {folder}")
    steps = [
        [sys.executable, "-m", "venv", str(folder)],
        [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *PACKAGES[name]],
    ]
    for step in steps:
        if subprocess.run(step).returncode != 0:
            fail(f"`{' '.join(step)}` failed; see its message above")
    complete.write_text(wanted)


if __name__ == "__main__":
    main()
