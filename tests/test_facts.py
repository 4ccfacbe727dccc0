"""Facts about files are those that Pillow tells; what is planted in them is found, without false alarms."""

import io
from pathlib import Path

import make
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from headstart import backbones
from headstart.data.facts import HEAD, NAMES, Facts, facts, head
from headstart.evaluate.shortcuts import predicted, told_by
from headstart.modalities.image import SMALL_PX, decode
from headstart.trust import shortcuts
from headstart.values import Features, Pictures


def jpeg(side: int, quality: int, number: int = 0, **more: object) -> bytes:
    out = io.BytesIO()
    make.picture((120, 130, 140), number, side=side).save(out, "JPEG", quality=quality, **more)
    return out.getvalue()


@pytest.mark.parametrize("quality", [10, 50, 75, 90, 100])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_head_of_a_jpeg_is_what_pillow_reads(tmp_path: Path, quality: int, progressive: bool) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model 1"
    data = jpeg(72, quality, exif=exif, icc_profile=bytes(40_000), progressive=progressive)
    file = tmp_path / "one.jpg"
    file.write_bytes(data)
    with Image.open(file) as opened:
        found, wanted = head(file), opened.quantization
    assert (found.luma, found.chroma) == (sum(wanted[0]), sum(wanted[1]))
    assert found.camera == "Maker Model 1"
    assert found.bytes == len(data)


def test_a_table_across_the_end_of_what_was_read_is_read_whole(tmp_path: Path) -> None:
    data, file = jpeg(72, 50), tmp_path / "one.jpg"
    file.write_bytes(data)
    wanted = head(file)
    for length in range(HEAD - 300, HEAD + 20, 20):
        file.write_bytes(data[:2] + b"\xff\xfe" + (length + 2).to_bytes(2, "big") + bytes(length) + data[2:])
        found = head(file)
        assert (found.luma, found.chroma) == (wanted.luma, wanted.chroma), length


def test_a_file_without_a_head_has_no_facts(tmp_path: Path) -> None:
    data = jpeg(64, 80)
    for number, content in enumerate(
        [b"", b"\xff\xd8", b"\xff\xd8\xff", data[:30], b"\xff\xd8" + b"\xff" * 99]
    ):
        file = tmp_path / f"{number}.jpg"
        file.write_bytes(content)
        assert head(file).bytes == len(content)
        assert head(file).camera == ""
    assert head(tmp_path / "absent.jpg").bytes == 0
    assert head(tmp_path).luma == 0
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    whole = bytearray(jpeg(64, 80, exif=exif))
    for _ in range(300):  # whatever the bytes are, it does not raise
        hurt = whole.copy()
        hurt[int(rng.integers(2, 400))] = int(rng.integers(256))
        file.write_bytes(hurt)
        head(file)


def test_colours_are_those_of_the_square_that_the_network_gets() -> None:
    preprocess = backbones.spec(backbones.DEFAULT).preprocess
    for number, tint in enumerate(make.TINTS.values()):
        out = io.BytesIO()
        make.picture(tint, number, side=300).save(out, "PNG")
        found = decode(out.getvalue(), preprocess)
        cell = preprocess.size_px // SMALL_PX
        inner = np.zeros(found.pixels.shape[:2], bool)
        inner[cell:-cell, cell:-cell] = True
        assert np.abs(found.colours[0] - found.pixels.mean((0, 1))).max() <= 1
        assert np.abs(found.colours[1] - found.pixels[~inner].mean(0)).max() <= 1
    framed = np.full((240, 240, 3), 30, np.uint8)
    framed[40:200, 40:200] = 200
    out = io.BytesIO()
    Image.fromarray(framed).save(out, "PNG")
    colours = decode(out.getvalue(), preprocess).colours
    assert colours[1].tolist() == [30, 30, 30]
    assert colours[2].tolist() == [0, 0, 0]
    assert colours[0].min() > 60


def test_facts_of_thumbs_are_those_of_scipy(tmp_path: Path) -> None:
    n = 5
    rng = np.random.default_rng(0)
    thumbs = rng.integers(0, 256, (n, 56, 56), dtype=np.uint8)
    colours = rng.integers(0, 256, (n, 3, 3), dtype=np.uint8)
    pictures = Pictures(
        np.arange(10, 10 + n), np.arange(20, 20 + n), ("JPEG", "PNG", "JPEG", "GIF", "JPEG"), thumbs, colours
    )
    found = facts(pictures, [tmp_path / "absent"] * n)
    assert found.values.shape == (n, len(NAMES))
    assert found.column("format").tolist() == [1, 3, 1, 2, 1]
    for row in range(n):
        grey = thumbs[row].astype(np.float64)
        edges = ndimage.laplace(grey)[1:-1, 1:-1]
        wanted = [grey.mean(), grey.std(), np.log2(1 + edges.var())]
        got = [found.column(name)[row] for name in ("brightness", "contrast", "sharpness")]
        assert got == pytest.approx(wanted, rel=1e-4)
        assert found.columns(("red", "border_green"))[row].tolist() == [
            colours[row, 0, 0],
            colours[row, 1, 1],
        ]
    assert np.array_equal(found.take(np.array([2])).values, found.values[2:3])


# Shortcuts


def random_facts(rng: np.random.Generator, n: int) -> Facts:
    values = rng.normal(size=(n, len(NAMES))).astype(np.float32)
    values[:, NAMES.index("format")] = rng.integers(0, 2, n)
    values[:, NAMES.index("camera")] = rng.integers(0, 9, n)
    return Facts(values)


def features(y: np.ndarray, groups: np.ndarray) -> Features:
    digests = tuple(f"{at:064x}" for at in np.random.default_rng(1).permutation(len(y)))
    names = tuple(f"c{label}" for label in range(int(y.max()) + 1))
    return Features(np.zeros((len(y), 1), np.float16), y, groups, digests, names, (), "")


def test_random_facts_are_no_shortcut() -> None:
    alarms = sure = looked = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(40, 300))
        found = shortcuts.find(features(rng.integers(0, 2 + seed % 4, n), np.arange(n)), random_facts(rng, n))
        alarms += any(one.found for one in found)
        sure += sum(one.told.accuracy_ci95[0] > one.told.chance for one in found)
        looked += len(found)
    assert looked > 400
    assert alarms == 0
    assert sure <= 0.05 * looked  # and the interval alone holds what it says


def test_what_gives_the_label_away_is_found_and_named() -> None:
    rng = np.random.default_rng(0)
    n = 120
    y = rng.integers(0, 2, n)
    told = random_facts(rng, n)
    told.values[:, NAMES.index("width")] = 640 + 160 * y
    found = {one.fact: one for one in shortcuts.find(features(y, np.arange(n)), told)}
    assert found["dimensions"].found
    assert found["dimensions"].told.accuracy > 0.95
    assert not any(one.found for name, one in found.items() if name in ("format", "camera", "mean colour"))
    (warning,) = shortcuts.findings(tuple(found.values()), ("healthy", "sick"))
    assert (warning.kind, warning.severity) == ("shortcut", "warning")
    assert warning.message.startswith("healthy and sick have different sizes: ")
    assert "by always saying the commonest class" in warning.message


def test_colour_may_be_the_subject() -> None:
    """Half of the way from chance by colour alone is what flowers do; sizes may not."""
    rng = np.random.default_rng(0)
    n = 400
    y = rng.integers(0, 2, n)
    hint = np.where(rng.random(n) < 0.75, y, 1 - y)
    for name, wanted in (("green", False), ("height", True)):
        told = random_facts(rng, n)
        told.values[:, NAMES.index(name)] = hint
        for other in ("width", "aspect") if name == "height" else ("red", "blue"):
            told.values[:, NAMES.index(other)] = 0
        found = shortcuts.find(features(y, np.arange(n)), told)
        assert any(one.found for one in found) == wanted, name


def test_twins_do_not_tell_a_label() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    y = rng.integers(0, 2, 40)[groups]
    own = rng.normal(size=(40, 3)).astype(np.float32)[groups]  # equal within a group, and nothing else
    assert told_by(own, y, np.arange(200)).accuracy > 0.95
    assert told_by(own, y, groups).skill <= 0


def test_what_tells_one_class_of_three_counts_for_that_class_and_no_less_for_the_others() -> None:
    y = np.arange(90) % 3
    found = told_by((y == 0).astype(np.float32)[:, None], y, np.arange(90))
    assert found.accuracy == pytest.approx(2 / 3, abs=0.02)  # left out one by one, they would all be mistaken
    assert told_by(np.zeros((90, 1), np.float32), y, np.arange(90)).accuracy == pytest.approx(1 / 3, abs=0.02)


def test_prediction_by_facts_does_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, (150, 2)).astype(np.float32), rng.integers(0, 3, 150)
    order = rng.permutation(150)
    whole = predicted(x, y, np.arange(150))
    assert np.array_equal(predicted(x[order], y[order], np.arange(150)), whole[order])


def test_other_size_and_quality_of_one_class_are_found_in_files(tmp_path: Path) -> None:
    files, formats = [], []
    y = np.arange(80) % 2
    for number in range(80):
        side, quality = (72, 90) if y[number] else (64, 60)
        files.append(tmp_path / f"{number}.jpg")
        files[-1].write_bytes(jpeg(side, quality, number))
        formats.append("JPEG")
    sides = np.where(y, 72, 64)
    blank = np.zeros((80, 56, 56), np.uint8), np.zeros((80, 3, 3), np.uint8)
    told = facts(Pictures(sides, sides, tuple(formats), *blank), files)
    found = {one.fact: one.found for one in shortcuts.find(features(y, np.arange(80)), told)}
    assert found["dimensions"]
    assert found["compression"]
    assert "format" not in found, "all are JPEG: nothing to tell"


def test_forty_pictures_are_enough_for_what_tells_all() -> None:
    """And a fact that tells most, but may be the subject, is no shortcut."""
    rng = np.random.default_rng(0)
    n, y = 40, np.arange(40) % 2
    for share, found in ((1.0, True), (0.85, False)):
        facts_of = random_facts(rng, n)
        tells = rng.permutation(n) < share * n
        facts_of.values[:, NAMES.index("red")] = np.where(tells, y, 1 - y)
        for other in ("green", "blue"):
            facts_of.values[:, NAMES.index(other)] = 0
        told = {one.fact: one for one in shortcuts.find(features(y, np.arange(n)), facts_of)}
        assert told["mean colour"].found == found, told["mean colour"].told
        assert not told["border"].found
