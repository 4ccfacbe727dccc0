"""The samples are what they say, written whole or not at all; what was fetched is not trusted unseen."""

import hashlib
import io
import re
import socket
import tarfile
from dataclasses import replace
from pathlib import Path

import make
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from headstart import download
from headstart.data import samples
from headstart.data.samples import digits, flowers
from headstart.errors import DownloadError, OutputError, OutputExists, StoreError, UnknownName
from headstart.files import digest_file

DIGITS = "3dc54f1eeab21e36fcde42de8d015e8608d895025e7bea6a9492d6807075dd65"
JPEG = b"\xff\xd8 as good as a photograph \xff\xd9"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    return tmp_path / "cache"


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# The registry


def test_every_sample_says_what_it_is() -> None:
    assert samples.names() == ["digits", "flowers", "objects"]
    for name in samples.names():
        found = samples.about(name)
        assert found.name == name
        assert "\n" not in found.summary
        assert re.search("CC BY|Apache", found.source)
        assert "http" in found.source


def test_an_unknown_sample_is_named(tmp_path: Path) -> None:
    for ask in (lambda: samples.about("flower"), lambda: samples.write("flower", tmp_path / "out")):
        with pytest.raises(UnknownName, match=r"no sample named 'flower'.*mean 'flowers'"):
            ask()
    assert not (tmp_path / "out").exists()


def test_a_taken_place_is_refused_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flowers, "fetch", lambda *_, **__: pytest.fail("fetched"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    for name in samples.names():
        with pytest.raises(OutputExists, match="out is there already"):
            samples.write(name, tmp_path / "out")
    assert tree(tmp_path / "out") == ["mine"]


# Digits


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "digits"
    assert samples.write("digits", folder) == 1797
    return folder


def test_the_digits_are_those_of_scikit_learn(written: Path) -> None:
    """Each picture, taken down to 8 x 8 cells again, is nearest to the very digit it was made from."""
    ink, labels = load_digits(return_X_y=True)
    pictures = sorted(written.glob("*/*.png"), key=lambda path: path.name)
    assert [int(path.parent.name) for path in pictures] == labels.tolist()
    assert [int(path.stem) for path in pictures] == list(range(1797))
    cells = []
    for path in pictures:
        with Image.open(path) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (64, 64))
            grey = np.asarray(picture, dtype=np.float64)
        cells.append((255 - grey).reshape(8, 8, 8, 8).mean((1, 3)).ravel() / 255 * 16)
    found = np.array(cells)
    assert np.abs(found - ink).mean() < 1  # of 16: what bicubic enlarging smears
    rows = np.random.default_rng(0).choice(1797, 100, replace=False)
    assert (((found[rows, None] - ink[None]) ** 2).sum(2).argmin(1) == rows).all()


def test_the_digits_are_the_same_bytes_everywhere(written: Path) -> None:
    """The split goes by these bytes; a change here changes every number that the demo prints."""
    each = sorted(digest_file(path) for path in written.glob("*/*.png"))
    assert len(set(each)) == 1797
    assert hashlib.sha256("".join(each).encode()).hexdigest() == DIGITS


def test_the_digits_come_with_titles_and_a_source(written: Path) -> None:
    assert tree(written)[-2:] == ["README.md", "classes.csv"]
    lines = (written / "classes.csv").read_bytes().decode().split("\n")
    assert lines == ["name,title,url", *(f"{n},{title}," for n, title in enumerate(digits.TITLES)), ""]
    assert (written / "README.md").read_text() == digits.SOURCE


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    samples.write("digits", tmp_path / "out", progress=lambda *said: seen.append(said))
    assert seen == [("pictures", n, 1797) for n in range(1, 1798)]


def test_half_written_digits_vanish(tmp_path: Path) -> None:
    def full(_: str, done: int, __: int) -> None:
        if done == 100:
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="out cannot be written: No space"):
        samples.write("digits", tmp_path / "out", progress=full)
    assert list(tmp_path.iterdir()) == []


# Flowers: a server on this machine stands in for the official address


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = -1) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    found.size = (len(JPEG) if kind == tarfile.REGTYPE else 0) if size < 0 else size
    return found


def packed(*entries: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for each in entries:
            tar.addfile(each, io.BytesIO(JPEG.ljust(each.size, b"\0")) if each.isreg() else None)
    return out.getvalue()


GOOD = (
    entry("flower_photos/", tarfile.DIRTYPE),
    entry("flower_photos/roses/", tarfile.DIRTYPE),
    entry("flower_photos/roses/12_ab_n.jpg"),
    entry("flower_photos/LICENSE.txt"),
    entry("flower_photos/daisy/34_cd.jpg"),
    entry("flower_photos/daisy/.DS_Store"),
    entry("flower_photos/notes.txt"),
)


def archive_of(server: make.Server, body: bytes, *, pictures: int = 2) -> flowers.Archive:
    server.body = body
    return flowers.Archive(
        address=f"http://127.0.0.1:{server.server_port}/flower_photos.tgz",
        file="flower_photos.tgz",
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        pictures=pictures,
    )


def assert_nothing_is_left(tmp_path: Path, cache: Path) -> None:
    assert not (tmp_path / "out").exists()
    assert tree(cache) == []


def test_the_flowers_are_fetched_once(server: make.Server, tmp_path: Path, cache: Path) -> None:
    archive = archive_of(server, packed(*GOOD))
    seen: list[tuple[str, int, int]] = []
    found = flowers.write(tmp_path / "out", archive=archive, progress=lambda *said: seen.append(said))
    assert found == 2
    assert tree(tmp_path / "out") == ["LICENSE.txt", "README.md", "daisy/34_cd.jpg", "roses/12_ab_n.jpg"]
    assert (tmp_path / "out" / "daisy" / "34_cd.jpg").read_bytes() == JPEG
    assert seen[-1] == ("pictures", 2, 2)
    assert ("bytes", archive.bytes, archive.bytes) in seen
    assert tree(cache) == ["downloads/flower_photos.tgz"]
    flowers.write(tmp_path / "again", archive=archive)
    assert tree(tmp_path / "again") == tree(tmp_path / "out")
    assert server.asked == 1


def test_a_file_put_there_by_hand_needs_no_network(server: make.Server, tmp_path: Path, cache: Path) -> None:
    archive = replace(archive_of(server, packed(*GOOD)), address="http://127.0.0.1:1/nobody")
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / archive.file).write_bytes(server.body)
    assert flowers.write(tmp_path / "out", archive=archive) == 2


@pytest.mark.parametrize("wrong", [b"", b"something else", b"same length"])
def test_a_wrong_file_put_there_is_refused_and_kept(
    wrong: bytes, server: make.Server, tmp_path: Path, cache: Path
) -> None:
    archive = archive_of(server, packed(*GOOD))
    (cache / "downloads").mkdir(parents=True)
    place = cache / "downloads" / archive.file
    place.write_bytes(wrong if wrong != b"same length" else bytes(archive.bytes))
    with pytest.raises(
        DownloadError, match=rf"{place} is not the file expected.*{archive.sha256}.*Remove it"
    ):
        flowers.write(tmp_path / "out", archive=archive)
    assert place.exists()
    assert server.asked == 0
    assert not (tmp_path / "out").exists()


def test_the_official_address_and_digest_are_what_the_user_is_told() -> None:
    official = flowers.OFFICIAL
    assert official.address.startswith("https://")
    assert official.address in flowers.SOURCE
    assert re.fullmatch("[0-9a-f]{64}", official.sha256)
    assert (official.bytes, official.pictures) == (228_813_984, 3670)


def test_a_wrong_digest_is_refused(server: make.Server, tmp_path: Path, cache: Path) -> None:
    archive = replace(archive_of(server, packed(*GOOD)), sha256="0" * 64)
    with pytest.raises(DownloadError, match=r"SHA-256 [0-9a-f]{64}, wanted 0{64}"):
        flowers.write(tmp_path / "out", archive=archive)
    assert_nothing_is_left(tmp_path, cache)


@pytest.mark.parametrize(("size", "said"), [(-1, "and more came"), (1, r"and [\d,]+ came\. Try again")])
def test_another_length_is_refused(
    size: int, said: str, server: make.Server, tmp_path: Path, cache: Path
) -> None:
    archive = archive_of(server, packed(*GOOD))
    with pytest.raises(DownloadError, match=said):
        flowers.write(tmp_path / "out", archive=replace(archive, bytes=archive.bytes + size))
    assert_nothing_is_left(tmp_path, cache)


def test_a_broken_transfer_is_refused(server: make.Server, tmp_path: Path, cache: Path) -> None:
    archive = archive_of(server, packed(*GOOD))
    server.cut = 100
    with pytest.raises(DownloadError, match=r"by other means, put it at .*downloads/flower_photos.tgz"):
        flowers.write(tmp_path / "out", archive=archive)
    assert_nothing_is_left(tmp_path, cache)


def test_an_absent_file_is_refused(server: make.Server, tmp_path: Path, cache: Path) -> None:
    archive = archive_of(server, packed(*GOOD))
    server.status = 404
    with pytest.raises(DownloadError, match=r"404 Not Found\. Or get http.* put it at .*flower_photos.tgz"):
        flowers.write(tmp_path / "out", archive=archive)
    assert_nothing_is_left(tmp_path, cache)


@pytest.mark.parametrize("why", ["Connection refused", "Name or service not known"])
def test_without_a_network_the_user_is_told_what_to_do(
    why: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, why)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    if why.startswith("Name"):
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    place = cache / "downloads" / "flower_photos.tgz"
    with pytest.raises(DownloadError) as caught:
        flowers.write(tmp_path / "out", archive=replace(flowers.OFFICIAL, address=address))
    assert f"cannot fetch {address}: {why}. Or get {address} by other means" in str(caught.value)
    assert f"put it at {place}, and run the same command again." in str(caught.value)
    assert_nothing_is_left(tmp_path, cache)


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    monkeypatch.setattr(download, "SILENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        archive = replace(flowers.OFFICIAL, address=f"http://127.0.0.1:{silent.getsockname()[1]}/x")
        with pytest.raises(DownloadError, match="timed out"):
            flowers.write(tmp_path / "out", archive=archive)
    assert_nothing_is_left(tmp_path, cache)


def test_a_cache_that_cannot_be_written_is_no_network_problem(
    server: make.Server, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_of(server, packed(*GOOD))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match=r"cannot keep .*: No space left on device\. Free space"):
        flowers.write(tmp_path / "out", archive=archive)
    assert_nothing_is_left(tmp_path, cache)


@pytest.mark.parametrize(
    "evil",
    [
        entry("../evil.jpg"),
        entry("flower_photos/../../evil.jpg"),
        entry("flower_photos/roses/../../../evil.jpg"),
        entry("/evil.jpg"),
        entry("flower_photos\\..\\..\\evil.jpg"),
        entry("C:evil.jpg"),
        entry("..", tarfile.DIRTYPE),
        entry("flower_photos/roses/link.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        entry("flower_photos/tulips", tarfile.SYMTYPE, "../.."),
        entry("flower_photos/roses/hard.jpg", tarfile.LNKTYPE, "/etc/passwd"),
        entry("flower_photos/roses/pipe.jpg", tarfile.FIFOTYPE),
        entry("flower_photos/roses/null.jpg", tarfile.CHRTYPE),
    ],
    ids=lambda each: f"{each.name} {each.type.decode()}",
)
def test_an_archive_that_leads_outside_is_refused(
    evil: tarfile.TarInfo, server: make.Server, tmp_path: Path
) -> None:
    archive = archive_of(server, packed(*GOOD, evil))
    with pytest.raises(DownloadError, match="which is not safe"):
        flowers.write(tmp_path / "out", archive=archive)
    assert tree(tmp_path) == ["cache/downloads/flower_photos.tgz"]


def test_an_archive_that_swells_is_refused(
    server: make.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_of(
        server, packed(*GOOD, entry("flower_photos/roses/big.jpg", size=2_000_000)), pictures=3
    )
    assert archive.bytes < 10_000
    monkeypatch.setattr(flowers, "_UNPACKED", 1_000_000)
    with pytest.raises(DownloadError, match="holds too much for 3 pictures"):
        flowers.write(tmp_path / "out", archive=archive)
    monkeypatch.setattr(flowers, "_UNPACKED", 3_000_000)
    monkeypatch.setattr(flowers, "_MEMBERS", len(GOOD))
    with pytest.raises(DownloadError, match="holds too much for 3 pictures"):
        flowers.write(tmp_path / "out", archive=archive)
    monkeypatch.setattr(flowers, "_MEMBERS", len(GOOD) + 1)
    assert flowers.write(tmp_path / "out", archive=archive) == 3


@pytest.mark.parametrize("damage", ["garbage", "cut"])
def test_an_archive_that_is_none_is_refused(damage: str, server: make.Server, tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for number in range(20):
            info = entry(f"flower_photos/roses/{number}.jpg", size=5000)
            tar.addfile(info, io.BytesIO(noise.bytes(5000)))
    body = noise.bytes(5000) if damage == "garbage" else out.getvalue()[:50_000]
    with pytest.raises(DownloadError, match="cannot be unpacked"):
        flowers.write(tmp_path / "out", archive=archive_of(server, body, pictures=20))
    assert not (tmp_path / "out").exists()


def test_another_number_of_pictures_is_refused(server: make.Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="holds 2 pictures, wanted 3"):
        flowers.write(tmp_path / "out", archive=archive_of(server, packed(*GOOD), pictures=3))
    assert not (tmp_path / "out").exists()
