#!/usr/bin/env python3
"""Ask RustSec's advisories about Cargo.lock, with cargo-audit.

Where it is not installed, or its database cannot be had, says so in a line and is content: a build needs no network. Ends with 1
where an advisory concerns a crate and docs/dependencies.md does not name it.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Seconds that fetching the database may take.
PATIENCE = 120


def skip(why):
    print(f"advisories: not looked at: {why}")
    return 0


def report():
    """What cargo-audit found, or why it found nothing."""
    program = shutil.which("cargo-audit")
    if program is None:
        return None, "cargo-audit is not installed (cargo install cargo-audit)"
    try:
        done = subprocess.run([program, "audit", "--json", "--file", str(ROOT / "Cargo.lock")], capture_output=True, text=True,
                              timeout=PATIENCE, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return None, f"cargo-audit took more than {PATIENCE} s"
    except OSError as error:
        return None, f"{program}: {error}"
    try:
        found = json.loads(done.stdout)
        found["vulnerabilities"]["list"]
        return found, None
    except (json.JSONDecodeError, KeyError, TypeError):
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        return None, f"cargo-audit has no database: {said[-1]}"


def main():
    found, why = report()
    if found is None:
        return skip(why)
    known = set(re.findall(r"RUSTSEC-\d{4}-\d{4}", (ROOT / "docs" / "dependencies.md").read_text()))
    entries = found["vulnerabilities"]["list"] + [entry for kind in (found.get("warnings") or {}).values() for entry in kind]
    new = []
    for entry in entries:
        advisory, package = entry.get("advisory") or {}, entry["package"]
        # What was only taken back by its author (yanked) has no advisory.
        name = advisory.get("id") or entry.get("kind", "advisory")
        if name not in known:
            new.append(f"{name}: {package['name']} {package['version']}: {advisory.get('title', '')}".rstrip(": "))
    for line in new:
        print(f"advisories: {line}")
    print(f"advisories: {len(entries) - len(new)} known (docs/dependencies.md), {len(new)} new")
    return int(bool(new))


if __name__ == "__main__":
    sys.exit(main())
