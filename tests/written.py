"""Blocks of code in README.md and docs/: found, sorted, and run in a folder made for them.

Bash and Python blocks of a page are run from top to bottom in one folder, unless the line above a block says
`<!-- not run: REASON -->`, or `<!-- run by tests/FILE.py -->`: a test that needs more than a folder. Blocks
that consist of `headstart` commands alone are run in this process (an interpreter that has loaded everything
answers at once); other Bash blocks by Bash; each Python block in a namespace of its own. Nothing opens a
browser. The folder holds what a reader is taken to have, see `belongings`.
"""

import glob
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import make
import pytest

from headstart.cli import group
from headstart.recipe import train

ROOT = Path(__file__).parents[1]
SHELL, PYTHON = ("bash", "console"), "python"
RUN = (*SHELL, PYTHON)
DATA = ("json", "text", "toml", "yaml")  # nothing to run; what can be parsed is
INDENTED = "indented"
FENCE = re.compile(r"( *)(`{3,}|~{3,})\s*([\w+-]*)(.*)")
UNRUN = re.compile(r"<!-- not run: (.*) -->")
ELSEWHERE = re.compile(r"<!-- run by (\S+) -->")
ITEM = re.compile(r"\s*([-*+]|\d+[.)])\s|\s*(!!!|\?\?\?|===)")


@dataclass(frozen=True)
class Block:
    """A block of code in a page."""

    page: str  # from the root of the repository
    line: int  # of its first line of code, counted from 1
    language: str  # "" where none is named, INDENTED where there is no fence
    code: str
    unrun: str | None = None  # the reason why it is not run
    elsewhere: str | None = None  # the test that runs it

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        return self.language in RUN and self.unrun is None and self.elsewhere is None

    def shell(self) -> str:
        """The commands of a Bash block; of a console block what stands behind the prompts."""
        if self.language != "console":
            return self.code
        return "".join(f"{line[2:]}\n" for line in self.code.splitlines() if line.startswith(("$ ", "> ")))


def pages() -> list[str]:
    """Every page with words in it that readers get."""
    return ["README.md", *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md")))]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, text: str | None = None) -> list[Block]:
    """The blocks of a page, in their order.

    Raises:
        ValueError: a fence is not closed.
    """
    found: list[Block] = []
    lines = (read(page) if text is None else text).splitlines()
    above, in_list, at = "", False, 0  # the last line with words, and whether we are inside a list
    while at < len(lines):
        line = lines[at]
        fence = FENCE.fullmatch(line)
        said = [
            found and found[1] for found in (mark.fullmatch(above.strip()) for mark in (UNRUN, ELSEWHERE))
        ]
        if fence:
            indent, ticks, language, _ = fence.groups()
            end = next((n for n in range(at + 1, len(lines)) if lines[n].strip() == ticks), None)
            if end is None:
                raise ValueError(f"{page}:{at + 1}: the block is not closed")
            code = "".join(f"{own.removeprefix(indent)}\n" for own in lines[at + 1 : end])
            found.append(Block(page, at + 2, language, code, *said))
            above, at = "", end
        elif line.startswith("    ") and not in_list and (at == 0 or not lines[at - 1].strip()):
            end = next((n for n in range(at, len(lines)) if lines[n][:4].strip()), len(lines))
            code = "".join(f"{own[4:]}\n" for own in lines[at:end])
            found.append(Block(page, at + 1, INDENTED, code, *said))
            above, at = "", end - 1
        elif line.strip():
            in_list = bool(ITEM.match(line)) or (in_list and line.startswith(" "))
            above = line
        at += 1
    return found


def commands(script: str) -> Iterator[list[str]]:
    """The words of each simple command of a script. Patterns are not expanded, words of the shell cut."""
    for line in _lines(script):
        command: list[str] = []
        for word in _words(line):
            if set(word) <= set("|&;<>()"):
                yield command
                command = []
            else:
                command.append(word)
        yield command


def headstarts(block: Block) -> Iterator[list[str]]:
    """The arguments of each `headstart` command in a Bash block, run or not."""
    for words in commands(block.shell()):
        if words and Path(words[0]).name == "headstart":
            yield words[1:]


def parse(arguments: list[str]) -> None:
    """Read a command line as `headstart` would, and do nothing.

    Raises:
        click.UsageError: there is no such command or option, or a value is of the wrong kind.
    """
    context = click.Context(group, info_name="headstart")
    with suppress(click.exceptions.Exit), redirect_stdout(io.StringIO()):  # --help ends so, having printed
        if not arguments or arguments[0].startswith("-"):
            group.make_context("headstart", list(arguments))
        else:
            name, command, rest = group.resolve_command(context, list(arguments))
            assert command is not None
            command.make_context(name, rest, parent=context)


def belongings(base: Path) -> Path:
    """What a reader is taken to have: pictures, a model of them, an older one, new pictures."""

    def build(at: Path) -> None:
        at.mkdir()
        for part, first, count in (("train", 0, 12), ("test", 12, 6)):
            make.folder(at / "photos" / part, {"ants": count, "bees": count}, first=first, jitter=30)
        make.folder(at / "other-photos", {"ants": 8, "bees": 8}, first=100, jitter=30)
        make.folder(at / "unlabelled", {"pile": 10}, first=200)
        (at / "new").mkdir()
        for number, name in enumerate(("one.png", "two.png", "one.jpg", "two.jpg")):
            make.picture(make.TINTS["red"], 300 + number).save(at / "new" / name)
        shutil.copy(at / "new" / "one.jpg", at / "new.jpg")
        if (ROOT / "examples").is_dir():
            shutil.copytree(ROOT / "examples", at / "examples")
        with chdir(at):
            train("photos/")
            shutil.copytree("photos-model", "new-model")
            shutil.copy("photos-model/suspects.csv", "suspects.csv")
            train("photos/", out="old-model", head="ridge", report=False)
            shutil.copytree("old-model", "other-model")

    return make.once(base / "belongings", build)


def run(block: Block, folder: Path) -> None:
    """Do what the block says, in this folder."""
    try:
        if block.language == PYTHON:
            with _within(folder):
                exec(compile(block.code, str(block), "exec"), {"__name__": "__main__"})  # noqa: S102
        elif all(_is_plain(line) for line in _lines(block.shell())):
            with _within(folder):
                for line in _lines(block.shell()):
                    _here(_words(line)[1:])
        else:
            _bash(block.shell(), folder)
    except BaseException as error:
        error.add_note(f"{block}\n{block.code}")
        raise


@contextmanager
def _within(folder: Path) -> Iterator[None]:
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(webbrowser, "open", lambda _: True)
        patch.setattr(click, "launch", lambda _: 0)
        yield


def _lines(script: str) -> list[str]:
    """The lines of a script with words in them; one that goes on, by a backslash or within quotes, is one."""
    found, open_ = [], ""
    for line in script.replace("\\\n", " ").splitlines():
        open_ += line
        try:
            words = _words(open_)
        except ValueError:  # a quotation is not closed yet
            open_ += "\n"
            continue
        if words:
            found.append(open_)
        open_ = ""
    if open_:
        raise ValueError(f"a quotation is never closed: {open_}")
    return found


def _words(line: str) -> list[str]:
    """As Bash splits them: without comments, and with `|`, `>` and their like as words of their own."""
    split = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    split.whitespace_split = True
    return list(split)


def _is_plain(line: str) -> bool:
    """Whether the line is one `headstart` command, which needs no shell but for patterns."""
    words = _words(line)
    return words[0] == "headstart" and not any(
        set(word) <= set("|&;<>()") or "$" in word or "`" in word for word in words
    )


def _here(arguments: list[str]) -> None:
    """`headstart` with these arguments, in this process."""
    expanded = [name for word in arguments for name in (sorted(glob.glob(word)) or [word])]  # noqa: PTH207
    try:
        group.main(expanded, prog_name="headstart", standalone_mode=False)
    except SystemExit as end:
        if end.code:
            raise AssertionError(f"exit code {end.code}: headstart {shlex.join(expanded)}") from end


def _bash(script: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
