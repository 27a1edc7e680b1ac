"""Tests of the tools that set kelvin up: what they find in the cache, what they have pip install, what advisories concern,
how comments are wrapped.

Needs Python's standard library only. Prints a line per test that failed, and ends with 1 then.
"""

import io
import json
import os
import re
import stat
import sys
import tempfile
import unittest
from contextlib import redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
# Never the tester's own cache.
CACHE = tempfile.TemporaryDirectory()
os.environ["KELVIN_CACHE"] = CACHE.name

import audit  # noqa: E402
import comments  # noqa: E402
import lock  # noqa: E402
import setup  # noqa: E402


def package(site, name, version, files):
    """A package as pip leaves it."""
    lists = site / f"{name}-{version}.dist-info"
    lists.mkdir(parents=True)
    record = ""
    for path, content in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(content)
        record += f'"{path}",sha256=x,{len(content)}\n'
    (lists / "RECORD").write_text(record + f"{name}-{version}.dist-info/RECORD,,\n")


class Cache(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=setup.CACHE)
        self.addCleanup(folder.cleanup)
        self.site = Path(folder.name) / "site"
        package(self.site, "torch", "2.11.0", {"torch/lib/libtorch_cpu.so": "cpu" * 100, "torch/a, b.py": ""})
        package(self.site, "nvidia_cuda_runtime", "13.0.96", {"nvidia/lib/x.so": "x"})
        self.wanted = [("torch", "2.11.0"), ("nvidia-cuda-runtime", "13.0.96")]

    def test_a_whole_folder_lacks_nothing(self):
        self.assertIsNone(setup.lacks(self.site, self.wanted))

    def test_what_is_missing_or_cut_is_named(self):
        library = self.site / "torch/lib/libtorch_cpu.so"
        library.write_text("cpu")
        self.assertEqual(setup.lacks(self.site, self.wanted), str(library))
        library.unlink()
        self.assertEqual(setup.lacks(self.site, self.wanted), str(library))
        library.symlink_to("nowhere")
        self.assertEqual(setup.lacks(self.site, self.wanted), str(library))
        (self.site / "torch-2.11.0.dist-info/RECORD").unlink()
        self.assertEqual(setup.lacks(self.site, self.wanted), "torch 2.11.0")
        self.assertEqual(setup.lacks(self.site, [("other", "1")]), "other 1")
        self.assertEqual(setup.lacks(self.site / "nothing", self.wanted), "torch 2.11.0")

    def test_an_empty_folder_is_made_again(self):
        for make in (lambda final: final.mkdir(), lambda final: (final / "site").mkdir(parents=True), lambda final: final.write_text("")):
            final = setup.CACHE / f"libtorch-{setup.VERSION}"
            make(final)
            called = []
            before = setup.index_url
            setup.index_url = lambda: called.append(True) or setup.fail("no index")
            try:
                with redirect_stdout(io.StringIO()) as said, self.assertRaises(SystemExit):
                    setup.libtorch()
            finally:
                setup.index_url = before
            self.assertIn("is incomplete", said.getvalue())
            self.assertTrue(called)
            self.assertFalse(final.exists())

    def test_a_folder_of_cuda_packages_is_looked_at_too(self):
        final = setup.CACHE / f"cuda-{setup.VERSION}"
        (final / "torch").mkdir(parents=True)
        asked = []

        def install(python, name, *options):
            asked.append((name, options[0]))
            Path(options[1]).mkdir()

        before = setup.install
        os.environ["KELVIN_CUDA"], setup.install = "1", install
        try:
            with redirect_stdout(io.StringIO()):
                self.assertEqual(setup.cuda(), final)
        finally:
            setup.install = before
            del os.environ["KELVIN_CUDA"]
        self.assertEqual(asked, [("cuda", "--target")])
        self.assertFalse((final / "torch").exists())


class Requirements(unittest.TestCase):
    def test_everything_has_a_version_and_hashes(self):
        for name, (_, packages) in lock.PACKAGES.items():
            text = (setup.REQUIREMENTS / f"{name}.txt").read_text()
            entries = re.split(r"\n(?! )", text.strip())[1:]
            for entry in entries:
                self.assertRegex(entry, r"^[a-z0-9-]+==[^\s;]+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+$")
            for package in packages:
                self.assertTrue(any(entry.startswith(f"{lock.plain(package.split('==')[0])}=={package.split('==')[1]} ") for entry in entries), package)
            self.assertNotIn("://", text)
            self.assertTrue(set(map(tuple, setup.required(name))) >= {tuple(package.split("==")) for package in packages if "_" not in package})

    def test_pip_checks_the_hashes(self):
        asked = []
        before = setup.subprocess.run
        setup.subprocess.run = lambda command, **_: asked.append(command) or setup.subprocess.CompletedProcess(command, 0)
        try:
            setup.install("python", "readers")
        finally:
            setup.subprocess.run = before
        self.assertIn("--require-hashes", asked[0])

    def test_which_files_pip_may_choose(self):
        for file, fits in [
            ("numpy-2.4.6-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", True),
            ("numpy-2.4.6-cp312-cp312-musllinux_1_2_x86_64.whl", False),
            ("numpy-2.4.6-cp312-cp312-manylinux_2_27_aarch64.whl", False),
            ("numpy-2.4.6-cp313-cp313t-manylinux_2_27_x86_64.whl", False),
            ("numpy-2.4.6-cp310-cp310-manylinux_2_27_x86_64.whl", False),
            ("numpy-2.4.6-cp310-abi3-manylinux_2_27_x86_64.whl", True),
            ("numpy-2.4.6-py2.py3-none-any.whl", True),
            ("numpy-2.4.7-py3-none-any.whl", False),
            ("numpy-2.4.6.tar.gz", False),
        ]:
            self.assertEqual(lock.fits(file, "numpy", "2.4.6", [11, 12, 13]), fits, file)


class Advisories(unittest.TestCase):
    def audited(self, script):
        """What audit.py says, and its exit code, where cargo-audit is this shell script."""
        with tempfile.TemporaryDirectory() as folder:
            before = os.environ["PATH"]
            if script is not None:
                program = Path(folder) / "cargo-audit"
                program.write_text(f"#!/bin/sh\n{script}\n")
                program.chmod(program.stat().st_mode | stat.S_IXUSR)
            os.environ["PATH"] = folder if script is None else f"{folder}:{before}"
            try:
                with redirect_stdout(io.StringIO()) as said:
                    code = audit.main()
            finally:
                os.environ["PATH"] = before
        return code, said.getvalue()

    def test_without_the_program_or_its_data_nothing_fails(self):
        self.assertEqual(self.audited(None), (0, "advisories: not looked at: cargo-audit is not installed (cargo install cargo-audit)\n"))
        code, said = self.audited("echo 'error: could not fetch' >&2; exit 1")
        self.assertEqual((code, said), (0, "advisories: not looked at: cargo-audit has no database: error: could not fetch\n"))
        self.assertEqual(self.audited("echo '{}'")[0], 0)
        before, audit.PATIENCE = audit.PATIENCE, 0.2
        try:
            code, said = self.audited("exec sleep 60")
        finally:
            audit.PATIENCE = before
        self.assertEqual(code, 0)
        self.assertIn("took more than", said)

    def test_only_what_is_not_noted_fails(self):
        def entry(advisory, name, version):
            return {"advisory": {"id": advisory, "title": "t"}, "package": {"name": name, "version": version}}

        noted = entry("RUSTSEC-2024-0436", "paste", "1.0.15")
        report = {"vulnerabilities": {"list": []}, "warnings": {"unmaintained": [noted]}}
        self.assertEqual(self.audited(f"echo '{json.dumps(report)}'")[0], 0)
        report["vulnerabilities"]["list"] = [entry("RUSTSEC-2000-0001", "other", "1.0.0")]
        code, said = self.audited(f"echo '{json.dumps(report)}'; exit 1")
        self.assertEqual(code, 1)
        self.assertIn("RUSTSEC-2000-0001: other 1.0.0: t", said)

    def test_the_table_tells_who_brings_what_in(self):
        needs, versions = {}, set()
        for package in (ROOT / "Cargo.lock").read_text().split("[[package]]")[1:]:
            name, version = re.search(r'name = "(.*)"\nversion = "(.*)"', package).groups()
            versions.add((name, version))
            # Of one in several versions, what any of them needs.
            needs.setdefault(name, set()).update(re.findall(r'^ "([^ "]+)', package, re.MULTILINE))
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in (ROOT / "docs/dependencies.md").read_text().splitlines()
                if "RUSTSEC-" in line]
        self.assertEqual([row[0].split()[0] for row in rows], ["paste", "smartstring", "ttf-parser"])
        for crate, _, chain, *_ in rows:
            name, version = crate.split()
            self.assertIn((name, version), versions)
            chain = ["kelvin", *chain.split(" → "), name]
            for by, of in zip(chain, chain[1:]):
                self.assertIn(of, needs[by], crate)


class Comments(unittest.TestCase):
    LONG = "word " * 19 + "word"

    def wrapped(self, text, name="x.rs"):
        lines = text.split("\n")
        for first, prefix, texts in reversed(list(comments.blocks(Path(name), lines))):
            lines[first:first + len(texts)] = comments.wrapped(prefix, texts)
        self.assertEqual(list(comments.wide(Path(name), lines)), [])
        return lines

    def test_a_paragraph_is_wrapped_and_then_stays(self):
        text = f"    /// {self.LONG}\n    /// end.\nlet a = 1;"
        lines = self.wrapped(text)
        self.assertEqual(len(lines), 3)
        self.assertTrue(lines[1].startswith("    /// word") and lines[1].endswith("end."))
        self.assertEqual(self.wrapped("\n".join(lines)), lines)

    def test_short_paragraphs_lists_and_code_stay(self):
        text = "// one\n// two\n//\n// - item\n//   more\n// ```\n// let x =   1;\n// ```\n// | a | b |"
        self.assertEqual(self.wrapped(text), text.split("\n"))

    def test_items_hang_and_no_line_becomes_one(self):
        lines = self.wrapped(f"// - {self.LONG}\n// - {self.LONG}")
        self.assertEqual([line[:5] for line in lines], ["// - ", "//   "] * 2)
        lines = self.wrapped("// " + "x " * 47 + "xyz - y z")
        self.assertFalse(any(line.startswith("// - ") for line in lines))

    def test_texts_are_no_comments(self):
        text = f'let a = r#"\n// {self.LONG} {self.LONG}\n"#;\nlet b = \'"\'; // "\n// short'
        self.assertEqual(self.wrapped(text), text.split("\n"))


if __name__ == "__main__":
    unittest.main(verbosity=0)
