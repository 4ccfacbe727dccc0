"""The ladder: every rung is judged on the same pictures, and compared with the one below as what it is."""

import itertools
from pathlib import Path

import make
import numpy as np
import pytest
import scipy.stats

from headstart import backbones, ladder, race
from headstart.engines import open_engine
from headstart.errors import Misuse
from headstart.evaluate import paired, paired_accuracy
from headstart.look import Look, look_with, scan_all
from headstart.values import Features, Split

LITE = backbones.spec(backbones.DEFAULT)


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Look, Split]:
    seen = look_with(LITE, open_engine(LITE), scan_all(make.parted(tmp_path_factory.getbasetemp()), None))
    return seen, race.parts_of(seen.examples, seen.features, None, 0)


def test_the_rungs_in_order_on_the_test_part(parted: tuple[Look, Split]) -> None:
    seen, split = parted
    found = ladder.ladder(LITE, seen, split, ladder.QUICK)
    assert [one.name for one in found] == ["majority", "source", "nearest", "linear"]
    assert {one.n for one in found} == {len(split.rows("test"))}
    assert found[0].gain is None
    for below, own in itertools.pairwise(found):
        assert own.gain == pytest.approx(own.accuracy - below.accuracy)
        low, high = own.gain_ci95 or (1.0, -1.0)
        assert low <= own.gain <= high
        sure = "better" if low > 0 else "worse" if high < 0 else "cannot tell"
        assert own.verdict.startswith(sure)
    assert found[-1].accuracy > found[0].accuracy  # colours can be told apart


def test_the_linear_rung_is_what_train_would_say(parted: tuple[Look, Split]) -> None:
    from headstart.heads._choose import choose

    seen, split = parted
    (rung,) = ladder.ladder(LITE, seen, split, ["linear"])
    fitted = choose(seen.features.take(split.rows("train")))
    mine = split.rows("test")
    right = fitted.logits(seen.features.x[mine]).argmax(1) == seen.features.y[mine]
    assert rung.accuracy == right.mean()


def test_labels_that_say_nothing_leave_every_rung_at_chance(parted: tuple[Look, Split]) -> None:
    from dataclasses import replace

    seen, split = parted
    y = np.random.default_rng(3).permutation(seen.features.y)
    blind = replace(seen, features=replace(seen.features, y=y))
    for one in ladder.ladder(LITE, blind, split, ladder.QUICK):
        assert one.accuracy_ci95[0] < 0.5
        assert not one.verdict.startswith("better")


def test_majority_says_the_commonest_class_of_the_training_part() -> None:
    features = toy([0] * 6 + [1] * 3)
    found = ladder._majority(features, np.array([0, 1, 6, 7, 8]))(np.array([2, 3]))
    assert found.argmax(1).tolist() == [1, 1]
    np.testing.assert_allclose(found.sum(1), 1)


def test_nearest_is_a_brute_force_vote() -> None:
    dice = np.random.default_rng(0)
    y = dice.integers(0, 3, 30)
    features = toy(y.tolist(), dice.normal(size=(30, 4)))
    rows, mine = np.arange(20), np.arange(20, 30)
    found = ladder._nearest(features, rows)(mine)
    x = features.last().astype(float)
    for at, row in enumerate(mine):
        cosine = x[rows] @ x[row] / np.linalg.norm(x[rows], axis=1)
        votes = np.zeros(3)
        for place, near in enumerate(np.argsort(-cosine)[:5]):
            votes[y[near]] += 1 / (place + 1)
        assert found[at].argmax() == votes.argmax()


def test_the_source_rung_learns_names_alone() -> None:
    features = toy([0, 0, 0, 1, 1, 1, 0, 1])
    guesses = np.array([7, 7, 3, 3, 3, 5, 7, 9])
    found = ladder._matched(features, guesses, np.arange(6))(np.array([6, 7]))
    assert found[0].argmax() == 0  # 7 was seen with class 0 only
    np.testing.assert_allclose(found[1], [0.5, 0.5])  # 9 was never seen: the shares of the classes


def test_twins_widen_the_interval_of_a_difference() -> None:
    right, below = np.tile([True, False, False, True], 10), np.tile([False, False, True, False], 10)
    alone = paired_accuracy(right, below, np.arange(40))
    alike = paired_accuracy(right, below, np.tile(np.arange(4), 10))
    assert alone[0] == alike[0] == 0.25
    assert alike[2] - alike[1] > 2 * (alone[2] - alone[1])
    mean, low, high = paired(right.astype(float) - below, np.arange(40))
    half = scipy.stats.t.ppf(0.975, 39) * (right.astype(float) - below).std(ddof=1) / np.sqrt(40)
    assert (low, high) == (pytest.approx(mean - half, rel=1e-3), pytest.approx(mean + half, rel=1e-3))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_pictures_prove_nothing(n: int) -> None:
    _, low, high = paired_accuracy(np.ones(n, bool), np.zeros(n, bool), np.arange(n))
    assert low < 0 < high <= 1


def test_the_interval_of_a_difference_holds_as_often_as_it_says() -> None:
    dice, held = np.random.default_rng(0), 0
    for _ in range(400):
        a, b = dice.random(30) < 0.8, dice.random(30) < 0.7
        _, low, high = paired_accuracy(a, b, np.arange(30))
        held += low <= 0.1 <= high
    assert held >= 0.93 * 400


def test_a_network_from_nothing_guesses_nothing(parted: tuple[Look, Split]) -> None:
    seen, _ = parted
    assert ladder._guesses(backbones.spec("scratch:small-cnn"), seen.features) is None


def test_names_of_rungs() -> None:
    assert ladder.rungs_of("every") == ladder.RUNGS
    assert ladder.rungs_of("none") == ()
    assert ladder.rungs_of("linear, majority") == ("majority", "linear")
    with pytest.raises(Misuse, match="majority, source"):
        ladder.rungs_of("linear,top")


@pytest.mark.slow
def test_without_a_test_part_all_are_judged_out_of_fold(tmp_path: Path) -> None:
    folder = make.folder(tmp_path / "few", {"red": 30, "green": 30}, jitter=30)
    found = ladder.compare(folder, names=("scratch:small-cnn?width=8",), rungs=("majority", "linear", "all"))
    assert [one.name for one in found.rungs] == ["majority", "linear", "all"]
    assert {one.n for one in found.rungs} == {60}
    assert found.data["test"] == 0
    assert found.to_json()["rungs"][2]["gain_ci95"] is not None


def toy(y: list[int], last: np.ndarray | None = None) -> Features:
    """Features of so many pictures, all strangers."""
    from headstart.values import Depth

    x = np.eye(len(y), 4) if last is None else last
    digests = tuple(f"{i:064x}" for i in range(len(y)))
    names = tuple("abc"[: max(y) + 1])
    depths = (Depth("last", 0, x.shape[1]),)
    own = np.array(y, dtype=np.int64)
    return Features(x.astype(np.float16), own, np.arange(len(y)), digests, names, depths, "toy")
