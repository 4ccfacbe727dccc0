"""Telling the unknown: strangers are stranger, known pictures are called unknown as often as stated."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from headstart.evaluate import (
    Strangeness,
    auroc,
    fpr95,
    learn,
    neighbour_distance,
    reference_rows,
    strangeness,
    unit_rows,
)
from headstart.evaluate.unknown import METHODS, REFERENCES, SHRINK, TOLD, Clouds, Familiar, Pair
from headstart.heads._choose import choose
from headstart.model.unknown import check, familiar, from_parts, to_arrays, to_json
from headstart.trust.sets import told
from headstart.values import Depth, Features, Floats, Ints

DIM = 24
seeds = st.integers(0, 10_000)


def draw(rng: np.random.Generator, centres: NDArray[np.floating], y: Ints, spread: float = 0.6) -> Floats:
    return np.asarray(centres[y] + spread * rng.normal(size=(len(y), centres.shape[1])), dtype=np.float32)


def features(x: Floats, y: Ints, groups: Ints | None = None) -> Features:
    """As if they were the last layer's."""
    n, k = len(x), int(y.max()) + 1
    digests = tuple(f"{(7919 * row) % 100_003:064d}" for row in range(n))
    alone = np.arange(n, dtype=np.int64)
    names = tuple(f"class{c:04d}" for c in range(k))
    depths = (Depth("last", 0, x.shape[1]),)
    return Features(x.astype(np.float16), y, alone if groups is None else groups, digests, names, depths, "")


def task(seed: int, *, classes: int = 6, each: int = 30) -> tuple[NDArray[np.float64], Floats, Ints]:
    rng = np.random.default_rng(seed)
    centres = 1.0 + rng.normal(size=(classes, DIM))
    y = np.repeat(np.arange(classes), each).astype(np.int64)
    return centres, draw(rng, centres, y), y


def folds(n: int, count: int = 5) -> list[Pair]:
    fold = np.arange(n) % count
    return [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(count)]


def by(method: str, x: Floats, y: Ints) -> Familiar:
    rows = np.arange(len(x), dtype=np.int64)
    return learn(x.astype(np.float16), rows, y, Strangeness(method, np.arange(100.0), ()), 0.02)


# -- numbers against references ---------------------------------------------------------------------------


@given(seeds)
def test_auroc_is_sklearns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known, unknown = rng.integers(0, 8, rng.integers(1, 30)), rng.integers(2, 9, rng.integers(1, 30))
    truth = np.r_[np.zeros(len(known)), np.ones(len(unknown))]
    found = auroc(known.astype(float), unknown.astype(float))
    assert found == pytest.approx(roc_auc_score(truth, np.r_[known, unknown]))


def test_fpr95_is_the_share_below_the_limit_that_95_percent_keep_to() -> None:
    known = np.arange(100.0)
    assert fpr95(known, np.array([10.0, 94.0, 95.0, 200.0])) == 0.5
    assert fpr95(known, known + 1000) == 0.0


@given(seeds)
def test_distances_are_mahalanobis_under_the_shrunk_covariance(seed: int) -> None:
    """With fewer dimensions than directions nothing is left out, so that brute force must agree."""
    _, x, y = task(seed, classes=4, each=12)
    found = by("relative", x, y)
    assert found.within is not None
    assert found.overall is not None
    unit = unit_rows(x.astype(np.float16)).astype(np.float64)
    new = unit_rows(np.random.default_rng(seed).normal(size=(9, DIM)).astype(np.float32))
    for clouds, labels in ((found.within, y), (found.overall, np.zeros_like(y))):
        centres = np.stack([unit[labels == c].mean(0) for c in np.unique(labels)])
        off = unit - centres[labels]
        shape = off.T @ off / (len(unit) - len(centres))
        shape = (1 - SHRINK) * shape + SHRINK * np.trace(shape) / DIM * np.eye(DIM)
        gap = new[:, None] - centres[None]
        wanted = np.einsum("ncd,de,nce->nc", gap, np.linalg.inv(shape), gap)
        np.testing.assert_allclose(clouds.distances(new), wanted, rtol=2e-3)


def test_each_method_takes_off_what_it_says() -> None:
    _, x, y = task(5)
    new = unit_rows(np.random.default_rng(0).normal(size=(9, DIM)).astype(np.float32))
    relative = by("relative", x, y)
    assert relative.within is not None
    assert relative.overall is not None
    far, all_of_them = relative.within.distances(new), relative.overall.distances(new)[:, 0]
    np.testing.assert_allclose(relative.raw(new), far.min(1) - all_of_them)
    np.testing.assert_allclose(by("mahalanobis", x, y).raw(new), far.min(1))
    np.testing.assert_allclose(by("blend", x, y).raw(new), far.min(1) - 0.75 * far.mean(1))
    nearest = by("nearest", x, y)
    np.testing.assert_allclose(nearest.raw(new), neighbour_distance(new, nearest.references), atol=1e-3)


# -- laws -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_strangers_are_stranger(method: str) -> None:
    centres, x, y = task(0)
    found, rng = by(method, x, y), np.random.default_rng(1)
    known = found.raw(unit_rows(draw(rng, centres, rng.integers(0, 6, 300))))
    other = 1.0 + 1.5 * rng.normal(size=(6, DIM))
    assert auroc(known, found.raw(unit_rows(draw(rng, other, rng.integers(0, 6, 300))))) > 0.8
    assert auroc(known, found.raw(unit_rows(draw(rng, -centres, rng.integers(0, 6, 300))))) > 0.8


@pytest.mark.parametrize("method", METHODS)
def test_order_lengths_and_names_of_classes_do_not_matter(method: str) -> None:
    _, x, y = task(2)
    rng = np.random.default_rng(0)
    new = unit_rows(rng.normal(size=(20, DIM)).astype(np.float32))
    order, names = rng.permutation(len(y)), rng.permutation(6)
    wanted = by(method, x, y).raw(new)
    lengths = rng.uniform(0.5, 2, (len(y), 1)).astype(np.float32)
    for other in (by(method, x[order], y[order]), by(method, x, names[y]), by(method, x * lengths, y)):
        np.testing.assert_allclose(other.raw(new), wanted, rtol=5e-3, atol=5e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("classes", [2, 6])
def test_known_pictures_are_called_unknown_as_often_as_stated(seed: int, classes: int) -> None:
    """Fewer pictures than dimensions would allow for honest shapes: what is held out must be held out."""
    rng = np.random.default_rng(seed)
    centres = 1.0 + rng.normal(size=(classes, 200))
    y = np.repeat(np.arange(classes), 240 // classes).astype(np.int64)
    own = features(draw(rng, centres, y), y)
    found = familiar(own, np.arange(len(y)))
    new = unit_rows(draw(rng, centres, rng.integers(0, classes, 2000)).astype(np.float16))
    assert np.mean(found.raw(new) > found.limit) == pytest.approx(0.02, abs=0.02)
    assert np.mean(found.raw(new) > found.middle) == pytest.approx(0.5, abs=0.12)
    # negative control: pictures that were learnt from are less strange than new ones
    assert np.mean(found.raw(found.wide) > found.middle) < 0.3


def test_twins_are_held_out_together() -> None:
    """Every picture four times: were a twin learnt from, nothing known would seem strange."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 100))
    y = np.repeat(np.arange(3), 20).astype(np.int64)
    once = draw(rng, centres, y)
    four, labels, groups = np.repeat(once, 4, axis=0), np.repeat(y, 4), np.repeat(np.arange(60), 4)
    honest = familiar(features(four, labels, groups), np.arange(240))
    fooled = familiar(features(four, labels), np.arange(240))
    new = unit_rows(draw(rng, centres, rng.integers(0, 3, 1000)).astype(np.float16))
    assert np.mean(honest.raw(new) > honest.middle) == pytest.approx(0.5, abs=0.12)
    assert np.mean(honest.raw(new) > honest.limit) < 0.08
    assert np.mean(fooled.raw(new) > fooled.middle) > 0.85  # negative control


# -- the choice -------------------------------------------------------------------------------------------


def test_the_choice_is_the_first_that_is_about_as_good_as_the_best() -> None:
    _, x, y = task(3)
    found = strangeness(x, y, folds(len(y)))
    worth = {one.method: one.auroc for one in found.tried}
    assert worth.keys() == set(TOLD)
    best = max(worth[method] for method in METHODS)
    assert found.method == next(method for method in METHODS if worth[method] >= best - 0.01)
    assert [one.auroc for one in found.tried] == sorted(worth.values(), reverse=True)
    assert len(found.scores) == len(y)


def test_leaving_classes_out_finds_a_better_method() -> None:
    """Classes lie along a line through their common centre; pictures stray along directions of their own.

    How far a picture strays then says nothing, and only what is taken off that can tell a stranger.
    """
    rng = np.random.default_rng(0)
    classes, each = 10, 40
    y = np.repeat(np.arange(classes), each).astype(np.int64)
    x = np.zeros((len(y), 60), dtype=np.float32)
    x[np.arange(len(y)), y] = 1.0
    x[:, 20:] = rng.normal(size=(len(y), 40)) * rng.uniform(0.02, 0.5, (len(y), 1))
    x[:, 19] = 2.0
    found = strangeness(x, y, folds(len(y)))
    worth = {one.method: one.auroc for one in found.tried}
    assert found.method != METHODS[0]
    assert worth[found.method] > worth[METHODS[0]] + 0.05


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_told_where_there_is_nothing(seed: int) -> None:
    """Negative control: noise, and labels that say nothing, have no class that could be left out."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(5), 40).astype(np.int64)
    noise = rng.normal(size=(200, DIM)).astype(np.float32)
    _, real, labels = task(seed, classes=5, each=40)
    for x, names in ((noise, y), (real, rng.permutation(labels))):
        found = strangeness(x, names, folds(200))
        assert all(abs(one.auroc - 0.5) < 0.1 for one in found.tried)
        scores = np.sort(found.scores)
        limit = learn(x.astype(np.float16), np.arange(200), names, found, 0.02).limit
        assert np.mean(scores > limit) <= 0.02


@pytest.mark.parametrize("classes", [1, 2])
def test_few_classes_get_the_usual_method(classes: int) -> None:
    _, x, y = task(1, classes=classes)
    found = strangeness(x, y, folds(len(y)))
    assert (found.method, found.tried) == (METHODS[0], ())


def test_a_class_that_nothing_was_learnt_of_sets_no_limit() -> None:
    """Its pictures are strangers there: they would lift the limit until nothing is unknown."""
    _, x, y = task(2, classes=6, each=40)
    lonely = y == 5
    pairs = [(learnt[~lonely[learnt]], scored) for learnt, scored in folds(len(y))]
    found, without = (
        strangeness(x, y, pairs),
        strangeness(x[~lonely], y[~lonely], folds(int((~lonely).sum()))),
    )
    assert len(found.scores) == (~lonely).sum()
    assert found.scores.max() < 2 * without.scores.max()
    assert [one.auroc for one in found.tried] != []


def test_what_few_pictures_cannot_keep_to_is_not_stated() -> None:
    _, x, y = task(0, classes=2, each=40)
    for n, stated in ((48, None), (49, 0.02)):
        own = replace(by("mahalanobis", x, y), scores=np.arange(n, dtype=np.float32))
        assert own.stated == stated
        assert (own.limit > n - 1) == (stated is None)  # beyond all of them


def test_energy_and_probability_are_told_and_never_chosen() -> None:
    assert set(TOLD) - set(METHODS) == {"energy", "probability"}
    for seed in range(5):
        _, x, y = task(seed)
        found = strangeness(x, y, folds(len(y)))
        assert found.method in METHODS


# -- few pictures, odd ones -------------------------------------------------------------------------------


def test_with_too_few_pictures_only_what_is_twice_as_far_is_unknown() -> None:
    _, x, y = task(0, classes=2, each=10)
    found = by("mahalanobis", x, y)
    few = Familiar(
        found.method, found.references, found.rows, found.within, None,
        np.arange(41, dtype=np.float32), 0.02, (),
    )  # fmt: skip
    assert (few.middle, few.limit) == (20.0, 60.0)
    enough = Familiar(
        found.method, found.references, found.rows, found.within, None,
        np.arange(49, dtype=np.float32), 0.02, (),
    )  # fmt: skip
    assert enough.limit == 48.0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("each", [1, 2])
def test_a_handful_of_pictures_and_a_vector_of_zeros_have_an_answer(method: str, each: int) -> None:
    _, x, y = task(0, classes=3, each=each)
    x[0] = 0
    found = by(method, x, y)
    new = np.concatenate([np.zeros((1, DIM), np.float32), unit_rows(x)])
    assert np.isfinite(found.raw(new)).all()
    assert np.isfinite(familiar(features(x, y), np.arange(len(y))).raw(new)).all()


def test_one_group_alone_can_hold_nothing_out() -> None:
    _, x, y = task(0, classes=2, each=5)
    found = familiar(features(x, y, np.zeros(10, np.int64)), np.arange(10))
    assert len(found.scores) == 0
    assert found.limit == np.inf  # nothing is ever unknown


@given(seeds, st.integers(1, 40))
def test_references_are_few_and_no_class_is_forgotten(seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.choice(5, p=[0.6, 0.3, 0.06, 0.03, 0.01], size=rng.integers(1, 200)).astype(np.int64)
    digests = [f"{one:08d}" for one in rng.permutation(10**6)[: len(y)]]
    found = reference_rows(digests, y, most)
    assert len(found) == min(most, len(y))
    assert (np.diff(found) > 0).all()
    if most >= 10:
        assert set(y[found].tolist()) == set(y.tolist())
    order = rng.permutation(len(y))
    again = reference_rows([digests[int(row)] for row in order], y[order], most)
    assert sorted(order[again].tolist()) == found.tolist()


def test_many_pictures_are_compared_with_few() -> None:
    rng = np.random.default_rng(0)
    y = np.r_[np.zeros(5000, np.int64), np.full(3, 1), np.full(500, 2)]
    own = features(draw(rng, rng.normal(size=(3, 8)), y), y)
    found = familiar(own, np.arange(len(y)))
    assert len(found.references) == len(found.rows) == REFERENCES
    assert (y[found.rows] == 1).sum() == 3


# -- on disk ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_written_and_read_to_the_last_bit(method: str) -> None:
    _, x, y = task(4)
    found = by(method, x, y)
    arrays = to_arrays(found) | {"head.bias": np.zeros(3, np.float32)}
    again = from_parts(to_json(found), arrays)
    assert arrays.keys() == {"head.bias"}
    check(again, DIM, np.arange(len(y)))
    new = unit_rows(x)
    assert (again.raw(new) == found.raw(new)).all()
    assert (again.middle, again.limit) == (found.middle, found.limit)
    assert isinstance(again.within, Clouds) == (method != "nearest")
    for other in METHODS:
        if other not in (method, "blend", "mahalanobis"):
            with pytest.raises(ValueError, match="for method"):
                from_parts(to_json(found) | {"method": other}, to_arrays(found))


# -- what the report is told ------------------------------------------------------------------------------


def said(rng: np.random.Generator, n: int, sharp: float = 3.0) -> tuple[NDArray[np.float64], Ints]:
    """Calibrated probabilities of five classes, and truths drawn from them."""
    logits = sharp * rng.normal(size=(n, 5))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = (rng.random((n, 1)) > probabilities.cumsum(1)).sum(1)
    return probabilities, y.clip(0, 4).astype(np.int64)


@pytest.mark.parametrize("asked", [0.9, 0.95])
@pytest.mark.parametrize("crossed", [False, True])
def test_sets_told_of_hold_the_truth_as_often_as_asked(asked: float, crossed: bool) -> None:
    names, found = tuple("abcde"), []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        probabilities, y = said(rng, 400)
        other, truth = said(rng, 400)
        scores = None if crossed else 1 - other[np.arange(400), truth]
        found.append(told(probabilities, y, np.arange(400), names, scores, asked))
    one = found[0]
    assert one["n"] == 400 == sum(own["n"] for own in one["per_class"].values())
    assert one["coverage_ci95"][0] < one["coverage"] < one["coverage_ci95"][1]
    mean = sum(own["coverage"] * own["n"] for own in one["per_class"].values()) / 400
    assert one["coverage"] == pytest.approx(mean, abs=1e-3)
    assert np.mean([own["coverage"] for own in found]) == pytest.approx(asked, abs=0.01)
    assert 1 <= one["mean_size"] <= 5


def test_labels_that_say_nothing_give_wide_sets() -> None:
    """Negative control: the same probabilities, and truths that have nothing to do with them."""
    rng = np.random.default_rng(0)
    probabilities, y = said(rng, 600)
    names, groups = tuple("abcde"), np.arange(600)
    real = told(probabilities, y, groups, names, None, 0.9)
    none = told(probabilities, rng.permutation(y), groups, names, None, 0.9)
    assert real["mean_size"] < 2.5
    assert none["mean_size"] > 4
    assert none["coverage"] == pytest.approx(0.9, abs=0.04)


@pytest.mark.parametrize("seed", range(3))
def test_a_head_that_learnt_nothing_gives_wide_sets(seed: int) -> None:
    """Negative control of the whole road: shuffled labels, the head that `train` would choose."""
    _, x, y = task(seed, classes=4, each=30)
    alone = np.arange(120)
    sizes = []
    for labels in (y, np.random.default_rng(seed).permutation(y)):
        fitted = choose(features(x, labels))
        found = told(fitted.held_out, fitted.truth, alone[fitted.rows], tuple("abcd"), None, 0.95)
        sizes.append(found["mean_size"])
    assert sizes[0] < 1.5
    assert sizes[1] > 3.3


def test_twins_widen_the_interval_of_coverage() -> None:
    probabilities, y = said(np.random.default_rng(0), 100)
    four, labels = np.repeat(probabilities, 4, axis=0), np.repeat(y, 4)
    twins = told(four, labels, np.repeat(np.arange(100), 4), tuple("abcde"), 1 - probabilities.max(1), 0.9)
    alone = told(four, labels, np.arange(400), tuple("abcde"), 1 - probabilities.max(1), 0.9)
    assert twins["coverage"] == alone["coverage"]
    width = [own["coverage_ci95"][1] - own["coverage_ci95"][0] for own in (twins, alone)]
    assert width[0] > 1.5 * width[1]
