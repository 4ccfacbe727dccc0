"""The ladder: every rung is judged on the same pictures, and compared with the one below as what it is."""

import itertools
from dataclasses import replace
from pathlib import Path

import make
import numpy as np
import pytest
import scipy.stats
from click.testing import CliRunner

from headstart import backbones, ladder, race
from headstart.cli import group
from headstart.engines import open_engine
from headstart.errors import Misuse, NotFinite, OutputError, StoreError, TooFewExamples
from headstart.evaluate import paired, paired_accuracy
from headstart.finetune.wish import Epoch
from headstart.look import Look, look_with, scan_all
from headstart.values import Features, Split

LITE = backbones.spec(backbones.DEFAULT)


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Look, Split]:
    seen = look_with(LITE, open_engine(LITE), scan_all(make.parted(tmp_path_factory.getbasetemp()), None))
    return seen, race.parts_of(seen.examples, seen.features, None, 0)


def test_the_rungs_in_order_on_the_test_part(parted: tuple[Look, Split]) -> None:
    seen, split = parted
    whole = ladder.ladder(LITE, seen, split, ladder.QUICK)
    assert (whole.left_out, whole.leaked) == ({}, 0)
    found = whole.rungs
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
    (rung,) = ladder.ladder(LITE, seen, split, ["linear"]).rungs
    fitted = choose(seen.features.take(split.rows("train")))
    mine = split.rows("test")
    right = fitted.logits(seen.features.x[mine]).argmax(1) == seen.features.y[mine]
    assert rung.accuracy == right.mean()


def test_labels_that_say_nothing_leave_every_rung_at_chance(parted: tuple[Look, Split]) -> None:
    seen, split = parted
    y = np.random.default_rng(3).permutation(seen.features.y)
    blind = replace(seen, features=replace(seen.features, y=y))
    for one in ladder.ladder(LITE, blind, split, ladder.QUICK).rungs:
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


# -- what judges nothing ----------------------------------------------------------------------------------


def test_pictures_that_leak_judge_no_rung(parted: tuple[Look, Split]) -> None:
    seen, split = parted
    train, test = split.rows("train"), split.rows("test")
    groups = seen.features.groups.copy()
    groups[test[:4]] = groups[train[0]]  # as if they were one picture, saved again
    torn = replace(seen, features=replace(seen.features, groups=groups))
    found = ladder.ladder(LITE, torn, split, ladder.QUICK)
    assert found.leaked == 4
    assert {one.n for one in found.rungs} == {len(test) - 4}
    left = replace(
        split, parts=tuple("val" if at in test[:4] else part for at, part in enumerate(split.parts))
    )
    without = ladder.ladder(LITE, seen, left, ladder.QUICK)
    assert [(one.accuracy, one.nll) for one in found.rungs] == [
        (one.accuracy, one.nll) for one in without.rungs
    ]


def test_pictures_that_the_network_has_learnt_judge_no_rung(
    parted: tuple[Look, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `compare other/ --test photos/ --backbone headstart:photos-model`."""
    seen, split = parted
    test = split.rows("test")
    for known, n in ((test[:5], len(test) - 5), (test, 0)):
        digests = frozenset(seen.features.digests[int(row)] for row in known)
        monkeypatch.setattr(race, "learnt_from", lambda _spec, digests=digests: digests)
        found = ladder.ladder(LITE, seen, split, ["majority", "linear"])
        assert found.leaked == len(known)
        assert [one.n for one in found.rungs] == [n, n] * (n > 0)
        assert all("was learnt from" in why for why in found.left_out.values())
        assert len(found.left_out) == 2 * (n == 0)


def test_a_rung_that_cannot_be_judged_leaves_the_others(parted: tuple[Look, Split]) -> None:
    seen, split = parted
    stageless = replace(backbones.spec("scratch:small-cnn"), stages=())
    found = ladder.ladder(stageless, seen, split, ["majority", "source", "nearest", "last", "all"])
    assert [one.name for one in found.rungs] == ["majority", "nearest"]
    assert found.rungs[1].gain == pytest.approx(found.rungs[1].accuracy - found.rungs[0].accuracy)
    assert found.left_out.keys() == {"source", "last", "all"}
    assert "random weights" in found.left_out["source"]
    assert "no stages" in found.left_out["last"]


@pytest.mark.parametrize("error", [NotFinite, StoreError, OutputError, TooFewExamples])
def test_a_rung_that_fails_costs_none_of_the_others(
    parted: tuple[Look, Split], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fails(_features: object, _rows: object) -> None:
        raise error("the disk is full.")

    monkeypatch.setattr(ladder, "_nearest", fails)
    seen, split = parted
    found = ladder.ladder(backbones.spec(backbones.DEFAULT), seen, split, ["majority", "nearest"])
    assert [one.name for one in found.rungs] == ["majority"]
    assert found.left_out == {"nearest": "the disk is full."}


def test_a_fold_with_too_few_pictures_costs_its_rung_alone(tmp_path: Path) -> None:
    folder = make.folder(tmp_path / "few", {"red": 2, "green": 1})
    found = ladder.compare(folder, names=[backbones.DEFAULT])
    assert [one.name for one in found.ladder.rungs] == ["majority", "source", "nearest"]
    assert "at least two classes" in found.ladder.left_out["linear"]
    told = CliRunner().invoke(group, ["compare", str(folder), "--backbone", "fast"]).output
    assert "not judged: linear. a classifier needs pictures" in told
    assert max(map(len, told.splitlines()[:-1])) <= 80


def test_a_budget_for_rungs_that_train_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="none is named: last, all, scratch"):
        ladder.compare(tmp_path, budget_s=60)


def test_names_of_rungs() -> None:
    assert ladder.rungs_of("every") == ladder.RUNGS
    assert ladder.rungs_of("none") == ()
    assert ladder.rungs_of("linear, majority") == ("majority", "linear")
    with pytest.raises(Misuse, match="majority, source"):
        ladder.rungs_of("linear,top")


@pytest.mark.slow
def test_without_a_test_part_all_are_judged_out_of_fold(tmp_path: Path) -> None:
    folder = make.folder(tmp_path / "few", {"red": 30, "green": 30}, jitter=30)
    told: list[object] = []
    found = ladder.compare(
        folder,
        names=("scratch:small-cnn?width=8",),
        rungs=("majority", "linear", "all"),
        budget_s=10,
        on_epoch=lambda one, _of: told.append(one),
    )
    assert len({one.fold for one in told if isinstance(one, Epoch)} - {0}) == 5
    assert [one.name for one in found.ladder.rungs] == ["majority", "linear", "all"]
    assert {one.n for one in found.ladder.rungs} == {60}
    assert found.data["test"] == 0
    assert found.to_json()["rungs"][2]["gain_ci95"] is not None


@pytest.mark.slow
def test_trained_rungs_stand_on_the_ladder_beside_the_others(
    parted: tuple[Look, Split], tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, split = parted
    names = ("majority", "last", "scratch")
    spec = backbones.spec("scratch:small-cnn?width=4")
    seen = look_with(spec, open_engine(spec), scan_all(make.parted(tmp_path_factory.getbasetemp()), None))
    told: list[object] = []
    found = ladder.ladder(spec, seen, split, names, budget_s=2, on_epoch=lambda one, _of: told.append(one))
    assert {one.fold for one in told if isinstance(one, Epoch)} == {0}  # there is a test part: no folds
    assert [one.name for one in found.rungs] == list(names)
    assert not found.left_out
    assert {one.n for one in found.rungs} == {len(split.rows("test"))}
    _, last, scratch = found.rungs
    assert last.gmac == spec.gmac
    assert scratch.gmac == backbones.spec("scratch:small-cnn?size=64").gmac  # the pictures are 72 px
    assert scratch.title.endswith("64 px")
    for one in (last, scratch):
        assert np.isfinite(one.nll)
        assert one.verdict.startswith(("better", "worse", "cannot tell"))


def toy(y: list[int], last: np.ndarray | None = None) -> Features:
    """Features of so many pictures, all strangers."""
    from headstart.values import Depth

    x = np.eye(len(y), 4) if last is None else last
    digests = tuple(f"{i:064x}" for i in range(len(y)))
    names = tuple("abc"[: max(y) + 1])
    depths = (Depth("last", 0, x.shape[1]),)
    own = np.array(y, dtype=np.int64)
    return Features(x.astype(np.float16), own, np.arange(len(y)), digests, names, depths, "toy")
