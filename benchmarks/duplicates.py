"""Claim: copies of a picture are found, whatever was done to them, and strangers are not reported.

Plants copies of up to 120 pictures of every set of real pictures, one way of copying at a time, and asks for
twins. Gives the share of copies found (recall) by way and by set, and how many pairs without a planted copy
are reported. Those are the sets' own hidden twins or false alarms: only a look tells, so `--sheets` draws
them side by side. The numbers in `headstart.data` were chosen on `flowers12`, `cifar10_small` and
`caltech101_small` (false alarms by eye, copies planted with other seeds) and on digits; how soon a hopeless
pair is given up was checked on all but `imagenet_sample`, which was used for nothing. Scanned digits,
pictures of one scene by a camera that hardly moves, and plain pictures stand for sets in which all pictures
look alike. `--cost` measures time and memory at 2,000 and 60,000 pictures, and on 10,000 that are nearly
identical.
"""

import io
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import _harness
import numpy as np
from _harness import Options, Result
from PIL import Image, ImageDraw, ImageOps

from headstart import backbones
from headstart.data.duplicates import Twin, find, groups
from headstart.engines import open_engine
from headstart.features.extract import Extraction, extract

CALIBRATED = ("flowers12", "cifar10_small", "caltech101_small")
SETS = (*CALIBRATED, "hymenoptera", "alien_predator", "background", "imagenet_sample")
PLANTED = 120

Picture = Image.Image
Change = Callable[[Picture, np.random.Generator], Picture]


def features(files: list[Path]) -> Extraction:
    """Features and thumbs of files, through the package as it is used."""
    spec = backbones.spec(backbones.DEFAULT)
    return extract(files, spec, open_engine(spec))


def half(image: Picture, _: np.random.Generator) -> Picture:
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)


def jpeg(image: Picture, _: np.random.Generator) -> Picture:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=40)
    return Image.open(data).convert("RGB")


def crop(image: Picture, rng: np.random.Generator, share: float = 0.9) -> Picture:
    width, height = max(1, round(image.width * share)), max(1, round(image.height * share))
    left, top = int(rng.integers(0, image.width - width + 1)), int(rng.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def crop_80(image: Picture, rng: np.random.Generator) -> Picture:
    return crop(image, rng, 0.8)


def brighter(image: Picture, _: np.random.Generator) -> Picture:
    return image.point(lambda value: min(255, round(1.3 * value)))


def gamma(image: Picture, _: np.random.Generator) -> Picture:
    return image.point(lambda value: round(255 * (value / 255) ** 0.7))


def darker(image: Picture, _: np.random.Generator) -> Picture:
    return image.point(lambda value: round(255 * (value / 255) ** 1.5))


def mirror(image: Picture, _: np.random.Generator) -> Picture:
    return ImageOps.mirror(image)


def stretch(image: Picture, _: np.random.Generator) -> Picture:
    return image.resize((round(1.15 * image.width), image.height), Image.Resampling.BICUBIC)


WAYS: dict[str, tuple[Change, ...]] = {
    "half size": (half,),
    "JPEG 40": (jpeg,),
    "90 % crop": (crop,),
    "brighter x1.3": (brighter,),
    "gamma 0.7": (gamma,),
    "gamma 1.5": (darker,),
    "mirrored": (mirror,),
    "half, JPEG 40": (half, jpeg),
    "mirrored, 90 % crop": (mirror, crop),
    "90 % crop, brighter, JPEG 40": (crop, brighter, jpeg),
    "mirrored, half, gamma 0.7": (mirror, half, gamma),
    "80 % crop": (crop_80,),
    "stretched x1.15": (stretch,),
}


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def planted(files: list[Path], folder: Path) -> tuple[dict[str, list[Path]], list[int]]:
    """Copies of some of the files by way, and which files they are of."""
    rows = np.sort(
        np.random.default_rng(11).choice(len(files), min(len(files), PLANTED), replace=False)
    ).tolist()
    made: dict[str, list[Path]] = {way: [] for way in WAYS}
    for row in rows:
        with Image.open(files[row]) as image:
            original = ImageOps.exif_transpose(image).convert("RGB")
        for number, (way, changes) in enumerate(WAYS.items()):
            rng, copy = np.random.default_rng([11, row, number]), original
            for change in changes:
                copy = change(copy, rng)
            made[way].append(folder / f"{number}-{row}.png")
            copy.save(made[way][-1], compress_level=1)
    return made, rows


def twins_of(first: Extraction, second: Extraction | None = None) -> list[Twin]:
    both = [first] if second is None else [first, second]
    start = backbones.spec(backbones.DEFAULT).depths[-1].start
    last = np.concatenate([one.x[:, start:] for one in both])
    thumbs = np.concatenate([one.pictures.thumbs for one in both])
    return find(last, thumbs, [digest for one in both for digest in one.digests])


def recalls(source: Path, folder: Path) -> tuple[dict[str, float], list[Twin], list[Path]]:
    files = files_of(source)
    own = features(files)
    files = [files[row] for row in own.rows]
    made, rows = planted(files, folder)
    found = {}
    for way, copies in made.items():
        pairs = {(twin.i, twin.j) for twin in twins_of(own, features(copies))}
        hits = [(row, len(files) + place) in pairs for place, row in enumerate(rows)]
        found[way] = float(np.mean(hits))
    return found, twins_of(own), files


def alike(kind: str, folder: Path, background: Path) -> list[Path]:
    """Sets in which everything looks alike and nothing is a copy."""
    if kind == "digits":
        from headstart.data.samples import digits

        digits.write(folder / kind)
        return [path for path in files_of(folder / kind) if path.suffix == ".png"]
    rng = np.random.default_rng(5)
    (folder / kind).mkdir()
    scene = np.asarray(Image.open(files_of(background)[5]).convert("RGB").resize((300, 300)), float)
    paths = []
    for number in range(400):
        if kind == "one scene":  # noise, light, a shake of the camera, and marks that are different each time
            top, left = rng.integers(0, 5, 2)
            pixels = scene[top : top + 296, left : left + 296] * rng.uniform(0.93, 1.07)
            for _ in range(rng.integers(1, 4)):
                y, x, tall, wide = *rng.integers(0, 260, 2), *rng.integers(4, 36, 2)
                pixels[y : y + tall, x : x + wide] = rng.integers(0, 256)
        else:
            pixels = np.broadcast_to(rng.integers(0, 256, 3), (100, 100, 3)).astype(float)
        pixels = pixels + rng.normal(0, rng.uniform(0, 5), pixels.shape)
        paths.append(folder / kind / f"{number}.png")
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def sheet(files: list[Path], twins: list[Twin], target: Path, side: int = 150, columns: int = 5) -> None:
    """The pairs side by side, least alike first."""
    twins = sorted(twins, key=lambda twin: twin.likeness)[:60]
    page = Image.new("RGB", (columns * (2 * side + 12), (len(twins) // columns + 1) * (side + 16)), "white")
    for place, twin in enumerate(twins):
        x, y = place % columns * (2 * side + 12), place // columns * (side + 16)
        for shift, row in ((0, twin.i), (side, twin.j)):
            with Image.open(files[row]) as image:
                page.paste(ImageOps.contain(image.convert("RGB"), (side, side)), (x + shift, y))
        text = f"{twin.likeness:.2f} {twin.cosine:.2f} {twin.how}"
        ImageDraw.Draw(page).text((x, y + side + 2), text[:48], fill="black")
    page.save(target)


def cost(kind: str, n: int) -> dict[str, float]:
    """Seconds and memory of one call, in a process of its own; arrays are made up."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        last, thumbs = made_up(kind, n)
        before, start, cpu = peak_mb(), time.perf_counter(), time.process_time()
        found = find(last, thumbs, [f"{row * 7919 % n:08d}" for row in range(n)])
        seconds = time.perf_counter() - start
        cpu = time.process_time() - cpu
        largest = int(np.bincount(groups(n, found, [""] * n)).max())
        numbers = {
            "seconds": round(seconds, 2),
            "cpu_seconds": round(cpu, 2),
            "extra_mb": round(peak_mb() - before),
            "twins": len(found),
            "largest": largest,
        }
        os.write(writing, json.dumps(numbers).encode())
        os._exit(0)
    os.waitpid(child, 0)
    told: dict[str, float] = json.loads(os.read(reading, 1000))
    return told


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def made_up(kind: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    last, thumbs = np.empty((n, 1280), np.float16), np.empty((n, 56, 56), np.uint8)
    blur = np.exp(-((np.arange(56)[:, None] - np.arange(56)) ** 2) / 12).astype(np.float32)
    blur /= blur.sum(1, keepdims=True)
    centres = rng.standard_normal((100, 64), dtype=np.float32)
    directions = rng.standard_normal((64, 1280), dtype=np.float32) / 8
    scene, seen = blur @ rng.standard_normal((56, 56)) @ blur.T, rng.standard_normal(1280)
    for start in range(0, n, 500):
        m = min(500, n - start)
        if kind == "nearly identical":
            x, grey = (
                seen + 0.05 * rng.standard_normal((m, 1280)),
                400 * scene + rng.normal(0, 2, (m, 56, 56)),
            )
        else:
            within = centres[rng.integers(0, 100, m)] + 0.8 * rng.standard_normal((m, 64))
            x = within @ directions + 0.5 * rng.standard_normal((m, 1280))
            grey = 400 * (blur @ rng.standard_normal((m, 56, 56), dtype=np.float32) @ blur.T)
        last[start : start + m] = np.maximum(0, x)
        thumbs[start : start + m] = np.clip(grey + 128, 0, 255)
    return last, thumbs


def measure(asked: Options) -> Iterator[Result]:
    """Recall by set and way of copying; pairs reported where nothing is a copy; what it costs."""
    folders = {name: _harness.picture_set(asked, name) for name in SETS}
    if asked.extra.cost:  # first: the children are to start small
        for kind, n in (("strangers", 2_000), ("strangers", 60_000), ("nearly identical", 10_000)):
            numbers = cost(kind, n)
            yield Result(
                f"twins among {n:,} {kind}, processor time",
                numbers["cpu_seconds"],
                "s",
                None,
                n,
                1,
                None,
                numbers,
            )
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        for name in SETS[: 1 if asked.quick else None]:
            (place / name).mkdir()
            found, own, files = recalls(folders[name], place / name)
            if asked.extra.sheets:
                asked.extra.sheets.mkdir(parents=True, exist_ok=True)
                sheet(files, own, asked.extra.sheets / f"{name}.png")
            yield Result(
                f"copies found, mean over {len(WAYS)} ways of copying, {name}",
                100 * float(np.mean(list(found.values()))),
                "%",
                None,
                min(len(files), PLANTED) * len(WAYS),
                1,
                (100 * min(found.values()), 100 * max(found.values())),
                {
                    "interval_is": "the ways that hide most and least",
                    "recall": found,
                    "own_pairs": len(own),
                    "own_equal_files": sum(twin.exact for twin in own),
                },
            )
        (place / "alike").mkdir()
        for kind in ("digits", "one scene", "plain"):
            files = alike(kind, place / "alike", folders["background"])
            reported = twins_of(features(files))
            largest = np.bincount(groups(len(files), reported, [""] * len(files))).max()
            if asked.extra.sheets and reported:
                sheet(files, reported, asked.extra.sheets / f"{kind}.png")
            yield Result(
                f"pairs reported where all look alike and none is a copy, {kind}",
                len(reported),
                "pairs",
                None,
                len(files),
                1,
                None,
                {"largest_group": int(largest)},
            )


if __name__ == "__main__":
    drawn = {"type": Path, "default": None, "help": "draw the reported pairs into this folder"}
    _harness.main(
        measure,
        __doc__,
        ("--sheets", drawn),
        ("--cost", {"action": "store_true", "help": "time and memory, too"}),
    )
