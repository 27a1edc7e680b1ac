#!/usr/bin/env python3
"""Comment lines are at most 100 columns wide.

    tools/comments.py             names every line that is wider, and ends with 1 where there is one
    tools/comments.py --reflow    wraps the paragraphs that such lines belong to

All tracked files in Rust, Rhai, Python, shell and TOML are looked at. Code between back ticks, tables,
headings and indented lines stay as they are (code may have rustfmt's width); a list's items are
wrapped each for itself. What is wrapped twice does not change.
"""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 100
# Of code in comments: rustfmt.toml's.
CODE_WIDTH = 110
MARKERS = {
    ".rs": re.compile(r"(\s*)(//[/!]?)(?![/!])(.*)"),
    ".rhai": re.compile(r"(\s*)(//[/!]?)(?![/!])(.*)"),
    ".py": re.compile(r"(\s*)(#)(?![!#])(.*)"),
    ".sh": re.compile(r"(\s*)(#)(?![!#])(.*)"),
    ".toml": re.compile(r"(\s*)(#)(?![!#])(.*)"),
}
# Texts of Rust that may go over lines, comments, and what looks like the beginning of a text.
TOKENS = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(?P<hashes>\#*)".*?"(?P=hashes)|"(?:\\.|[^"\\])*"|'(?:\\.[^']*|[^'\\])'""", re.DOTALL)
ITEM = re.compile(r"( *)([-*] |\d+\. )(.*)")
FIXED = re.compile(r"\||#{1,6} |    |\[[^\]]*\]: ")


def in_texts(text):
    """The lines that begin within a text of Rust, where // begins no comment."""
    inside = set()
    for token in TOKENS.finditer(text):
        if not token.group().startswith("//"):
            first = text.count("\n", 0, token.start())
            inside.update(range(first + 1, first + 1 + token.group().count("\n")))
    return inside


def blocks(path, lines):
    """Runs of comment lines with the same indentation and marker: (first line, indentation and marker, texts)."""
    marker = MARKERS[path.suffix]
    inside = in_texts("\n".join(lines)) if path.suffix == ".rs" else set()
    block = None
    for number, line in enumerate(lines):
        match = None if number in inside else marker.fullmatch(line)
        prefix = match and match[1] + match[2]
        if block and (match is None or prefix != block[1]):
            yield block
            block = None
        if match:
            block = block or (number, prefix, [])
            block[2].append(match[3])
    if block:
        yield block


def paragraphs(texts):
    """Cuts a block into parts that are wrapped each for itself: (how many lines, begins with, hangs by), or no
    beginning for what stays as it is."""
    at, code = 0, False
    while at < len(texts):
        text = texts[at].removeprefix(" ")
        if text.startswith("```"):
            code = not code
        if code or not text.strip() or text.startswith("```") or FIXED.match(text):
            yield 1, None, None
            at += 1
            continue
        item = ITEM.match(text)
        hang = len(item[1] + item[2]) if item else 0
        end = at + 1
        while end < len(texts):
            next_text = texts[end].removeprefix(" ")
            indented = len(next_text) - len(next_text.lstrip(" "))
            if not next_text.strip() or next_text.startswith("```") or ITEM.match(next_text):
                break
            if indented != hang or (not item and FIXED.match(next_text)):
                break
            end += 1
        yield end - at, item[1] + item[2] if item else "", " " * hang
        at = end


def wrapped(prefix, texts):
    """A block with its paragraphs wrapped, where they have a line that is too wide."""
    at, out = 0, []
    for count, begin, hang in paragraphs(texts):
        part = texts[at:at + count]
        at += count
        too_wide = any(len(prefix + text) > WIDTH for text in part)
        if begin is None or not too_wide:
            out += [prefix + text for text in part]
            continue
        words = " ".join(text.strip() for text in part)[len(begin.strip()):].strip()
        lines = textwrap.wrap(words, WIDTH, initial_indent=f"{prefix} {begin}", subsequent_indent=f"{prefix} {hang}",
                              break_long_words=False, break_on_hyphens=False)
        # A line that began with one of these would be a list or a heading.
        if any(ITEM.match(line[len(prefix) + 1 + len(hang):]) or line[len(prefix) + 1 + len(hang):].startswith(("|", "#"))
               for line in lines[1:]):
            lines = glued(words, prefix, begin, hang)
        out += lines
    return out


def glued(words, prefix, begin, hang):
    """Wrapped so that no line begins with what would be a list's item: such a word stays with the one before it."""
    words = re.sub(r" (?=(?:[-*|#]|\d+\.) )", "\0", words)
    lines = textwrap.wrap(words, WIDTH, initial_indent=f"{prefix} {begin}", subsequent_indent=f"{prefix} {hang}",
                          break_long_words=False, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]


def wide(path, lines):
    """The comment lines that are too wide and could be wrapped: their numbers, from 0."""
    for first, prefix, texts in blocks(path, lines):
        code = False
        for number, text in enumerate(texts, first):
            code ^= text.strip().startswith("```")
            # One word alone, an address, has no place to break.
            width = CODE_WIDTH if code or text.startswith("     ") else WIDTH
            if len(prefix + text) > width and " " in text.strip():
                yield number


def main():
    named = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    failed = False
    for path in (ROOT / name for name in named.split("\0") if Path(name).suffix in MARKERS):
        if not path.is_file():
            continue
        text = path.read_text()
        lines = text.split("\n")
        if "--reflow" in sys.argv[1:]:
            for first, prefix, texts in reversed(list(blocks(path, lines))):
                lines[first:first + len(texts)] = wrapped(prefix, texts)
            if lines != text.split("\n"):
                path.write_text("\n".join(lines))
        for number in wide(path, lines):
            failed = True
            print(f"{path.relative_to(ROOT)}:{number + 1}: a comment of {len(lines[number])} columns, expected at most {WIDTH}")
    if failed:
        print("tools/comments.py --reflow wraps paragraphs; tables and code are wrapped by hand")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
