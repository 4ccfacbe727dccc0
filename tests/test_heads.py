"""Laws that every head keeps, and independent references for the closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax as reference_log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as ReferenceRidge

from headstart import heads
from headstart.errors import TooFewExamples, UnknownName
from headstart.evaluate import softmax, temperature
from headstart.heads import Head
from headstart.heads._choose import choose, fold_count, folds_of
from headstart.heads._inputs import DEPTH_SETS, Inputs
from headstart.heads._problem import Problem, Products, absolute, fit, left_out
from headstart.heads.lda import Lda
from headstart.heads.logistic import Logistic
from headstart.heads.ridge import Ridge
from headstart.values import Depth, Features, Floats, Ints

K = 4


def blobs(n: int, d: int = 20, k: int = K, *, spread: float = 1.0, seed: int = 0) -> tuple[Floats, Ints]:
    """Gaussian classes whose means lie well apart; every class at least twice."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), np.arange(k), rng.integers(0, k, n - 2 * k)])
    means = 3 * np.random.default_rng(99).normal(size=(k, d))
    return (means[y] + spread * rng.normal(size=(n, d))).astype(np.float32), y.astype(np.int64)


def problem(z: Floats, y: Ints, k: int = K, n_folds: int = 5) -> Problem:
    return Problem(z, y, k, np.arange(len(y)) % n_folds)


def features(x: Floats, y: Ints, k: int = K, *, groups: Ints | None = None) -> Features:
    n, d = x.shape
    depths = (Depth("stage1", 0, d // 2), Depth("last", d // 2, d))
    alone = np.arange(n) if groups is None else groups
    digests = tuple(f"{i:064x}" for i in range(n))
    classes = tuple(f"class {c}" for c in range(k))
    return Features(x.astype(np.float16), y, alone, digests, classes, depths, "toy")


@pytest.fixture(params=heads.names())
def part(request: pytest.FixtureRequest) -> type[Head]:
    return heads.get(request.param)


def middle(part: type[Head]) -> float:
    return part.penalties[len(part.penalties) // 2]


def test_a_typo_in_a_name_fails_at_the_door() -> None:
    with pytest.raises(UnknownName, match=r"no head named 'ridg'. Did you mean 'ridge'"):
        heads.get("ridg")


@pytest.mark.parametrize("n", [16, 120])
def test_separable_classes_are_learnt(part: type[Head], n: int) -> None:
    z, y = blobs(n)
    there, truth = blobs(200, seed=1)
    assert (part.fit(problem(z, y), penalty=middle(part)).logits(there).argmax(1) == truth).mean() > 0.97


def test_shuffled_labels_give_chance(part: type[Head]) -> None:
    z, y = blobs(400)
    y = np.random.default_rng(3).permutation(y)
    left = part.out_of_fold(problem(z, y), penalty=middle(part))
    assert (left.argmax(1) == y).mean() < 0.35


def test_a_row_alone_gives_the_bits_it_gives_in_a_batch(part: type[Head]) -> None:
    z, y = blobs(50)
    head = part.fit(problem(z, y), penalty=middle(part))
    alone = np.concatenate([head.logits(row[None]) for row in z])
    np.testing.assert_array_equal(alone, head.logits(z))
    assert head.logits(z[:0]).shape == (0, K)


def test_the_order_of_the_rows_changes_nothing(part: type[Head]) -> None:
    z, y = blobs(60)
    order = np.random.default_rng(0).permutation(60)
    one = part.fit(problem(z, y), penalty=middle(part)).logits(z)
    other = part.fit(problem(z[order], y[order]), penalty=middle(part)).logits(z)
    np.testing.assert_allclose(one, other, atol=5e-3 * np.abs(one).max())


def test_renaming_classes_permutes_columns(part: type[Head]) -> None:
    z, y = blobs(60)
    new = np.array([2, 0, 3, 1])
    one = part.fit(problem(z, y), penalty=middle(part)).logits(z)
    other = part.fit(problem(z, new[y]), penalty=middle(part)).logits(z)
    np.testing.assert_allclose(one, other[:, new], atol=5e-3 * np.abs(one).max())


def test_the_same_fit_gives_the_same_bits(part: type[Head]) -> None:
    z, y = blobs(60)
    one = part.fit(problem(z, y), penalty=middle(part)).arrays()
    np.random.default_rng().normal(size=10)
    other = part.fit(problem(z, y), penalty=middle(part)).arrays()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_saving_keeps_every_bit(part: type[Head]) -> None:
    z, y = blobs(60)
    head = part.fit(problem(z, y), penalty=middle(part))
    again = part.from_arrays({name: array.copy() for name, array in head.arrays().items()})
    np.testing.assert_array_equal(again.logits(z), head.logits(z))
    with pytest.raises(KeyError):
        part.from_arrays({})


def test_a_class_of_one_in_a_hundred_does_not_vanish(part: type[Head]) -> None:
    rng = np.random.default_rng(5)
    y = np.repeat([0, 1], [1000, 10])
    means = rng.normal(size=(2, 30))
    z = (means[y] + 0.8 * rng.normal(size=(1010, 30))).astype(np.float32)
    there = (means[1] + 0.8 * rng.normal(size=(200, 30))).astype(np.float32)
    head = part.fit(problem(z, y.astype(np.int64), 2), penalty=middle(part))
    assert (head.logits(there).argmax(1) == 1).mean() > 0.8


def test_out_of_fold_is_a_fit_without_the_fold(part: type[Head]) -> None:
    z, y = blobs(40, d=60)
    whole = problem(z, y)
    left = part.out_of_fold(whole, penalty=middle(part))
    for fold in range(5):
        rest, rows = np.flatnonzero(whole.folds != fold), np.flatnonzero(whole.folds == fold)
        # the relative penalty of least squares scales with the rows: ask for the same absolute one
        penalty = middle(part)
        if part.name in ("ridge", "lda"):
            p = absolute(penalty, 40) / len(rest)
            penalty = p / (1 + p)
        centred = z - z[rest].mean(0)  # as the inputs would be, had the fold never been seen
        again = part.fit(problem(centred[rest], y[rest]), penalty=penalty).logits(centred[rows])
        np.testing.assert_allclose(softmax(left[rows]), softmax(again), atol=0.01)


@pytest.mark.parametrize("sizes", [(2,) * 10, (4, 4), (3, 3, 3), (2,) * 30], ids=len)
def test_labels_that_say_nothing_give_chance_however_few(part: type[Head], sizes: tuple[int, ...]) -> None:
    right = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = np.repeat(np.arange(len(sizes)), sizes)
        train = features(rng.normal(size=(len(y), 400)).astype(np.float16), y, len(sizes))
        found = Problem(Inputs.fit(train, "all").of(train.x), y, len(sizes), folds_of(train, seed))
        right += (part.out_of_fold(found, penalty=middle(part)).argmax(1) == y).tolist()
    chance = 1 / len(sizes)
    assert abs(np.mean(right) - chance) < 4 * (chance * (1 - chance) / len(right)) ** 0.5


def test_a_few_pictures_that_agree_by_chance_do_not_make_the_next_one_huge() -> None:
    x = np.random.default_rng(0).normal(size=(2004, 200)).astype(np.float16)
    few = features(x[:4], np.arange(4) % 2)
    seen, fresh = Inputs.fit(few, "all").of(x[:4]), Inputs.fit(few, "all").of(x[4:])
    assert fresh.std() < 2 * seen.std()


@pytest.mark.parametrize("d", [20, 90], ids=["more rows than inputs", "fewer"])
def test_ridge_scores_equal_the_reference(d: int) -> None:
    z, y = blobs(60, d)
    ours = fit(problem(z, y), 0.3).weight
    reference = ReferenceRidge(alpha=absolute(0.3, 60), fit_intercept=False).fit(z, np.eye(K)[y])
    np.testing.assert_allclose(ours, reference.coef_.T, atol=1e-4)


@pytest.mark.parametrize("d", [20, 90], ids=["more rows than inputs", "fewer"])
def test_each_fold_left_out_equals_a_refit_by_brute_force(d: int) -> None:
    z, y = blobs(60, d)
    whole = Problem(z, y, K, np.arange(60))  # leave one out
    p = absolute(0.3, 60)
    for fold in left_out(whole, 0.3)[::7]:
        rest = np.setdiff1d(np.arange(60), fold.rows)
        wide, targets = z[rest].astype(np.float64), np.eye(K)[y[rest]]
        weight = np.linalg.solve(wide.T @ wide + p * np.eye(d), wide.T @ targets)
        np.testing.assert_allclose(fold.scores, z[fold.rows] @ weight, atol=2e-4)
        if whole.is_dual:
            free = ReferenceRidge(alpha=p, fit_intercept=True).fit(wide, targets)
            np.testing.assert_allclose(fold.centred, free.predict(z[fold.rows]) - targets.mean(0), atol=2e-4)
        np.testing.assert_array_equal(fold.counts, targets.sum(0))
        resolvent = np.linalg.inv(wide @ wide.T + p * np.eye(59))
        np.testing.assert_allclose(
            fold.m, np.linalg.inv(targets.T @ resolvent @ targets) / p, rtol=5e-3, atol=1e-4
        )


@pytest.mark.parametrize("d", [20, 90], ids=["more rows than inputs", "fewer"])
def test_discriminants_equal_the_textbook_formula(d: int) -> None:
    z, y = blobs(60, d)
    ours = Lda.fit(problem(z, y), penalty=0.3).logits(z)
    wide = z.astype(np.float64)
    means = np.stack([wide[y == c].mean(0) for c in range(K)])
    within = (wide - means[y]).T @ (wide - means[y]) + absolute(0.3, 60) * np.eye(d)
    solved = np.linalg.solve(within / (60 - K), means.T)
    reference = wide @ solved - 0.5 * np.einsum("cd,dc->c", means, solved)
    np.testing.assert_allclose(ours, reference, rtol=2e-3, atol=2e-2)


def test_weak_shrinkage_agrees_with_scikit_learn() -> None:
    z, y = blobs(300, d=10, spread=3.0)
    there, _ = blobs(300, d=10, spread=3.0, seed=1)
    ours = Lda.fit(problem(z, y), penalty=1e-4).logits(there)
    reference = LinearDiscriminantAnalysis(solver="lsqr", priors=np.full(K, 1 / K)).fit(z, y)
    assert (ours.argmax(1) == reference.predict(there)).mean() > 0.99


@pytest.mark.parametrize("d", [20, 90], ids=["more rows than inputs", "fewer"])
def test_logistic_regression_reaches_the_reference_loss(d: int) -> None:
    z, y = blobs(60, d, spread=4.0)
    strength = 0.01 * d

    def loss(weight: Floats, bias: Floats) -> float:
        logits = z @ weight + bias
        return float(
            -reference_log_softmax(logits, axis=1)[np.arange(60), y].mean()
            + strength / 60 * (weight**2).sum() / 2
        )

    ours = Logistic.fit(problem(z, y), penalty=0.01)
    reference = LogisticRegression(C=1 / strength, tol=1e-8, max_iter=2000).fit(z.astype(np.float64), y)
    assert loss(ours.weight, ours.bias) < loss(reference.coef_.T, reference.intercept_) + 2e-3


def test_inputs_are_standardised_and_blind_to_the_batch() -> None:
    x = np.random.default_rng(0).gamma(1.0, size=(3000, 40)).astype(np.float16)
    x[:, 3] = 2
    train = features(x, np.arange(3000) % K)
    inputs = Inputs.fit(train, "all")
    z = inputs.of(train.x)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.delete(z.std(0), 3), 1, atol=2e-3)
    assert not z[:, 3].any()  # what never changes tells nothing
    np.testing.assert_array_equal(inputs.of(train.x[7:8])[0], z[7])
    assert Inputs.fit(train, "last").start == 20


def test_auto_prefers_the_depths_that_hold_the_signal() -> None:
    z, y = blobs(200, d=20)
    noise = np.random.default_rng(2).normal(size=(200, 20)).astype(np.float32)
    shallow = choose(features(np.concatenate([z, noise], 1), y))
    assert shallow.best.depths != "last"
    assert shallow.best.nll < 0.1
    deep = choose(features(np.concatenate([noise, z], 1), y))
    assert deep.best.depths == "last"
    assert {trial.head for trial in deep.trials} == set(heads.names())
    assert [trial.nll for trial in deep.trials] == sorted(trial.nll for trial in deep.trials)


def test_the_temperature_is_that_of_pictures_not_seen() -> None:
    z, y = blobs(200, d=300, spread=40.0)
    fitted = choose(features(z, y), head="ridge")
    seen = temperature(fitted.logits(z.astype(np.float16)), y)
    assert fitted.best.temperature > 2 * seen  # on its own training pictures the head is far too sure
    there, truth = blobs(2000, d=300, spread=40.0, seed=4)
    fresh = temperature(fitted.logits(there.astype(np.float16)), truth)
    assert 0.6 < fitted.best.temperature / fresh < 1.6


def test_choosing_twice_gives_the_same_bits_and_another_seed_other_folds() -> None:
    z, y = blobs(120, d=40, spread=6.0)
    one, two = choose(features(z, y)), choose(features(z, y))
    assert one.trials == two.trials
    np.testing.assert_array_equal(one.logits(z.astype(np.float16)), two.logits(z.astype(np.float16)))
    assert choose(features(z, y), seed=1).best.nll != one.best.nll


def test_twins_are_never_on_both_sides_of_a_fold() -> None:
    """Noise that comes in pairs can be recited, unless pairs stay together."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(60, 40)), 2, axis=0).astype(np.float32)
    y = np.repeat(rng.integers(0, 2, 60), 2)
    apart = choose(features(x, y, 2), head="logistic")
    together = choose(features(x, y, 2, groups=np.arange(120) // 2), head="logistic")
    assert apart.best.accuracy > 0.85
    assert together.best.accuracy < 0.7


def test_what_cannot_be_learnt_is_said() -> None:
    z, y = blobs(30)
    with pytest.raises(TooFewExamples, match="at least two classes"):
        choose(features(z, np.zeros(30, np.int64)))
    with pytest.raises(TooFewExamples, match="twins"):
        choose(features(z, y, groups=y))


def test_a_class_with_one_picture_is_learnt_and_never_held_out() -> None:
    z, y = blobs(60)
    lonely = features(np.concatenate([30 + z[:1], z]), np.append([K], y), K + 1)
    fitted = choose(lonely)
    assert fitted.rows.tolist() == list(range(1, 61))
    assert fitted.truth.tolist() == y.tolist()
    assert fitted.logits(lonely.x[:1]).argmax() == K


def test_two_pictures_are_enough_to_start() -> None:
    z, y = blobs(8)
    fitted = choose(features(z, y))
    assert np.isfinite(softmax(fitted.logits(z.astype(np.float16)), fitted.best.temperature)).all()
    assert fitted.inputs.stop - fitted.inputs.start in (10, 20)
    assert set(DEPTH_SETS) >= {fitted.best.depths}


def test_ridge_of_many_rows_equals_ridge_of_the_same_in_few_columns() -> None:
    """The two roads, by kernel and by scatter, lead to one place."""
    z, y = blobs(80, d=79)
    padded = np.concatenate([z, np.zeros((80, 2), np.float32)], 1)
    one = Ridge.fit(problem(z, y), penalty=0.6).logits(z)
    other = Ridge.fit(problem(padded, y), penalty=0.6).logits(padded)
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_folds_are_as_many_as_the_middling_class_can_fill() -> None:
    assert [fold_count([n] * 3, 10) for n in (2, 3, 7, 400)] == [2, 3, 7, 10]
    assert fold_count([1, 2, 2, 5], 10) == 2  # a class of one is never held out
    assert fold_count([1, 100, 100], 5) == 5


@pytest.mark.parametrize("n", [12, 40, 90], ids=["few rows", "between", "many rows"])
def test_shared_products_have_the_same_bits_whoever_asks_first(n: int) -> None:
    z = np.random.default_rng(0).normal(size=(n, 60)).astype(np.float32)
    one, other = Products(z, (20, 35)), Products(z, (20, 35))
    for width in (20, 35, 60):
        one.kernel(width), one.scatter(width)
    for width in (60, 35, 20):
        np.testing.assert_array_equal(other.kernel(width), one.kernel(width))
        np.testing.assert_array_equal(other.scatter(width), one.scatter(width))
        own = z[:, 60 - width :]
        np.testing.assert_allclose(one.kernel(width), own @ own.T, atol=1e-4)
        np.testing.assert_allclose(one.scatter(width), own.T @ own, atol=1e-4)


def test_a_network_of_one_depth_has_one_depth_set() -> None:
    z, y = blobs(60, d=20)
    whole = replace(features(z, y), depths=(Depth("last", 0, 20),))
    assert {trial.depths for trial in choose(whole).trials} == {"last"}
