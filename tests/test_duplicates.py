"""Copies of a picture are found and strangers are not, whatever their order and however many look alike."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data import duplicates
from headstart.data.duplicates import LEAST, SURE, Twin, bar, find, groups
from headstart.data.looks import SIDE, Looks, detail, look, reduced, rough_likeness
from headstart.data.nearest import BLOCK_NUMBERS, SPAN, directions, later, unit

N = 60


def texture(seed: int, side: int = 160) -> Image.Image:
    """A grey picture of blobs and streaks of many sizes, unlike that of any other seed."""
    total = np.zeros((side, side))
    for cells in (5, 10, 20, 40):
        coarse = Image.fromarray(noise(seed, cells)).resize((side, side), Image.Resampling.BICUBIC)
        total += np.asarray(coarse) * cells**-0.5
    return Image.fromarray(np.clip(128 + 90 * total, 0, 255).astype(np.uint8))


def noise(seed: int, cells: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (cells, cells)).astype(np.float32)


def thumb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((56, 56), Image.Resampling.BOX))


def crop(image: Image.Image, left: float, top: float, share: float) -> Image.Image:
    side = image.width
    box = (side * left, side * top, side * (left + share), side * (top + share))
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)


def vectors(seed: int, n: int) -> np.ndarray:
    return np.maximum(0, np.random.default_rng(seed).normal(0, 1, (n, 200))).astype(np.float16)


def near(vector: np.ndarray, noise: float = 0.3) -> np.ndarray:
    moved = vector + np.random.default_rng(9).normal(0, noise, vector.shape)
    return np.maximum(0, moved).astype(np.float16)


STRANGERS = [texture(seed) for seed in range(N)]
DIGESTS = [f"{place * 7919 % 1000:04d}" for place in range(1000)]
WAYS = {
    "resized or recompressed": lambda image: image.resize((70, 70), Image.Resampling.BICUBIC),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "cropped": lambda image: crop(image, 0.07, 0.02, 0.9),
    "mirrored, cropped": lambda image: crop(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0, 0.1, 0.85),
    "brightness changed": lambda image: image.point(lambda value: 40 + 0.6 * value),
}


def with_copies(changed: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    """The strangers, then a changed copy of each of the first ones: features and thumbs."""
    last = vectors(0, N)
    copies = near(last[: len(changed)])
    return np.concatenate([last, copies]), np.stack([thumb(image) for image in [*STRANGERS, *changed]])


@pytest.mark.parametrize("how", WAYS)
def test_planted_copies_are_found_named_and_nothing_else(how: str) -> None:
    last, thumbs = with_copies([WAYS[how](image) for image in STRANGERS[:20]])
    found = find(last, thumbs, DIGESTS[: len(last)])
    assert {(twin.i, twin.j) for twin in found} == {(place, N + place) for place in range(20)}
    assert {twin.how for twin in found} == {how}
    assert not any(twin.exact for twin in found)
    assert min(twin.likeness for twin in found) > SURE
    assert all(twin.likeness <= 1.0001 and twin.cosine <= 1.0001 for twin in found)


def test_pixels_find_what_features_have_forgotten() -> None:
    _, thumbs = with_copies(STRANGERS[:10])
    found = find(vectors(4, N + 10), thumbs, DIGESTS[: N + 10])
    assert {(twin.i, twin.j) for twin in found} == {(place, N + place) for place in range(10)}


def test_features_alone_convince_nobody() -> None:
    """Negative control: equal features, other pixels."""
    last, thumbs = with_copies([texture(1000 + place) for place in range(20)])
    last[N:] = last[:20]
    assert find(last, thumbs, DIGESTS[: N + 20]) == []


def test_the_same_light_and_dark_is_not_yet_the_same_picture() -> None:
    """Negative control: shared blobs under each picture's own texture, as with flowers of one kind."""
    blobs = np.asarray(Image.fromarray(noise(1, 6)).resize((160, 160), Image.Resampling.BICUBIC))
    alike = []
    for seed in range(2, 8):
        own = np.asarray(Image.fromarray(noise(seed, 30)).resize((160, 160), Image.Resampling.BICUBIC))
        alike.append(Image.fromarray(np.clip(128 + 50 * blobs + 17 * own, 0, 255).astype(np.uint8)))
    last, thumbs = vectors(0, N + 6), np.stack([thumb(image) for image in [*STRANGERS, *alike]])
    last[N:] = near(np.repeat(last[N : N + 1], 6, axis=0))
    plain = np.corrcoef(thumbs[N:].reshape(6, -1))
    assert np.median(plain) > 0.85
    assert find(last, thumbs, DIGESTS[: N + 6]) == []


def test_order_makes_no_difference() -> None:
    last, thumbs = with_copies([crop(image, 0.05, 0.1, 0.85) for image in STRANGERS[:20]])
    digests = np.array(DIGESTS[: len(last)])
    digests[3] = digests[30]
    order = np.random.default_rng(1).permutation(len(last))
    found = find(last, thumbs, digests.tolist())
    moved = find(last[order], thumbs[order], digests[order].tolist())
    pairs = {frozenset((twin.i, twin.j)) for twin in found}
    assert {frozenset((int(order[twin.i]), int(order[twin.j]))) for twin in moved} == pairs
    assert all(twin.i < twin.j for twin in found + moved)
    likeness = sorted(twin.likeness for twin in found)
    np.testing.assert_allclose(sorted(twin.likeness for twin in moved), likeness, atol=1e-4)


def test_equal_files_are_paired_with_the_first_and_compared_once() -> None:
    last, thumbs = with_copies(STRANGERS[:1] * 30)
    digests = DIGESTS[:N] + [DIGESTS[5]] * 30
    found = find(last, thumbs, digests)
    exact = [twin for twin in found if twin.exact]
    assert [(twin.i, twin.j) for twin in exact] == [(5, N + place) for place in range(30)]
    assert {(twin.how, twin.likeness, twin.cosine) for twin in exact} == {("same file", 1.0, 1.0)}
    assert found == exact


def test_missing_digests_are_not_equal_files() -> None:
    last, thumbs = vectors(0, N), np.stack([thumb(image) for image in STRANGERS])
    assert find(last, thumbs, [""] * N) == []


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_flat_pictures_have_no_twins_but_equal_files(noise: float) -> None:
    rng = np.random.default_rng(2)
    ramp = np.linspace(0, 10, 56)[:, None]
    grey = rng.integers(20, 230, (80, 1, 1)) + ramp + rng.normal(0, noise, (80, 56, 56))
    last = near(np.repeat(vectors(3, 1), 80, axis=0), 0.01)
    found = find(last, grey.astype(np.uint8), [*DIGESTS[:79], DIGESTS[0]])
    assert [(twin.i, twin.j, twin.exact) for twin in found] == [(0, 79, True)]


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_to_compare(n: int) -> None:
    assert find(vectors(0, n), np.zeros((n, 56, 56), np.uint8), DIGESTS[:n]) == []


@pytest.mark.parametrize("n", [2, 3, 10])
def test_a_handful_is_enough(n: int) -> None:
    last, thumbs = vectors(0, n), np.stack([thumb(image) for image in STRANGERS[:n]])
    thumbs[1] = thumb(crop(STRANGERS[0], 0.03, 0.05, 0.9))
    last[1] = near(last[0])
    assert [(twin.i, twin.j, twin.how) for twin in find(last, thumbs, DIGESTS[:n])] == [(0, 1, "cropped")]


def test_where_all_look_alike_only_copies_stand_out() -> None:
    """One scene with a mark that is somewhere else each time: no copies, but alike beyond the usual bar."""
    rng = np.random.default_rng(4)
    scene, pictures = np.asarray(STRANGERS[0]), []
    for _ in range(150):
        pixels = scene.copy()
        y, x = rng.integers(0, 130, 2)
        pixels[y : y + 24, x : x + 24] = rng.integers(0, 256)
        pictures.append(thumb(Image.fromarray(pixels)))
    thumbs = np.stack([*pictures, *(picture[:, ::-1] for picture in pictures[:10])])
    last = near(np.repeat(vectors(3, 1), 160, axis=0), 0.2)
    found = find(last, thumbs, DIGESTS[:160])
    copies = {(place, 150 + place) for place in range(10)}
    assert copies <= {(twin.i, twin.j) for twin in found}
    assert len(found) < 40
    assert np.bincount(groups(160, found, [""] * 160)).max() <= 4


def test_the_work_does_not_grow_with_the_number_of_lookalikes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six hundred nearly identical pictures have 180,000 pairs: a few of each are looked at."""
    looked = []

    def counting(thumbs: np.ndarray, pairs: np.ndarray, *rest: np.ndarray) -> Looks:
        looked.append(len(pairs))
        return look(thumbs, pairs, *rest)

    monkeypatch.setattr(duplicates, "look", counting)
    rng = np.random.default_rng(5)
    thumbs = np.clip(thumb(STRANGERS[0]) + rng.normal(0, 2, (600, 56, 56)), 0, 255).astype(np.uint8)
    found = find(near(np.repeat(vectors(3, 1), 600, axis=0), 0.05), thumbs, DIGESTS[:600])
    most = duplicates.BY_FEATURES + duplicates.BY_PIXELS
    assert len(found) <= sum(looked) <= duplicates.SAMPLED + most * 600


def test_the_bar_falls_where_features_agree_and_rises_where_all_look_alike() -> None:
    cosine, dense = np.linspace(-1, 1, 50, dtype=np.float32), np.full(50, 100, np.float32)
    plain = bar(cosine, dense, 0.0)
    assert (np.diff(plain) <= 1e-9).all()
    assert plain[0] == SURE
    assert plain[-1] == LEAST
    assert (bar(cosine, np.full(50, 10, np.float32), 0.0) > plain).all()
    risen = [bar(cosine, dense, usual).min() for usual in (0.0, 0.4, 0.6, 0.8, 0.95)]
    assert risen == sorted(risen)
    assert risen[1] == LEAST
    assert risen[-1] > 0.98


# --- the second look


@pytest.mark.parametrize(("left", "top", "share"), [(0.0, 0.0, 1.0), (0.05, 0.1, 0.85), (0.12, 0.0, 0.88)])
@pytest.mark.parametrize("turned", [False, True])
def test_the_frame_says_where_the_crop_was_cut(
    left: float, top: float, share: float, *, turned: bool
) -> None:
    original = STRANGERS[7]
    copy = crop(original, left, top, share)
    if turned:
        copy = copy.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    thumbs = np.stack([thumb(original), thumb(copy)])
    _, mirrored, frame = rough_likeness(thumbs, np.array([[1], [-1]]))
    found = look(thumbs, np.array([[0, 1]]), mirrored[:1, 0], frame[:1, 0])
    # where the middle of the original stands in the copy, in sides from the copy's middle
    expected = [1 / share, (0.5 - left) / share - 0.5, 1 / share, (0.5 - top) / share - 0.5]
    np.testing.assert_allclose(found.frame[0], expected, atol=0.01)
    assert bool(found.mirrored[0]) == turned
    assert found.likeness[0] > 0.95


def test_likeness_is_symmetric_and_blind_to_gain_and_offset() -> None:
    one, two = thumb(STRANGERS[3]), thumb(crop(STRANGERS[3], 0.1, 0.05, 0.88))
    pale = (60 + 0.5 * two.astype(float)).astype(np.uint8)
    thumbs = np.stack([one, two, pale])
    pairs = np.array([[0, 1], [1, 0], [0, 2]])
    like, mirrored, frame = rough_likeness(thumbs, np.array([[1, 2], [0, -1], [-1, -1]]))
    assert not mirrored[0].any()
    starts = frame[[0, 1, 0], [0, 0, 1]]
    found = look(thumbs, pairs, np.zeros(3, np.bool_), starts)
    np.testing.assert_allclose(found.likeness[1:], found.likeness[0], atol=0.02)
    assert abs(found.contrast[2] / found.contrast[0] - 0.5) < 0.05
    assert like[2].tolist() == [-1, -1]


def test_detail_is_what_is_left_of_the_mean() -> None:
    assert np.abs(detail(np.full((1, SIDE, SIDE), 77.0, np.float32), 2.0)).max() < 1e-3
    grey = np.random.default_rng(0).integers(0, 256, (3, 56, 56)).astype(np.uint8)
    np.testing.assert_allclose(reduced(grey), grey.reshape(3, 28, 2, 28, 2).mean((2, 4)), rtol=1e-6)


# --- the nearest


@pytest.mark.parametrize("n", [1, 2, 5, 300, 2500])
def test_the_best_later_rows_are_those_of_a_full_comparison(n: int) -> None:
    rng = np.random.default_rng(n)
    even = unit(rng.normal(0, 1, (n, 12)).astype(np.float32))
    odd = rng.normal(0, 0.2, (n, 4)).astype(np.float32)
    rows, similar = later(even, odd, 3)
    full = even @ even.T + np.abs(odd @ odd.T)
    full[np.tril_indices(n)] = -np.inf
    expected = np.sort(np.concatenate([full, np.full((n, 3), -np.inf)], 1), axis=1)[:, -3:]
    np.testing.assert_allclose(np.sort(similar, axis=1), expected, atol=1e-5)
    i, k = np.nonzero(rows >= 0)
    np.testing.assert_allclose(full[i, rows[i, k]], similar[i, k], atol=1e-5)
    assert ((rows == -1) == (similar == -np.inf)).all()
    assert n < 2500 or n > 12 * SPAN  # the knock-out was in play


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    x = unit(np.random.default_rng(0).normal(0, 1, (700, 8)).astype(np.float32))
    none = np.zeros((700, 0), np.float32)
    whole = np.sort(later(x, none, 4)[1], axis=1)
    monkeypatch.setattr("headstart.data.nearest.BLOCK_NUMBERS", BLOCK_NUMBERS // 100_000)
    monkeypatch.setattr("headstart.data.nearest.MOST_ROWS", 64)
    np.testing.assert_allclose(np.sort(later(x, none, 4)[1], axis=1), whole, atol=1e-6)


def test_directions_keep_cosines_of_what_varies() -> None:
    rng = np.random.default_rng(1)
    basis = rng.normal(0, 1, (20, 300))
    x = (rng.normal(0, 1, (1500, 20)) @ basis + rng.normal(0, 0.1, (1500, 300)) + 3).astype(np.float16)
    mean = x.mean(0, dtype=np.float32)
    rows = np.arange(1500)[::-1].copy()
    found = directions(x, rows, mean, 32)
    whole = unit(x[rows] - mean)
    assert found.shape == (1500, 32)
    np.testing.assert_allclose(found[:50] @ found.T, whole[:50] @ whole.T, atol=0.02)


# --- groups


def twin(i: int, j: int, likeness: float = 0.95, *, exact: bool = False) -> Twin:
    return Twin(i, j, exact=exact, cosine=0.8, likeness=1.0 if exact else likeness, how="cropped")


def test_groups_are_the_connected_components() -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rng = np.random.default_rng(3)
    pairs = [tuple(sorted(pair)) for pair in rng.choice(2000, (400, 2)) if pair[0] != pair[1]]
    found = groups(2000, [twin(int(i), int(j)) for i, j in pairs], [""] * 2000)
    rows, columns = np.array(pairs).T
    expected = connected_components(coo_array((np.ones(len(pairs)), (rows, columns)), (2000, 2000)))[1]
    assert len({(a, b) for a, b in zip(found.tolist(), expected.tolist(), strict=True)}) == expected.max() + 1
    assert found.max() == expected.max()
    firsts = [found.tolist().index(number) for number in range(found.max() + 1)]
    assert firsts == sorted(firsts)


def test_names_of_the_user_join_and_empty_ones_do_not() -> None:
    found = groups(6, [twin(0, 1)], ["", "a", "b", "a", "", "b"])
    assert found.tolist() == [0, 0, 1, 0, 2, 1]


def test_the_order_of_twins_makes_no_difference() -> None:
    twins = [twin(i, i + 1, 0.83 + 0.001 * (i * 37 % 100)) for i in range(99)]
    expected = groups(100, twins, [""] * 100)
    assert groups(100, twins[::-1], [""] * 100).tolist() == expected.tolist()


def test_a_chain_of_lookalikes_does_not_swallow_a_class() -> None:
    chain = [twin(place, place + 1, 0.85) for place in range(99)]
    surer = [twin(40, 41, 0.97), twin(41, 42, 0.97)]
    sizes = np.bincount(groups(100, chain + surer, [""] * 100))
    assert sizes.max() == 3
    burst = [twin(place, place + 1, 0.85) for place in range(25)]
    assert np.bincount(groups(100, burst, [""] * 100)).max() == 26


def test_equal_files_and_given_names_hold_however_many() -> None:
    same = [twin(0, place, exact=True) for place in range(1, 100)]
    assert groups(100, same, [""] * 100).tolist() == [0] * 100
    assert groups(100, [], ["film"] * 100).tolist() == [0] * 100


# --- real pictures


@pytest.mark.data
@pytest.mark.slow
def test_flowers12_has_its_hidden_twins(real: Path) -> None:
    """Two dozen test pictures are in train as other files of the same pixels, and more as other crops."""
    from headstart import backbones
    from headstart.engines import open_engine
    from headstart.features.extract import extract

    files = sorted((real / "flowers12").glob("*/*/*.jpg"))
    spec = backbones.spec(backbones.DEFAULT)
    read = extract(files, spec, open_engine(spec))
    found = find(read.x[:, spec.depths[-1].start :], read.pictures.thumbs, read.digests)
    parts = [file.parts[-3] for file in files]
    crossing = [one for one in found if parts[one.i] != parts[one.j]]
    tested = {(one.i if parts[one.i] == "test" else one.j) for one in crossing}
    assert 22 <= sum(one.how == "resized or recompressed" for one in crossing) <= 26
    assert 40 <= len(tested) <= 48
    assert {files[one.i].parent.name == files[one.j].parent.name for one in found} == {True}
    assert np.bincount(groups(len(files), found, [""] * len(files))).max() <= 4
