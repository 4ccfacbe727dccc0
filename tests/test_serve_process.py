"""The server as a process, and as seen from a socket: bad clients, signals, several processes, the docs."""

import json
import math
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import make
import pytest

from headstart.model.folder import load
from headstart.recipe import train
from headstart.serve import protocol, run
from headstart.serve.settings import Settings

ROOT = Path(__file__).parents[1]
KEY = "correct horse battery staple"
BLOCK = re.compile(r"^<!-- run by \S+ -->\n```(bash|python)\n(.*?)^```", re.M | re.S)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.getbasetemp() / "toys"
    place.mkdir(exist_ok=True)
    return place


@pytest.fixture(scope="session")
def parted(base: Path) -> Path:
    return make.parted(base)


@pytest.fixture(scope="session")
def folder(base: Path, parted: Path) -> Path:
    return make.once(base / "parted-model", lambda out: train(parted, out=out, head="lda"))


@pytest.fixture(scope="session")
def picture(parted: Path) -> bytes:
    return next(iter(sorted((parted / "test").rglob("*.jpg")))).read_bytes()


# -- from a socket ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """A server in a thread of this process, with short times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "HEADERS_S", 1.0)
        patch.setattr(protocol, "CONNECTIONS", 12)
        server, _ = run.server_of(Settings((("toys", folder),), timeout_s=1.5, max_bytes=200_000))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=server.run, args=([listening],))
            thread.start()
            wait_for(lambda: server.started)
            yield listening.getsockname()[1]
            server.should_exit = True
            thread.join()


def wait_for(holds: Callable[[], Any], limit_s: float = 20.0) -> None:
    until = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.01)


def said(port: int, *pieces: bytes, pause_s: float = 0.0, end: bool = False) -> tuple[int, Any]:
    """What comes back for these bytes: status and JSON; (0, "") where it is closed without a word."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as own:
        for piece in pieces:
            try:
                own.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
            time.sleep(pause_s)
        if end:
            own.shutdown(socket.SHUT_WR)
        return answer(own)


def answer(own: socket.socket) -> tuple[int, Any]:
    got = b""
    while True:
        try:
            more = own.recv(65536)
        except ConnectionResetError:
            more = b""
        got += more
        head, _, body = got.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.I)
        if length and len(body) >= int(length[1]):
            return int(got.split(b" ")[1]), json.loads(body)
        if not more:
            return 0, ""


def request(picture: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = ["POST /predict HTTP/1.1", "Host: localhost", "Content-Type: image/jpeg", *headers]
    lines.append(f"Content-Length: {len(picture) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + picture


def is_well(port: int, picture: bytes) -> bool:
    return said(port, request(picture))[0] == 200


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("length too long", 408),
        ("length too short", 422),
        ("length negative", 400),
        ("length no number", 400),
        ("two lengths", 400),
        ("chunks that lie", 400),
        ("chunks over the limit", 413),
        ("length over the limit", 413),
        ("huge header", 431),
        ("many headers", 431),
        ("no HTTP", 400),
        ("nul in a header", 400),
        ("old version", 400),
        ("dripping body", 408),
        ("slow headers", 408),
        ("nothing", 408),
        ("form cut short", 400),
        ("wants leave for too much", 413),
        ("half closed", 0),
    ],
)
def test_a_bad_client_gets_its_4xx_and_the_next_one_its_answer(
    port: int, picture: bytes, name: str, status: int
) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: [::1]\r\nContent-Type: image/jpeg\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    drip = [picture[at : at + 1] for at in range(40)]
    cut = b"--xx\r\nContent-Disposition: form-data; name=a\r\n\r\nhalf"
    asked: dict[str, tuple[bytes, ...]] = {
        "length too long": (request(picture, length=len(picture) + 10),),
        "length too short": (request(picture, length=len(picture) // 2),),
        "length negative": (request(picture, length=-5),),
        "length no number": (request(picture).replace(b"Content-Length: ", b"Content-Length: x"),),
        "two lengths": (request(picture, "Content-Length: 3"),),
        "chunks that lie": (chunked, b"5\r\nabcdefgh\r\n"),
        "chunks over the limit": (chunked, *[b"10000\r\n" + bytes(0x10000) + b"\r\n"] * 5),
        "length over the limit": (request(b"", length=10**12),),
        "huge header": (request(picture, "X: " + "y" * 100_000),),
        "many headers": (request(picture, *[f"X{at}: {'y' * 50}" for at in range(2000)]),),
        "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n",),
        "nul in a header": (request(picture, "X: a\0b"),),
        "old version": (b"GET /\r\n\r\n",),
        "dripping body": (request(b"", length=1000), *drip),
        "slow headers": (b"POST /predict HTTP/1.1\r\n",),
        "nothing": (),
        "form cut short": (request(cut).replace(b"image/jpeg", b"multipart/form-data; boundary=xx"),),
        "wants leave for too much": (request(b"", "Expect: 100-continue", length=10**9),),
        "half closed": (request(picture, length=len(picture) + 10),),
    }
    began = time.monotonic()
    pause = 0.1 if name == "dripping body" else 0.0
    code, found = said(port, *asked[name], pause_s=pause, end=name == "half closed")
    assert time.monotonic() - began < 8
    assert code == status, found
    if code:
        assert set(found) >= {"error", "kind", "request_id"}
        assert "Traceback" not in str(found)
    assert is_well(port, picture)


def test_a_connection_answers_one_request_after_the_other(port: int, picture: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as own:
        for _ in range(3):
            own.sendall(request(picture))
            assert answer(own)[0] == 200
        own.sendall(request(picture) * 2)  # before the first answer
        got = b""
        while got.count(b"predictions") < 2:
            more = own.recv(65536)
            assert more
            got += more


def test_a_refused_upload_does_not_end_the_connection(port: int, picture: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as own:
        own.sendall(request(bytes(300_000)))
        assert answer(own)[0] == 413
        own.sendall(request(picture))
        assert answer(own)[0] == 200


def test_too_many_connections_are_told_so(port: int, picture: bytes) -> None:
    idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(12)]
    try:
        time.sleep(0.1)
        code, found = said(port, request(picture))
        assert (code, found["kind"]) == (503, "Busy")
    finally:
        for one in idle:
            one.close()
    wait_for(lambda: is_well(port, picture))


def test_a_client_that_goes_away_costs_nothing(port: int, picture: bytes) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as own:
            own.sendall(request(picture, length=len(picture) + 100))
    wait_for(lambda: is_well(port, picture))


# -- as a process -------------------------------------------------------------------------------------------


class Process:
    """`headstart serve`, started and stopped."""

    def __init__(self, *words: str, env: dict[str, str] | None = None) -> None:
        code = "from headstart.cli import main; main()"
        self.own = subprocess.Popen(
            [sys.executable, "-c", code, "serve", "--port", "0", "--json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.err: list[str] = []
        self.listening = threading.Thread(target=self._listen)
        self.listening.start()
        assert self.own.stdout
        line = self.own.stdout.readline()
        self.ready: dict[str, Any] = json.loads(line) if line else {}

    def _listen(self) -> None:
        assert self.own.stderr
        for line in self.own.stderr:
            self.err.append(line)

    def ask(self, path: str, data: bytes | None = None, **headers: str) -> tuple[int, Any]:
        kind = {"Content-Type": "image/jpeg"} if data is not None else {}
        method = "POST" if data is not None else "GET"
        asked = urllib.request.Request(self.ready["url"] + path, data, kind | headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(asked, timeout=20) as found:  # noqa: S310
                code, body = found.status, found.read()
        except urllib.error.HTTPError as error:
            code, body = error.code, error.read()
        return code, json.loads(body) if body[:1] == b"{" else body.decode()

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.own.poll() is None:
            self.own.send_signal(number)
        code = self.own.wait(30)
        self.listening.join()
        assert self.own.stdout
        assert self.own.stderr
        self.own.stdout.close()
        self.own.stderr.close()
        return code


@contextmanager
def process(*words: str, env: dict[str, str] | None = None) -> Iterator[Process]:
    found = Process(*words, env=env)
    try:
        yield found
    finally:
        found.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_signal_stops_it_after_what_is_under_way(folder: Path, parted: Path, number: int) -> None:
    data = sorted((parted / "test").rglob("*.jpg"))[0].read_bytes()
    with process(str(folder), env={"HEADSTART_API_KEY": KEY}) as own:
        mine = {"Authorization": f"Bearer {KEY}"}
        assert own.ready["models"] == ["parted-model"]
        port = int(own.ready["url"].rpartition(":")[2])
        assert own.ask("/predict", data)[0] == 401
        code, found = own.ask("/predict", data, **mine)
        assert code == 200
        assert found["predictions"][0]["probabilities"] == pytest.approx(
            load(folder).predict(sorted((parted / "test").rglob("*.jpg"))[0])[0].probabilities, abs=1e-12
        )
        with socket.create_connection(("127.0.0.1", port), timeout=20) as half:
            whole = request(data, f"X-API-Key: {KEY}")
            half.sendall(whole[:-10])
            wait_for(lambda: own.ask("/health")[0] == 200)
            own.own.send_signal(number)
            time.sleep(0.3)
            half.sendall(whole[-10:])
            assert answer(half)[0] == 200
        assert own.own.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        lines = [json.loads(line) for line in own.err]
        assert lines[-1]["event"] == "stopped"
        assert [
            one["status"] for one in lines if one["event"] == "request" and one["path"] == "/predict"
        ] == [401, 200, 200]
        assert KEY not in "".join(own.err) + json.dumps(own.ready)


def test_a_signal_has_changed_models_read_anew(folder: Path, parted: Path, tmp_path: Path) -> None:
    own_folder = Path(shutil.copytree(folder, tmp_path / "own"))
    with process(f"m={own_folder}") as own:
        before = own.ask("/model")[1]["digest"]
        own.own.send_signal(signal.SIGHUP)  # nothing has changed
        (own_folder / "model.json").write_bytes(b"{}")
        own.own.send_signal(signal.SIGHUP)
        wait_for(lambda: any("model kept" in line for line in own.err))
        assert own.ask("/model")[1]["digest"] == before
        shutil.rmtree(own_folder)
        train(parted, out=own_folder, head="ridge", report=False)
        own.own.send_signal(signal.SIGHUP)
        wait_for(lambda: own.ask("/model")[1]["digest"] != before)
        assert own.ask("/model")[1]["head"] == "ridge"


def test_several_processes_are_one_server(folder: Path, parted: Path, tmp_path: Path) -> None:
    own_folder = Path(shutil.copytree(folder, tmp_path / "own"))
    file = sorted((parted / "test").rglob("*.jpg"))[0]
    data = file.read_bytes()
    with process(f"m={own_folder}", "--workers", "2", env={"HEADSTART_API_KEY": KEY}) as own:
        mine = {"X-API-Key": KEY}

        def one(_: int) -> int:
            return own.ask("/predict", data, **mine)[0]

        def drift() -> float:
            text = own.ask("/metrics", **mine)[1]
            (found,) = re.findall(r'^headstart_drift\{model="m"\} (\S+)$', text, re.MULTILINE)
            return float(found)

        with ThreadPoolExecutor(6) as pool:
            assert set(pool.map(one, range(24))) == {200}
        served = {json.loads(line)["process"] for line in own.err if '"/predict"' in line}
        assert len(served) == 2, "one of them did all the work"
        for _ in range(3):  # whoever is asked adds them all up
            text = own.ask("/metrics", **mine)[1]
            assert re.search(r'headstart_pictures_total\{outcome="answered"\} 24\.0', text)
            assert own.ask("/drift.json", **mine)[1]["models"][0]["n"] == 24
            assert drift() == own.ask("/drift.json", **mine)[1]["models"][0]["distance"] > 0.5
        before = own.ask("/model", **mine)[1]["digest"]
        shutil.rmtree(own_folder)
        train(parted, out=own_folder, head="ridge", report=False)
        assert own.ask("/models/m/reload", b"", **mine)[0] == 200
        both = 'headstart_reloads_total{model="m",outcome="replaced"} 2.0'
        wait_for(lambda: both in own.ask("/metrics", **mine)[1])
        assert all(own.ask("/model", **mine)[1]["digest"] != before for _ in range(8))
        assert all(math.isnan(drift()) for _ in range(8))
        others = sorted((parted / "test").rglob("*.*"))
        with ThreadPoolExecutor(6) as pool:
            mixed = [pool.submit(own.ask, "/predict", one.read_bytes(), **mine) for one in others]
            assert {one.result()[0] for one in mixed} == {200}
        for _ in range(8):  # less than before the reload, whichever process is asked
            assert drift() == own.ask("/drift.json", **mine)[1]["models"][0]["distance"] < 0.5
        assert own.stop() == 0
        assert not any("Traceback" in line for line in own.err)


@pytest.mark.slow
def test_a_process_that_dies_is_replaced(folder: Path, picture: bytes) -> None:
    with process(str(folder), "--workers", "2") as own:
        time.sleep(run.STARTING_S + 0.5)
        served = {json.loads(line)["process"] for line in own.err if '"serving"' in line}
        assert len(served) == 2
        os.kill(min(served), signal.SIGKILL)
        wait_for(lambda: sum('"serving"' in line for line in own.err) == 3)
        assert own.ask("/predict", picture)[0] == 200
        assert own.stop() == 0


@pytest.mark.slow
def test_processes_end_with_the_one_that_watches_over_them(folder: Path) -> None:
    with process(str(folder), "--workers", "2") as own:
        place = ("127.0.0.1", int(own.ready["url"].rpartition(":")[2]))
        own.own.kill()
        own.own.wait(30)

        def is_free() -> bool:
            with socket.socket() as asking:
                return asking.connect_ex(place) != 0

        wait_for(is_free)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("absent-model",), "is not a model folder"),
        (("{folder}", "--max-files", "9", "--queue", "8"), "could never be answered"),
        (("{folder}", "--host", "203.0.113.7"), "cannot listen at 203.0.113.7"),
        (("{folder}", "--timeout", "soon"), "is no time"),
        (("absent-model", "--workers", "2"), "is not a model folder"),
    ],
    ids=str,
)
def test_what_cannot_be_served_is_said_once_and_ends_with_2(
    folder: Path, words: tuple[str, ...], says: str
) -> None:
    with process(*(word.format(folder=folder) for word in words)) as own:
        assert own.own.wait(20) == 2
        wait_for(lambda: own.err)
        assert "".join(own.err).count(says) == 1
        assert "Traceback" not in "".join(own.err)


def test_a_damaged_model_ends_with_1(folder: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(folder, tmp_path / "own"))
    (own / "weights.safetensors").write_bytes(b"not what was written")
    with process(str(own)) as found:
        assert found.own.wait(20) == 1
        wait_for(lambda: found.err)
        assert "Traceback" not in "".join(found.err)


def test_an_address_that_is_taken_is_told(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = "from headstart.cli import main; main()"
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-c", code, "serve", str(folder), "--port", port], capture_output=True, text=True
        )
        assert done.returncode == 2
        assert "Choose another with --host or --port" in done.stderr


# -- what is written ----------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed: apt-get install curl")
def test_the_docs_examples_run(folder: Path, parted: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    blocks = [block for block in BLOCK.findall(page) if "http://127.0.0.1:8000/" in block[1]]
    assert [language for language, _ in blocks] == ["bash", "bash", "python"]
    shutil.copytree(folder, tmp_path / "photos-model")
    found = sorted((parted / "test").rglob("*.*"))
    for name, file in (("one.jpg", found[1]), ("two.png", found[0])):
        shutil.copy(file, tmp_path / name)
    with process(str(tmp_path / "photos-model"), env={"HEADSTART_API_KEY": KEY}) as own:
        for language, code in blocks:
            code = code.replace("http://127.0.0.1:8000", own.ready["url"])
            command = ["bash", "-ec", code] if language == "bash" else [sys.executable, "-c", code]
            done = subprocess.run(
                command,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                env={**os.environ, "HEADSTART_API_KEY": KEY},
            )
            assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
            assert '"error"' not in done.stdout, done.stdout


def test_every_option_route_and_limit_is_in_the_docs() -> None:
    from headstart.cli.serve import command
    from headstart.serve.api import create_app

    page = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    for option in command.params:
        for name in option.opts:
            if name.startswith("--"):
                assert f"`{name}" in page, name
    for path in create_app(Settings((("x", Path("x")),))).openapi()["paths"]:
        assert path.replace("{name}", "NAME") in page, path


HELD = """
import io, sys, threading
import numpy as np
from PIL import Image
from headstart.modalities.image import decode
from headstart.serve.run import keep_no_memory
from headstart.values import Preprocess

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

out = io.BytesIO()
Image.fromarray(np.full((2000, 2500), 777, np.uint16)).save(out, "PNG")
how = Preprocess(56, 64, "bicubic", (0.5,) * 3, (0.5,) * 3, (0, 0, 0))
if sys.argv[1] == "with":
    keep_no_memory()
one, both, before = threading.Lock(), threading.Barrier(7), resident()

def work():
    with one:
        decode(out.getvalue(), how)
        decode(out.getvalue(), how)
    both.wait()

for _ in range(6):
    threading.Thread(target=work).start()
both.wait()
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps memory for each thread")
def test_memory_of_pictures_is_not_kept_by_every_thread_that_decoded_one() -> None:
    """Six threads, one after the other, 5 million pixels of 16 bits."""
    kept = {
        how: int(subprocess.run([sys.executable, "-c", HELD, how], capture_output=True, check=True).stdout)
        for how in ("with", "without")
    }
    assert kept["with"] < 60e6
    assert kept["without"] > kept["with"] + 40e6, "glibc has learnt it: then this is needed no more"


def test_the_container_runs_what_it_says() -> None:
    """No engine builds it here: what can be read from the files is checked."""
    import yaml

    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
    words = [one[0] for one in steps]
    said = dict(steps)
    assert set(words) <= {
        "FROM",
        "ARG",
        "ENV",
        "RUN",
        "COPY",
        "WORKDIR",
        "USER",
        "EXPOSE",
        "VOLUME",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }
    assert said["FROM"].startswith("python:3.11-slim")
    assert said["USER"] not in ("root", "0")
    assert words.index("USER") > max(at for at, word in enumerate(words) if word in ("RUN", "COPY"))
    entry, rest = json.loads(said["ENTRYPOINT"]), json.loads(said["CMD"])
    assert [*entry, *rest][:2] == ["headstart", "serve"]
    assert "/health" in said["HEALTHCHECK"]
    asked = next(one[1] for one in steps if one[1].startswith("EXTRAS=")).partition("=")[2].split(",")
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(asked) == {"serve", "backbones", "heif"} <= known["optional-dependencies"].keys()
    assert '".[$EXTRAS]"' in next(one[1] for one in steps if "pip install" in one[1])
    for copied in (one[1].split()[:-1] for one in steps if one[0] == "COPY"):
        for name in copied:
            assert (ROOT / name).exists(), name
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert ".git" in ignored
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    (service,) = compose["services"].values()
    assert service["read_only"] is True
    assert service["ports"][0].startswith("127.0.0.1:")
    assert "--max-px" not in service["command"], "the memory limit beside it is for the default"
