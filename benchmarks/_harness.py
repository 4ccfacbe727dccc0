"""What every benchmark shares: options, pictures, caches of its own, timed processes, one line per result.

A result is one JSON line in `results.jsonl`: what was claimed, what was measured, how often, on what, with
which versions, by which command. It names neither this machine nor its folders. Runs with `--quick` show
that a script works; their figures are printed and never kept.
"""

import argparse
import hashlib
import json
import math
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results.jsonl"
DATA = Path(os.environ.get("HEADSTART_DATA", ROOT.parent / "shared" / "data"))
LIBRARIES = ("torch", "openvino", "numpy", "headstart", "scikit-learn", "pillow", "timm")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")  # that decide how fast a network runs
KEYS = (
    "claim", "benchmark", "value", "unit", "wanted", "met", "interval", "n", "runs", "seconds", "detail",
    "machine", "versions", "date", "commit", "command",
)  # fmt: skip
PICTURES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"}


class Absent(Exception):
    """Something that the benchmark needs is not on this machine."""


@dataclass(frozen=True)
class Bound:
    """What was asked for: `sign` is one of >= > <= < ==."""

    sign: str
    value: float

    def holds(self, value: float) -> bool:
        """Whether `value` reaches it."""
        return {
            ">=": value >= self.value, ">": value > self.value, "<=": value <= self.value,
            "<": value < self.value, "==": value == self.value,
        }[self.sign]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}"


@dataclass(frozen=True)
class Result:
    """One measured claim. `interval`: least and largest of the runs, or what `detail` says."""

    claim: str
    value: float
    unit: str
    wanted: Bound | None
    n: int  # pictures, files or kills that it was measured on
    runs: int  # repetitions of which `value` is the median
    interval: tuple[float, float] | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How a benchmark was called."""

    data: Path
    quick: bool
    save: Path | None
    extra: argparse.Namespace
    begin: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True)
class Run:
    """What became of a process."""

    code: int
    wall: float  # seconds from start to end
    cpu: float  # seconds
    rss: int  # peak resident memory, bytes
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed."""
        return json.loads(self.out)


def options(doc: str | None, *extra: tuple[str, dict[str, Any]]) -> Options:
    """Parse the command line: the options of every benchmark, and `extra` ones."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of real pictures (HEADSTART_DATA)")
    parser.add_argument("--quick", action="store_true", help="small and short; figures are not kept")
    parser.add_argument("--no-save", action="store_true", help="print only")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file to append the figures to")
    for name, settings in extra:
        parser.add_argument(name, **settings)
    found = parser.parse_args()
    save = None if found.quick or found.no_save else found.results
    return Options(found.data, found.quick, save, found)


def main(
    measure: Callable[[Options], Iterator[Result]], doc: str | None, *extra: tuple[str, dict[str, Any]]
) -> None:
    """Run a benchmark, print each result as it comes, and keep it unless told not to."""
    asked = options(doc, *extra)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that folders are removed then, too
    try:
        for result in measure(asked):
            line = to_line(result, asked)
            print(told(line), flush=True)
            if asked.save is not None:
                keep(line, asked.save)
    except Absent as reason:
        print(f"skipped: {reason}", file=sys.stderr)


def to_line(result: Result, asked: Options) -> dict[str, Any]:
    """A result with all that is needed to judge and repeat it."""
    return {
        "claim": result.claim,
        "benchmark": Path(sys.argv[0]).stem,
        "value": _round(result.value),
        "unit": result.unit,
        "wanted": str(result.wanted) if result.wanted else None,
        "met": result.wanted.holds(result.value) if result.wanted else None,
        "interval": [_round(end) for end in result.interval] if result.interval else None,
        "n": result.n,
        "runs": result.runs,
        "seconds": round(time.perf_counter() - asked.begin, 1),
        "detail": _rounded(result.detail),
        "machine": machine(),
        "versions": versions(),
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit(),
        "command": command(sys.argv),
    }


def told(line: dict[str, Any]) -> str:
    """A result in two lines for reading."""
    asked = f", asked for {line['wanted']}: {'met' if line['met'] else 'MISSED'}" if line["wanted"] else ""
    ends = f" ({line['interval'][0]:g} to {line['interval'][1]:g})" if line["interval"] else ""
    head = (
        f"{line['claim']}: {line['value']:g} {line['unit']}{ends}{asked}; n {line['n']}, runs {line['runs']}"
    )
    return f"{head}\n    {json.dumps(line['detail'])}"


def keep(line: dict[str, Any], file: Path) -> None:
    """Append one line, in one write.

    Raises:
        ValueError: it names this machine, or lacks a key.
    """
    check_line(line)
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(line, ensure_ascii=False) + "\n")


def check_line(line: dict[str, Any]) -> None:
    """Whether this is a result that may be published.

    Raises:
        ValueError: a key is missing or unknown, a number is not finite, or it names this machine or a folder.
    """
    if set(line) != set(KEYS):
        raise ValueError(f"missing {sorted(set(KEYS) - set(line))}, unknown {sorted(set(line) - set(KEYS))}")
    if not isinstance(line["value"], int | float) or not math.isfinite(line["value"]):
        raise ValueError(f"value {line['value']!r} is not a finite number")
    datetime.strptime(line["date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    text = json.dumps(line, ensure_ascii=False)
    for word in _strings(line):
        if any(len(piece) > 1 and (piece[0] in "/~\\" or piece[1:3] == ":\\") for piece in word.split()):
            raise ValueError(f"an absolute path: {word!r}")
    for name in {platform.node(), platform.node().partition(".")[0]}:
        if len(name) > 3 and name != "localhost" and name in text:
            raise ValueError(f"the name of this machine: {name!r}")


def read(file: Path = RESULTS) -> list[dict[str, Any]]:
    """All results that were kept, oldest first.

    Raises:
        ValueError: a line is not a valid result; the message tells which.
    """
    found = []
    if file.is_file():
        for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            try:
                line = json.loads(text)
                check_line(line)
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{file.name}, line {number}: {error}") from error
            found.append(line)
    return found


def machine() -> dict[str, Any]:
    """The processor, the cores that this process may use, and the instructions that matter."""
    name, flags = platform.processor() or platform.machine(), set[str]()
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        told = (row.partition(":") for row in facts.read_text(encoding="utf-8").splitlines())
        rows = {key.strip(): value.strip() for key, _, value in told}
        name, flags = rows.get("model name", name), set(rows.get("flags", "").split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": name,
        "cores": cores,
        "flags": [flag for flag in FLAGS if flag in flags],
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 1),
    }


def versions() -> dict[str, str]:
    """Of Python and of the libraries that matter; "" for one that is not installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def commit() -> str:
    """The commit of this checkout, with a + where files differ from it; "" outside of one."""
    git = ["git", "--no-optional-locks", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        return ""
    changed = [*git, "status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks/*.py"]
    dirty = subprocess.run(changed, capture_output=True, text=True, check=False).stdout.strip()
    return head.stdout.strip() + ("+" if dirty else "")


def command(argv: Sequence[str]) -> str:
    """The command as anybody may type it: folders and files are left to the reader."""
    words, skip = ["python", f"benchmarks/{Path(argv[0]).name}"], False
    for word in argv[1:]:
        if skip or word.startswith(("--data=", "--results=")):
            skip = False
        elif word in ("--data", "--results"):
            skip = True
        else:
            words.append(Path(word).name if os.sep in word else word)
    return " ".join(words)


# -- pictures ---------------------------------------------------------------------------------------------


def picture_set(asked: Options, name: str) -> Path:
    """A folder of real pictures.

    Raises:
        Absent: it is not there.
    """
    folder = asked.data / name
    if not folder.is_dir():
        raise Absent(
            f"there is no {name} in the folder of real pictures; name it with --data or HEADSTART_DATA"
        )
    return folder


def pictures(folder: Path) -> list[Path]:
    """Every picture file below `folder`, sorted; also brings them into the system's file cache."""
    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in PICTURES)
    for file in found:
        file.read_bytes()
    return found


def distinct(files: Sequence[Path]) -> int:
    """How many different contents these files have."""
    return len({hashlib.sha256(file.read_bytes()).digest() for file in files})


def some(source: Path, target: Path, per_class: int) -> Path:
    """A copy of the first `per_class` pictures of each folder that holds pictures."""
    for folder in sorted({file.parent for file in pictures(source)}):
        own = target / folder.relative_to(source)
        own.mkdir(parents=True)
        for file in [file for file in pictures(folder) if file.parent == folder][:per_class]:
            shutil.copy(file, own)
    return target


# -- processes --------------------------------------------------------------------------------------------


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder for this run alone, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="headstart-bench-") as name:
        yield Path(name)


def headstart(*words: str | Path) -> list[str]:
    """The command line of the installed headstart, of the environment that runs this benchmark.

    Raises:
        Absent: it is not installed there.
    """
    script = Path(sys.executable).with_name("headstart")
    if not script.is_file():
        raise Absent(f"headstart is not installed beside {Path(sys.executable).name}: pip install -e .")
    return [str(script), *map(str, words)]


def python(*words: str | Path) -> list[str]:
    """The same Python as runs this benchmark."""
    return [sys.executable, *map(str, words)]


def with_network(cache: Path) -> Path:
    """A cache folder that holds the compiled network and nothing else: cold features, warm network.

    The network is converted once in the workplace, in `networks` beside `cache`, and copied from there.
    """
    template = cache.parent / "networks-template"
    if not template.is_dir():
        code = (
            "from headstart import backbones\nfrom headstart.engines import open_engine\n"
            "engine = open_engine(backbones.spec(backbones.DEFAULT))\nengine.ready()\nengine.maps()"
        )
        for _ in range(2):  # the second time from the cache, as later runs do
            ok(run(python("-c", code), cache=template))
    shutil.rmtree(cache, ignore_errors=True)
    shutil.copytree(template, cache)
    return cache


def run(
    line: Sequence[str | Path],
    *,
    cache: Path | None = None,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    stdin: str = "",
) -> Run:
    """Run a command to its end; wall time, CPU time and peak memory are its own, not this process's.

    `cache` becomes HEADSTART_CACHE; `env` replaces the whole environment.
    """
    around = dict(os.environ) if env is None else dict(env)
    if cache is not None:
        around["HEADSTART_CACHE"] = str(cache)
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        launcher = [sys.executable, "-I", "-S", str(HERE / "_launch.py"), report.name]
        done = subprocess.run(
            [*launcher, *map(str, line)],
            capture_output=True, text=True, errors="replace", check=False, cwd=cwd, env=around, input=stdin,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{line} could not be started: {done.stderr}")
        facts = json.loads(Path(report.name).read_text(encoding="ascii"))
    return Run(facts["code"], facts["wall"], facts["cpu"], facts["rss"], done.stdout, done.stderr)


def ok(done: Run) -> Run:
    """The same run, if it succeeded.

    Raises:
        RuntimeError: it did not; the message is what it said.
    """
    if done.code:
        raise RuntimeError(f"exit code {done.code}\n{done.err[-2000:]}{done.out[-2000:]}")
    return done


def rounds(count: int, *steps: Callable[[], float]) -> list[list[float]]:
    """A B C A B C …: what each step gave, in each round, so that a slow minute slows all of them."""
    found: list[list[float]] = [[] for _ in steps]
    for _ in range(count):
        for step, own in zip(steps, found, strict=True):
            own.append(step())
    return found


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Median, least and largest of the ratios of two measurements in the same round."""
    each = [a / b for a, b in zip(above, below, strict=True)]
    return median(each), (min(each), max(each))


def ends(values: Sequence[float]) -> tuple[float, float]:
    """Least and largest."""
    return min(values), max(values)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from (str(key), *_strings(one))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one)


def _round(value: float) -> float:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return _round(float(value)) if isinstance(value, float) else value
