"""The numbers against independent references: scikit-learn, SciPy, torch, brute force, simulation."""

import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest
from scipy.stats import t as student_t
from sklearn.metrics import confusion_matrix, f1_score, log_loss, precision_recall_fscore_support
from sklearn.metrics.pairwise import cosine_distances

from headstart.errors import Misuse, NotFinite, TooFewExamples
from headstart.evaluate import (
    accuracy_interval,
    brier,
    confusion,
    ece,
    judge,
    judge_repeats,
    log_softmax,
    macro_f1,
    mcnemar,
    neighbour_distance,
    nll,
    per_class,
    prediction_sets,
    set_threshold,
    softmax,
    temperature,
    wilson,
)
from headstart.evaluate.intervals import student
from headstart.values import Doubles, Evaluation, Ints

seeds = st.integers(0, 2**32 - 1)
Case = tuple[Ints, Doubles, tuple[str, ...]]


def make_case(seed: int, *, most_rows: int = 40) -> Case:
    """Random truths and probabilities; coarse now and then, so that ties and ends occur."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, most_rows)), int(rng.integers(2, 6))
    y = rng.integers(0, rng.integers(1, k + 1), n)
    if rng.random() < 0.5:
        probabilities = rng.dirichlet(np.full(k, 0.5), n)
    else:
        counts = rng.multinomial(4, np.full(k, 1 / k), n)
        probabilities = counts / 4
    return y, probabilities, tuple("abcdef"[:k])


# softmax


@given(seeds, st.sampled_from([1e-3, 0.3, 1.0, 7.0, 1e3]))
def test_softmax_is_torchs(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rng.integers(1, 9), rng.integers(1, 6))) * 50
    wanted = torch.from_numpy(logits / scale)
    np.testing.assert_allclose(softmax(logits, scale), wanted.softmax(1).numpy(), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(
        log_softmax(logits, scale), wanted.log_softmax(1).numpy(), rtol=1e-12, atol=1e-12
    )


def test_softmax_survives_what_would_overflow() -> None:
    far = np.float32([[3e38, -3e38, 0]])
    assert softmax(far).tolist() == [[1.0, 0.0, 0.0]]
    assert np.isfinite(log_softmax(far)).all()


# the table of classes


@given(seeds)
def test_table_and_class_scores_are_sklearns(seed: int) -> None:
    y, probabilities, classes = make_case(seed)
    k, predicted = len(classes), probabilities.argmax(1)
    table = confusion(y, predicted, k)
    np.testing.assert_array_equal(table, confusion_matrix(y, predicted, labels=range(k)))
    wanted = np.array(precision_recall_fscore_support(y, predicted, labels=range(k), zero_division=0)).T
    found = [(one.precision, one.recall, one.f1, one.n) for one in per_class(table)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert macro_f1(table) == pytest.approx(f1_score(y, predicted, average="macro", zero_division=0))


def test_a_class_that_never_occurs_leaves_macro_f1_alone_and_one_that_is_only_said_does_not() -> None:
    y = np.array([0, 0, 1, 1])
    assert macro_f1(confusion(y, y, 2)) == macro_f1(confusion(y, y, 9)) == 1.0
    assert macro_f1(confusion(y, np.array([0, 0, 1, 2]), 3)) == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert macro_f1(np.zeros((3, 3), dtype=np.int64)) == 0.0


# scores of probabilities


@given(seeds)
def test_nll_is_sklearns_and_brier_is_the_loops(seed: int) -> None:
    y, probabilities, classes = make_case(seed)
    safe = 0.98 * probabilities + 0.02 / len(classes)
    safe /= safe.sum(1, keepdims=True)
    assert nll(y, safe) == pytest.approx(log_loss(y, safe, labels=range(len(classes))))
    squares = [
        sum((p - (c == truth)) ** 2 for c, p in enumerate(row))
        for row, truth in zip(probabilities, y, strict=True)
    ]
    assert brier(y, probabilities) == pytest.approx(sum(squares) / len(y), abs=1e-12)


def test_nll_of_a_sure_mistake_is_large_and_finite() -> None:
    assert nll(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(708.4, abs=0.1)


def ece_by_loop(y: Ints, probabilities: Doubles) -> float:
    """Guo's definition, bin by bin, with torch's comparisons."""
    confidence, predicted = torch.from_numpy(probabilities).max(1)
    right = predicted == torch.from_numpy(y)
    edges, total = np.linspace(0, 1, 16), 0.0
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = confidence[inside].mean() - right[inside].double().mean()
            total += float(inside.double().mean() * gap.abs())
    return total


@given(seeds)
def test_ece_is_the_loops(seed: int) -> None:
    y, probabilities, _ = make_case(seed)
    assert ece(y, probabilities) == pytest.approx(ece_by_loop(y, probabilities), abs=1e-12)


@pytest.mark.parametrize("bin_", range(8, 15))
def test_an_upper_edge_belongs_to_its_bin(bin_: int) -> None:
    edge = np.linspace(0, 1, 16)[bin_]
    probabilities = np.array([[edge, 1 - edge], [edge - 0.01, 1.01 - edge]])
    wanted = abs(edge - 0.005 - 0.5)  # one bin, half right; in two bins the gaps would not cancel
    assert ece(np.array([0, 1]), probabilities) == pytest.approx(wanted)


def test_ece_tells_calibrated_from_overconfident() -> None:
    rng = np.random.default_rng(0)
    honest = rng.dirichlet(np.ones(3), 20000)
    y = (rng.random(len(honest))[:, None] > honest.cumsum(1)).sum(1)
    sharp = honest**3 / (honest**3).sum(1, keepdims=True)
    assert ece(y, honest) < 0.02 < 0.1 < ece(y, sharp)
    assert nll(y, honest) < nll(y, sharp)
    assert brier(y, honest) < brier(y, sharp)


# intervals


@given(st.integers(1, 3000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_scipys(n: int, share: float, level: float) -> None:
    right = round(share * n)
    wanted = binomtest(right, n).proportion_ci(level, method="wilson")
    assert wilson(right, n, level) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_wilson_at_its_ends() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 7)[0] == 0.0
    assert wilson(7, 7)[1] == 1.0
    assert wilson(7.25, 7.25)[1] == 1.0


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 30, 1000])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_students_quantile_is_scipys(freedom: int, level: float) -> None:
    assert student(freedom, level) == pytest.approx(student_t.ppf((1 + level) / 2, freedom), rel=2e-3)


@given(seeds)
def test_lonely_groups_give_exactly_wilson(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    correct = rng.random(n) < rng.random()
    wanted = wilson(float(correct.sum()), n)
    assert accuracy_interval(correct) == wanted
    assert accuracy_interval(correct, rng.permutation(n) * 7) == wanted


@given(seeds)
def test_groups_never_narrow_the_interval_and_rows_may_come_in_any_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    correct, groups = rng.random(n) < 0.8, rng.integers(0, 12, n)
    low, high = accuracy_interval(correct, groups)
    plain_low, plain_high = accuracy_interval(correct)
    assert 0 <= low <= correct.mean() <= high <= 1
    assert high - low >= plain_high - plain_low - 1e-12
    order = rng.permutation(n)
    assert accuracy_interval(correct[order], groups[order]) == pytest.approx((low, high))


@given(seeds)
def test_the_effective_number_is_the_textbooks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 60))
    correct, groups = rng.random(n) < 0.6, rng.integers(0, rng.integers(3, 12), n)
    members = [correct[groups == group] for group in set(groups.tolist())]
    if len(members) in (1, n) or len(set(correct.tolist())) == 1:
        return
    share, many = correct.mean(), len(members)
    between = many / (many - 1) * sum((one.sum() - share * len(one)) ** 2 for one in members) / n**2
    design_effect = max(1, between / (correct.var(ddof=1) / n))
    few = student_t.ppf(0.975, n - 1) / student_t.ppf(0.975, many - 1)
    effective = n / design_effect * few**2
    wanted = wilson(share * effective, effective)
    assert accuracy_interval(correct, groups) == pytest.approx(wanted, abs=1e-3)


def test_copies_of_a_picture_are_worth_one_picture() -> None:
    rng = np.random.default_rng(1)
    once = rng.random(2000) < 0.9
    groups = np.arange(2000)
    low, high = accuracy_interval(np.repeat(once, 10), np.repeat(groups, 10))
    assert (low, high) == pytest.approx(wilson(float(once.sum()), 2000), abs=2e-4)
    assert accuracy_interval(np.repeat(once[:1], 10), np.repeat(groups[:1], 10)) == wilson(once[0], 1)
    assert accuracy_interval(np.ones(40, bool), np.repeat(np.arange(4), 10)) == wilson(4, 4)


@pytest.mark.parametrize(("truth", "videos"), [(0.7, 8), (0.7, 25), (0.9, 25), (0.9, 100), (0.97, 100)])
def test_the_interval_holds_the_truth_where_wilson_on_frames_does_not(truth: float, videos: int) -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(videos), 20)
    held, held_plain, runs = 0, 0, 400
    for _ in range(runs):
        chance = rng.beta(2 * truth, 2 * (1 - truth), videos)  # frames of a video correlate with 1/3
        correct = rng.random(len(groups)) < chance[groups]
        low, high = accuracy_interval(correct, groups)
        held += low <= truth <= high
        low, high = accuracy_interval(correct)
        held_plain += low <= truth <= high
    assert held / runs > 0.9
    assert held_plain / runs < 0.65


# judge


def torchs_numbers(y: Ints, probabilities: Doubles) -> tuple[float, float]:
    """Accuracy and negative log-likelihood by torch."""
    given_, truth = torch.from_numpy(probabilities), torch.from_numpy(y)
    loss = torch.nn.functional.nll_loss(given_.log(), truth)
    return float((given_.argmax(1) == truth).double().mean()), float(loss)


@given(seeds)
def test_judge_puts_the_right_number_in_each_place(seed: int) -> None:
    y, probabilities, classes = make_case(seed)
    probabilities = 0.9 * probabilities + 0.1 / len(classes)
    found = judge(y, probabilities, classes)
    predicted = probabilities.argmax(1)
    assert (found.accuracy, found.nll) == pytest.approx(torchs_numbers(y, probabilities))
    assert found.n == len(y)
    assert found.accuracy_ci95 == wilson(int((predicted == y).sum()), len(y))
    assert found.macro_f1 == pytest.approx(f1_score(y, predicted, average="macro", zero_division=0))
    assert found.ece == pytest.approx(ece_by_loop(y, probabilities), abs=1e-12)
    assert found.brier == pytest.approx(brier(y, probabilities))
    np.testing.assert_array_equal(found.confusion, confusion_matrix(y, predicted, labels=range(len(classes))))
    assert list(found.per_class) == list(classes)
    assert [one.n for one in found.per_class.values()] == np.bincount(y, minlength=len(classes)).tolist()
    assert Evaluation.from_json(found.to_json()) == found


@given(seeds)
def test_renaming_classes_and_reordering_rows_change_no_number(seed: int) -> None:
    y, probabilities, classes = make_case(seed)
    rng = np.random.default_rng(seed)
    probabilities = probabilities + 1e-6 * rng.random(
        probabilities.shape
    )  # a tie would go to the first class
    rows, names = rng.permutation(len(y)), rng.permutation(len(classes))
    plain = judge(y, probabilities, classes)
    moved = judge(
        np.argsort(names)[y[rows]], probabilities[np.ix_(rows, names)], tuple(classes[c] for c in names)
    )
    for name in ("accuracy", "macro_f1", "nll", "ece", "brier"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name), abs=1e-12)
    assert {name: moved.per_class[name] for name in classes} == plain.per_class


def test_equal_probabilities_mean_the_first_class() -> None:
    found = judge(np.array([0, 1]), np.full((2, 2), 0.5), ("a", "b"))
    assert found.confusion == ((1, 0), (1, 0))


def test_judging_refuses_what_has_no_answer() -> None:
    none = np.empty(0, dtype=np.int64)
    with pytest.raises(TooFewExamples, match="at least one"):
        judge(none, np.empty((0, 2)), ("a", "b"))
    with pytest.raises(NotFinite, match="NaN"):
        judge(np.array([0]), np.array([[np.nan, 0.5]]), ("a", "b"))
    with pytest.raises(ValueError, match="3 classes"):
        judge(np.array([0]), np.array([[0.5, 0.5]]), ("a", "b", "c"))


@given(seeds, st.integers(1, 5))
def test_repeats_are_averaged_and_are_no_new_pictures(seed: int, repeats: int) -> None:
    y, first, classes = make_case(seed)
    rng = np.random.default_rng(seed)
    many = np.stack([first, *(rng.dirichlet(np.ones(len(classes)), len(y)) for _ in range(repeats - 1))])
    groups = rng.integers(0, 9, len(y))
    found = judge_repeats(y, many, classes, groups)
    single = [judge(y, one, classes) for one in many]
    for name in ("accuracy", "macro_f1", "nll", "ece", "brier"):
        wanted = np.mean([getattr(one, name) for one in single])
        assert getattr(found, name) == pytest.approx(wanted, abs=1e-12)
    for name in classes:
        recalls = [one.per_class[name].recall for one in single]
        assert found.per_class[name].recall == pytest.approx(np.mean(recalls))
    assert found.n == len(y)
    correct = (many.argmax(2) == y).mean(0)
    assert found.accuracy_ci95 == accuracy_interval(correct, groups)
    mean_table = np.mean([one.confusion for one in single], axis=0)
    assert (np.abs(np.array(found.confusion) - mean_table) < 1).all()
    assert np.sum(found.confusion, axis=1).tolist() == np.bincount(y, minlength=len(classes)).tolist()


def test_the_same_repeat_again_tells_nothing_new() -> None:
    y, probabilities, classes = make_case(3)
    groups = np.arange(len(y)) // 2
    once = judge(y, probabilities, classes, groups)
    thrice = judge_repeats(y, np.stack([probabilities] * 3), classes, groups)
    assert thrice.accuracy_ci95 == pytest.approx(once.accuracy_ci95)
    assert thrice.confusion == once.confusion
    assert thrice.nll == pytest.approx(once.nll)


# temperature


def scipys_temperature(logits: NDArray[np.floating], y: Ints, *, laplace: bool = True) -> float:
    n, k = logits.shape
    doubt = 1 / (n + 2) if laplace else 0.0
    target = torch.full((n, k), doubt / (k - 1), dtype=torch.float64)
    target[torch.arange(n), torch.from_numpy(y)] = 1 - doubt

    def loss(log_temperature: float) -> float:
        wide = torch.from_numpy(logits).double() / math.exp(log_temperature)
        return float(torch.nn.functional.cross_entropy(wide, target))

    found = minimize_scalar(
        loss, bounds=(math.log(1e-3), math.log(1e3)), method="bounded", options={"xatol": 1e-9}
    )
    return math.exp(found.x)


def make_logits(seed: int, n: int, k: int, signal: float, scale: float) -> tuple[Doubles, Ints]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), y] += signal
    return logits * scale, y


@settings(max_examples=60)
@given(seeds, st.integers(1, 300), st.integers(2, 8), st.floats(0.3, 9), st.sampled_from([0.03, 1.0, 40.0]))
def test_temperature_is_scipys(seed: int, n: int, k: int, signal: float, scale: float) -> None:
    logits, y = make_logits(seed, n, k, signal, scale)
    assert temperature(logits, y) == pytest.approx(scipys_temperature(logits, y), rel=1e-4)


def test_with_many_examples_it_is_the_plain_minimum() -> None:
    logits, y = make_logits(1, 40_000, 5, 2, 1.0)
    assert temperature(logits, y) == pytest.approx(scipys_temperature(logits, y, laplace=False), rel=2e-3)


@given(seeds, st.integers(1, 50), st.integers(2, 5), st.floats(0.1, 50))
def test_all_right_is_never_surer_than_laplace_allows(seed: int, n: int, k: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * scale
    right = logits.argmax(1)
    assert softmax(logits, temperature(logits, right)).max(1).mean() <= (n + 1) / (n + 2) + 1e-9
    alike = np.eye(k)[right] * scale
    if temperature(alike, right) > 1.000001e-3:
        confidence = softmax(alike, temperature(alike, right)).max(1).mean()
        assert confidence == pytest.approx((n + 1) / (n + 2), abs=1e-9)


def test_plain_likelihood_would_claim_certainty() -> None:
    logits, y = make_logits(0, 200, 4, 12, 1.0)
    assert (logits.argmax(1) == y).all()
    assert softmax(logits, scipys_temperature(logits, y, laplace=False)).max(1).mean() == 1.0
    assert softmax(logits, temperature(logits, y)).max(1).mean() <= 201 / 202


@pytest.mark.parametrize("sure", [10.0, 100.0, 1000.0])
def test_a_temperature_is_found_where_many_classes_are_all_alike(sure: float) -> None:
    """There a step of Newton's goes far beyond, and the next one back to the end of the range: no cycle."""
    truth = np.arange(40)
    logits = np.zeros((40, 101))
    logits[truth, truth] = sure
    y = np.where(truth < 2, truth + 50, truth)  # two labels are wrong
    assert temperature(logits, y) == pytest.approx(scipys_temperature(logits, y), rel=1e-4)


@given(seeds, st.floats(0.05, 20))
def test_scaling_logits_scales_the_temperature(seed: int, factor: float) -> None:
    logits, y = make_logits(seed, 120, 3, 1, 1)
    assert temperature(factor * logits, y) == pytest.approx(factor * temperature(logits, y), rel=1e-7)
    order = np.random.default_rng(seed).permutation(len(y))
    assert temperature(logits[order], y[order]) == pytest.approx(temperature(logits, y), rel=1e-7)
    shift = np.random.default_rng(seed).normal(size=(len(y), 1)) * 100
    assert temperature(logits + shift, y) == pytest.approx(temperature(logits, y), rel=1e-7)


def test_calibration_is_recovered_and_shuffled_truth_flattens() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(8000, 5)) * 2
    y = (rng.random(8000)[:, None] > softmax(honest).cumsum(1)).sum(1)
    assert temperature(7 * honest, y) == pytest.approx(7, rel=0.05)
    assert ece(y, softmax(7 * honest, temperature(7 * honest, y))) < 0.02 < ece(y, softmax(7 * honest))
    assert softmax(honest, temperature(honest, rng.permutation(y))).max() < 0.35


def test_temperature_at_its_ends() -> None:
    lying = np.tile([[5.0, 0.0]], (10, 1))
    assert temperature(lying, np.ones(10, dtype=np.int64)) == pytest.approx(1000)
    faint = np.tile([[1e-9, 0.0]], (10, 1))
    assert temperature(faint, np.zeros(10, dtype=np.int64)) == pytest.approx(0.001)
    assert temperature(np.ones((4, 3)), np.array([0, 1, 2, 0])) == 1.0
    assert temperature(np.ones((4, 1)), np.zeros(4, dtype=np.int64)) == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_temperature_names_the_row_that_is_not_finite(bad: float) -> None:
    logits = np.zeros((3, 2), dtype=np.float32)
    logits[2, 1] = bad
    with pytest.raises(NotFinite, match="row 2"):
        temperature(logits, np.array([0, 1, 0]))
    with pytest.raises(TooFewExamples, match="at least one"):
        temperature(logits[:0], np.array([], dtype=np.int64))


def test_many_rows_agree_with_the_reference() -> None:
    logits, y = make_logits(5, 50_000, 20, 2, 3)
    found = temperature(logits.astype(np.float32), y)
    assert found == pytest.approx(scipys_temperature(logits, y), rel=1e-5)


# sets


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("n", [30, 200])
def test_sets_hold_the_truth_as_often_as_asked(coverage: float, n: int) -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(300):
        logits, y = make_logits(int(rng.integers(2**32)), n + 200, 5, 1.5, 4)  # overconfident on purpose
        probabilities = softmax(logits)
        threshold = set_threshold(probabilities[:n], y[:n], coverage)
        held.append(prediction_sets(probabilities[n:], threshold)[np.arange(200), y[n:]].mean())
    assert coverage - 0.012 < np.mean(held) < coverage + 1 / (n + 1) + 0.012


def test_sets_miss_when_their_threshold_comes_from_flattered_pictures() -> None:
    seen, y_seen = make_logits(0, 3000, 5, 3.5, 4)  # as a head sees its own training pictures
    new, y_new = make_logits(1, 3000, 5, 1.5, 4)
    threshold = set_threshold(softmax(seen), y_seen, 0.9)
    assert prediction_sets(softmax(new), threshold)[np.arange(3000), y_new].mean() < 0.8


def test_too_few_pictures_put_everything_in_the_set() -> None:
    logits, y = make_logits(0, 19, 3, 1, 1)
    probabilities = softmax(logits)
    assert set_threshold(probabilities[:18], y[:18], 0.95) == 1.0
    assert prediction_sets(np.array([[1.0, 0.0]]), 1.0).all()
    worst = (1 - probabilities[np.arange(19), y]).max()
    assert set_threshold(probabilities, y, 0.95) == worst
    assert set_threshold(probabilities[:0], y[:0], 0.95) == 1.0


def test_rounding_does_not_lift_the_rank() -> None:
    assert 0.55 * 100 > 55
    true = np.linspace(1, 0, 99)
    assert (
        set_threshold(np.stack([true, 1 - true], axis=1), np.zeros(99, dtype=np.int64), 0.55) == 1 - true[54]
    )


@given(seeds, st.floats(0, 1))
def test_no_set_is_empty_and_sets_grow_with_the_threshold(seed: int, threshold: float) -> None:
    _, probabilities, _ = make_case(seed)
    narrow, wide = prediction_sets(probabilities, threshold), prediction_sets(probabilities, threshold + 0.1)
    assert narrow[np.arange(len(narrow)), probabilities.argmax(1)].all()
    assert (narrow <= wide).all()


@pytest.mark.parametrize("coverage", [0.0, -1.0, 1.01, math.nan])
def test_coverage_is_a_share(coverage: float) -> None:
    with pytest.raises(Misuse, match="share"):
        set_threshold(np.array([[1.0]]), np.array([0]), coverage)


# unknown


@given(seeds, st.integers(1, 8))
def test_distance_is_sklearns_sorted(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    n, m, d = rng.integers(1, 20, 3)
    x, reference = rng.normal(size=(n, d)).astype(np.float16), rng.normal(size=(m, d)).astype(np.float16)
    far = cosine_distances(x.astype(np.float64), reference.astype(np.float64))
    wanted = np.sort(far, axis=1)[:, :k].mean(1)
    np.testing.assert_allclose(neighbour_distance(x, reference, k=k), wanted, atol=2e-6)


@given(seeds)
def test_own_group_is_no_neighbour(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    x, groups = rng.normal(size=(n, 4)).astype(np.float32), rng.integers(0, 6, n)
    far = cosine_distances(x.astype(np.float64))
    found = neighbour_distance(x, x, k=3, groups=(groups, groups))
    for row in range(n):
        others = np.sort(far[row, groups != groups[row]])[:3]
        assert found[row] == pytest.approx(others.mean() if len(others) else 1.0, abs=2e-6)


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, reference = rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=(70, 8)).astype(np.float32)
    groups = (rng.integers(0, 9, 50), rng.integers(0, 9, 70))
    whole = neighbour_distance(x, reference, groups=groups)
    monkeypatch.setattr("headstart.evaluate.unknown.BLOCK", 3)
    np.testing.assert_allclose(neighbour_distance(x, reference, groups=groups), whole, atol=1e-6)
    alone = np.concatenate([neighbour_distance(row[None], reference) for row in x])
    np.testing.assert_allclose(alone, neighbour_distance(x, reference), atol=1e-6)


def test_lengths_do_not_matter_and_zeros_are_like_nothing() -> None:
    rng = np.random.default_rng(0)
    x, reference = rng.normal(size=(5, 8)).astype(np.float32), rng.normal(size=(9, 8)).astype(np.float32)
    np.testing.assert_allclose(
        neighbour_distance(1000 * x, 0.01 * reference), neighbour_distance(x, reference), atol=1e-6
    )
    assert neighbour_distance(np.zeros((1, 8), dtype=np.float16), reference).tolist() == [1.0]
    assert neighbour_distance(x, np.zeros((3, 8), dtype=np.float32)).tolist() == [1.0] * 5
    assert neighbour_distance(x, reference[:0]).tolist() == [1.0] * 5
    huge = np.full((1, 8), 60000, dtype=np.float16)  # the square overflows float16
    assert neighbour_distance(huge, huge).tolist() == pytest.approx([0.0], abs=1e-6)


# paired verdicts


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))
def test_mcnemar_is_the_binomial_test(only_a: int, only_b: int, both: int) -> None:
    a = np.array([True] * only_a + [False] * only_b + [True] * both, dtype=np.bool_)
    b = np.array([False] * only_a + [True] * only_b + [True] * both, dtype=np.bool_)
    wanted = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar(a, b) == pytest.approx(wanted, rel=1e-9)
    assert mcnemar(a, b) == mcnemar(b, a)


def test_mcnemar_of_many_pictures_and_of_no_difference() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(40_000) < 0.8, rng.random(40_000) < 0.79
    wanted = binomtest(int((a & ~b).sum()), int((a ^ b).sum())).pvalue
    assert mcnemar(a, b) == pytest.approx(wanted, rel=1e-6)
    assert mcnemar(a, a) == 1.0


def test_pictures_of_a_group_are_one_toss_of_mcnemar() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(60) < 0.9, rng.random(60) < 0.6
    assert mcnemar(a, b, np.arange(60)) == mcnemar(a, b)
    frames = np.repeat(np.arange(60), 20)
    assert mcnemar(a[frames], b[frames], frames) == pytest.approx(mcnemar(a, b))
    assert mcnemar(a[frames], b[frames]) < mcnemar(a, b) / 1000  # frames taken for pictures
    torn = np.array([True, False, True, False]), np.array([False, True, False, True])
    assert mcnemar(*torn, np.array([0, 0, 1, 1])) == 1.0  # a group in which both won once says nothing


def test_the_interval_of_a_class_knows_of_groups() -> None:
    y = np.repeat([0, 1], 60)
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(6) < 0.5, 20)
    said = np.where(right, y, 1 - y)
    probabilities = np.eye(2)[said]
    groups = np.repeat(np.arange(6), 20)
    for own in (None, groups):
        found = judge(y, probabilities, ("a", "b"), own).per_class
        for label, name in enumerate("ab"):
            rows = y == label
            wanted = accuracy_interval(right[rows], None if own is None else own[rows])
            assert found[name].recall_ci95 == wanted
    more = judge(y, np.eye(3)[said], ("a", "b", "c")).per_class
    assert more["c"].recall_ci95 == (0.0, 1.0)


def test_mcnemar_seldom_cries_wolf() -> None:
    rng = np.random.default_rng(0)
    fair = [mcnemar(rng.random(200) < 0.8, rng.random(200) < 0.8) < 0.05 for _ in range(1000)]
    unfair = [mcnemar(rng.random(200) < 0.9, rng.random(200) < 0.7) < 0.05 for _ in range(200)]
    assert np.mean(fair) < 0.06
    assert np.mean(unfair) > 0.95


def test_numpy_is_all_it_needs() -> None:
    code = "import sys, headstart.evaluate; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"numpy", "headstart"} <= loaded
    assert not {"scipy", "sklearn", "torch", "openvino", "PIL"} & loaded


def test_the_numbers_of_groups_do_not_move_the_last_digit() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 200)
    correct = rng.random(200) < 0.9
    wanted = accuracy_interval(correct, groups)
    for seed in range(20):
        renamed = np.random.default_rng(seed).permutation(60)
        assert accuracy_interval(correct, renamed[groups]) == wanted
