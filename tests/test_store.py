"""What the store gives back is what was put in, to the bit, or an error, whoever writes and whatever dies."""

import errno
import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart import files
from headstart.errors import DamagedStore, NotFinite, StoreError, UnknownName
from headstart.features import store as module
from headstart.features.store import Kept, Store, clear, usage

DIM = 100
BACKBONE = "ab" * 32


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    return tmp_path


def kept(number: int, dim: int = DIM) -> Kept:
    """A picture made from a number; the scripts below make the same."""
    rng = np.random.default_rng(number)
    return Kept(
        hashlib.sha256(b"%d" % number).hexdigest(),
        rng.standard_normal(dim).astype(np.float16),
        300 + number,
        200 + number,
        ("JPEG", "PNG")[number % 2],
        rng.integers(0, 256, (56, 56), dtype=np.uint8),
        rng.integers(0, 256, (3, 3), dtype=np.uint8),
    )


def open_store() -> Store:
    return Store.open("lite", BACKBONE, DIM)


def fill(*numbers: int) -> Path:
    with open_store() as store:
        store.add([kept(number) for number in numbers])
    return store.path


def assert_holds(store: Store, numbers: list[int]) -> None:
    """Bit for bit, in this order."""
    wanted = [kept(number) for number in numbers]
    x, pictures = store.load([one.digest for one in wanted])
    assert x.dtype == np.float16
    assert x.shape == (len(numbers), DIM)
    assert x.tobytes() == b"".join(one.x.tobytes() for one in wanted)
    assert pictures.widths.tolist() == [one.width for one in wanted]
    assert pictures.heights.tolist() == [one.height for one in wanted]
    assert pictures.formats == tuple(one.format for one in wanted)
    assert pictures.thumbs.tobytes() == b"".join(one.thumb.tobytes() for one in wanted)
    assert pictures.colours.tobytes() == b"".join(one.colours.tobytes() for one in wanted)


def start(script: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + script, *map(str, args)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )


PREAMBLE = """
import hashlib, sys
import numpy as np
from headstart.features.store import Kept, Store

def kept(number):
    rng = np.random.default_rng(number)
    x = rng.standard_normal(100).astype(np.float16)
    thumb = rng.integers(0, 256, (56, 56), dtype=np.uint8)
    colours = rng.integers(0, 256, (3, 3), dtype=np.uint8)
    digest = hashlib.sha256(b"%d" % number).hexdigest()
    return Kept(digest, x, 300 + number, 200 + number, ("JPEG", "PNG")[number % 2], thumb, colours)
"""


# What goes in comes out


def test_what_goes_in_comes_out_in_the_order_asked() -> None:
    numbers = list(range(1300))  # more than two statements' worth
    with open_store() as store:
        assert store.known() == set()
        store.add([kept(number) for number in numbers[:700]])
        store.add([])
        store.add([kept(number) for number in numbers[700:]])
    with open_store() as store:
        assert store.known() == {kept(number).digest for number in numbers}
        random.Random(0).shuffle(numbers)  # noqa: S311
        assert_holds(store, numbers)
        assert_holds(store, [5, 3, 5, 5, 1299, 3])
        assert_holds(store, [])


def test_extreme_numbers_keep_their_bits() -> None:
    x = np.resize(np.array([65504, -65504, 6e-8, -0.0, 0.0], dtype=np.float16), DIM)
    with open_store() as store:
        store.add([replace(kept(1), x=x, thumb=np.zeros((56, 56), np.uint8), format="ÄPFEL")])
        found, pictures = store.load([kept(1).digest])
    assert found.tobytes() == x.tobytes()
    assert pictures.formats == ("ÄPFEL",)


def test_views_into_larger_arrays_are_kept_right() -> None:
    one = kept(1)
    wide = np.repeat(one.x, 2)
    with open_store() as store:
        store.add([replace(one, x=wide[::2], thumb=np.asfortranarray(one.thumb))])
        assert_holds(store, [1])


def test_a_known_picture_stays_as_it_is() -> None:
    with open_store() as store:
        store.add([kept(1)])
        store.add([replace(kept(2), digest=kept(1).digest), kept(3), kept(3)])
        assert store.known() == {kept(1).digest, kept(3).digest}
        assert_holds(store, [1, 3])


def test_each_backbone_has_its_own_file(cache: Path) -> None:
    fill(1)
    with Store.open("lite", "cd" * 32, DIM) as other:
        assert other.known() == set()
    assert sorted(path.name for path in (cache / "features").iterdir()) == [
        f"lite-abababababababab-{module.VERSION}.sqlite",
        f"lite-cdcdcdcdcdcdcdcd-{module.VERSION}.sqlite",
    ]


def test_a_name_from_elsewhere_stays_in_its_folder(cache: Path) -> None:
    with Store.open("../a b/lite", BACKBONE, DIM) as store:
        store.add([kept(1)])
    assert store.path.parent == cache / "features"
    assert store.path.name == f".._a_b_lite-abababababababab-{module.VERSION}.sqlite"


def test_it_can_be_read_by_hand() -> None:
    database = sqlite3.connect(fill(7))
    row = database.execute("SELECT hex(digest), vector, width, format FROM pictures").fetchone()
    database.close()
    assert row == (kept(7).digest.upper(), kept(7).x.tobytes(), 307, "PNG")


# What is refused


def test_what_is_not_kept_is_named() -> None:
    with open_store() as store:
        store.add([kept(1)])
        with pytest.raises(StoreError, match=kept(2).digest):
            store.load([kept(1).digest, kept(2).digest, kept(3).digest])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_not_kept(bad: float) -> None:
    x = kept(2).x.copy()
    x[-1] = bad
    with open_store() as store:
        with pytest.raises(NotFinite, match=kept(2).digest):
            store.add([kept(1), replace(kept(2), x=x)])
        assert store.known() == set()  # all or none


@pytest.mark.parametrize(
    "bad",
    [
        kept(1, DIM - 1),
        replace(kept(1), x=kept(1).x.astype(np.float32)),
        replace(kept(1), x=kept(1).x[None]),
        replace(kept(1), thumb=np.zeros((56, 57), np.uint8)),
        replace(kept(1), thumb=np.zeros((56, 56), np.int64)),
    ],
)
def test_arrays_of_another_shape_or_type_are_refused(bad: Kept) -> None:
    with open_store() as store:
        with pytest.raises(StoreError, match="wanted"):
            store.add([bad])
        assert store.known() == set()


@pytest.mark.parametrize("digest", ["", "ab", kept(1).digest.upper(), "zz" * 32, kept(1).digest + "00"])
def test_a_key_is_a_sha256(digest: str) -> None:
    with open_store() as store:
        with pytest.raises(ValueError, match="hexadecimal"):
            store.add([replace(kept(1), digest=digest)])
        with pytest.raises(ValueError, match="hexadecimal"):
            store.load([digest])


def test_another_length_is_an_error_and_not_a_miss() -> None:
    path = fill(1)
    with pytest.raises(StoreError, match=rf"holds {DIM} features .* wanted {DIM + 1}"):
        Store.open("lite", BACKBONE, DIM + 1)
    longer = replace(kept(2), x=np.zeros(DIM + 1, np.float16))
    with Store(path, DIM + 1, sqlite3.connect(path, isolation_level=None)) as wrong:
        wrong.add([longer])
    with open_store() as store:
        assert longer.digest in store.known()
        with pytest.raises(StoreError, match=f"a vector of {DIM + 1}, wanted {DIM}"):
            store.load([longer.digest])
        assert_holds(store, [1])


def test_another_backbone_with_the_same_beginning_is_an_error() -> None:
    fill(1)
    other = BACKBONE[:16] + "0" * 48
    with pytest.raises(StoreError, match=rf"of the backbone {BACKBONE}, wanted {DIM} of {other}"):
        Store.open("lite", other, DIM)


def test_another_version_is_an_error() -> None:
    path = fill(1)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 1")
    database.close()
    with pytest.raises(StoreError, match="version 1, this headstart reads 2"):
        open_store()
    assert path.exists()


def test_the_file_of_an_older_version_is_left_alone_until_the_cache_is_cleared(cache: Path) -> None:
    old = cache / "features" / f"lite-{BACKBONE[:16]}.sqlite"
    old.parent.mkdir(parents=True)
    with sqlite3.connect(old) as database:
        database.execute("PRAGMA user_version = 1")
    database.close()
    fill(1)
    assert old.exists()
    assert old in [one.path for one in usage()]
    clear()
    assert not old.exists()


def test_a_closed_store_says_so() -> None:
    store = open_store()
    store.close()
    store.close()
    for act in (store.known, lambda: store.add([kept(1)]), lambda: store.load([kept(1).digest])):
        with pytest.raises(StoreError, match="closed"):
            act()


# Damage


def flip(path: Path, start: int, stop: int) -> None:
    data = bytearray(path.read_bytes())
    data[start:stop] = bytes(255 - byte for byte in data[start:stop])
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"this was never a database" * 1000),
        lambda path: flip(path, 0, 16),
        lambda path: flip(path, 100, 2000),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: path.write_bytes(path.read_bytes()[:50]),
    ],
    ids=["garbage", "no header", "no tables", "first page cut", "header cut"],
)
def test_a_store_damaged_at_its_beginning_starts_anew_and_says_so(
    damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    path = fill(*range(50))
    assert callable(damage)
    damage(path)
    with open_store() as store:
        assert "damaged" in caplog.text
        assert str(path) in caplog.text
        assert store.known() == set()
        store.add([kept(1)])
        assert_holds(store, [1])


def test_an_empty_file_is_an_empty_store(cache: Path) -> None:
    (cache / "features").mkdir()
    (cache / "features" / f"lite-{BACKBONE[:16]}-{module.VERSION}.sqlite").write_bytes(b"")
    fill(1)
    with open_store() as store:
        assert_holds(store, [1])


def use(numbers: list[int]) -> None:
    """As extraction does: add what is missing, then load all; and once again if there was damage."""
    for attempt in (1, 2):
        try:
            with open_store() as store:
                known = store.known()
                store.add([kept(number) for number in numbers if kept(number).digest not in known])
                assert_holds(store, numbers)
                return
        except DamagedStore:
            assert attempt == 1
            assert usage() == []


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_truncated_store_never_gives_anything_wrong(share: float) -> None:
    numbers = list(range(300))
    path = fill(*numbers)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    use(numbers)


def test_a_flipped_byte_anywhere_never_gives_anything_wrong() -> None:
    numbers = list(range(40))
    path = fill(*numbers)
    whole = path.read_bytes()
    chance = random.Random(0)  # noqa: S311
    for _ in range(25):
        at = chance.randrange(100, len(whole))  # before lie the fields that tell what kind of file it is
        path.write_bytes(whole[:at] + bytes([whole[at] ^ chance.randrange(1, 256)]) + whole[at + 1 :])
        use(numbers)


@pytest.mark.parametrize("column", ["vector", "thumb", "format", "width"])
def test_a_changed_value_is_noticed(column: str) -> None:
    """SQLite itself does not see these: only the checksum does."""
    one = kept(1)
    path = fill(1, 2)
    data = path.read_bytes()
    old = {
        "vector": one.x.tobytes(),
        "thumb": one.thumb.tobytes(),
        "format": b"PNG" + one.thumb.tobytes()[:8],
        "width": b"\x01\x2d\x00\xc9PNG",  # 301, 201, then the format
    }[column]
    assert data.count(old) == 1
    at = data.index(old) + 1
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with open_store() as store:
        assert_holds(store, [2])
        with pytest.raises(DamagedStore, match="a row has changed"):
            store.load([one.digest])
    assert not path.exists()
    use([1, 2])


@pytest.mark.parametrize("change", ["vector = 5", "thumb = 'text'", "format = x'00'", "checksum = 'none'"])
def test_a_value_of_another_type_is_noticed(change: str) -> None:
    with sqlite3.connect(fill(1)) as database:
        database.execute(f"UPDATE pictures SET {change}")  # noqa: S608
    database.close()
    use([1, 2])


def test_an_index_that_names_absent_rows_is_noticed() -> None:
    path = fill(1, 2)
    with sqlite3.connect(path) as database:
        (made,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'pictures'").fetchone()
        database.execute(made.replace("pictures", "hollow"))
        database.execute("PRAGMA writable_schema = ON")
        hollow = "SELECT rootpage FROM sqlite_master WHERE name = 'hollow'"
        database.execute(f"UPDATE sqlite_master SET rootpage = ({hollow}) WHERE name = 'pictures'")  # noqa: S608
    database.close()
    with open_store() as store:
        assert len(store.known()) == 2
        with pytest.raises(DamagedStore, match="rows that are not there"):
            store.load([kept(1).digest])
    use([1, 2])


# A full disk, a folder that cannot be written


def test_a_full_disk_is_an_error_and_the_store_stays_whole() -> None:
    numbers = list(range(400))
    with open_store() as store:
        store.add([kept(1)])
        pages = store._database.execute("PRAGMA page_count").fetchone()[0]
        store._database.execute(f"PRAGMA max_page_count = {pages + 3}")
        with pytest.raises(StoreError, match=r"is full.*Free some space"):
            store.add([kept(number) for number in numbers])
        assert_holds(store, [1])
    use(numbers)


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits there")
def test_a_file_over_the_limit_of_the_system_is_an_error() -> None:
    fill(1)
    script = """
import resource
from headstart.errors import DamagedStore, StoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
store = Store.open("lite", "ab" * 32, 100)
try:
    for number in range(10_000):
        store.add([kept(number)])
except StoreError as error:
    print(isinstance(error, DamagedStore), error)
"""
    said = start(script).communicate()[0]
    assert said.startswith("False the feature store")
    assert "HEADSTART_CACHE" in said
    with open_store() as store:
        numbers = list(range(len(store.known())))
        assert len(numbers) > 10
        assert_holds(store, numbers)


def test_a_folder_that_cannot_be_written_is_an_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fill(1)
    read_only = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    with Store(path, DIM, read_only) as store:
        assert_holds(store, [1])
        with pytest.raises(StoreError, match=r"readonly.*HEADSTART_CACHE"):
            store.add([kept(2)])
    monkeypatch.setenv("HEADSTART_CACHE", str(path / "inside a file"))
    with pytest.raises(StoreError, match=r"cannot make.*HEADSTART_CACHE"):
        open_store()
    monkeypatch.setenv("HEADSTART_CACHE", str(cache / "other"))
    (cache / "other" / "features" / path.name).mkdir(parents=True)
    with pytest.raises(StoreError, match=r"unable to open.*HEADSTART_CACHE"):
        open_store()


def test_a_store_that_another_process_holds_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.1)
    with open_store() as one, open_store() as other:
        one._database.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"locked.*Another process"):
            other.add([kept(1)])
        one._database.execute("ROLLBACK")
        other.add([kept(1)])
        assert_holds(one, [1])


# Several processes, and killed ones


def test_a_new_store_waits_for_whoever_is_making_it(cache: Path) -> None:
    (cache / "features").mkdir()
    path = cache / "features" / f"lite-{BACKBONE[:16]}-{module.VERSION}.sqlite"
    holds = threading.Event()

    def hold() -> None:
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        holds.set()
        time.sleep(0.2)
        database.execute("ROLLBACK")
        database.close()

    other = threading.Thread(target=hold)
    other.start()
    holds.wait()
    with open_store() as store:
        store.add([kept(1)])
        assert_holds(store, [1])
    other.join()


def test_many_processes_open_a_new_store_at_once() -> None:
    script = """
for number in range(5):
    with Store.open("lite", "ab" * 32, 100) as store:
        store.add([kept(int(sys.argv[1]) * 5 + number)])
"""
    children = [start(script, number) for number in range(6)]
    assert [child.wait() for child in children] == [0] * 6
    for child in children:
        assert child.stdout is not None
        child.stdout.close()
    with open_store() as store:
        assert len(store.known()) == 30
        assert_holds(store, list(range(30)))


def test_two_writers_at_once_lose_nothing() -> None:
    script = """
at = int(sys.argv[1])
with Store.open("lite", "ab" * 32, 100) as store:
    for first in range(at, at + 400, 20):
        store.add([kept(number) for number in range(first, first + 20)])
"""
    children = [start(script, at) for at in (0, 200)]  # 200 to 399 come from both
    assert [child.communicate()[0] for child in children] == ["", ""]
    assert [child.returncode for child in children] == [0, 0]
    with open_store() as store:
        assert len(store.known()) == 600
        assert_holds(store, list(range(600)))


@pytest.mark.skipif(sys.platform == "win32", reason="forks, so that twenty processes start quickly")
def test_a_killed_writer_loses_at_most_its_batch() -> None:
    script = """
import os, random, signal, time

def write(at, pipe):
    with Store.open("lite", "ab" * 32, 100) as store:
        for first in range(at, at + 100_000, 20):
            store.add([kept(number) for number in range(first, first + 20)])
            os.write(pipe, b"%d\\n" % first)

chance = random.Random(0)
for at in range(0, 2_000_000, 200_000):
    pair = []
    for own in (at, at + 100_000):
        out, into = os.pipe()
        child = os.fork()
        if child == 0:
            write(own, into)
        os.close(into)
        pair.append((child, os.fdopen(out)))
    said = [out.readline() for _, out in pair]
    time.sleep(chance.uniform(0, 0.03))
    for child, _ in pair:
        os.kill(child, signal.SIGKILL)
    for (child, out), first in zip(pair, said):
        os.waitpid(child, 0)
        print(first + out.read(), end=";")
"""
    said = start(script).communicate()[0].split(";")[:-1]
    acknowledged = [[int(first) for first in one.split()] for one in said]
    assert len(acknowledged) == 20
    assert all(acknowledged)
    with open_store() as store:
        known = store.known()
        firsts = [first for one in acknowledged for first in one]
        assert_holds(store, [number for first in firsts for number in range(first, first + 20)])
        for one in acknowledged:  # the batch that the kill cut short is there as a whole, or not at all
            at = one[-1] + 20
            present = [number for number in range(at, at + 20) if kept(number).digest in known]
            assert present in ([], list(range(at, at + 20)))
            assert_holds(store, present)
        assert store._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# Looking and clearing


def test_usage_counts_and_clear_frees(cache: Path) -> None:
    assert usage() == []
    assert clear() == 0
    assert list(cache.iterdir()) == []  # looking makes nothing
    path = fill(1, 2, 3)
    with Store.open("other", "cd" * 32, DIM) as other:
        other.add([kept(number) for number in range(200)])
        one, two = usage()
        assert (one.name, one.pictures, one.path) == (path.stem, 3, path)
        assert one.bytes == path.stat().st_size
        assert (two.name, two.pictures) == (other.path.stem, 200)
        wal = other.path.with_name(other.path.name + "-wal")
        assert two.bytes > wal.stat().st_size > 0  # what is not yet in the file counts, too
    with pytest.raises(UnknownName, match=f"feature store named 'lite'.*{path.stem}"):
        clear("lite")
    assert clear(path.stem) == one.bytes
    assert [each.name for each in usage()] == [two.name]
    (cache / "features" / "notes.txt").write_text("the user's")
    assert clear() > 200 * 56 * 56
    assert [each.name for each in (cache / "features").iterdir()] == ["notes.txt"]


def test_a_damaged_store_counts_nothing_and_can_be_cleared() -> None:
    path = fill(1)
    path.write_bytes(b"garbage" * 1000)
    assert [(each.pictures, each.bytes) for each in usage()] == [(0, 7000)]
    assert path.exists()
    assert clear() == 7000


def test_clearing_a_store_in_use_harms_nobody() -> None:
    with open_store() as store:
        store.add([kept(1)])
        clear()
        store.add([kept(2)])
        assert_holds(store, [1, 2])
        with open_store() as anew:
            assert anew.known() == set()
            anew.add([kept(3)])
    use([1, 3])


def test_a_file_that_cannot_be_removed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    path = fill(1)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError, match=rf"{path.name} cannot be removed: Permission denied"):
        clear()


# The size that is promised


@pytest.mark.slow
def test_sixty_thousand_pictures_are_quick_to_look_up() -> None:
    n = 60_000
    x, thumb, colours = kept(1).x, kept(1).thumb, kept(1).colours
    digests = [files.digest_bytes(b"%d" % number) for number in range(n)]
    with open_store() as store:
        for at in range(0, n, 1000):
            store.add([Kept(digest, x, 1, 1, "JPEG", thumb, colours) for digest in digests[at : at + 1000]])
        seconds = []
        for _ in range(3):
            begin = time.process_time()
            known = store.known()
            seconds.append(time.process_time() - begin)
    assert known == set(digests)
    assert min(seconds) < 0.15
