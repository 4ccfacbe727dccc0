"""The drawn sample: the same seed gives the same bytes, each class is there, and nothing else tells it."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict

import headstart
from headstart.data.render import maths, scene
from headstart.data.render.patch import Patch, ball, box, lathe, moved, plain, turned
from headstart.data.render.things import THINGS, draw
from headstart.data.samples import objects
from headstart.values import Bytes

PIXELS = "ee29eefea9616d8e4d12d3f3dde706eaec085bc53ccbb4291fd10780fca5b7b5"
WHITE = (1.0, 1.0, 1.0)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jpg")}


# The sample


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few") / "objects"
    assert objects.write(folder, per_class=2) == 10
    return folder


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("some") / "objects"
    assert objects.write(folder, per_class=40) == 200
    return folder


def test_the_same_seed_gives_the_same_bytes_and_another_none_of_them(few: Path, tmp_path: Path) -> None:
    objects.write(tmp_path / "again", per_class=2)
    assert bytes_of(tmp_path / "again") == bytes_of(few)
    objects.write(tmp_path / "other", per_class=2, seed=1)
    other = bytes_of(tmp_path / "other")
    assert other.keys() == bytes_of(few).keys()
    assert not set(other.values()) & set(bytes_of(few).values())


def test_more_pictures_leave_the_first_as_they_are(few: Path, tmp_path: Path) -> None:
    objects.write(tmp_path / "one", per_class=1)
    one = bytes_of(tmp_path / "one")
    assert one.items() <= bytes_of(few).items()


def test_each_class_has_as_many_and_every_picture_opens(few: Path) -> None:
    assert sorted(path.name for path in few.iterdir()) == [
        "Card",
        "Cube",
        "Hat",
        "README.md",
        "Screw",
        "Torch",
    ]
    assert (few / "README.md").read_text(encoding="utf-8") == objects.SOURCE
    for name in THINGS:
        assert sorted(path.name for path in (few / name).iterdir()) == ["0000.jpg", "0001.jpg"]
    for path in few.glob("*/*.jpg"):
        with Image.open(path) as picture:
            assert (picture.format, picture.mode) == ("JPEG", "RGB")
            assert picture.size == (objects.SIDE_PX, objects.SIDE_PX)
            pixels = np.asarray(picture)
        assert pixels.std() > 8, f"{path} is nearly flat"


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    objects.write(tmp_path / "out", per_class=1, progress=lambda *said: seen.append(said))
    assert seen == [("pictures", n, 5) for n in range(1, 6)]


def test_the_pixels_are_the_same_everywhere() -> None:
    """The split goes by the bytes; a change here changes every number that the demo prints."""
    drawn = b"".join(draw(name, [0, 0, number], 48).tobytes() for name in THINGS for number in range(4))
    assert hashlib.sha256(drawn).hexdigest() == PIXELS


def nuisances(path: Path) -> list[float]:
    """What a picture shows beside its thing: bytes, mean colour, colours of the four borders."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture).astype(np.float64)
    edges = (pixels[:8], pixels[-8:], pixels[:, :8], pixels[:, -8:])
    colours = [pixels.mean((0, 1)), *(edge.mean((0, 1)) for edge in edges)]
    return [path.stat().st_size, *np.concatenate(colours).tolist()]


@pytest.mark.slow
def test_bytes_colours_and_borders_do_not_tell_the_class(some: Path) -> None:
    """Chance is 0.2. The same forest tells the classes apart where one has a border of its own."""
    paths = sorted(some.glob("*/*.jpg"))
    y = np.array([path.parent.name for path in paths])
    x = np.array([nuisances(path) for path in paths])
    forest = RandomForestClassifier(60, random_state=0, min_samples_leaf=3)
    assert (cross_val_predict(forest, x, y, cv=5) == y).mean() < 0.4
    x[:, 4] += 300 * (np.unique(y, return_inverse=True)[1])
    assert (cross_val_predict(forest, x, y, cv=5) == y).mean() > 0.9


@pytest.mark.slow
def test_no_two_are_twins_and_a_head_learns_them(some: Path, tmp_path: Path) -> None:
    model = headstart.train(some, out=tmp_path / "model")
    kinds = {one["kind"] for one in model.report["data"]["findings"]}
    assert not kinds & {"duplicate", "near-duplicate", "label-conflict", "corrupt"}
    assert model.report["cv"]["n"] == 200
    assert model.report["cv"]["accuracy"] > 0.9


# The renderer


STAGE = scene.Stage(
    ground=plain((0.5, 0.5, 0.5), gloss=0.0),
    wall=plain((0.5, 0.5, 0.5), gloss=0.0),
    wall_at=50.0,
    sun=maths.unit((1.0, 0.0, 1.0)),
    sun_rgb=WHITE,
    sky_rgb=(0.3, 0.3, 0.3),
    softness=0.05,
)
ABOVE = scene.View((0.0, -0.01, 6.0), maths.unit((0.0, 0.0017, -1.0)), 120, 180.0)
SPHERE = Patch(ball(1, 1, 1), plain(WHITE, gloss=0.0)).after(moved(0, 0, 1))


def brightness(patches: list[Patch], stage: scene.Stage = STAGE) -> Bytes:
    seen = scene.light(patches, ABOVE, stage)
    return np.round(seen.rgb.mean(2) * 100).astype(np.uint8)


def test_a_ball_covers_the_pixels_that_geometry_says() -> None:
    """From a height of 6 a ball of radius 1 whose middle is 5 away has a silhouette of tangent 1/sqrt(24)."""
    dark = Patch(ball(1, 1, 1), plain((0.0, 0.0, 0.0), gloss=0.0)).after(moved(0, 0, 1))
    covered = brightness([dark]) == 0
    assert covered.sum() == pytest.approx(math.pi * (180 / math.sqrt(24)) ** 2, rel=0.03)
    across = covered.any(0)
    assert across[across.argmax() : len(across) - across[::-1].argmax()].all(), "holes"
    assert covered[60, across.argmax() + 2 : len(across) - across[::-1].argmax() - 2].all(), "holes"


def test_the_side_towards_the_sun_is_bright_and_the_shadow_falls_behind() -> None:
    found = brightness([SPHERE]).astype(int)
    bare = brightness([Patch(ball(0.01, 0.01, 0.01), plain(WHITE, gloss=0.0)).after(moved(5, 5, -1))]).astype(
        int
    )
    assert found[60, 80] > found[60, 40] + 20  # columns grow to the right, where the sun is
    shaded = bare - found > 10
    assert shaded[40:80, :26].sum() > 100
    assert not shaded[40:80, 100:].any()


def test_the_nearer_of_two_hides_the_other_in_either_order() -> None:
    near = Patch(ball(0.5, 0.5, 0.5), plain((1.0, 0.0, 0.0))).after(moved(0, 0, 3))
    for order in ([SPHERE, near], [near, SPHERE]):
        seen = scene.light(order, ABOVE, STAGE).rgb[60, 60]
        assert seen[0] > 5 * seen[1]


def test_a_sine_is_a_sine_and_noise_repeats() -> None:
    x = np.linspace(-3, 3, 10_001, dtype=np.float32)
    assert np.abs(maths.sine(x) - np.sin(2 * math.pi * x.astype(np.float64))).max() < 1e-5
    assert np.abs(maths.cosine(x) - np.cos(2 * math.pi * x.astype(np.float64))).max() < 1e-5
    cells = (np.arange(64, dtype=np.float32) + np.float32(0.5)) / np.float32(1024)
    np.testing.assert_array_equal(maths.noise(cells, cells * 3), maths.noise(cells + 1, cells * 3 - 2))
    assert 0 <= maths.noise(x, x).min() < maths.noise(x, x).max() <= 1


def test_everything_stays_in_single_precision() -> None:
    """Double precision would give other bits, and take twice as long."""
    u, v = np.linspace(0, 1, 30, dtype=np.float32), np.linspace(0, 1, 30, dtype=np.float32)
    for number, make in enumerate(THINGS.values()):
        for seed in range(6):
            for patch in make(np.random.default_rng([number, seed]))[0]:
                paint = patch.paint(u, v)
                for values in (*patch.world(u, v), paint.rgb, paint.gloss, paint.metal, paint.glow):
                    assert isinstance(values, float | int) or values.dtype == np.float32


def test_surfaces_are_where_they_should_be() -> None:
    u, v = (part.ravel() for part in np.meshgrid(*[np.linspace(0, 1, 33, dtype=np.float32)] * 2))
    x, y, z = ball(1, 2, 3)(u, v)
    np.testing.assert_allclose(x**2 + (y / 2) ** 2 + (z / 3) ** 2, 1, atol=1e-4)
    x, y, z = lathe([(0.5, 0.0), (0.5, 2.0)])(u, v)
    np.testing.assert_allclose(x**2 + y**2, 0.25, atol=1e-5)
    assert (z.min(), z.max()) == (0, 2)
    for shape in box(1, 1, 1, rounding=0.2):
        x, y, z = np.abs(shape(u, v))
        assert np.maximum(np.maximum(x, y), z).max() <= 1 + 1e-6
        outside = np.stack([np.maximum(side - np.float32(0.8), 0) for side in (x, y, z)])
        np.testing.assert_allclose((outside**2).sum(0), 0.04, atol=1e-6)
    there = turned("z", 0.25).then(moved(1, 0, 0)).point((1.0, 0.0, 0.0))
    np.testing.assert_allclose(there, (1, 1, 0), atol=1e-9)
