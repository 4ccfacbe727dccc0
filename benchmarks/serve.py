"""The server against extraction and a plain handler; latency, overload, start, memory, hostile uploads.

Pictures are those of a real set, as JPEGs whose longer side is 500 pixels, uploaded over loopback. Client and
server share the machine's cores: what the client takes is missing from the server, and nothing is corrected
for that.
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import _harness
from _harness import Bound, Options, Result

SET, HOSTILE = "flowers12", "hostile"
SIDE, QUALITY = 500, 90
CLASSES = 12
TIMEOUT_S = 5.0  # told to the server for overload: by then everybody has an answer or a refusal
TIMES = 3  # the capacity
EXTRACT = """
import json, os, sys
from pathlib import Path
from headstart import backbones
from headstart.engines import open_engine
from headstart.features.extract import extract
files, spec = sorted(Path(sys.argv[1]).iterdir()), backbones.spec(backbones.DEFAULT)
engine = open_engine(spec)
engine.ready()
found = extract(files, spec, engine)
assert found.encoded == len(set(found.digests)), "the store was not cold"
print(json.dumps(len(files) / found.seconds))
"""


def measure(asked: Options) -> Iterator[Result]:
    """Every figure of the server."""
    source = _harness.picture_set(asked, SET)
    hostile = _harness.picture_set(asked, HOSTILE)
    runs, seconds = (2, 2.0) if asked.quick else (asked.extra.runs, asked.extra.seconds)
    with _harness.workplace() as place:
        cache = _harness.with_network(place / "cache")
        model = place / "model"
        small = _harness.some(source, place / "small", 10)
        _harness.ok(
            _harness.run(_harness.headstart("train", small, "--out", model, "--no-report"), cache=cache)
        )
        files = resized(source, place / "pictures", 100 if asked.quick else 500)
        raw, forms = place / "raw.bin", place / "forms.bin"
        raw.write_bytes(packed(files, form=False))
        forms.write_bytes(packed(files, form=True))
        yield from throughput(model, files, raw, forms, runs, seconds)
        yield from start(model, files[0], cache, runs)
        yield from overload(model, raw, cache, seconds)
        yield from endurance(model, raw, cache, 500 if asked.quick else 10_000)
        yield from bad(model, hostile, cache, 4 if asked.quick else 1)


def throughput(
    model: Path, files: list[Path], raw: Path, forms: Path, runs: int, seconds: float
) -> Iterator[Result]:
    """Extraction, ours, the plain one, in turn; latency at one connection and at 32."""
    place = model.parent
    found: dict[str, list[dict[str, Any]]] = {
        "alone": [],
        "many": [],
        "form": [],
        "plain alone": [],
        "plain": [],
    }
    cold: list[Path] = []

    def extraction() -> float:
        cold.append(_harness.with_network(place / f"cold-{len(cold)}"))
        done = _harness.ok(_harness.run(_harness.python("-c", EXTRACT, files[0].parent), cache=cold[-1]))
        return float(done.json)

    def ours() -> float:
        with served(model, place / "cache") as port:
            load(raw, port, 4, 1.0)
            found["alone"].append(load(raw, port, 1, seconds))
            found["many"].append(load(raw, port, 32, seconds))
            found["form"].append(load(forms, port, 32, seconds))
        return float(found["many"][-1]["per_second"])

    def plain() -> float:
        with plain_server(CLASSES) as port:
            load(forms, port, 4, 1.0)
            found["plain alone"].append(load(forms, port, 1, seconds))
            found["plain"].append(load(forms, port, 32, seconds))
        return float(found["plain"][-1]["per_second"])

    rates = _harness.rounds(runs, extraction, ours, plain)
    for name, own in found.items():
        assert all(set(one["statuses"]) == {"200"} for one in own), (name, own)
    share, ends = _harness.ratios(rates[1], rates[0])
    yield Result(
        "serve, share of extraction's pictures/s, 500 px JPEGs at 32 connections",
        100 * share,
        "%",
        Bound(">=", 75),
        len(files),
        runs,
        (100 * ends[0], 100 * ends[1]),
        {
            "extraction_per_second": median(rates[0]),
            "served_per_second": median(rates[1]),
            "served_per_second_as_forms": median(one["per_second"] for one in found["form"]),
            "mean_kilobytes": sum(file.stat().st_size for file in files) / len(files) / 1000,
        },
    )
    forms_rate = [one["per_second"] for one in found["form"]]
    times, between = _harness.ratios(forms_rate, rates[2])
    yield Result(
        "serve against a plain FastAPI + PyTorch eager handler, pictures/s at 32 connections, both as forms",
        times,
        "times",
        Bound(">=", 3),
        len(files),
        runs,
        between,
        {"served_per_second": median(forms_rate), "plain_per_second": median(rates[2])},
    )
    for name, told in (("alone", "1 connection"), ("many", "32 connections")):
        own = [one["latencies"]["200"] for one in found[name]]
        other = [one["latencies"]["200"] for one in found["plain alone" if name == "alone" else "plain"]]
        yield Result(
            f"serve, 99 % of the answers at {told} within",
            median(one["p99"] for one in own),
            "ms",
            None,
            len(files),
            runs,
            _harness.ends([one["p99"] for one in own]),
            {
                "p50_ms": median(one["p50"] for one in own),
                "plain_p50_ms": median(one["p50"] for one in other),
                "plain_p99_ms": median(one["p99"] for one in other),
            },
        )


def start(model: Path, file: Path, cache: Path, runs: int) -> Iterator[Result]:
    """From the command to the first answer, with warm caches."""
    took, torch = [], 0
    data = file.read_bytes()
    for _ in range(runs):
        began = time.perf_counter()
        with started(model, cache) as (process, port):
            asked = urllib.request.Request(
                f"http://127.0.0.1:{port}/predict", data, {"Content-Type": "image/jpeg"}
            )
            with urllib.request.urlopen(asked, timeout=60) as found:  # noqa: S310
                assert found.status == 200
            took.append(time.perf_counter() - began)
            torch += "libtorch" in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")
    yield Result(
        "serve, from the command to the first answer, warm caches", median(took), "s", Bound("<", 2), 1, runs,
        _harness.ends(took), {"runs_that_loaded_torch": torch},
    )  # fmt: skip


def overload(model: Path, raw: Path, cache: Path, seconds: float) -> Iterator[Result]:
    """Three times as many requests as can be answered: everybody is told in time, then all is as before."""
    with started(model, cache, "--timeout", str(TIMEOUT_S)) as (process, port):
        usual = load(raw, port, 32, seconds)
        calm = load(raw, port, 1, seconds)
        before = memory(process.pid)
        found = load(raw, port, 32, 2 * seconds, rate=TIMES * usual["per_second"])
        after = memory(process.pid)
        again = load(raw, port, 32, seconds)
        calm_again = load(raw, port, 1, seconds)
        most = memory(process.pid)
    said = {int(code): number for code, number in found["statuses"].items()}
    lost = sum(number for code, number in said.items() if code not in (200, 429, 503))
    n = sum(said.values())
    yield Result(
        f"serve at {TIMES} times its capacity: requests with neither an answer nor 429 or 503",
        lost,
        "requests",
        Bound("==", 0),
        n,
        1,
        None,
        {
            "asked_per_second": TIMES * usual["per_second"],
            "answered_per_second": found["per_second"],
            "usual_per_second": usual["per_second"],
            "statuses": {str(code): number for code, number in said.items()},
            "latencies_ms": found["latencies"],
            "afterwards_per_second": again["per_second"],
            "p50_ms_before": calm["latencies"]["200"]["p50"],
            "p50_ms_afterwards": calm_again["latencies"]["200"]["p50"],
        },
    )
    slowest = max(own["max"] for own in found["latencies"].values()) / 1000
    yield Result(
        f"serve at {TIMES} times its capacity: the slowest answer or refusal",
        slowest, "s", Bound("<=", TIMEOUT_S), n, 1, None, {"timeout_s": TIMEOUT_S},
    )  # fmt: skip
    yield Result(
        f"serve at {TIMES} times its capacity: memory against before",
        after / before, "times", None, n, 1, None,
        {"before_mb": before / 1e6, "after_mb": after / 1e6, "at_the_end_mb": most / 1e6},
    )  # fmt: skip


def endurance(model: Path, raw: Path, cache: Path, count: int) -> Iterator[Result]:
    """Ten thousand requests."""
    with started(model, cache) as (process, port):
        load(raw, port, 32, 1e9, count=count // 10)
        sizes = [memory(process.pid)]
        for _ in range(4):
            load(raw, port, 32, 1e9, count=count // 4)
            sizes.append(memory(process.pid))
    yield Result(
        f"serve, growth of memory over {count:,} requests",
        (sizes[-1] - sizes[0]) / 1e6, "MB", None, count, 1, None,
        {"after_quarters_mb": [size / 1e6 for size in sizes]},
    )  # fmt: skip


def bad(model: Path, hostile: Path, cache: Path, step: int) -> Iterator[Result]:
    """Hostile files, one by one, against what predict says of them."""
    files = sorted(hostile.iterdir())[::step]
    answered = _harness.run(_harness.headstart("predict", model, *files, "--format", "jsonl"), cache=cache)
    wanted = [json.loads(line) for line in answered.out.splitlines()]
    statuses: dict[int, int] = {}
    other, faults = 0, 0
    with started(model, cache, "--max-px", "100000000") as (process, port):
        before = memory(process.pid)
        for file, own in zip(files, wanted, strict=True):
            asked = urllib.request.Request(
                f"http://127.0.0.1:{port}/predict", file.read_bytes(), {"Content-Type": "image/jpeg"}
            )
            try:
                with urllib.request.urlopen(asked, timeout=60) as found:  # noqa: S310
                    code, said = found.status, json.load(found)
            except urllib.error.HTTPError as error:
                code, said = error.code, json.load(error)
            statuses[code] = statuses.get(code, 0) + 1
            faults += code >= 500
            (got,) = said.get("predictions", [{"error": said.get("error")}])
            same = ("error" in own and "error" in got) or (
                own.get("label") == got.get("label") and abs(own["probability"] - got["probability"]) <= 1e-4
            )
            other += not same
        after = memory(process.pid)
    yield Result(
        f"serve, {len(files)} hostile uploads: answers with status 5xx", faults, "answers", Bound("==", 0),
        len(files), 1, None,
        {
            "statuses": {str(code): number for code, number in sorted(statuses.items())},
            "unlike_predict": other,
            "before_mb": before / 1e6,
            "after_mb": after / 1e6,
        },
    )  # fmt: skip


# -- pictures and requests ---------------------------------------------------------------------------------


def resized(source: Path, target: Path, most: int) -> list[Path]:
    """Pictures of the set as JPEGs whose longer side is SIDE."""
    from PIL import Image

    target.mkdir()
    found = []
    pictures = _harness.pictures(source)
    for at, file in enumerate(pictures[:: max(1, len(pictures) // most)][:most]):
        image = Image.open(file).convert("RGB")
        scale = SIDE / max(image.size)
        found.append(target / f"{at:05d}.jpg")
        image.resize(
            (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
        ).save(found[-1], "JPEG", quality=QUALITY)
    return found


def packed(files: list[Path], *, form: bool) -> bytes:
    """Whole HTTP requests, each after its length."""
    out = io.BytesIO()
    for file in files:
        body, kind = file.read_bytes(), b"image/jpeg"
        if form:
            head = b'--mark\r\nContent-Disposition: form-data; name="file"; filename="x.jpg"\r\n'
            head += b"Content-Type: image/jpeg\r\n\r\n"
            body, kind = head + body + b"\r\n--mark--\r\n", b"multipart/form-data; boundary=mark"
        request = (
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + kind
            + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
        )  # fmt: skip
        out.write(len(request).to_bytes(8, "big") + request)
    return out.getvalue()


def load(
    requests: Path,
    port: int,
    connections: int,
    seconds: float,
    *,
    count: int | None = None,
    rate: float | None = None,
) -> dict[str, Any]:
    """What a client process saw."""
    words = [str(requests), str(port), "--connections", str(connections), "--seconds", str(seconds)]
    words += [] if count is None else ["--count", str(count)]
    words += [] if rate is None else ["--rate", str(rate)]
    done = _harness.ok(_harness.run(_harness.python(Path(__file__).with_name("_load.py"), *words)))
    found: dict[str, Any] = done.json
    return found


# -- servers -----------------------------------------------------------------------------------------------


@contextmanager
def served(model: Path, cache: Path, *words: str) -> Iterator[int]:
    """The port of our server."""
    with started(model, cache, *words) as (_, port):
        yield port


@contextmanager
def started(model: Path, cache: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Our server: the process and its port."""
    line = _harness.headstart("serve", model, "--port", "0", "--json", "--quiet", *words)
    environment = {**os.environ, "HEADSTART_CACHE": str(cache)}
    environment.pop("HEADSTART_API_KEY", None)
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            yield process, int(json.loads(process.stdout.readline())["url"].rpartition(":")[2])
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


@contextmanager
def plain_server(classes: int) -> Iterator[int]:
    """The port of the plain handler, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = Path(__file__).with_name("_plain_server.py")
    with subprocess.Popen([sys.executable, str(script), str(port), str(classes)]) as process:
        try:
            until = time.monotonic() + 120
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert time.monotonic() < until, "the plain server did not start"
                    time.sleep(0.1)
            yield port
        finally:
            process.kill()


def memory(process: int) -> int:
    """Resident memory of a process, bytes."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell the memory of a process")


if __name__ == "__main__":
    _harness.main(
        measure,
        __doc__,
        ("--runs", {"type": int, "default": 5}),
        ("--seconds", {"type": float, "default": 10.0, "help": "of load, each time"}),
    )
