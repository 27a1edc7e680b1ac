#!/usr/bin/env python3
"""Write the versions and SHA-256 of everything that pip installs for kelvin, into tools/requirements/NAME.txt.

    lock.py [NAME…]

Only metadata is fetched. pip says which versions fit together, for every Python that an environment is made with; the hashes are those
that the package index gives of all files that pip may choose among on Linux x86-64. After a change of PACKAGES, or to
take newer versions, run this, `make test` and commit what it wrote.
"""

import json
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

from setup import REQUIREMENTS, VERSION, certificates, fail, index_links, index_url, say

# By environment: the Pythons it is made with, and what is asked for. What that needs in turn, pip
# finds.
PACKAGES = {
    "readers": (range(11, 15), [
        "pyarrow==26.0.1", "pandas==3.1.1", "polars==2.1.0", "duckdb==2.0.0", "numpy==2.4.6",
        "jupyter_client==8.10.0", "nbconvert==7.17.2", "nbformat==5.11.1",
    ]),
    "torch": (range(11, 15), [f"torch=={VERSION}", "numpy==2.4.6", "pyarrow==26.0.1", "pillow==13.0.0"]),
    "cuda": (range(10, 15), [f"torch=={VERSION}"]),
}

# glibc's versions whose wheels are taken, newest first.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(40, 4, -1)] + [
    "manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]


def resolve(minor, packages):
    """The packages that pip would install for a version of Python 3: names with their versions."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
                   "--only-binary=:all:", "--implementation=cp", f"--python-version=3.{minor}", "--target", folder,
                   "--report", str(report)]
        command += [f"--platform={platform}" for platform in PLATFORMS]
        if subprocess.run([*command, *packages]).returncode != 0:
            fail(f"pip found no versions for Python 3.{minor}; see its message above")
        installed = json.loads(report.read_text())["install"]
    return {plain(part["metadata"]["name"]): part["metadata"]["version"] for part in installed}


def plain(name):
    """A project's name as package indexes write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def fits(file, name, version, pythons):
    """Whether pip may choose a file of the index for these Pythons."""
    if not file.endswith(".whl"):
        return False
    found, its_version, *_, python, abi, platform = file[:-4].split("-")
    if plain(found) != name or its_version != version:
        return False
    of_linux = platform == "any" or any(
        tag.endswith("_x86_64") and tag.startswith(("manylinux", "linux")) for tag in platform.split("."))
    exact = {f"cp3{minor}" for minor in pythons}
    # Of the stable interface those for an older Python do, too.
    stable = {f"cp3{minor}" for minor in range(2, max(pythons) + 1)} if "abi3" in abi else set()
    tags = set(python.split("."))
    return of_linux and not abi.endswith("t") and bool(tags & (exact | stable | {"py3"}))


def hashes(name, version, pythons, index, context):
    found = {}
    for address in index_links(index, name, context):
        path, _, digest = address.partition("#")
        file = urllib.parse.unquote(path.rsplit("/", 1)[-1])
        if digest.startswith("sha256=") and fits(file, name, version, pythons):
            found[file] = digest.removeprefix("sha256=")
    return sorted(set(found.values())) or fail(f"the package index has no hashes of {name} {version}")


def lock(name, index, context):
    pythons, packages = PACKAGES[name]
    of = {}
    for minor in pythons:
        say(f"{name}: Python 3.{minor}")
        for package, version in resolve(minor, packages).items():
            of.setdefault(package, {}).setdefault(version, []).append(minor)
    lines = ["# Written by tools/lock.py: what pip installs, on Linux x86-64, and nothing else."]
    for package, versions in sorted(of.items()):
        for version, minors in sorted(versions.items()):
            condition = ""
            if len(minors) < len(pythons):
                condition = " ; " + " or ".join(f"python_version == '3.{minor}'" for minor in minors)
            digests = hashes(package, version, minors, index, context)
            lines.append(f"{package}=={version}{condition}" + "".join(f" \\\n    --hash=sha256:{digest}" for digest in digests))
    REQUIREMENTS.mkdir(exist_ok=True)
    (REQUIREMENTS / f"{name}.txt").write_text("\n".join(lines) + "\n")


def main():
    names = sys.argv[1:] or list(PACKAGES)
    if unknown := [name for name in names if name not in PACKAGES]:
        fail(f"expected {', '.join(PACKAGES)}, found {', '.join(unknown)}")
    index, context = index_url(), certificates()
    for name in names:
        lock(name, index, context)


if __name__ == "__main__":
    main()
