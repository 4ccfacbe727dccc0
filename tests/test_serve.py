"""The server says what `predict` says, refuses what is too much with the right status, and counts it all."""

import asyncio
import base64
import email
import email.policy
import functools
import importlib
import io
import json
import math
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import make
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from headstart.engines import Engine, open_engine
from headstart.errors import HeadstartError, Misuse, NotFinite
from headstart.model.folder import load
from headstart.model.model import Model
from headstart.model.predict import Wish, told
from headstart.recipe import train
from headstart.serve import refusals
from headstart.serve.api import Desk, create_app
from headstart.serve.drift import Drift
from headstart.serve.gate import OPEN, Rates
from headstart.serve.lanes import Ask, Job, Lane, Room
from headstart.serve.metrics import Counts, Metrics
from headstart.serve.page import docs
from headstart.serve.refusals import Refusal, TooLarge, TooOften
from headstart.serve.settings import Settings, digest_of, key_of, named
from headstart.serve.shelf import Shelf
from headstart.serve.upload import LONGEST_NAME, Share, Store, pictures

KEY = "a key that nobody guesses"
ROOM = Room(10**8)
Client = functools.partial(TestClient, base_url="http://127.0.0.1:8000")
JPEG = {"Content-Type": "image/jpeg"}


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
def other(base: Path, parted: Path) -> Path:
    """Another model of the same pictures: it answers otherwise."""
    return make.once(base / "ridge-model", lambda out: train(parted, out=out, head="ridge", report=False))


@pytest.fixture(scope="session")
def model(folder: Path) -> Model:
    return load(folder)


@pytest.fixture(scope="session")
def files(parted: Path) -> list[Path]:
    return sorted((parted / "test").rglob("*.*"))


@pytest.fixture(scope="module")
def client(folder: Path, other: Path) -> Iterator[TestClient]:
    with Client(create_app(Settings((("toys", folder), ("ridge", other))))) as found:
        yield found


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A model folder that may be spoilt."""
    return Path(shutil.copytree(folder, tmp_path / "own"))


def desk(client: TestClient) -> Desk:
    found = client.app.state.desk  # type: ignore[attr-defined]
    assert isinstance(found, Desk)
    return found


def queued(client: TestClient) -> int:
    return desk(client).shelf.get().lane.waiting


def form(*named: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", one) for one in named]


def ask(client: TestClient, data: bytes, path: str = "/predict", **headers: str) -> Any:
    return client.post(path, content=data, headers=JPEG | headers)


def sample(client: TestClient, name: str, **labels: str) -> float:
    """A number of /metrics; 0 where it is not there."""
    found = desk(client).metrics.registry.get_sample_value(name, labels)
    return found or 0.0


# -- the same answers ---------------------------------------------------------------------------------------


def test_http_says_what_predict_says_of_every_picture(
    client: TestClient, model: Model, files: list[Path]
) -> None:
    wanted = [one.to_json() for one in model.predict(files)]
    together = client.post("/predict", files=form(*((str(file), file.read_bytes()) for file in files)))
    assert together.status_code == 200
    assert together.json()["predictions"] == wanted
    alone = [ask(client, file.read_bytes()).json()["predictions"] for file in files]
    assert alone == [[one | {"path": "body"}] for one in wanted]


def test_many_clients_at_once_get_their_own_answers(
    client: TestClient, model: Model, files: list[Path]
) -> None:
    wanted = {str(file): one.to_json() for file, one in zip(files, model.predict(files), strict=True)}

    def one(file: Path) -> Any:
        return client.post("/predict", files=form((str(file), file.read_bytes()))).json()

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(one, files * 3):
            (answer,) = found["predictions"]
            assert answer == wanted[answer["path"]]


def test_each_model_answers_under_its_own_name(
    client: TestClient, model: Model, other: Path, files: list[Path]
) -> None:
    data = files[0].read_bytes()
    (first,), (second,) = (one.predict(files[0]) for one in (model, load(other)))
    assert first.probabilities != second.probabilities
    for path, wanted in (
        ("/predict", first),
        ("/predict?model=toys", first),
        ("/predict?model=ridge", second),
        ("/models/ridge/predict", second),
    ):
        found = ask(client, data, path).json()["predictions"][0]
        assert found == wanted.to_json() | {"path": "body"}, path
    missing = ask(client, data, "/models/rigde/predict")
    assert missing.status_code == 404
    assert missing.json()["kind"] == "UnknownName"
    assert "Did you mean 'ridge'?" in missing.json()["error"]


def test_every_option_of_predict_has_its_effect(client: TestClient, model: Model, files: list[Path]) -> None:
    data = files[0].read_bytes()
    (wanted,) = model.predict(files[0], coverage=0.5, nearest=3)
    found = ask(client, data, "/predict?sets=0.5&nearest=3&min_confidence=0.999&top=2").json()["predictions"][
        0
    ]
    assert found["set"] == list(wanted.set)
    assert found["nearest"] == [one.to_json() for one in wanted.nearest or ()]
    assert len(found["nearest"]) == 3
    assert found["confident"] is (wanted.probability >= 0.999)
    ranked = sorted(wanted.probabilities.items(), key=lambda item: -item[1])
    assert list(found["probabilities"].items()) == ranked[:2]
    plain = ask(client, data).json()["predictions"][0]
    assert {"nearest", "confident", "heat"}.isdisjoint(plain)
    assert len(plain["probabilities"]) == 3


def test_a_heat_map_is_the_one_of_explain(client: TestClient, model: Model, files: list[Path]) -> None:
    from headstart.explain.quick import overlays

    said = model.predict(files[0])[0].label
    found = ask(client, files[0].read_bytes(), "/predict?heat=true").json()["predictions"][0]
    kind, _, encoded = found["heat"].partition(",")
    assert kind == "data:image/png;base64"
    wanted = overlays(model, open_engine(model.backbone), {"x": (files[0], said)})["x"]
    assert base64.b64decode(encoded) == wanted


def test_a_missing_heat_map_has_its_reason(model: Model, files: list[Path]) -> None:
    class Blind(Engine):
        def __init__(self) -> None:
            real = open_engine(model.backbone)
            self.digest, self.precision, self.workers, self.batch = "blind", real.precision, 1, 1
            self.encode = real.encode  # type: ignore[method-assign]

        def encode(self, pixels: Any) -> Any:
            raise NotImplementedError

    (found,) = through(Lane(Blind(), Metrics(), ROOM), model, [files[0].read_bytes()], Ask(Wish(), heat=True))
    assert found["heat"] is None
    assert "headstart explain" in found["heat_missing"]
    assert found["label"] == model.predict(files[0])[0].label


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("top=0", "top"),
        ("sets=0", "sets"),
        ("sets=nan", "sets"),
        ("nearest=-1", "nearest"),
        ("nearest=1000000", "nearest"),
        ("min_confidence=2", "min_confidence"),
        ("heat=perhaps", "heat"),
        ("topp=3", "topp"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_its_name(client: TestClient, query: str, says: str) -> None:
    found = ask(client, b"x", f"/predict?{query}")
    assert found.status_code == 422
    assert found.json()["kind"] == "Misuse"
    assert found.json()["error"].startswith(f"{says}: ")


# -- what cannot be read ------------------------------------------------------------------------------------


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_answered(
    client: TestClient, model: Model, files: list[Path], tmp_path: Path
) -> None:
    good = files[0].read_bytes()
    (tmp_path / "cut.png").write_bytes(good[: len(good) // 2])
    wanted = [one.to_json() for one in model.predict([tmp_path / "cut.png", files[0]])]
    found = client.post(
        "/predict", files=form((str(tmp_path / "cut.png"), good[: len(good) // 2]), (str(files[0]), good))
    )
    assert found.status_code == 200
    assert found.json()["predictions"] == wanted
    assert set(wanted[0]) == {"path", "error"}


def test_where_none_can_be_read_the_status_says_so(client: TestClient) -> None:
    found = client.post("/predict", files=form(("a", b"nothing"), ("b", b"")))
    assert found.status_code == 422
    said = found.json()
    assert said["kind"] == "UnreadablePicture"
    assert [one["path"] for one in said["predictions"]] == ["a", "b"]
    assert "a: not a picture" in said["error"]


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "C:\\x\\y", "a\x00b", "\u202egnp.exe", "x" * 3000, "'; DROP", ""],
)
def test_names_are_told_back_and_used_for_nothing(client: TestClient, files: list[Path], name: str) -> None:
    body = (
        (b'--xx\r\nContent-Disposition: form-data; name="files"; filename="' + name.encode() + b'"\r\n\r\n')
        + files[0].read_bytes()
        + b"\r\n--xx--\r\n"
    )
    found = client.post(
        "/predict", content=body, headers={"Content-Type": "multipart/form-data; boundary=xx"}
    )
    assert found.status_code == 200
    told_back = found.json()["predictions"][0]["path"]
    assert told_back == {"": "files", "C:\\x\\y": "y"}.get(name, name[:LONGEST_NAME])


@functools.cache
def hostile() -> dict[str, bytes]:
    """Small files that ask for much, or are not what they say."""
    out = io.BytesIO()
    Image.new("1", (8_000, 8_000)).save(out, "PNG")
    bomb = out.getvalue()
    good = io.BytesIO()
    make.picture((90, 110, 170), 1).save(good, "JPEG")
    jpeg = good.getvalue()
    return {
        "bomb": bomb,
        "cut": jpeg[: len(jpeg) // 2],
        "empty": b"",
        "zeros": bytes(1000),
        "html": b"<html><script>alert(1)</script>",
        "zip": b"PK\x03\x04" + bytes(100),
        "marks only": b"\xff\xd8\xff" + bytes(500),
        "gif without pixels": b"GIF89a" + bytes(20),
        "tiff to itself": b"II*\0\x08\0\0\0\x01\0" + b"\xff" * 40,
        "webp of nothing": b"RIFF\xff\xff\xff\xffWEBPVP8 ",
    }


@pytest.mark.parametrize("name", hostile())
def test_hostile_pictures_are_refused_without_harm(client: TestClient, name: str) -> None:
    found = ask(client, hostile()[name])
    assert found.status_code == 422
    assert "Traceback" not in found.text
    assert found.json()["kind"] == ("NoPictures" if name == "empty" else "UnreadablePicture")


@pytest.mark.data
@pytest.mark.slow
def test_real_hostile_files_are_answered_as_predict_answers_them(
    client: TestClient, model: Model, real: Path
) -> None:
    found = sorted((real / "hostile").iterdir())
    limit = desk(client).settings.max_px
    from headstart.model.predict import predict

    wanted = [one.to_json() for one in predict(model, found, open_engine(model.backbone), limit_px=limit)]
    before = queued(client)
    for file, own in zip(found, wanted, strict=True):
        answer = client.post("/predict", files=form((str(file), file.read_bytes())))
        assert answer.status_code == (422 if "error" in own else 200), file
        assert answer.json()["predictions"] == [own], file
    assert queued(client) == before == 0


# -- limits -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict(folder: Path) -> Iterator[TestClient]:
    limits = Settings((("toys", folder),), max_bytes=20_000, max_px=10_000, max_files=3, queue=4, timeout_s=2)
    with Client(create_app(limits)) as found:
        yield found


def small(side: int = 64) -> bytes:
    out = io.BytesIO()
    make.picture((90, 110, 170), 3, side=side).save(out, "JPEG")
    return out.getvalue()


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def test_what_is_within_the_limits_is_answered(strict: TestClient) -> None:
    assert ask(strict, small()).status_code == 200
    assert strict.post("/predict", files=form(*(("x", small()),) * 3)).status_code == 200


@pytest.mark.parametrize("says", [True, False], ids=["length told", "chunked"])
def test_too_many_bytes_are_413(strict: TestClient, says: bool) -> None:
    body = small() + bytes(20_000)
    found = strict.post("/predict", content=body if says else chunks(body, 1000), headers=JPEG)
    assert (found.status_code, found.json()["kind"]) == (413, "TooLarge")
    assert "20,000 bytes" in found.json()["error"]
    assert desk(strict).store.held == 0


def test_too_many_pictures_are_413(strict: TestClient) -> None:
    found = strict.post("/predict", files=form(*(("x", b"y"),) * 4))
    assert (found.status_code, found.json()["kind"]) == (413, "TooLarge")
    assert "more than 3 parts" in found.json()["error"]


def test_too_many_pixels_are_named(strict: TestClient) -> None:
    found = ask(strict, small(side=101))
    assert found.status_code == 422
    assert "over the limit of 10,000" in found.json()["error"]


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/x-www-form-urlencoded", "x"])
def test_other_types_are_415(strict: TestClient, kind: str) -> None:
    found = strict.post("/predict", content=small(), headers={"Content-Type": kind})
    assert (found.status_code, found.json()["kind"]) == (415, "WrongType")
    packed = strict.post("/predict", content=small(), headers=JPEG | {"Content-Encoding": "gzip"})
    assert packed.status_code == 415


@pytest.mark.parametrize(
    ("body", "boundary", "says"),
    [
        (b"--xx\r\nContent-Disposition: form-data; name=a\r\n\r\nhalf", "xx", "cut short"),
        (b"no form at all", "xx", "not the form that it says it is"),
        (b"", "xx", "cut short"),
        (b"--xx\r\n\r\nx\r\n--xx--\r\n", "xx", "does not say that it is form-data"),
        (b"--xx--\r\n", "", "boundary"),
        (b"--xx--\r\n", "x" * 71, "boundary"),
        (b"--xx\r\nX: " + b"y" * 9000 + b"\r\n\r\n", "xx", "headers|not the form"),
        (b"--xx\r\n" + b"X: y\r\n" * 9 + b"\r\n", "xx", "headers|not the form"),
    ],
    ids=["cut", "none", "empty", "nameless", "no boundary", "long boundary", "long header", "many headers"],
)
def test_broken_forms_are_400(strict: TestClient, body: bytes, boundary: str, says: str) -> None:
    kind = f"multipart/form-data; boundary={boundary}"
    found = strict.post("/predict", content=body, headers={"Content-Type": kind})
    assert (found.status_code, found.json()["kind"]) == (400, "BadRequest")
    assert re.search(says, found.json()["error"])


def test_thousands_of_parts_end_early(strict: TestClient) -> None:
    part = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n"
    found = strict.post(
        "/predict", content=part * 300, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert found.status_code == 413


def test_uploads_together_are_bounded() -> None:
    store = Store(100)
    with Share(store) as one, Share(store) as two:
        one.take(60)
        two.take(40)
        with pytest.raises(refusals.Busy):
            two.take(1)
    assert store.held == 0


@pytest.fixture
def stuck(strict: TestClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The network does not answer until the event is set."""
    engine = desk(strict).shelf.get().lane.engine
    free, real = threading.Event(), engine.encode

    def slow(pixels: Any) -> Any:
        free.wait(20)
        return real(pixels)

    monkeypatch.setattr(engine, "encode", slow)
    yield free
    free.set()
    wait_for(lambda: queued(strict) == 0)


def wait_for(holds: Any, limit_s: float = 10.0) -> None:
    until = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.005)


def test_a_full_queue_is_503_at_once_and_recovers(strict: TestClient, stuck: threading.Event) -> None:
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(ask, strict, small()) for _ in range(4)]
        wait_for(lambda: queued(strict) == 4)
        assert sample(strict, "headstart_queue_pictures") == 4
        began = time.monotonic()
        found = ask(strict, small())
        assert time.monotonic() - began < 1
        assert (found.status_code, found.json()["kind"]) == (503, "Busy")
        assert found.headers["Retry-After"] == "1"
        assert ask(strict, b"").status_code == 503, "the body was looked at first"
        assert strict.get("/health").status_code == 200
        assert strict.get("/health/ready").status_code == 503
        stuck.set()
        assert [one.result().status_code for one in waiting] == [200] * 4
    wait_for(lambda: queued(strict) == 0)
    assert ask(strict, small()).status_code == 200
    assert strict.get("/health/ready").status_code == 200
    assert sample(strict, "headstart_queue_pictures") == 0


@pytest.fixture
def apart(folder: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Two models with an engine and a lane each; that of the first, `slow`, has one thread."""
    real, opened = open_engine(load(folder).backbone), list[Batched]()

    def another(*_: Any) -> Batched:
        opened.append(Batched(real))
        opened[-1].digest, opened[-1].batch = str(len(opened)), 1
        return opened[-1]

    monkeypatch.setattr("headstart.serve.shelf.open_engine", another)
    limits = Settings((("slow", folder), ("fast", other)), max_px=10_000, max_files=3, queue=4, timeout_s=2)
    with Client(create_app(limits)) as found:
        yield found


def test_the_queue_of_a_slow_model_shuts_nobody_out_of_another(
    apart: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = (desk(apart).shelf.get(name).lane for name in ("slow", "fast"))
    assert slow is not fast
    free = threading.Event()
    real = slow.engine.encode
    monkeypatch.setattr(slow.engine, "encode", lambda pixels: (free.wait(20), real(pixels))[1])
    slow.pace_s = 0.4  # four that wait for it are a wait that the other model has nothing to do with
    fast.pace_s = 1.5
    with ThreadPoolExecutor(4) as pool:
        told_of = [pool.submit(ask, apart, small()) for _ in range(4)]
        wait_for(lambda: slow.waiting == 4)
        assert ask(apart, small()).status_code == 503
        assert apart.get("/health/ready").status_code == 200
        assert sample(apart, "headstart_queue_pictures") == 4
        assert ask(apart, small(), "/models/fast/predict").status_code == 200
        assert (slow.waiting, fast.waiting) == (4, 0)
        monkeypatch.setattr(fast, "waiting", 4)
        assert ask(apart, small(), "/models/fast/predict").status_code == 503
        assert apart.get("/health/ready").status_code == 503
        monkeypatch.undo()
        free.set()
        assert {one.result().status_code for one in told_of} <= {200, 503}
    wait_for(lambda: slow.waiting == 0)


# -- memory -------------------------------------------------------------------------------------------------


def deep(side: int = 300) -> bytes:
    """A grey picture of 16 bits and one colour: of many pixels and few bytes."""
    out = io.BytesIO()
    Image.fromarray(np.full((side, side), 777, np.uint16)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(("most_px", "at_a_time"), [(200_000, 2), (10**8, 3)], ids=["bound", "free"])
def test_decoding_is_bounded_over_all_lanes_and_threads(
    model: Model, monkeypatch: pytest.MonkeyPatch, most_px: int, at_a_time: int
) -> None:
    """Two lanes of eight threads each; 90,000 pixels a picture. Without a bound many are decoded at once."""
    held, most, lock = 0, 0, threading.Lock()
    from headstart.modalities import image

    def watched(*given: Any) -> Any:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        time.sleep(0.05)
        try:
            return image_flat(*given)
        finally:
            with lock:
                held -= 1

    image_flat = image._flat
    monkeypatch.setattr(image, "_flat", watched)
    room, lanes = Room(most_px), []
    for _ in range(2):
        engine = Batched(open_engine(model.backbone))
        engine.workers, engine.batch = 8, 1
        lanes.append(Lane(engine, Metrics(), room))
    with ThreadPoolExecutor(2) as pool:
        data = [deep()] * 6 + [b"no picture", deep()[:200]] * 2
        found = [pool.submit(through, lane, model, data, Ask(Wish())) for lane in lanes]
        answers = [one.result() for one in found]
    assert all(["error" in one for one in own] == [False] * 6 + [True] * 4 for own in answers)
    assert most == at_a_time if most_px < 10**8 else most >= at_a_time
    assert room.held_px == 0


def test_a_large_picture_is_not_passed_by() -> None:
    room, order = Room(100), list[str]()
    started = threading.Event()

    def large() -> None:
        with room.share() as take:
            started.set()
            take(100)
            order.append("large")

    def little() -> None:
        with room.share() as take:
            take(1)
            order.append("little")

    with room.share() as take:
        take(50)
        first = threading.Thread(target=large)
        first.start()
        started.wait()
        wait_for(room._turn.locked)
        second = threading.Thread(target=little)  # there would be room for it
        second.start()
        second.join(0.1)
        assert order == []
    first.join()
    second.join()
    assert order == ["large", "little"]
    assert room.held_px == 0


def test_a_request_with_more_pictures_than_there_is_room_for_is_503(
    strict: TestClient, stuck: threading.Event
) -> None:
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(ask, strict, small()) for _ in range(2)]
        wait_for(lambda: queued(strict) == 2)
        found = strict.post("/predict", files=form(*(("x", small()),) * 3))
        assert (found.status_code, found.json()["kind"]) == (503, "Busy")
        two = pool.submit(lambda: strict.post("/predict", files=form(*(("x", small()),) * 2)))
        stuck.set()
        assert [one.result().status_code for one in (*waiting, two)] == [200] * 3


def test_a_wait_that_would_be_too_long_is_told_at_once(strict: TestClient, stuck: threading.Event) -> None:
    lane = desk(strict).shelf.get().lane
    stuck.set()
    assert ask(strict, small()).status_code == 200
    wait_for(lambda: 0 < lane.pace_s < 1)
    assert lane.wait_s(0) == lane.pace_s
    stuck.clear()
    lane.pace_s = 2.5
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, strict, small())  # nobody is before it: it is tried whatever the pace was
        wait_for(lambda: queued(strict) == 1)
        began = time.monotonic()
        found = ask(strict, small())
        assert (found.status_code, found.json()["kind"]) == (503, "Busy")
        assert "all the time" in found.json()["error"]
        assert time.monotonic() - began < 1
        stuck.set()
        assert first.result().status_code == 200
    wait_for(lambda: lane.pace_s < 2.5)  # what was tried told a better pace, just after its answer
    lane.pace_s = 0.01
    assert ask(strict, small()).status_code == 200


def test_an_answer_that_takes_too_long_is_503_and_its_picture_still_counts(
    strict: TestClient, stuck: threading.Event
) -> None:
    found = ask(strict, small())
    assert (found.status_code, found.json()["kind"]) == (503, "TooLate")
    assert queued(strict) == 1  # it still holds a thread: no room is made by giving up
    assert desk(strict).store.held == 0
    stuck.set()
    wait_for(lambda: queued(strict) == 0)
    assert ask(strict, small()).status_code == 200


def test_a_fault_of_ours_is_500_without_its_reason_and_the_log_has_it(
    strict: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Any) -> Any:
        raise ZeroDivisionError("a secret of the house")

    monkeypatch.setattr(desk(strict).shelf.get().lane.engine, "encode", broken)
    found = ask(strict, small())
    assert found.status_code == 500
    assert "secret" not in found.text
    assert found.json()["kind"] == "InternalError"
    (record,) = [one for one in caplog.records if one.exc_info]
    assert "a secret of the house" in str(record.exc_info[1])  # type: ignore[index]
    assert record.__dict__["facts"]["id"] == found.json()["request_id"]
    monkeypatch.undo()
    assert ask(strict, small()).status_code == 200


def test_a_client_that_asks_too_often_waits(folder: Path) -> None:
    with Client(create_app(Settings((("toys", folder),), rate=2))) as client:
        codes = [ask(client, small()).status_code for _ in range(4)]
        assert codes[:2] == [200, 200]
        assert 429 in codes
        assert client.get("/health").status_code == 200


@settings(max_examples=50)
@given(st.lists(st.floats(0, 3), min_size=1, max_size=30), st.floats(0.1, 20))
def test_no_client_passes_more_often_than_it_may(gaps: list[float], rate: float) -> None:
    """In any stretch of t seconds at most rate * t requests pass, and as many as the bucket holds."""
    rates, now, passed = Rates(rate), 0.0, []
    for gap in gaps:
        now += gap
        try:
            rates.take("a", now)
            passed.append(now)
        except TooOften:
            pass
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            stretch = passed[last] - passed[first]
            assert last - first + 1 <= rate * stretch + max(1.0, rate) + 1e-6
    rates.take("another", now)


def test_rates_of_strangers_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.serve.gate.CLIENTS", 10)
    rates = Rates(1)
    for number in range(100):
        rates.take(str(number), 0.0)
    assert len(rates._left) == 10


# -- who may ask --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked(folder: Path) -> Iterator[TestClient]:
    limits = Settings((("toys", folder),), key=digest_of(KEY.encode()), origins=("https://a.example",))
    with Client(create_app(limits)) as found:
        yield found


def test_without_the_key_only_health_and_docs_are_open(locked: TestClient) -> None:
    paths = locked.get("/openapi.json").json()["paths"]
    for path in [*paths, "/docs", "/openapi.json", "/nothing"]:
        method = "post" if "post" in paths.get(path, {}) else "get"
        for headers in ({}, {"X-API-Key": KEY + "x"}, {"Authorization": f"Basic {KEY}"}, {"X-API-Key": ""}):
            found = locked.request(method, path.replace("{name}", "toys"), headers=headers)
            assert found.status_code == (200 if path in OPEN else 401), path
            if path not in OPEN:
                assert found.json()["kind"] == "WrongKey"
                assert found.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("headers", [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}], ids=str)
def test_with_the_key_it_answers_and_never_tells_it(
    locked: TestClient, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "headstart.serve")
    assert ask(locked, small(), **headers).status_code == 200
    said = "".join(
        locked.get(path, headers=headers).text for path in ("/model", "/metrics", "/docs", "/openapi.json")
    )
    assert KEY not in said
    assert digest_of(KEY.encode()).hex() not in said
    assert KEY not in "".join(str(record.__dict__) for record in caplog.records)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:8000", 200), ("127.0.0.1", 200), ("[::1]:80", 200),
        ("10.0.0.7:1", 200), ("evil.example", 421), ("", 421), ("evil.example:8000", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421), ("127.0.0.1@evil.example", 421), ("localhost:x", 421), ("[::1", 421),
    ],
)  # fmt: skip
def test_a_local_server_is_asked_by_address_or_as_localhost_alone(
    client: TestClient, locked: TestClient, host: str, status: int
) -> None:
    """Else another site's page could read its answers, by having its own name lead here."""
    for path in ("/model", "/metrics", "/health", "/docs", "/nothing"):
        found = client.get(path, headers={"Host": host})
        assert found.status_code == (404 if (path, status) == ("/nothing", 200) else status)
        if status == 421:
            assert found.json()["kind"] == "WrongHost"
            assert "localhost or by its address" in found.json()["error"]
    assert client.post("/predict", content=small(), headers=JPEG | {"Host": host}).status_code == status
    assert locked.get("/model", headers={"Host": host, "X-API-Key": KEY}).status_code == 200


@pytest.mark.parametrize(
    ("host", "own"),
    [("::1", True), ("localhost", True), ("127.8.8.8", True), ("10.0.0.7", False), ("x", False)],
)
def test_a_server_for_others_may_be_asked_by_any_name(folder: Path, host: str, own: bool) -> None:
    with Client(create_app(Settings((("toys", folder),), host=host))) as client:
        asked = client.get("/health", headers={"Host": "photos.example"})
        assert asked.status_code == (421 if own else 200)
        assert ("421" in client.get("/openapi.json").json()["paths"]["/model"]["get"]["responses"]) is own


def test_health_may_be_asked_for_by_its_head(client: TestClient) -> None:
    assert client.head("/health").status_code == 200
    assert client.head("/model").status_code == 405


def test_the_description_says_where_a_key_is_wanted(locked: TestClient, client: TestClient) -> None:
    said = locked.get("/openapi.json").json()
    assert set(said["components"]["securitySchemes"]) == {"bearer", "header"}
    for path, methods in said["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) is (path not in OPEN)
    assert "securitySchemes" not in client.get("/openapi.json").json()["components"]


def test_other_pages_may_ask_only_where_they_are_named(locked: TestClient, client: TestClient) -> None:
    for origin, allowed in (("https://a.example", True), ("https://b.example", False)):
        found = locked.get("/health", headers={"Origin": origin})
        assert ("access-control-allow-origin" in found.headers) is allowed
    before = locked.options(
        "/predict",
        headers={
            "Origin": "https://a.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-api-key",
        },
    )
    assert before.status_code == 200
    assert (
        "access-control-allow-origin"
        not in client.get("/health", headers={"Origin": "https://a.example"}).headers
    )


@pytest.mark.parametrize("asked", ["abc-1.2_Z", "x" * 64])
def test_a_request_keeps_the_id_that_it_brings(client: TestClient, asked: str) -> None:
    assert client.get("/health", headers={"X-Request-ID": asked}).headers["X-Request-ID"] == asked


@pytest.mark.parametrize("asked", ["", "x" * 65, "a b", 'a"b', "ünï".encode("latin-1"), "{}"], ids=str)
def test_an_id_that_could_do_harm_is_replaced(client: TestClient, asked: str | bytes) -> None:
    found = client.get("/nothing", headers={"X-Request-ID": asked})
    assert re.fullmatch("[0-9a-f]{16}", found.headers["X-Request-ID"])
    assert found.json()["request_id"] == found.headers["X-Request-ID"]


# -- models in place ----------------------------------------------------------------------------------------


def test_a_model_is_replaced_while_its_requests_are_answered(
    own: Path, other: Path, files: list[Path]
) -> None:
    data = files[0].read_bytes()
    old, new = (load(one).predict(files[0])[0].to_json()["probabilities"] for one in (own, other))
    with Client(create_app(Settings((("own", own),), key=digest_of(KEY.encode())))) as client:
        headers = {"X-API-Key": KEY}
        before = client.get("/model", headers=headers).json()["digest"]

        def hammer(_: int) -> Any:
            return ask(client, data, **headers)

        with ThreadPoolExecutor(4) as pool:
            found = [pool.submit(hammer, at) for at in range(10)]
            shutil.rmtree(own)
            shutil.copytree(other, own)
            done = client.post("/models/own/reload", headers=headers)
            found += [pool.submit(hammer, at) for at in range(10)]
            answers = [one.result() for one in found]
        assert done.status_code == 200
        assert done.json()["before"] == before != done.json()["digest"]
        assert {one.status_code for one in answers} == {200}
        said = [one.json()["predictions"][0]["probabilities"] for one in answers]
        assert all(one in (old, new) for one in said)
        assert said[-1] == new
        assert client.get("/drift.json", headers=headers).json()["models"][0]["n"] <= 20


@pytest.mark.parametrize("harm", ["cut", "gone", "other bytes"])
def test_a_damaged_model_does_not_replace_a_whole_one(own: Path, files: list[Path], harm: str) -> None:
    with Client(create_app(Settings((("own", own),), key=digest_of(KEY.encode())))) as client:
        headers = {"X-API-Key": KEY}
        before = ask(client, files[0].read_bytes(), **headers).json()
        digest = client.get("/model", headers=headers).json()["digest"]
        weights = own / "weights.safetensors"
        if harm == "gone":
            shutil.rmtree(own)
        else:
            data = weights.read_bytes()
            weights.write_bytes(data[:-100] if harm == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
        found = client.post("/models/own/reload", headers=headers)
        assert (found.status_code, found.json()["kind"]) == (409, "ModelKept")
        assert "still answers" in found.json()["error"]
        assert client.get("/model", headers=headers).json()["digest"] == digest
        assert ask(client, files[0].read_bytes(), **headers).json() == before
        assert sample(client, "headstart_reloads_total", model="own", outcome="kept") == 1


def test_without_a_key_nobody_can_have_models_read_anew(client: TestClient) -> None:
    found = client.post("/models/toys/reload")
    assert (found.status_code, found.json()["kind"]) == (403, "NotAllowed")
    assert "SIGHUP" in found.json()["error"]


def test_a_lane_that_no_model_needs_any_more_is_closed(
    own: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, opened = open_engine(load(own).backbone), list[Batched]()

    def another(*_: Any) -> Batched:
        opened.append(Batched(real))
        opened[-1].digest = "old" if len(opened) <= 2 else "new"
        return opened[-1]

    monkeypatch.setattr("headstart.serve.shelf.open_engine", another)
    shelf = Shelf((("own", own), ("beside", other)), "cpu", Metrics(), ROOM)
    shelf.open()
    lane = shelf.get("own").lane
    assert lane is shelf.get("beside").lane
    asyncio.run(shelf.reload("own"))
    assert shelf.get("own").lane is not lane
    assert any(thread.is_alive() for thread in lane._threads), "another model still needs it"
    asyncio.run(shelf.reload("beside"))
    assert not any(thread.is_alive() for thread in lane._threads)
    assert set(shelf._lanes) == {"new"}
    shelf.close()


def test_models_of_one_backbone_share_its_engine(client: TestClient) -> None:
    shelf = desk(client).shelf
    assert shelf.get("toys").lane is shelf.get("ridge").lane


# -- lanes --------------------------------------------------------------------------------------------------


def through(lane: Lane, model: Model, data: list[bytes], asked: Ask) -> list[dict[str, Any]]:
    """Answers of a lane, which is closed afterwards."""

    async def run() -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        left: list[int] = []
        jobs = [
            Job(
                str(at),
                one,
                model,
                asked,
                loop.create_future(),
                lambda: left.append(1),
                time.perf_counter(),
            )
            for at, one in enumerate(data)
        ]
        for job in jobs:
            lane.put(job)
        found = [await job.answer for job in jobs]
        assert len(left) == len(jobs)
        await asyncio.to_thread(lane.close)
        return found

    return asyncio.run(run())


class Batched(Engine):
    """An engine that wants four at a time, and remembers what it got."""

    def __init__(self, real: Engine) -> None:
        self.real, self.sizes = real, list[int]()
        self.digest, self.precision, self.workers, self.batch = "batched", real.precision, 1, 4

    def encode(self, pixels: Any) -> Any:
        self.sizes.append(len(pixels))
        return self.real.encode(pixels)


def test_an_engine_that_wants_batches_gets_them_and_nobody_waits_long(
    model: Model, files: list[Path]
) -> None:
    engine = Batched(open_engine(model.backbone))
    data = [file.read_bytes() for file in files[:9]]
    found = through(Lane(engine, Metrics(), ROOM), model, data, Ask(Wish()))
    wanted = [one.to_json() for one in model.predict(files[:9])]
    assert [{**one, "path": ""} for one in found] == [{**one, "path": ""} for one in wanted]
    assert max(engine.sizes) == 4
    assert sum(engine.sizes) == 9
    alone = Batched(engine.real)
    through(Lane(alone, Metrics(), ROOM), model, data[:1], Ask(Wish()))
    assert alone.sizes == [1]


def test_a_network_that_fails_is_told_to_whoever_asked_and_the_lane_goes_on(
    model: Model, files: list[Path]
) -> None:
    class Failing(Batched):
        def encode(self, pixels: Any) -> Any:
            if len(self.sizes) == 0:
                self.sizes.append(0)
                raise NotFinite("no number")
            return super().encode(pixels)

    engine = Failing(open_engine(model.backbone))
    engine.batch = 1
    lane = Lane(engine, Metrics(), ROOM)

    async def run() -> tuple[BaseException | None, dict[str, Any]]:
        jobs = [
            Job(
                "x",
                files[0].read_bytes(),
                model,
                Ask(Wish()),
                asyncio.get_running_loop().create_future(),
                lambda: None,
                0.0,
            )
            for _ in range(2)
        ]
        for job in jobs:
            lane.put(job)
        second = await jobs[1].answer
        return jobs[0].answer.exception(), second

    first, second = asyncio.run(run())
    lane.close()
    assert isinstance(first, NotFinite)
    assert second["label"] == model.predict(files[0])[0].label


def test_one_function_makes_all_answers(model: Model, files: list[Path]) -> None:
    """`predict` and the server share it; here it is held against the parts that it is made of."""
    engine = open_engine(model.backbone)
    from headstart.modalities.image import decode

    pixels = decode(files[0].read_bytes(), model.backbone.preprocess).pixels.copy()
    x = engine.encode(pixels[None])[0]
    found = told(model, x, "a", Wish(0.9, 0.4, 2))
    said = model.answer(x[None])
    assert list(found.probabilities.values()) == said.probabilities[0].tolist()
    assert found.set == model.sets(said.probabilities, 0.9)[0]
    assert found.nearest == model.nearest(x[None], 2)[0]
    assert found.confident is bool(said.probabilities.max() >= 0.4)
    with pytest.raises(Misuse, match="nearest"):
        Wish(nearest=-1)


# -- bodies -------------------------------------------------------------------------------------------------


def taken_apart(body: bytes, kind: str, size: int, limits: Settings) -> list[tuple[str, bytes]]:
    pieces = list(chunks(body, size)) or [b""]

    async def receive() -> dict[str, Any]:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    store = Store(10**9)

    async def run() -> list[tuple[str, bytes]]:
        with Share(store) as share:
            found = await pictures({"content-type": kind}, receive, limits, share)
            assert share.held == len(body)
            return [(one.name, one.data) for one in found]

    return asyncio.run(run())


parts = st.lists(
    st.tuples(st.text("abc.-_ ü/", min_size=1, max_size=12), st.binary(max_size=200)), min_size=1, max_size=5
)


@settings(max_examples=60)
@given(parts, st.integers(1, 50))
def test_a_form_is_taken_apart_as_pythons_own_parser_does_it(
    found: list[tuple[str, bytes]], size: int
) -> None:
    mark = "==mark=="
    body = b"".join(
        f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in found
    )
    body += f"--{mark}--\r\n".encode()
    kind = f'multipart/form-data; boundary="{mark}"'
    ours = taken_apart(body, kind, size, Settings((), max_files=9))
    message = email.message_from_bytes(
        f"Content-Type: {kind}\r\n\r\n".encode() + body, policy=email.policy.HTTP
    )
    theirs = [part.get_payload(decode=True) for part in message.iter_parts()]  # type: ignore[attr-defined]
    assert [data for _, data in ours] == [data for _, data in found]
    if all(
        b"\r" not in data and b"\n" not in data for _, data in found
    ):  # where lines are no matter of taste
        assert [data for _, data in ours] == theirs
    assert [name for name, _ in ours] == [name for name, _ in found]


@settings(max_examples=150)
@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_bytes_are_a_form_or_a_named_refusal(data: bytes, size: int) -> None:
    try:
        found = taken_apart(b"--x" + data, "multipart/form-data; boundary=x", size, Settings((), max_files=2))
    except Refusal:
        return
    assert 1 <= len(found) <= 2


def test_the_limit_holds_whatever_the_pieces_are() -> None:
    for size in (1, 7, 1000):
        assert taken_apart(bytes(100), "image/png", size, Settings((), max_bytes=100))[0][1] == bytes(100)
        with pytest.raises(TooLarge):
            taken_apart(bytes(101), "image/png", size, Settings((), max_bytes=100))


# -- what can be watched ------------------------------------------------------------------------------------


def odd() -> dict[str, bytes]:
    """Pictures unlike any toy."""
    found, rng = {}, np.random.default_rng(0)
    for name, cells in (("noise", 96), ("checkers", 8)):
        out = io.BytesIO()
        rough = rng.integers(0, 2, (cells, cells, 3), dtype=np.uint8) * 255
        Image.fromarray(np.kron(rough, np.ones((96 // cells, 96 // cells, 1), np.uint8))).save(out, "PNG")
        found[name] = out.getvalue()
    return found


def test_the_figures_are_what_was_asked(folder: Path, model: Model, files: list[Path]) -> None:
    with Client(create_app(Settings((("toys", folder),)))) as client:
        said = client.post("/predict", files=form(*((file.name, file.read_bytes()) for file in files))).json()
        client.post("/predict", files=form(("a", b"x"), ("b", small())))
        ask(client, b"x")
        client.get("/nothing/here")
        client.get("/nothing/there")
        strange = [client.post("/predict", files=form((name, data))).json() for name, data in odd().items()]
        unknown = [one["predictions"][0]["unknown"] for one in strange]
        assert any(unknown)
        unknown += [one["unknown"] for one in said["predictions"]]
        text = client.get("/metrics").text
        labels = Counter(one["label"] for one in said["predictions"])
        labels += Counter(one["predictions"][0]["label"] for one in strange)
        labels[ask(client, small()).json()["predictions"][0]["label"]] += 1  # as that of the form above
        known = ask(client, small()).json()["predictions"][0]["unknown"]
        assert f'headstart_unknown_total{{model="toys"}} {float(sum(unknown) + known)}\n' in text
        for label, count in labels.items():
            assert f'headstart_answers_total{{label="{label}",model="toys"}} {float(count)}\n' in text
        assert 'headstart_pictures_total{outcome="unreadable"} 2.0\n' in text
        assert f'headstart_pictures_total{{outcome="answered"}} {len(files) + 3.0}\n' in text
        assert 'headstart_requests_total{route="/predict",status="200"} 4.0\n' in text
        assert 'headstart_requests_total{route="/predict",status="422"} 1.0\n' in text
        assert 'headstart_requests_total{route="none",status="404"} 2.0\n' in text
        assert "here" not in text, "a client made a label"
        assert "headstart_queue_pictures 0.0\n" in text
        assert f"headstart_batch_pictures_count {len(files) + 3.0}\n" in text
        assert 'headstart_refusals_total{kind="UnreadablePicture"} 1.0\n' in text
        learnt = Counter(part.label for part in model.manifest if part.part == "train")
        for label, count in learnt.items():
            share = count / sum(learnt.values())
            assert f'headstart_training_share{{label="{label}",model="toys"}} {share}\n' in text


def test_drift_begins_anew_with_a_model(own: Path, other: Path, files: list[Path]) -> None:
    with Client(create_app(Settings((("own", own),), key=digest_of(KEY.encode())))) as client:
        headers = {"X-API-Key": KEY}

        def drift() -> str:
            text = client.get("/metrics", headers=headers).text
            (found,) = re.findall(r'^headstart_drift\{model="own"\} (\S+)$', text, re.MULTILINE)
            return str(found)

        assert drift() == "NaN"
        ask(client, files[0].read_bytes(), **headers)
        assert 0 < float(drift()) <= 1
        shutil.rmtree(own)
        shutil.copytree(other, own)
        assert client.post("/models/own/reload", headers=headers).status_code == 200
        assert drift() == "NaN"
        ask(client, files[0].read_bytes(), **headers)
        assert 0 < float(drift()) <= 1


def test_drift_is_told_by_counts_alone(client: TestClient, model: Model) -> None:
    found = client.get("/drift.json").json()["models"]
    assert [one["model"] for one in found] == ["toys", "ridge"]
    assert found[0]["unknown_expected"] == model.familiar.false_rejection
    mix = {"a": 0.5, "b": 0.3, "c": 0.2}
    one = Drift("m", Counts({"a": 10, "b": 6, "c": 4}, 1), mix, 0.02)
    assert one.distance == pytest.approx(0)
    one = Drift("m", Counts({"a": 20}, 20), mix, 0.02)
    assert one.distance == pytest.approx(0.5)
    assert one.unknown_ci95 is not None
    assert one.unknown_ci95[1] == pytest.approx(1.0)
    nothing = Drift("m", Counts({}, 0), mix, 0.02)
    assert (nothing.distance, nothing.by_chance, nothing.unknown_ci95) == (None, None, None)
    gone = Drift("m", Counts({"z": 3}, 0), mix, 0.02)
    assert gone.distance == pytest.approx(1.0)


def test_chance_is_what_drawing_from_training_gives() -> None:
    mix, n, rng = {"a": 0.5, "b": 0.3, "c": 0.15, "d": 0.05}, 400, np.random.default_rng(0)
    drawn = rng.multinomial(n, list(mix.values()), size=4000) / n
    seen = np.abs(drawn - np.array(list(mix.values()))).sum(1).mean() / 2
    told_of = Drift("m", Counts({"a": n}, 0), mix, 0.02).by_chance
    assert told_of == pytest.approx(seen, rel=0.03)
    assert not math.isclose(2 * seen, told_of or 0, rel_tol=0.1)


def test_counts_begin_anew_with_a_model() -> None:
    assert Counts({"a": 5, "b": 2}, 3).since(Counts({"a": 5}, 1)) == Counts({"b": 2}, 2)


@pytest.mark.parametrize("path", ["/docs", "/drift"])
def test_pages_load_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    page = client.get(path)
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page.text)
    assert "default-src 'none'" in page.text
    assert not re.search(r"@import|url\((?!['\"]?data:)", page.text)


def test_the_docs_page_has_every_route_option_and_answer(client: TestClient) -> None:
    page, said = client.get("/docs").text, client.get("/openapi.json").json()
    assert len(said["paths"]) >= 10
    for path, methods in said["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}" in page
            for option in operation.get("parameters", []):
                assert option["name"] in page
            assert {"200"} <= operation["responses"].keys()
    odd = {"openapi": "3.1.0", "info": {"title": "<b>&", "version": "1"}, "paths": {}}
    assert b"<b>&" not in docs(odd)


def test_every_refusal_has_a_status_that_the_docs_know(client: TestClient) -> None:
    said = client.get("/openapi.json").json()["paths"]
    documented = {code for methods in said.values() for one in methods.values() for code in one["responses"]}
    for name, kind in vars(refusals).items():
        if (
            isinstance(kind, type)
            and issubclass(kind, Refusal)
            and kind not in (Refusal, refusals.NoSuchRoute, refusals.HeadersTooLarge)
        ):
            always = kind in (
                refusals.WrongKey,
                refusals.TooOften,
            )  # documented where there is a key or a rate
            assert str(kind.status) in documented or always, name


def test_errors_of_the_house_have_the_status_that_fits() -> None:
    errors = importlib.import_module("headstart.errors")
    for name, wanted in (
        ("UnknownName", 404),
        ("Misuse", 422),
        ("UnreadablePicture", 422),
        ("StoreError", 500),
    ):
        kind = getattr(errors, name)
        one: HeadstartError = kind("x", "y", ["z"]) if name == "UnknownName" else kind("x")
        assert refusals.status_of(one) == wanted


# -- what a server is told ----------------------------------------------------------------------------------


def test_models_are_named_by_their_folders_or_as_asked(tmp_path: Path) -> None:
    (tmp_path / "a=b").mkdir()
    assert named((str(tmp_path / "one"), f"two={tmp_path / 'x y'}")) == (
        ("one", tmp_path / "one"),
        ("two", tmp_path / "x y"),
    )
    with pytest.raises(Misuse, match="two models are named 'm'"):
        named(("m", "other/m"))
    for wrong in ("x y", f"{tmp_path / 'a=b'}", "ü", "../.."):
        with pytest.raises(Misuse, match="cannot stand in an address"):
            named((wrong,) if wrong != "../.." else ("a/..=x",))


def test_a_key_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text("secret\n")
    monkeypatch.delenv("HEADSTART_API_KEY", raising=False)
    assert key_of(None) is None
    assert key_of(file) == digest_of(b"secret")
    monkeypatch.setenv("HEADSTART_API_KEY", "other")
    assert key_of(None) == digest_of(b"other")
    assert key_of(file) == digest_of(b"secret")
    for value in ("", "  "):
        monkeypatch.setenv("HEADSTART_API_KEY", value)
        with pytest.raises(Misuse, match="HEADSTART_API_KEY is empty"):
            key_of(None)
    with pytest.raises(Misuse, match="was to hold the API key"):
        key_of(tmp_path / "absent")


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(Misuse, match="could never be answered"):
        Settings((), max_files=9, queue=8)
    assert replace(Settings(()), max_bytes=10**9).held_bytes == 4 * 10**9


def test_importing_the_server_imports_no_torch() -> None:
    code = (
        "import sys\nfrom headstart.serve import api, run, drift\n"
        "print(sorted({'torch', 'timm', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_logs_are_one_json_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    from headstart.serve import logs

    before = {
        name: logging.getLogger(name).handlers[:] for name in ("headstart.serve", "uvicorn.error", "asyncio")
    }
    try:
        logs.begin(quiet=False)
        try:
            raise ValueError("line one\nline two")
        except ValueError as error:
            logs.say("odd\nevent", {"path": "a\r\nb\u2028"}, level=40, error=error)
        (line,) = capsys.readouterr().err.splitlines()
        said = json.loads(line)
        assert (said["event"], said["path"], said["level"]) == ("odd\nevent", "a\r\nb\u2028", "error")
        assert "line two" in said["traceback"]
    finally:
        for name, handlers in before.items():
            logging.getLogger(name).handlers[:] = handlers
            logging.getLogger(name).propagate = True
            logging.getLogger(name).setLevel(logging.NOTSET)
