"""Disk full, read-only places, no home directory: one clear line, exit code 1 or 2, nothing half.

A small or read-only file system is mounted where this user may; else files are limited in size, and folders
lose their permission to be written. What was done how stands in `detail`.
"""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _generate
import _harness
from _harness import Absent, Bound, Options, Result

MARGIN = 4 * 2**20  # bytes beside the kept networks, which are then filled


@dataclass(frozen=True)
class Case:
    """A command in bad circumstances."""

    name: str
    how: str
    line: list[str]
    env: dict[str, str]
    limit: int | None = None  # bytes that a file may have


def measure(asked: Options) -> Iterator[Result]:
    """Every case, then the same command where all is well."""
    with _harness.workplace() as place:
        folder = _generate.folder(place / "pictures", 200 if asked.quick else 800, classes=4)
        cache = _harness.with_network(place / "cache")
        found: dict[str, dict[str, Any]] = {}
        for case, out in cases(folder, cache, place):
            found[case.name] = judged(case, out)
        well = _harness.run(
            _harness.headstart("train", folder, "--out", place / "well", "--json"),
            cache=_harness.with_network(cache),
        )
        found_well = well.code == 0
    wrong = [name for name, one in found.items() if one["wrong"]]
    yield Result(
        "disk full, read-only places, no home: commands without a clear error",
        len(wrong),
        f"of {len(found)}",
        Bound("==", 0),
        len(found),
        1,
        None,
        {"cases": found, "wrong": wrong, "same_command_elsewhere": found_well},
    )
    assert found_well, well.err


def cases(folder: Path, cache: Path, place: Path) -> Iterator[tuple[Case, Path | None]]:
    """Each case and where its model would go."""
    train = ["train", str(folder), "--json", "--out"]
    home = {"PATH": os.environ.get("PATH", ""), "HOME": str(place / "no-such-home")}
    own = home | {"HEADSTART_CACHE": str(_harness.with_network(cache))}

    with small(place / "full", 64 * 1024) as how:
        out = place / "full" / "model"
        if how == "mounted":
            yield Case("disk of the model full", how, _harness.headstart(*train, out), own), out
        else:
            line = _harness.headstart(*train, place / "limited")
            yield (
                Case("model larger than files may be", how, line, _known(folder, own), 20_000),
                place / "limited",
            )
    _harness.with_network(place / "template-copy")
    kept = sum(file.stat().st_size for file in (place / "template-copy").rglob("*") if file.is_file())
    with small(place / "full-cache", kept + MARGIN) as how:
        if how == "mounted":
            shutil.copytree(place / "template-copy", place / "full-cache", dirs_exist_ok=True)
            _fill(place / "full-cache" / "ballast", leave=300_000)
            env = home | {"HEADSTART_CACHE": str(place / "full-cache")}
            yield (
                Case("disk of the features full", how, _harness.headstart(*train, place / "m1"), env),
                place / "m1",
            )
        else:
            env = home | {"HEADSTART_CACHE": str(_harness.with_network(place / "limited-cache"))}
            line = _harness.headstart(*train, place / "m1")
            yield Case("features larger than files may be", how, line, env, 100_000), place / "m1"
    with small(place / "no-network", 2 * 2**20) as how:
        if how == "mounted":
            env = home | {"HEADSTART_CACHE": str(place / "no-network")}
            line = _harness.headstart(*train, place / "m2")
            yield Case("no room to keep the converted network", how, line, env), place / "m2"
    with read_only(place / "locked") as how:
        out = place / "locked" / "model"
        yield Case("read-only place for the model", how, _harness.headstart(*train, out), own), out
        env = home | {"HEADSTART_CACHE": str(place / "locked" / "cache")}
        yield Case("read-only cache", how, _harness.headstart(*train, place / "m3"), env), place / "m3"
    out = place / "m4"
    line = _harness.headstart(*train, out)
    yield Case("no home directory, no HEADSTART_CACHE", "env", line, home), out
    line = _harness.headstart("predict", place / "no-model", next((folder / "class-0").iterdir()))
    yield Case("no model there", "path", line, own), None
    taken = place / "taken"
    taken.write_text("a file", encoding="ascii")
    yield Case("a file in the place of the model", "path", _harness.headstart(*train, taken), own), None
    env, out = home | {"HEADSTART_CACHE": str(taken)}, place / "m5"
    yield Case("a file in the place of the cache", "path", _harness.headstart(*train, out), env), out


def judged(case: Case, out: Path | None) -> dict[str, Any]:
    """What the command said, and what is wrong with that."""

    def limit() -> None:
        if case.limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (case.limit, case.limit))

    done = subprocess.run(
        case.line, env=case.env, capture_output=True, text=True, check=False, preexec_fn=limit, timeout=600
    )
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    checks = {
        f"exit code {done.returncode}": done.returncode not in (1, 2),
        "a traceback": "Traceback" in done.stderr,
        f"{len(lines)} lines": len(lines) != 1,
        "does not begin with its name": not done.stderr.startswith("headstart: "),
        "something on stdout": bool(done.stdout),
        "a model was left": out is not None and out.exists(),
    }
    wrong = [name for name, holds in checks.items() if holds]
    said = lines[-1] if lines else ""
    for word in sorted(
        {*case.env.values(), str(out or ""), str(out.parent if out else "")}, key=len, reverse=True
    ):
        if len(word) > 1:
            said = said.replace(word, "PLACE")
    shown = " ".join("PLACE" if piece.startswith("/") else piece for piece in said.split())
    return {"how": case.how, "exit_code": done.returncode, "says": shown, "wrong": wrong}


@contextmanager
def small(place: Path, size: int) -> Iterator[str]:
    """A file system of `size` bytes at `place`, or "limit" where none may be mounted."""
    place.mkdir()
    mounted = _mount("-o", f"size={size}", place)
    try:
        yield "mounted" if mounted else "limit"
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


@contextmanager
def read_only(place: Path) -> Iterator[str]:
    """A folder at `place` that nobody may write to: by its file system, or by permission.

    Raises:
        Absent: neither works.
    """
    place.mkdir()
    mounted = _mount("-o", "ro", place)
    if not mounted:
        if os.geteuid() == 0:
            raise Absent("root may write everywhere, and no read-only file system could be mounted")
        place.chmod(0o555)
    try:
        yield "mounted" if mounted else "permission"
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)
        else:
            place.chmod(0o755)


def _mount(*words: str | Path) -> bool:
    line = ["mount", "-t", "tmpfs", *map(str, words[:-1]), "none", str(words[-1])]
    return (
        shutil.which("mount") is not None
        and not subprocess.run(line, capture_output=True, check=False).returncode
    )


def _fill(file: Path, *, leave: int) -> None:
    """Take all but `leave` bytes of the disk that `file` lies on."""
    free = shutil.disk_usage(file.parent).free
    file.write_bytes(bytes(max(0, free - leave)))


def _known(folder: Path, env: dict[str, str]) -> dict[str, str]:
    """The same environment, with the features kept already: only the model is to be written."""
    _harness.ok(_harness.run(_harness.headstart("check", folder, "--json"), env=env))
    return env


if __name__ == "__main__":
    _harness.main(measure, __doc__)
