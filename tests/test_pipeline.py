"""Reading, decoding and encoding: everything once, in order, in bounded memory, and never a hang."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make import picture

from headstart import backbones
from headstart.engines import Engine
from headstart.errors import NotFinite, UnreadablePicture
from headstart.features import pipeline
from headstart.features.extract import extract
from headstart.files import cache_folder, digest_file
from headstart.values import Bytes, Halves, Preprocess

PREPROCESS = Preprocess(8, 9, "bicubic", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), (255, 255, 255))
SPEC = replace(backbones.spec(backbones.DEFAULT), name="toy", stages=(), dim=3, preprocess=PREPROCESS)
SLOW_RED = 250  # a picture at least this red takes the toy engine a while


class Toy(Engine):
    """Mean colours. Counts what it is asked, and how large the largest question was."""

    precision = "f32"

    def __init__(self, *, workers: int = 3, batch: int = 1, digest: str = "a" * 64) -> None:
        self.workers, self.batch, self.digest = workers, batch, digest
        self.asked: list[int] = []
        self.slow_s, self.fails_after = 0.0, 10**9

    def encode(self, pixels: Bytes) -> Halves:
        self.asked.append(len(pixels))
        if sum(self.asked) > self.fails_after:
            raise NotFinite("the toy broke")
        colours = np.stack([one.mean((0, 1)) for one in pixels])
        if self.slow_s and colours[:, 0].max() >= SLOW_RED:
            time.sleep(self.slow_s)
        return colours.astype(np.float16)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("HEADSTART_CACHE", str(place))
    return place


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """150 different small pictures; the first is the slow one."""
    place = tmp_path_factory.mktemp("photos")
    files = [place / f"{number:03d}.png" for number in range(150)]
    for number, file in enumerate(files):
        picture((120, 40, 80) if number else (2000, 0, 0), number, side=12).save(file)
    return files


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of which no picture comes: text, empty, cut short, absent, a folder, and a copy of the first."""
    place = tmp_path_factory.mktemp("bad")
    (place / "text.jpg").write_text("hello")
    (place / "empty.png").write_bytes(b"")
    picture((9, 9, 9), 1).save(place / "whole.png")
    (place / "cut.png").write_bytes((place / "whole.png").read_bytes()[:-500])
    (place / "folder.jpg").mkdir()
    (place / "copy.jpg").write_text("hello")
    return [
        place / name for name in ("text.jpg", "empty.png", "cut.png", "absent.png", "folder.jpg", "copy.jpg")
    ]


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = threading.active_count()
    yield
    deadline = time.monotonic() + 3
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


shapes = pytest.mark.parametrize(("workers", "batch"), [(1, 1), (3, 1), (1, 4), (3, 4), (4, 64)])


# -- the loop ---------------------------------------------------------------------------------------------


@shapes
def test_the_order_is_kept_when_the_first_takes_longest_and_all_places_are_taken(
    photos: list[Path], workers: int, batch: int
) -> None:
    engine = Toy(workers=workers, batch=batch)
    engine.slow_s = 0.2
    items = list(pipeline.run(photos, engine, PREPROCESS))
    assert [item.at for item in items] == list(range(len(photos)))
    assert [item.digest for item in items] == [digest_file(file) for file in photos]
    assert max(engine.asked) <= batch
    assert sum(engine.asked) == len(photos)


@shapes
def test_features_do_not_depend_on_workers_and_batches(photos: list[Path], workers: int, batch: int) -> None:
    plain = [item.kept for item in pipeline.run(photos, Toy(workers=1), PREPROCESS)]
    found = [item.kept for item in pipeline.run(photos, Toy(workers=workers, batch=batch), PREPROCESS)]
    for one, other in zip(plain, found, strict=True):
        assert one is not None
        assert other is not None
        assert np.array_equal(one.x, other.x)
        assert np.array_equal(one.thumb, other.thumb)
        assert (one.width, one.height, one.format) == (other.width, other.height, "PNG")


@shapes
def test_the_unreadable_are_named_and_the_rest_goes_on(
    photos: list[Path], bad: list[Path], workers: int, batch: int
) -> None:
    files = [file for pair in zip(photos[:6], bad, strict=True) for file in pair]
    items = list(pipeline.run(files, Toy(workers=workers, batch=batch), PREPROCESS))
    assert [item.error is None for item in items] == [True, False] * 6
    reasons = [item.error or "" for item in items[1::2]]
    assert [reason.split(":")[0] for reason in reasons[:2]] == ["not a picture", "the file is empty"]
    assert "No such file" in reasons[3]
    assert "not a file" in reasons[4]
    assert all("\n" not in reason and str(photos[0].parent) not in reason for reason in reasons)


@shapes
def test_an_endless_list_is_read_no_further_than_needed(photos: list[Path], workers: int, batch: int) -> None:
    taken = []

    def endless() -> Iterator[Path]:
        for number in count():
            taken.append(number)
            yield photos[number % 20]

    engine = Toy(workers=workers, batch=batch)
    items = pipeline.run(endless(), engine, PREPROCESS)
    for _ in range(100):
        next(items)
    time.sleep(0.1)
    items.close()
    assert len(taken) <= 100 + workers * max(pipeline.AHEAD, 2 * batch) + 2 * workers


def test_nothing_is_read_before_the_first_is_wanted(photos: list[Path]) -> None:
    engine = Toy()
    items = pipeline.run(photos, engine, PREPROCESS)
    time.sleep(0.02)
    assert engine.asked == []
    items.close()


@pytest.mark.parametrize("batch", [1, 4])
def test_an_error_of_the_engine_reaches_the_caller(photos: list[Path], batch: int) -> None:
    engine = Toy(batch=batch)
    engine.fails_after = 40
    with pytest.raises(NotFinite, match="the toy broke"):
        list(pipeline.run(photos, engine, PREPROCESS))


def test_an_error_of_the_list_reaches_the_caller(photos: list[Path]) -> None:
    def files() -> Iterator[Path]:
        yield photos[0]
        raise RuntimeError("the list broke")

    with pytest.raises(RuntimeError, match="the list broke"):
        list(pipeline.run(files(), Toy(batch=4), PREPROCESS))


@pytest.mark.parametrize("batch", [1, 4])
def test_an_error_of_the_consumer_stops_the_workers(photos: list[Path], batch: int) -> None:
    engine = Toy(batch=batch)
    items = pipeline.run(photos, engine, PREPROCESS)
    for _ in range(5):
        next(items)
    with pytest.raises(KeyError):
        items.throw(KeyError())
    assert sum(engine.asked) < len(photos)


def test_what_passes_is_not_decoded(photos: list[Path], bad: list[Path]) -> None:
    engine = Toy()
    items = list(pipeline.run([photos[0], bad[0]], engine, PREPROCESS, passes=lambda _: True))
    assert [(item.kept, item.error) for item in items] == [(None, None)] * 2
    assert engine.asked == []


def test_answers_come_while_more_is_awaited(photos: list[Path]) -> None:
    """A program that asks, waits for the answer and asks again must not wait for ever."""
    go_on = threading.Event()

    def files() -> Iterator[Path]:
        yield photos[1]
        go_on.wait(2)

    items = pipeline.run(files(), Toy(workers=2), PREPROCESS)
    begin = time.perf_counter()
    next(items)
    waited = time.perf_counter() - begin
    go_on.set()
    items.close()
    assert waited < 1


def test_large_and_special_files_are_not_read(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "LIMIT_BYTES", 100)
    with pytest.raises(UnreadablePicture, match="larger than"):
        pipeline.read(photos[0])
    with pytest.raises(UnreadablePicture, match="cannot be opened"):
        pipeline.read(Path("a\0b"))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")  # opening it would wait for a writer
        with pytest.raises(UnreadablePicture, match="not a regular file"):
            pipeline.read(tmp_path / "pipe.jpg")


# -- with the store ---------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), workers=st.integers(1, 4), batch=st.integers(1, 5))
def test_any_list_gives_what_a_plain_loop_gives(
    photos: list[Path],
    bad: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    workers: int,
    batch: int,
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))
    pool = photos[:8] + bad
    drawn = data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=40))
    for files in (drawn, drawn[: len(drawn) // 2] + pool):  # the second time, some are known
        engine = Toy(workers=workers, batch=batch)
        found = extract(files, SPEC, engine)
        good = [at for at, file in enumerate(files) if file in photos]
        assert found.rows.tolist() == good
        assert list(found.unreadable) == [at for at, file in enumerate(files) if file in bad]
        assert list(found.digests) == [digest_file(files[at]) for at in good]
        for row, at in enumerate(good):
            (alone,) = pipeline.run([files[at]], Toy(workers=1), PREPROCESS)
            assert alone.kept is not None
            assert np.array_equal(found.x[row], alone.kept.x)
            assert np.array_equal(found.pictures.thumbs[row], alone.kept.thumb)
        assert found.encoded == sum(engine.asked) <= len({files[at] for at in good})


def test_the_same_content_is_encoded_once_and_a_copy_of_a_bad_file_is_bad(
    photos: list[Path], bad: list[Path], tmp_path: Path
) -> None:
    copy = tmp_path / "renamed.jpg"
    copy.write_bytes(photos[3].read_bytes())
    engine = Toy()
    found = extract([photos[3], bad[0], copy, photos[3], bad[-1]], SPEC, engine)
    assert sum(engine.asked) == found.encoded == 1
    assert found.rows.tolist() == [0, 2, 3]
    assert (found.x == found.x[0]).all()
    assert found.unreadable[1] == found.unreadable[4]


def test_ten_added_encode_ten_and_a_moved_folder_none(photos: list[Path], tmp_path: Path) -> None:
    first = extract(photos[:50], SPEC, Toy())
    assert first.encoded == 50
    assert extract(photos[:60], SPEC, Toy()).encoded == 10
    (tmp_path / "elsewhere").mkdir()
    moved = [tmp_path / "elsewhere" / f"{file.stem}.jpeg" for file in photos[:60]]
    for old, new in zip(photos, moved, strict=False):
        new.write_bytes(old.read_bytes())
    engine = Toy()
    again = extract(moved[::-1], SPEC, engine)
    assert again.encoded == 0
    assert engine.asked == []
    assert np.array_equal(again.x[::-1][:50], first.x)


def test_another_engine_or_backbone_encodes_anew(photos: list[Path]) -> None:
    extract(photos[:5], SPEC, Toy())
    assert extract(photos[:5], SPEC, Toy(digest="b" * 64)).encoded == 5
    assert extract(photos[:5], SPEC, Toy()).encoded == 0


def test_progress_counts_every_file_once(photos: list[Path], bad: list[Path]) -> None:
    steps: list[tuple[int, int]] = []
    files = photos[:20] + bad
    extract(files, SPEC, Toy(batch=4), on_step=lambda done, total: steps.append((done, total)))
    assert steps == [(done, len(files)) for done in range(1, len(files) + 1)]


def test_a_damaged_row_is_encoded_again(photos: list[Path]) -> None:
    first = extract(photos[:20], SPEC, Toy())
    (file,) = (cache_folder() / "features").glob("*.sqlite")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE pictures SET vector = zeroblob(length(vector)) WHERE id = 7")
    database.close()
    again = extract(photos[:20], SPEC, Toy())
    assert np.array_equal(again.x, first.x)
    assert again.encoded > 0


def test_an_interrupted_run_keeps_what_was_encoded(photos: list[Path]) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(photos, SPEC, Toy(), on_step=stop)
    assert extract(photos, SPEC, Toy()).encoded <= len(photos) - 60


def test_a_broken_engine_loses_nothing_that_was_encoded(photos: list[Path]) -> None:
    engine = Toy(workers=1)
    engine.fails_after = 30
    with pytest.raises(NotFinite):
        extract(photos, SPEC, engine)
    assert extract(photos, SPEC, Toy()).encoded == len(photos) - 30


SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_pipeline import SPEC, Toy, extract
class Slow(Toy):
    def encode(self, pixels):
        time.sleep(float(sys.argv[3]))
        return super().encode(pixels)
files = sorted(Path(sys.argv[2]).glob("*.png"))
found = extract(files, SPEC, Slow(workers=2), on_step=lambda done, total: print(done, flush=True))
print("encoded", found.encoded)
"""


def start(photos: list[Path], slow_s: float) -> "subprocess.Popen[str]":
    here, place = str(Path(__file__).parent), str(photos[0].parent)
    command = [sys.executable, "-c", SCRIPT, here, place, str(slow_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_killed_run_is_continued(photos: list[Path]) -> None:
    run = start(photos, 0.01)
    assert run.stdout is not None
    assert run.stderr is not None
    done = 0
    while done < 90:
        done = int(run.stdout.readline())
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    run.stderr.close()
    encoded = extract(photos, SPEC, Toy()).encoded
    assert encoded <= len(photos) - done + 0.2 * 2 / 0.01  # a tenth of a second, on a slow machine two
    assert encoded < len(photos)


def test_two_runs_at_once_share_the_store(photos: list[Path]) -> None:
    runs = [start(photos, 0.002) for _ in range(2)]
    said = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said[0][1] + said[1][1]
    assert extract(photos, SPEC, Toy()).encoded == 0
