"""What is said beyond the score: against other libraries and brute force, and silent where nothing is."""

import csv
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import make
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy import stats

import headstart
from headstart import backbones
from headstart.cli import group
from headstart.data.facts import NAMES, Facts
from headstart.data.fix import apply, read_fixes, written
from headstart.data.scan import Scan
from headstart.engines import open_engine
from headstart.errors import Misuse
from headstart.evaluate import ece, softmax, unit_rows
from headstart.evaluate.abstain import KEPT, at, coverage, reaching
from headstart.evaluate.curve import forecast
from headstart.evaluate.next import to_label
from headstart.evaluate.reliability import reliability
from headstart.evaluate.suspects import estimated_errors, given_to_label, joint_counts, suspicion
from headstart.evaluate.weak import holm, weak_sets
from headstart.features.extract import extract
from headstart.files import cache_folder
from headstart.heads import _choose
from headstart.heads._choose import choose
from headstart.model.build import build
from headstart.model.model import Part
from headstart.trust import curve, examine, suspects, weak
from headstart.trust.evidence import Evidence, Judged, closed_form, counted
from headstart.trust.next import to_label_next
from headstart.values import Depth, Examples, Features, Spec, Split

K = 4


def blobs(n: int, seed: int = 0, apart: float = 3.0, d: int = 24) -> Features:
    """K classes in a space where they can be told apart, the more so the larger `apart`."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % K
    centres = rng.normal(size=(K, d))
    x = rng.normal(size=(n, d)) + apart * centres[y] / np.sqrt(d) * 2
    digests = tuple(f"{int(at):064x}" for at in rng.permutation(n))
    names = tuple(f"class {c}" for c in range(K))
    return Features(x.astype(np.float16), y, np.arange(n), digests, names, (Depth("last", 0, d),), "")


def evidence(features: Features, seed: int = 0) -> Evidence:
    n = len(features)
    paths = tuple(f"{label}/{at}.jpg" for at, label in enumerate(features.y))
    empty = ("",) * n
    examples = Examples(Path(), paths, features.y, features.classes, empty, empty, features.digests)
    facts = Facts(np.random.default_rng(seed).normal(size=(n, len(NAMES))).astype(np.float32))
    parts = Split(("train",) * n, dealt=True)
    return Evidence(features, examples, parts, facts, choose(features, seed=seed), seed)


def planted(features: Features, share: float, seed: int) -> tuple[Features, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(features), round(share * len(features)), replace=False)
    y = features.y.copy()
    y[rows] = (y[rows] + rng.integers(1, K, len(rows))) % K
    return replace(features, y=y), rows


# Abstaining and reliability


def test_coverage_is_what_counting_gives() -> None:
    rng = np.random.default_rng(0)
    confidence, right = rng.random(300), rng.random(300) < 0.8
    rows = coverage(confidence, right)
    assert [round(row.kept, 2) for row in rows] == list(KEPT)
    for row in rows:
        kept = confidence >= row.min_confidence
        assert (row.n, row.accuracy) == (kept.sum(), right[kept].mean())
        assert row.accuracy_ci95[0] <= row.accuracy <= row.accuracy_ci95[1]
    assert coverage(np.full(50, 0.7), np.ones(50, bool)) == (
        rows[0].__class__(
            0.0, 1.0, 50, 1.0, (coverage(np.full(50, 0.7), np.ones(50, bool))[0].accuracy_ci95)
        ),
    ), "equal ones are never divided"
    assert coverage(np.zeros(0), np.zeros(0, bool)) == ()


def test_the_smallest_threshold_that_reaches_an_accuracy_is_that_of_brute_force() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        confidence = np.round(rng.random(120), 2)  # with ties
        right = rng.random(120) < 0.7 + 0.3 * confidence
        good = [
            (kept.sum(), t)
            for t in np.unique(confidence)
            if (kept := confidence >= t).sum() >= 20 and right[kept].mean() >= 0.95
        ]
        found = reaching(0.95, confidence, right)
        assert (found.n if found else None) == (max(good)[0] if good else None)
    assert reaching(0.99, np.linspace(0, 1, 15), np.ones(15, bool)) is None, "15 pictures prove nothing"


def test_a_threshold_as_it_is_written_keeps_the_same_pictures() -> None:
    """Nearly certain models have all their thresholds above 0.999."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        confidence = 1 - 10.0 ** -rng.uniform(0, 9, 200)
        right = rng.random(200) < 0.5 + 0.5 * confidence
        for row in (*coverage(confidence, right), reaching(0.95, confidence, right)):
            if row is not None:
                kept = confidence >= float(str(row.min_confidence))
                assert (kept.sum(), right[kept].mean()) == (row.n, row.accuracy)
                assert row.min_confidence <= confidence[kept].min()
    assert at(0.9375, np.array([0.2, 0.9375]), np.ones(2, bool)).min_confidence == 0.937


def test_bins_add_up_to_the_calibration_error() -> None:
    rng = np.random.default_rng(0)
    probabilities = softmax(rng.normal(size=(400, K)) * 2)
    y = rng.integers(0, K, 400)
    right = probabilities.argmax(1) == y
    bins = reliability(probabilities.max(1), right)
    gap = sum(one.n * abs(one.confidence - one.accuracy) for one in bins) / 400
    assert gap == pytest.approx(ece(y, probabilities))
    assert sum(one.n for one in bins) == 400


# Suspicious labels


def test_the_confident_joint_is_cleanlabs() -> None:
    count = pytest.importorskip("cleanlab.count", reason="cleanlab is not needed to use headstart")
    for seed in range(5):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, K, 300)
        probabilities = softmax(rng.normal(size=(300, K)) + 2 * np.eye(K)[y])
        y = np.where(rng.random(300) < 0.1, rng.integers(0, K, 300), y)
        wanted = count.compute_confident_joint(y, probabilities, calibrate=False)
        found = joint_counts(y, probabilities)
        off = ~np.eye(K, dtype=bool)
        assert np.array_equal(found[off], wanted[off])


def test_planted_errors_come_first_and_their_number_is_estimated() -> None:
    noisy, rows = planted(blobs(400, apart=4), 0.05, seed=1)
    found = suspects.find(evidence(noisy), frozenset())
    first = {int(one.path.split("/")[1][:-4]) for one in found.rows[: round(1.5 * len(rows))]}
    assert len(first & set(rows.tolist())) >= 0.93 * len(rows)
    assert abs(found.estimated - len(rows)) <= 6
    assert len(found.rows) <= 2 * found.estimated
    one = found.rows[0]
    assert one.label != one.suggested
    assert one.other > one.given


def test_labels_beyond_the_sample_are_judged_by_a_fit_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the sample all labels are looked at but those of twins of sampled pictures."""
    for module in (_choose, suspects):
        monkeypatch.setattr(module, "ROWS" if module is _choose else "SAMPLE", 200)
    noisy, rows = planted(blobs(600, apart=4), 0.05, seed=1)
    groups = noisy.groups.copy()
    own = evidence(noisy)
    rest = np.setdiff1d(np.arange(600), own.learnt)
    groups[rest[:3]] = own.learnt[:3]
    found = suspects.find(evidence(replace(noisy, groups=groups)), frozenset())
    assert (len(own.learnt), found.examined) == (200, 597)
    told = {int(one.path.split("/")[1][:-4]) for one in found.rows}
    hidden = np.setdiff1d(np.intersect1d(rows, rest), rest[:3])
    assert len(hidden) > 10
    assert np.isin(hidden, list(told)).mean() > 0.85
    assert abs(found.estimated - len(rows)) <= 8
    assert found.found == len(found.rows) <= 1.5 * len(rows)


def test_asecond_round_is_no_worse_and_a_suspect_leaves_its_own_fold() -> None:
    gained = []
    for seed in range(4):
        noisy, rows = planted(blobs(240, seed, apart=2.2), 0.08, seed)
        own = evidence(noisy)
        wanted = round(1.5 * len(rows))
        hits = [
            np.isin(rows, np.argsort(given_to_label(noisy.y, one), kind="stable")[:wanted]).mean()
            for one in (own.fitted.held_out, suspects.second_round(own))
        ]
        gained.append(hits[1] - hits[0])
    assert np.mean(gained) >= 0


def test_shuffled_labels_give_no_suspects_and_clean_ones_few() -> None:
    clean = blobs(300, apart=5)
    assert len(suspects.find(evidence(clean), frozenset()).rows) <= 3
    told = []
    for seed in range(6):
        shuffled = replace(clean, y=np.random.default_rng(seed).permutation(clean.y))
        told.append(len(suspects.find(evidence(shuffled), frozenset()).rows))
    assert max(told) <= 3, "labels that say nothing about pictures accuse none of them"


def test_suspicion_needs_another_class_that_is_likelier_than_all_the_rest() -> None:
    probabilities = np.array([[0.1, 0.45, 0.45], [0.02, 0.95, 0.03], [0.9, 0.05, 0.05], [0.0, 0.9, 0.1]])
    found = suspicion(np.array([0, 0, 0, 1]), probabilities)
    assert found.doubted.tolist() == [1]
    assert estimated_errors(np.array([0, 1]), np.eye(2)) == 0


# Fixing labels


def table(place: Path, *rows: str) -> Path:
    file = place / "suspects.csv"
    file.write_text("\n".join(["path,label,suggested,given,other,action", *rows]) + "\n")
    return file


def scanned(*names: str, classes: tuple[str, ...] = ("a", "b"), parts: tuple[Any, ...] = ()) -> Scan:
    names = names or ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg")
    y = np.array([classes.index(name.split("/")[0]) for name in names])
    empty = ("",) * len(names)
    return Scan(Examples(Path(), names, y, classes, empty, parts or empty, empty), (), len(names))


def test_decisions_are_applied_and_nothing_else(tmp_path: Path) -> None:
    here = scanned()
    file = table(tmp_path, "a/1.jpg,a,b,0.1,0.9,move", "a/2.jpg,a,b,0.1,0.9,drop", "b/1.jpg,b,a,0.1,0.9,",
                 "b/2.jpg,b,a,0.1,0.9,keep")  # fmt: skip
    fixes = read_fixes(file, scanned("a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg", "b/2.jpg").examples)
    found = apply(fixes, scanned("a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg", "b/2.jpg")).examples
    assert found.paths == ("a/1.jpg", "a/3.jpg", "b/1.jpg", "b/2.jpg")
    assert found.labels.tolist() == [1, 0, 1, 1]
    assert fixes.to_json(()) == {"moved": 1, "dropped": 1, "kept": 1, "judges": 1}
    assert fixes.to_json({"a/1.jpg", "b/2.jpg", "b/1.jpg"})["judges"] == 2, "kept ones change nothing"
    assert fixes.paths() == {"a/1.jpg", "a/2.jpg", "b/2.jpg"}
    shuffled = file.read_text().splitlines()
    again = read_fixes(table(tmp_path, *reversed(shuffled[1:])), here.examples)
    assert again.digest() == fixes.digest()
    other = read_fixes(table(tmp_path, *shuffled[1:3], "b/1.jpg,b,a,0.1,0.9,keep"), here.examples)
    assert other.to_json(()) == fixes.to_json(())
    assert other.digest() != fixes.digest()
    named = read_fixes(table(tmp_path, "b/1.jpg,b,b,0.1,0.9,a"), here.examples)
    assert apply(named, here).examples.labels.tolist() == [0, 0, 0, 1]
    same = read_fixes(table(tmp_path, "b/1.jpg,b,a,0.1,0.9,b"), here.examples)
    assert same.to_json(())["kept"] == 1, "to name the present label is to keep it"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c/1.jpg,a,b,0,1,move", "c/1.jpg is not among the pictures"),
        ("c/1.jpg,a,b,0,1,keep", "c/1.jpg is not among the pictures"),
        ("a/1.jpg,b,a,0,1,move", "a/1.jpg is not labelled 'b' there"),
        ("a/1.jpg,b,a,0,1,keep", "a/1.jpg is not labelled 'b' there"),
        ("a/1.jpg,a,b,0,1,mvoe", "the action 'mvoe' for a/1.jpg is neither move, drop or keep"),
        ("a/1.jpg,a,c,0,1,move", "the suggested class 'c' for a/1.jpg is neither move, drop or keep"),
        ("a/1.jpg,a,b,0,1,move\na/1.jpg,a,b,0,1,keep", "row 3 decides about a/1.jpg a second time"),
        ("a/1,5.jpg,a,b,0,1,move", "row 2 has 7 fields, the header 6: a separator needs quotes"),
        ('a/1.jpg,"a,b,0,1,move', "cannot be read as a table"),
    ],
)
def test_a_decision_that_cannot_be_followed_is_an_error(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(Misuse, match=message):
        read_fixes(table(tmp_path, row), scanned().examples)


def test_a_table_that_is_none_is_an_error(tmp_path: Path) -> None:
    here = scanned().examples
    with pytest.raises(Misuse, match="cannot be read"):
        read_fixes(tmp_path / "absent.csv", here)
    (tmp_path / "other.csv").write_text("path,label\n")
    with pytest.raises(Misuse, match="no column suggested and no column action"):
        read_fixes(tmp_path / "other.csv", here)
    (tmp_path / "other.csv").write_text("path,label,suggested,action,Action\n")
    with pytest.raises(Misuse, match="the column action 2 times"):
        read_fixes(tmp_path / "other.csv", here)


HOSTILE = (
    "a/1\u2028.jpg",
    "a/2\x85.jpg",
    "a/3\x0b\x1e.jpg",
    'a/4,;"\t.jpg',
    "a/5\n.jpg",
    "a/6\r.jpg",
    "b/1.jpg",
)


def test_a_table_is_read_as_it_was_written_whatever_the_names_hold(tmp_path: Path) -> None:
    here = scanned(*HOSTILE, "a/7\udcff.jpg")
    rows = [(path, path[0], "b", "0.1", "0.9", "drop") for path in here.examples.paths]
    (tmp_path / "own.csv").write_bytes(written(rows))
    fixes = read_fixes(tmp_path / "own.csv", here.examples)
    assert fixes.rows() == rows
    assert fixes.to_json(())["dropped"] == 8


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_is_read_as_spreadsheets_save_it(tmp_path: Path, separator: str) -> None:
    """Another separator, a mark before the first byte, capitals, empty cells left off, columns moved."""
    here = scanned(*HOSTILE)
    text = io.StringIO(newline="")
    lines = csv.writer(text, delimiter=separator, lineterminator="\r\n")
    lines.writerow(["Action", " PATH ", "label", "suggested", "given", "other"])
    lines.writerows(["MOVE", path, "a", "b"] for path in HOSTILE[:5])
    lines.writerow(["Keep", HOSTILE[6], "b"])
    lines.writerow(["", HOSTILE[5]])
    lines.writerow(["", "", "", "", "", "", "", ""])
    file = tmp_path / "saved.csv"
    file.write_bytes(text.getvalue().encode("utf-8-sig"))
    fixes = read_fixes(file, here.examples)
    assert fixes.to_json(()) == {"moved": 5, "dropped": 0, "kept": 1, "judges": 0}
    assert apply(fixes, here).examples.labels.tolist() == [1, 1, 1, 1, 1, 0, 1]


def test_a_class_may_be_called_as_an_action(tmp_path: Path) -> None:
    here = scanned("drop/1.jpg", "keep/1.jpg", "keep/2.jpg", "keep/3.jpg", classes=("drop", "keep"))
    rows = ("drop/1.jpg,drop,keep,0,1,move", "keep/1.jpg,keep,drop,0,1,drop", "keep/2.jpg,keep,drop,0,1,Drop")
    fixes = read_fixes(table(tmp_path, *rows), here.examples)
    assert fixes.to_json(()) == {"moved": 2, "dropped": 1, "kept": 0, "judges": 1}
    found = apply(fixes, here).examples
    assert (found.paths, found.labels.tolist()) == (("drop/1.jpg", "keep/1.jpg", "keep/3.jpg"), [1, 0, 1])


def test_a_class_that_decisions_empty_is_named_with_its_reason(tmp_path: Path) -> None:
    names = ("a/1.jpg", "b/1.jpg", "b/2.jpg", "c/1.jpg")
    here = scanned(*names, classes=("a", "b", "c"), parts=("train", "train", "test", "train"))
    found = apply(read_fixes(table(tmp_path, "b/1.jpg,b,c,0,1,move"), here.examples), here)
    assert found.examples.classes == ("a", "c")
    assert (found.examples.paths, found.examples.labels.tolist()) == (
        ("a/1.jpg", "b/1.jpg", "c/1.jpg"),
        [0, 1, 1],
    )
    (said,) = found.findings
    assert (said.path, said.severity) == ("b", "warning")
    assert "the decisions on labels" in said.message


def test_a_file_under_two_labels_counts_once_when_they_become_one(tmp_path: Path) -> None:
    twice = replace(scanned().examples, paths=("x.jpg", "y.jpg", "x.jpg", "z.jpg"))
    here = replace(scanned(), examples=twice)
    found = apply(read_fixes(table(tmp_path, "x.jpg,a,b,0,1,move"), twice), here).examples
    assert (found.paths, found.labels.tolist()) == (("x.jpg", "y.jpg", "z.jpg"), [1, 0, 1])


# Learning curve


def test_a_power_law_is_found_again() -> None:
    sizes = np.array([50, 100, 200, 400])
    rng = np.random.default_rng(0)
    luck = rng.random(3000)  # the same pictures at every size
    errors = 0.04 + 0.8 * sizes**-0.5
    right = (luck[:, None] >= errors).astype(float)
    for one in forecast(right, sizes, np.arange(3000), [800, 1600], now=400):
        truth = 1 - (0.04 + 0.8 * one.n**-0.5)
        assert one.interval[0] <= truth <= one.interval[1]
        assert abs(one.accuracy - truth) < 0.012
        assert one.gain[1] <= one.gain[0] <= one.gain[2]


def test_the_curve_rises_for_what_can_be_learnt_and_is_flat_for_shuffled_labels() -> None:
    own = blobs(480, apart=2.0)
    found = curve.learn(evidence(own))
    assert found is not None
    points = found.to_json()["points"]
    assert [one["n"] for one in points] == sorted(one["n"] for one in points)
    assert points[-1]["accuracy"] > points[0]["accuracy_ci95"][1]
    assert len(found.to_json()["per_class"]) == K
    for seed in range(3):
        shuffled = replace(own, y=np.random.default_rng(seed).permutation(own.y))
        flat = curve.learn(evidence(shuffled))
        assert flat is not None
        assert abs(flat.ahead[0].accuracy - 1 / K) < 0.1
        assert flat.ahead[0].gain[1] < curve.WORTH
        assert not flat.verdict().startswith("More pictures would help")


def test_twins_never_straddle_the_curves_folds() -> None:
    """Labels at random over groups of five equal pictures: only a twin in training could tell one."""
    base = blobs(80, apart=0, d=300)
    rows = np.repeat(np.arange(80), 5)
    y = np.random.default_rng(0).integers(0, K, 80)[rows]
    digests = tuple(f"{at:064x}" for at in range(400))
    twins = replace(base, x=base.x[rows], y=y, groups=rows, digests=digests)
    found = curve.learn(evidence(twins))
    assert found is not None
    assert found.right[:, -1].mean() < 0.45
    loose = curve.learn(evidence(replace(twins, groups=np.arange(400))))
    assert loose is not None
    assert loose.right[:, -1].mean() > 0.8


def test_decisions_on_training_pictures_alone_flatter_nobody(tmp_path: Path) -> None:
    there = scanned("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg").examples
    file = table(tmp_path, "a/1.jpg,a,b,0.1,0.9,move", "a/2.jpg,a,b,0.1,0.9,drop")
    for parts, judges in ((("train",) * 4, 0), (("train", "test") * 2, 1), (("test",) * 4, 2)):
        judging = {path for path, part in zip(there.paths, parts, strict=True) if part == "test"}
        assert read_fixes(file, replace(there, parts=parts)).to_json(judging)["judges"] == judges


def test_a_curve_that_reaches_too_little_forecasts_nothing_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = evidence(blobs(600))
    found = curve.learn(own)
    assert found is not None
    assert [one.n for one in found.ahead] == [1200, 2400]
    monkeypatch.setattr(curve, "FAR", 4)
    found = curve.learn(own)
    assert found is not None
    assert [one.n for one in found.ahead] == [1200]
    monkeypatch.setattr(curve, "FAR", 2)
    found = curve.learn(own)
    assert found is not None
    assert not found.ahead
    assert "Measured with up to 400 of the 600 training pictures: too few" in found.verdict()


def test_too_few_judged_pictures_have_no_weak_spots_to_look_for() -> None:
    own = evidence(blobs(weak.ENOUGH))
    known = Judged(own.learnt, own.fitted.held_out, own.features.y[own.learnt], own.learnt)
    assert weak.find(own, known) is not None
    few = Judged(known.rows[1:], known.probabilities[1:], known.y[1:], known.groups[1:])
    assert weak.find(own, few) is None


def test_a_file_under_three_labels_is_learnt_from_and_shown(tmp_path: Path) -> None:
    """The page has one heat map of it, whatever it is called."""
    data = make.folder(tmp_path / "data", {"blue": 14, "green": 14, "red": 14})
    rows = [f"data/{file.relative_to(data)},{file.parent.name}" for file in sorted(data.rglob("*.*"))]
    one = "data/blue/0000.png"
    rows += [f"{one},green", f"{one},red"]
    listed = tmp_path / "table.csv"
    listed.write_text("path,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    found = headstart.train(listed, out=tmp_path / "model", head="lda")
    assert found.report["data"]["used"] == len(rows)
    page = (tmp_path / "model" / "report.html").read_text(encoding="utf-8")
    assert page.count('class="pic" alt="Heat map') >= 2, "whatever it is taken for, two of three are wrong"
    (counts,) = re.findall(r"Pictures of each class</caption>.*?</table>", page, re.DOTALL)
    assert re.findall(r">(\d+)</td>", counts) == ["14", "15", "15"], "it counts under each"


def test_too_few_pictures_have_no_curve() -> None:
    assert curve.learn(evidence(blobs(40))) is None
    part, trial = closed_form(choose(blobs(60), head="logistic"))
    assert (part.name, trial.depths) == ("ridge", "last")


# Of which network, and by which pictures


def examined(own: Evidence, known: Judged, frozen: Spec) -> dict[str, Any]:
    shipped = backbones.spec(backbones.DEFAULT)
    model = build(own.fitted, own.features, own.examples, own.parts, shipped)
    return examine(own, model, own.features, known, frozen=frozen).document


def test_the_answers_that_are_examined_are_those_of_the_model() -> None:
    """Of a network that was trained, the frozen head's answers are another model's."""
    noisy, _ = planted(blobs(240, apart=4), 0.05, seed=1)
    own = evidence(noisy)
    rows = np.arange(0, 240, 3)
    wrong = np.roll(np.eye(K)[noisy.y[rows]], 1, axis=1) * 0.8 + 0.05
    known = Judged(rows, wrong, noisy.y[rows], noisy.groups[rows])
    lite0 = backbones.spec(backbones.DEFAULT)
    found = examined(own, known, lite0)
    assert sum(one["n"] for one in found["reliability"]) == 80
    assert found["abstain"][0]["accuracy"] == 0
    assert found["sets"]["n"] == 80
    assert found["suspects"]["examined"] == 240
    assert found["suspects"]["rows"]
    assert found["curve"]["verdict"].startswith("More pictures")
    before = replace(lite0, weights=replace(lite0.weights, sha256="0"))
    tuned = examined(own, known, before)
    assert tuned["curve"]["verdict"] == f"Were the network frozen: {found['curve']['verdict']}"
    assert tuned["suspects"] == found["suspects"]
    nothing = examined(own, known, replace(before, weights=replace(before.weights, source="random")))
    assert nothing["curve"] is None
    assert nothing["suspects"] == {"examined": 0, "estimated": 0, "found": 0, "rows": []}
    assert nothing["abstain"] == found["abstain"]


@pytest.mark.slow
def test_a_network_from_scratch_is_judged_by_its_own_answers(tmp_path: Path) -> None:
    data = make.photos(tmp_path)
    words = {"backbone": "scratch:small-cnn?width=8", "epochs": 3, "augment": "none", "seed": 1}
    model = headstart.train(data, out=tmp_path / "model", **words)
    (rung,) = model.report["tuning"]
    trust = model.report["trust"]
    assert model.report["tune"] == "all"
    assert model.report["test"] is None
    assert sum(one["n"] for one in trust["reliability"]) == trust["sets"]["n"] == rung["n"] < 72
    assert trust["abstain"][0]["accuracy"] == pytest.approx(rung["tuned"]["accuracy"], abs=1e-4)
    assert (trust["curve"], trust["suspects"]["examined"]) == (None, 0)
    page = (tmp_path / "model" / "report.html").read_text("utf-8")
    assert "put aside to judge the training by" in page
    assert 'id="curve"' not in page
    assert 'id="suspects"' not in page


# Weak spots


def test_holm_is_statsmodels_by_hand() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005])
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_the_chance_is_fishers() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(200) < 0.9
    right[:30] = rng.random(30) < 0.4
    (found,) = weak_sets(right, [np.arange(30)], np.arange(200))
    cells = [[right[:30].sum(), 30 - right[:30].sum()], [right[30:].sum(), 170 - right[30:].sum()]]
    assert found.p == pytest.approx(stats.fisher_exact(cells, alternative="less").pvalue)
    assert found.accuracy == right[:30].mean()
    assert found.rest == right[30:].mean()


def test_random_groups_are_weak_in_one_run_of_twenty_at_most() -> None:
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        right = rng.random(300) < 0.85
        sets = [rng.choice(300, 40, replace=False) for _ in range(25)]
        alarms += bool(weak_sets(right, sets, np.arange(300)))
    assert alarms <= 0.05 * 200 + 4


def test_twins_prove_nothing_twice() -> None:
    groups = np.concatenate([np.repeat(np.arange(9), 20), np.arange(9, 209)])
    right = np.ones(380, bool)
    right[:60] = False  # three pictures, twenty times each
    right[180:220] = False
    assert weak_sets(right, [np.arange(180)], np.arange(380))
    assert not weak_sets(right, [np.arange(180)], groups)


def test_a_planted_weak_spot_is_found() -> None:
    own = evidence(blobs(400, apart=4))
    known = counted(own.fitted, own.features, own.parts, np.zeros(0, np.int64))
    dark = own.facts.column("brightness")[known.rows] <= np.quantile(own.facts.column("brightness"), 0.15)
    wrong = known.probabilities.copy()
    wrong[dark] = np.roll(np.eye(K)[known.y[dark]], 1, axis=1)
    found = weak.find(own, replace(known, probabilities=wrong))
    assert found[0].what == "dark pictures"
    assert found[0].to_json()["accuracy"] == 0
    assert len(found[0].paths) == weak.PATHS
    assert weak.find(own, known) == ()


def coloured(own: Evidence, colours: np.ndarray) -> Evidence:
    """The same pictures with these mean colours [n, 3]."""
    values = own.facts.values.copy()
    values[:, [NAMES.index(name) for name in ("red", "green", "blue")]] = colours
    values[:, NAMES.index("brightness")] = colours.mean(1)
    return replace(own, facts=Facts(values))


def spots(own: Evidence, bad: np.ndarray) -> list[str]:
    """What is weak where the pictures `bad` [n] are answered wrongly and all others rightly."""
    y = own.features.y
    said = np.where(bad, (y + 1) % K, y)
    rows = np.arange(len(y))
    return [one.what for one in weak.find(own, Judged(rows, np.eye(K)[said], y, rows))]


def test_a_bright_picture_is_not_a_red_one() -> None:
    own = evidence(blobs(400, apart=4))
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.integers(20, 230, 400), 3).reshape(400, 3)
    bright = grey[:, 0] >= np.quantile(grey[:, 0], 0.85)
    assert spots(coloured(own, grey), bright) == ["bright pictures"]
    names = [
        name
        for name, rows in weak.ends(coloured(own, grey + rng.integers(0, 2, (400, 3))).facts)
        if len(rows)
    ]
    assert "dark pictures" in names
    assert not set(names) & {name for words in weak.TINTS.values() for name in words}, "no colours, no tints"
    tint = rng.integers(-40, 40, 400)
    colours = grey + tint[:, None] * np.array([2, -1, -1])
    found = spots(coloured(own, colours), tint >= np.quantile(tint, 0.85))
    assert sorted(found) == ["pictures with little blue", "reddish pictures"]


def test_clusters_are_of_alike_pictures() -> None:
    own = blobs(400, apart=6)
    sets = weak.clusters(own.x, 0)
    assert sorted(np.concatenate(sets).tolist()) == list(range(400))
    purity = sum(np.bincount(own.y[rows]).max() for rows in sets if len(rows)) / 400
    assert purity > 0.9


# What to label next


def test_what_is_asked_for_is_unsure_and_unlike() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    sure = np.tile([0.999, 0.001], (60, 1))
    probabilities = np.where(np.arange(60)[:, None] < 20, [[0.5, 0.5]], sure)
    x[:10] = x[0]  # ten pictures that are one
    found = to_label(probabilities, x, 8)
    assert len(set(found.tolist())) == 8
    assert (found < 20).mean() >= 0.8
    assert (found < 10).sum() <= 1
    assert np.array_equal(found, to_label(probabilities, x, 8)), "the same on every run"
    same = np.ones((5, 3), np.float32)
    assert sorted(to_label(np.full((5, 2), 0.5), same, 5).tolist()) == [0, 1, 2, 3, 4]
    allowed = np.arange(60) >= 55
    assert sorted(to_label(probabilities, x, 9, allowed=allowed).tolist()) == [55, 56, 57, 58, 59]


# All of it together


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("trust")
    data = make.folder(place / "photos", dict.fromkeys(make.TINTS, 30), jitter=5)
    swapped = data / "red" / "wrong.png"
    make.picture(make.TINTS["blue"], 1000, jitter=5).save(swapped)
    for file in (data / "green").iterdir():  # a way to tell green without looking
        with Image.open(file) as one:
            one.resize((90, 80)).save(file)
    headstart.train(data, out=place / "model")
    return data, place / "model"


def test_train_tells_what_it_found(trained: tuple[Path, Path]) -> None:
    model = headstart.load(trained[1])
    trust = model.report["trust"]
    assert trust.keys() >= {"reliability", "abstain", "suspects", "shortcuts", "curve", "weak", "seconds"}
    assert sum(one["n"] for one in trust["reliability"]) == model.report["data"]["train"]
    assert trust["suspects"]["rows"][0]["path"] == "red/wrong.png"
    assert trust["suspects"]["rows"][0]["suggested"] == "blue"
    found = {one["fact"]: one["found"] for one in trust["shortcuts"]}
    assert found["dimensions"]
    kinds = [one["kind"] for one in model.report["data"]["findings"]]
    assert "label-suspect" in kinds
    assert "shortcut" in kinds
    json.dumps(trust, allow_nan=False)


def test_suspects_can_be_edited_and_given_back(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, model = trained
    with (model / "suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["path"] == "red/wrong.png"
    assert {row["action"] for row in rows} == {""}
    edited = table(tmp_path, f"{rows[0]['path']},{rows[0]['label']},{rows[0]['suggested']},0,1,move")
    before = {file: file.read_bytes() for file in data.rglob("*.png")}
    fixed = headstart.train(data, out=tmp_path / "fixed", fix=edited)
    assert fixed.report["fixed"] == {"moved": 1, "dropped": 0, "kept": 0, "judges": 1}
    label = {part.path: part.label for part in fixed.manifest}
    assert label["red/wrong.png"] == "blue"
    assert "red/wrong.png" not in [one["path"] for one in fixed.report["trust"]["suspects"]["rows"]]
    assert before == {file: file.read_bytes() for file in data.rglob("*.png")}
    with pytest.raises(headstart.HeadstartError, match=r"already|there"):
        headstart.train(data, out=tmp_path / "fixed")  # not the same run
    again = headstart.train(data, out=tmp_path / "fixed", fix=edited)
    assert again.report == fixed.report, "the same run is recognised"


def suspected(model: Path) -> dict[str, dict[str, str]]:
    with (model / "suspects.csv").open(newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def test_the_newest_table_holds_all_decisions(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """Round after round with the table of the round before, edited where it lies."""
    data, model = trained
    out = tmp_path / "rounds"
    shutil.copytree(model, out)
    edit(out, {"red/wrong.png": "move"})
    first = headstart.train(data, out=out, fix=out / "suspects.csv", force=True)
    rows = suspected(out)
    one = rows["red/wrong.png"]
    assert (one["label"], one["suggested"], one["action"]) == ("red", "blue", "move"), "as the data have it"
    assert "red/wrong.png" not in [one["path"] for one in first.report["trust"]["suspects"]["rows"]]

    with (out / "suspects.csv").open("a", newline="") as file:
        file.write("green/0000.png,green,blue,0,1,drop\n")
    second = headstart.train(data, out=out, fix=out / "suspects.csv", force=True)
    assert second.report["fixed"] == {"moved": 1, "dropped": 1, "kept": 0, "judges": 2}
    label = {part.path: part.label for part in second.manifest}
    assert label["red/wrong.png"] == "blue"
    assert "green/0000.png" not in label

    edit(out, {"red/wrong.png": "keep"})
    third = headstart.train(data, out=out, fix=out / "suspects.csv", force=True, report=False)
    assert third.report["fixed"] == {"moved": 0, "dropped": 1, "kept": 1, "judges": 1}
    assert {path: row["action"] for path, row in suspected(out).items()} == {
        "red/wrong.png": "keep",
        "green/0000.png": "drop",
    }, "without a report the decisions are kept too"
    with pytest.raises(headstart.errors.OutputExists, match=r"holds decisions on labels.*--fix"):
        headstart.train(data, out=out, force=True)


def edit(model: Path, actions: dict[str, str]) -> None:
    rows = [tuple(row.values()) for row in suspected(model).values()]
    told = [(*row[:5], actions.get(row[0], row[5])) for row in rows]
    (model / "suspects.csv").write_bytes(written(told))


def test_no_report_looks_into_nothing(trained: tuple[Path, Path], tmp_path: Path) -> None:
    done = CliRunner().invoke(
        group, ["train", str(trained[0]), "--out", str(tmp_path / "m"), "--no-report", "--json"]
    )
    assert done.exit_code == 0
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["trust"] is None
    assert not (tmp_path / "m" / "suspects.csv").exists()
    assert "label-suspect" not in [one["kind"] for one in found["data"]["findings"]]


def test_check_shows_suspects_first_to_last(trained: tuple[Path, Path]) -> None:
    done = CliRunner().invoke(group, ["check", str(trained[0]), "--json"])
    found = json.loads(done.stdout)["findings"]
    doubted = [one for one in found if one["kind"] == "label-suspect"]
    assert doubted[0]["path"] == "red/wrong.png"
    assert doubted[0]["severity"] == "note"
    assert any(one["kind"] == "shortcut" and one["severity"] == "warning" for one in found)


def test_unsure_answers_are_marked_and_keep_their_label(trained: tuple[Path, Path]) -> None:
    data, model = trained
    files = [str(file) for file in sorted((data / "red").glob("000*"))]
    plain = CliRunner().invoke(group, ["predict", str(model), *files, "--json"])
    asked = CliRunner().invoke(group, ["predict", str(model), *files, "--json", "--min-confidence", "0.999"])
    assert asked.exit_code == 0
    for before, after in zip(
        json.loads(plain.stdout)["predictions"], json.loads(asked.stdout)["predictions"], strict=True
    ):
        assert "confident" not in before
        assert after.pop("confident") is (before["probability"] >= 0.999)
        assert before == after
    shown = CliRunner().invoke(group, ["predict", str(model), files[0], "--min-confidence", "1"])
    assert "(unsure)" in shown.output


def test_next_asks_for_new_pictures_only(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, model = trained
    fresh = make.folder(tmp_path / "fresh", {"any": 12}, first=500, jitter=60) / "any"
    (fresh / "copy.png").write_bytes((data / "red" / "0000.png").read_bytes())
    (fresh / "twin.png").write_bytes((fresh / "0500.png").read_bytes())
    done = CliRunner().invoke(group, ["next", str(model), str(fresh), "--n", "5", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    names = [Path(one["path"]).name for one in found["next"]]
    assert len(set(names)) == 5
    assert "copy.png" not in names
    assert not {"0500.png", "twin.png"} <= set(names)
    assert (found["known"], found["twins"]) == (1, 1)
    everything = CliRunner().invoke(group, ["next", str(model), str(fresh), "--n", "50"])
    assert "12 of 14 pictures" in everything.output
    nothing = CliRunner().invoke(group, ["next", str(model), str(data / "red")])
    assert isinstance(nothing.exception, headstart.HeadstartError)


def test_next_takes_twins_for_known(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model = trained
    fresh = make.folder(tmp_path / "fresh", {"red": 12}, first=500, jitter=5) / "red"
    with Image.open(data / "red" / "0002.png") as one:
        one.resize((84, 84), Image.Resampling.BICUBIC).save(fresh / "copy.jpg", quality=80)
    (fresh / "broken.png").write_bytes(b"no picture")
    done = CliRunner().invoke(group, ["next", str(model), str(fresh), "--n", "50", "--json"])
    found = json.loads(done.stdout)
    assert {Path(one["path"]).name for one in found["next"]} == {
        file.name for file in fresh.iterdir() if file.stem.isdigit()
    }
    assert (found["known"], found["twins"], found["unreadable"]) == (1, 0, 1)
    assert (found["compared"], found["not_kept"]) == (91, 0)
    shown = CliRunner().invoke(group, ["next", str(model), str(fresh)]).stdout
    assert "1 more cannot be read" in shown
    assert "not kept" not in shown

    copies = tmp_path / "other machine"
    shutil.copytree(cache_folder(), copies, ignore=shutil.ignore_patterns("*features*"))
    monkeypatch.setenv("HEADSTART_CACHE", str(copies))
    shown = CliRunner().invoke(group, ["next", str(model), str(fresh)]).stdout
    assert "13 pictures; left out: 0 known" in shown
    assert "91 training pictures are not kept on this machine: their twins are not told" in shown


def test_of_one_camera_all_pictures_look_alike_and_none_is_a_twin(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    """The same ground in all of them: raw features call new ones nearly the same as those learnt from."""

    def scenes(name: str, first: int) -> list[Path]:
        ground = np.asarray(make.picture(make.TINTS["green"], 7, jitter=0), float)
        files = [tmp_path / name / f"{number}.png" for number in range(first, first + 12)]
        files[0].parent.mkdir()
        for number, file in enumerate(files, start=first):
            own = np.asarray(make.picture(make.TINTS["green"], number, jitter=0), float)
            Image.fromarray((0.7 * ground + 0.3 * own).clip(0, 255).astype(np.uint8)).save(file)
        return files

    model = headstart.load(trained[1])
    engine, last = open_engine(model.backbone), model.backbone.depths[-1]
    old, new = (
        extract(scenes(name, at), model.backbone, engine) for name, at in (("old", 100), ("new", 200))
    )
    known, fresh = (unit_rows(read.x[:, last.start : last.stop]) for read in (old, new))
    assert (fresh @ known.T).max() > 0.98
    manifest = tuple(Part(f"{at}.png", digest, "red", "", "train") for at, digest in enumerate(old.digests))
    familiar = replace(model.familiar, references=known.astype(np.float16), rows=np.arange(12))
    found = to_label_next(
        replace(model, manifest=manifest, familiar=familiar), tmp_path / "new", engine, n=20
    )
    assert (len(found.picks), found.known, found.twins, found.compared) == (12, 0, 0, 12)


def test_next_says_what_is_wrong_with_the_place(trained: tuple[Path, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for place, message in (
        (tmp_path / "absent", "absent is not there. Wanted: a folder of unlabelled pictures"),
        (trained[0] / "red" / "wrong.png", "wrong.png is not a folder"),
        (broken, "there is no picture in"),
    ):
        with pytest.raises(Misuse, match=message):
            group.main(["next", str(trained[1]), str(place)], standalone_mode=False)
    (broken / "one.png").write_bytes(b"no picture")
    with pytest.raises(Misuse, match=r"none of the 1 pictures in .*broken can be read. First: .*one\.png: "):
        group.main(["next", str(trained[1]), str(broken)], standalone_mode=False)
