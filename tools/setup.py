#!/usr/bin/env python3
"""Fetch libtorch into the cache folder and tell cargo where it is.

Python's standard library and pip are all it needs. It is safe to run again, and to
interrupt: downloads continue where they stopped, every file is checked against the
SHA-256 below, and a folder appears under its final name only when it is complete.

    CACHE/wheels/*.whl               what was downloaded (removed once unpacked)
    CACHE/libtorch-2.11.0/site/      the wheels, unpacked side by side as pip lays them out
    CACHE/libtorch-2.11.0/link/      what torch-sys links against: the CPU libraries alone
    CACHE/cuda-2.11.0/               the same torch with its CUDA packages, 5 GB (where there is an NVIDIA driver, or
                                     KELVIN_CUDA=1 says that the program will run where there is one)
    CACHE/target/                    what cargo compiled, shared by all clones; programs are in ./target

CACHE is $KELVIN_CACHE, else $XDG_CACHE_HOME/kelvin, else ~/.cache/kelvin. The last step
writes .cargo/config.toml (not tracked), so that plain `cargo build` works with no variable.
"""

import contextlib
import csv
import errno
import fcntl
import hashlib
import html.parser
import http.client
import json
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

VERSION = "2.11.0"
ROOT = Path(__file__).resolve().parent.parent
# What pip installs, with versions and hashes; tools/lock.py writes it.
REQUIREMENTS = ROOT / "tools" / "requirements"
CACHE = Path(
    os.environ.get("KELVIN_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kelvin"
).resolve()

# project, file name, SHA-256. Any CPython's wheel holds the same libtorch; this one is fetched
# everywhere.
WHEELS = [
    ("torch", "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl",
     "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a"),
    ("nvidia-cuda-runtime", "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
    ("nvidia-cuda-cupti", "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl", "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"),
]
# torch-sys links libtorch_cuda wherever it sees it; here it sees the CPU libraries alone.
LINKS = {"libc10.so": "libc10.so", "libtorch_cpu.so": "libtorch_cpu.so", "libgomp.so.1": "libgomp.so.1",
         "libtorch.so": "libtorch_cpu.so"}
DISK_GB = 4  # wheels 0.54, unpacked 1.1, cargo's target folder about 2


def fail(message):
    sys.exit(f"setup: {message}")


def say(message):
    print(f"setup: {message}", flush=True)


@contextlib.contextmanager
def alone():
    """Wait until no other set-up works in the cache folder."""
    with open(CACHE / "setup.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up in the same cache folder")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def pip_setting(name):
    """A setting of pip (index-url, cert), from the environment or pip's files, or None."""
    value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    if value:
        return value
    found = subprocess.run([sys.executable, "-m", "pip", "config", "get", f"global.{name}"],
                           capture_output=True, text=True)
    return found.stdout.strip() or None if found.returncode == 0 else None


def index_url():
    """The package index that pip would ask."""
    default = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    found = pip_setting("index-url") or subprocess.run(
        [sys.executable, "-c", default], capture_output=True, text=True).stdout.strip()
    return found or fail(f"{sys.executable} has no pip; install it (Debian: python3-pip python3-venv)")


class Links(html.parser.HTMLParser):
    """The links of a package index page (PEP 503)."""

    def __init__(self):
        super().__init__()
        self.hrefs = []

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.hrefs.append(dict(attrs).get("href") or "")


def index_links(index, project, context):
    """The addresses of a project's files in a package index (PEP 503 page), with their hashes behind a #."""
    page = f"{index.rstrip('/')}/{project}/"
    request = urllib.request.Request(page, headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:
        links = Links()
        links.feed(answer.read().decode())
        base = answer.geturl()
    return [urllib.parse.urljoin(base, href) for href in links.hrefs]


def file_url(index, project, name, context):
    """The address of one file of a project."""
    for address in index_links(index, project, context):
        address = address.split("#")[0]
        if urllib.parse.unquote(address.rsplit("/", 1)[-1]) == name:
            return address
    fail(f"the package index {index} does not list {name}")


def certificates():
    """What package indexes are trusted by: the certificates that pip uses."""
    cert = pip_setting("cert")
    return ssl.create_default_context(cafile=cert if cert and os.path.exists(cert) else None)


def install(python, name, *options):
    """Have pip install an environment's packages, each in a version and with a hash that this repository knows."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:", *options,
               "-r", str(REQUIREMENTS / f"{name}.txt")]
    if subprocess.run(command).returncode != 0:
        fail(f"`{' '.join(command)}` failed; see its message above")


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch(index, context, project, name, expected):
    """Download one wheel, continuing a partial one, and check its hash."""
    target = CACHE / "wheels" / name
    if target.exists() and sha256(target) == expected:
        return target
    part = target.with_suffix(".part")
    url = file_url(index, project, name, context)
    for attempt in range(5):
        total = None
        have = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as answer:
                resumed = answer.status == 206
                total = int(answer.headers.get("Content-Length") or 0) + (have if resumed else 0)
                say(f"{name}: {total / 1e6:.0f} MB" + (f", continuing at {have / 1e6:.0f} MB" if resumed else ""))
                with open(part, "ab" if resumed else "wb") as file:
                    shutil.copyfileobj(answer, file, 1 << 20)
        except urllib.error.HTTPError as error:
            if error.code != 416:  # 416: the whole file was there already
                fail(f"downloading {name}: {error}")
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) == errno.ENOSPC:
                fail(f"the disk of {CACHE} is full; free {DISK_GB} GB, or set KELVIN_CACHE to a folder on a larger disk")
            say(f"{name}: {error}; trying again" if attempt < 4 else f"{name}: {error}")
            continue
        found = sha256(part)
        if found == expected:
            part.replace(target)
            return target
        # Cut off, it goes on from here; whole and wrong, it starts over.
        if total is None or part.stat().st_size >= total:
            part.unlink()
            say(f"{name}: SHA-256 is {found}, expected {expected}; starting over")
    fail(f"could not download {name}; what came so far is kept in {part}. Run the same command again.")


def unpack(wheels):
    """Unpack the wheels side by side and add the folder that torch-sys links against."""
    final = CACHE / f"libtorch-{VERSION}"
    fresh = CACHE / f"libtorch-{VERSION}.new-{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    site = fresh / "site"
    for wheel in wheels:
        say(f"unpacking {wheel.name}")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    lib = fresh / "link" / "lib"
    lib.mkdir(parents=True)
    (fresh / "link" / "include").symlink_to("../site/torch/include")
    for link, target in LINKS.items():
        (lib / link).symlink_to(f"../../site/torch/lib/{target}")
    try:
        fresh.rename(final)
    except OSError:
        if not final.exists():
            raise
        shutil.rmtree(fresh, ignore_errors=True)  # another set-up finished first
    for wheel in wheels:
        wheel.unlink(missing_ok=True)


def plain(name):
    """A project's name as folders of installed packages write it."""
    return re.sub(r"[-_.]+", "_", name).lower()


def lacks(site, packages):
    """What is not as it was installed in a folder of packages, or None: every file is there in its length, as each package's own list
    has it. Packages are names with versions."""
    lists = {plain(found.name.removesuffix(".dist-info")): found / "RECORD" for found in site.glob("*.dist-info")}
    for name, version in packages:
        record = lists.get(plain(f"{name}-{version}"))
        if record is None or not record.is_file():
            return f"{name} {version}"
        with open(record, newline="") as file:
            for path, _, size in csv.reader(file):
                found = site / path
                try:
                    # What pip compiles, and the list itself, have no length there.
                    if not found.is_file() or size and found.stat().st_size != int(size):
                        return str(found)
                except OSError:
                    return str(found)
    return None


def required(name):
    """The packages of an environment that every Python needs, with their versions."""
    text = (REQUIREMENTS / f"{name}.txt").read_text()
    return re.findall(r"^([\w.-]+)==([^\s;]+)(?= \\)", text, re.MULTILINE)


def is_whole(final, missing):
    """Whether a folder of the cache is complete; one that is not is taken out of the way."""
    if not final.exists():
        return False
    if missing is None:
        return True
    say(f"{final} is incomplete ({missing}): it is made again")
    aside = final.with_name(f"{final.name}.new-incomplete-{os.getpid()}")
    final.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
    return False


def libtorch():
    final = CACHE / f"libtorch-{VERSION}"
    links = [final / "link" / "lib" / name for name in LINKS]
    missing = next((str(link) for link in links if not link.exists()), None)
    missing = missing or lacks(final / "site", [wheel[1].split("-")[:2] for wheel in WHEELS])
    if is_whole(final, missing):
        return final
    for stale in CACHE.glob(f"libtorch-{VERSION}.new-*"):
        shutil.rmtree(stale, ignore_errors=True)
    free = shutil.disk_usage(CACHE).free / 1e9
    if free < DISK_GB:
        fail(f"{CACHE} has {free:.1f} GB free and needs {DISK_GB} GB. Free some, or set KELVIN_CACHE to a folder on a larger disk.")
    context, index = certificates(), index_url()
    try:
        wheels = [fetch(index, context, *wheel) for wheel in WHEELS]
    except (urllib.error.URLError, TimeoutError) as error:
        fail(f"no answer from the package index {index} ({getattr(error, 'reason', error)}). "
             f"libtorch {VERSION} (0.55 GB) is fetched once; check the network, or pip's index-url and cert, and run this again.")
    try:
        unpack(wheels)
    except OSError as error:
        fail(f"unpacking libtorch into {CACHE}: {error}. Free {DISK_GB} GB, or set KELVIN_CACHE to a folder on a larger disk.")
    return final


def cuda():
    """With an NVIDIA driver: torch with its CUDA packages, loaded at run time by the same binary."""
    if not (Path("/proc/driver/nvidia/version").exists() or os.environ.get("KELVIN_CUDA") == "1"):
        return None
    final = CACHE / f"cuda-{VERSION}"
    if not is_whole(final, lacks(final, required("cuda"))):
        fresh = CACHE / f"cuda-{VERSION}.new-{os.getpid()}"
        say("NVIDIA driver found: installing torch with its CUDA packages (about 5 GB)")
        install(sys.executable, "cuda", "--target", str(fresh))
        fresh.rename(final)
    return final


def write_cargo_config(torch, lib):
    """Point cargo at libtorch and at the shared target folder."""
    config = ROOT / ".cargo" / "config.toml"
    text = "\n".join([
        "# Written by tools/setup.py; not tracked.",
        "[build]",
        f"build-dir = {json.dumps(str(CACHE / 'target'))}",
        "",
        "[env]",
        f"LIBTORCH = {json.dumps(str(torch / 'link'))}",
        f"KELVIN_TORCH_LIB = {json.dumps(str(lib))}",
        "",
    ])
    if not config.exists() or config.read_text() != text:
        config.parent.mkdir(exist_ok=True)
        config.write_text(text)


def main():
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        fail(f"this recipe is for Linux on x86-64, and this is {platform.system()} on {platform.machine()}. "
             f"Install libtorch {VERSION} yourself and set LIBTORCH and KELVIN_TORCH_LIB (its lib folder) for cargo.")
    try:
        (CACHE / "wheels").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"cannot write the cache folder {CACHE}: {error}. Set KELVIN_CACHE to a folder that can be written.")
    with alone():
        torch = libtorch()
        with_cuda = cuda()
    write_cargo_config(torch, (with_cuda or torch / "site") / "torch" / "lib")
    say(f"libtorch {VERSION} is in {torch}")


if __name__ == "__main__":
    main()
