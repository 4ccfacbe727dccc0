"""Findings say what twins, counts and sizes mean, once each, and in an order that never changes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.data.check import FEW, IMBALANCED, SHOWN, audit, leaked_rows, ordered
from headstart.data.duplicates import Twin, groups
from headstart.evaluate import wilson
from headstart.values import Examples, Finding, Pictures, Split

SIZE_PX = 224


def examples_of(labels: str, parts: str = "", names: str = "") -> Examples:
    """One letter per picture: a, b … its class; t, v, j (judge) its part; its group."""
    part = {"t": "train", "v": "val", "j": "test", ".": ""}
    n = len(labels)
    classes = sorted(set(labels))
    return Examples(
        root=Path("/data"),
        paths=tuple(f"{label}/{row:03d}.jpg" for row, label in enumerate(labels)),
        labels=np.array([classes.index(label) for label in labels], dtype=np.int64),
        classes=tuple(classes),
        groups=tuple("" if name == "." else name for name in (names or "." * n)),
        parts=tuple(part[letter] for letter in (parts or "." * n)),
        digests=tuple(f"{row:064d}" for row in range(n)),
    )


def pictures_of(n: int, side_px: int = 300) -> Pictures:
    sides = np.full(n, side_px, dtype=np.int64)
    return Pictures(
        sides, sides + 50, ("JPEG",) * n, np.zeros((n, 56, 56), np.uint8), np.zeros((n, 3, 3), np.uint8)
    )


def audited(examples: Examples, twins: list[Twin] = [], side_px: int = 300) -> list[Finding]:  # noqa: B006
    return audit(examples, pictures_of(len(examples), side_px), twins, size_px=SIZE_PX)


def near(i: int, j: int, likeness: float = 0.99, how: str = "mirrored") -> Twin:
    return Twin(i, j, exact=False, cosine=0.95, likeness=likeness, how=how)


def same(i: int, j: int) -> Twin:
    return Twin(i, j, exact=True, cosine=1.0, likeness=1.0, how="same file")


def facts(findings: list[Finding]) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [(one.kind, one.severity, one.path, one.others) for one in findings]


PLAIN = "a" * 10 + "b" * 10


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """Negative control."""
    assert audited(examples_of(PLAIN, "t" * 8 + "jv" + "t" * 8 + "jv", "x" * 8 + ".." + "y" * 8 + "..")) == []


def test_a_near_duplicate_carries_its_evidence() -> None:
    (one,) = audited(examples_of(PLAIN), [near(2, 5)])
    assert facts([one]) == [("near-duplicate", "note", "a/002.jpg", ("a/005.jpg",))]
    assert one.message == "2 files of the same picture: mirrored, likeness 0.99, cosine 0.95"


def test_a_set_of_copies_is_one_finding() -> None:
    found = audited(examples_of("a" * 200 + "b" * 200), [same(0, row) for row in range(1, 100)])
    assert [(one.kind, one.message) for one in found] == [("duplicate", "100 files with the same content")]
    assert found[0].others == tuple(f"a/{row:03d}.jpg" for row in range(1, SHOWN + 1))
    chain = [near(0, 1, 0.91, "cropped"), near(1, 2, 0.97), near(2, 3, 0.93)]
    (one,) = audited(examples_of(PLAIN), chain)
    assert one.others == ("a/001.jpg", "a/002.jpg", "a/003.jpg")
    assert "cropped; mirrored, likeness 0.91 to 0.97" in one.message


def test_two_labels_on_one_picture() -> None:
    found = audited(examples_of(PLAIN), [near(1, 12), same(3, 4), same(3, 15)])
    assert facts(found) == [
        ("label-conflict", "warning", "a/001.jpg", ("b/012.jpg",)),
        ("label-conflict", "warning", "a/003.jpg", ("a/004.jpg", "b/015.jpg")),
        ("duplicate", "note", "a/003.jpg", ("a/004.jpg", "b/015.jpg")),
        ("near-duplicate", "note", "a/001.jpg", ("b/012.jpg",)),
    ]
    assert found[0].message == (
        "the same picture under 2 labels: 'a' (1), 'b' (1); mirrored, likeness 0.99, cosine 0.95"
    )
    assert found[1].message == "the same picture under 2 labels: 'a' (2), 'b' (1); same file"


def test_labels_conflict_only_where_they_differ() -> None:
    """Negative control: many twins, one label per set."""
    found = audited(examples_of(PLAIN), [same(0, 1), near(1, 2), near(11, 12), same(13, 14)])
    assert {one.kind for one in found} == {"duplicate", "near-duplicate"}


def test_a_leak_is_told_of_the_picture_that_judges() -> None:
    examples = examples_of(PLAIN, "tttttttvjjttttttttvj")
    twins = [
        near(0, 8, 0.91, "cropped"),
        near(1, 8, 0.97),
        near(7, 9),
        same(10, 11),
        same(12, 19),
        near(18, 9),
    ]
    leaks = [one for one in audited(examples, twins) if one.kind == "leak"]
    assert facts(leaks) == [
        ("leak", "warning", "a/008.jpg", ("a/001.jpg", "a/000.jpg")),
        ("leak", "warning", "a/009.jpg", ("a/007.jpg", "b/018.jpg")),
        ("leak", "warning", "b/019.jpg", ("b/012.jpg",)),
    ]
    assert leaks[0].message == ("in test, and in train as a/001.jpg: mirrored, likeness 0.97, cosine 0.95")
    assert leaks[1].message.startswith("in test, and in val as a/007.jpg: ")
    assert leaks[2].message == "in test, and in train as b/012.jpg: same file"


def test_what_is_a_twin_of_one_file_is_a_twin_of_its_copies() -> None:
    examples = examples_of(PLAIN, "tjttttttttjttttttttt")
    leaks = [one for one in audited(examples, [same(0, 1), near(0, 10)]) if one.kind == "leak"]
    assert [(one.path, one.others) for one in leaks] == [
        ("a/001.jpg", ("a/000.jpg",)),
        ("b/010.jpg", ("a/000.jpg",)),
    ]
    only_copy = examples_of(PLAIN, "jtjjjjjjjjjjjjjjjjjt")
    leaks = [one for one in audited(only_copy, [same(0, 1), near(0, 10)]) if one.kind == "leak"]
    assert [(one.path, one.others) for one in leaks] == [
        ("a/000.jpg", ("a/001.jpg",)),
        ("b/010.jpg", ("a/001.jpg",)),
    ]


def test_there_is_no_leak_where_the_user_brought_no_parts() -> None:
    assert {one.kind for one in audited(examples_of(PLAIN), [near(0, 5), same(1, 6)])} == {
        "duplicate",
        "near-duplicate",
    }


def test_a_group_of_the_user_that_straddles_his_parts_is_a_leak() -> None:
    examples = examples_of(PLAIN, "tjtttttttttttttttttv", "pp" + "." * 16 + "qq")
    leaks = audited(examples)
    assert facts(leaks) == [
        ("leak", "warning", "a/001.jpg", ("a/000.jpg",)),
        ("leak", "warning", "b/019.jpg", ("b/018.jpg",)),
    ]
    assert leaks[0].message == "group 'p' is spread over the parts train (1), test (1)"


@pytest.mark.parametrize(("small", "large", "kinds"), [(10, 99, []), (10, 100, ["imbalance"])])
def test_imbalance_begins_at_ten_times(small: int, large: int, kinds: list[str]) -> None:
    found = audited(examples_of("a" * large + "b" * small))
    assert [one.kind for one in found] == kinds
    if kinds:
        assert facts(found) == [("imbalance", "warning", "b", ("a",))]
        assert found[0].message == f"class 'a' has 100 pictures, 'b' has 10: {IMBALANCED} times as many"


def test_tiny_classes_are_one_finding() -> None:
    found = audited(examples_of("a" * 20 + "b" * 9))
    assert facts(found) == [("tiny-class", "warning", "b", ())]
    assert found[0].message == (
        "class 'b' has fewer than 10 pictures (9): too few to tell how well it is recognised"
    )
    found = audited(examples_of("a" * 12 + "b" * 9 + "c" * 3 + "d" * 4))
    assert facts(found) == [("tiny-class", "warning", "c", ("d", "b"))]
    assert "3 classes have fewer than 10 pictures (3 to 9)" in found[0].message


def test_ten_is_where_an_interval_is_still_too_wide_to_judge_by() -> None:
    """The reason for FEW: nothing wrong in ten, and the truth may yet be 72 %."""
    assert round(wilson(FEW, FEW)[0], 2) == 0.72


@pytest.mark.parametrize(("side_px", "kinds"), [(112, []), (111, ["small-picture"]), (32, ["small-picture"])])
def test_small_pictures_are_enlarged_more_than_twice(side_px: int, kinds: list[str]) -> None:
    found = audited(examples_of("a" * 30 + "b" * 30), side_px=side_px)
    assert [one.kind for one in found] == kinds
    if kinds:
        assert facts(found) == [
            ("small-picture", "note", "a/000.jpg", tuple(f"a/{row:03d}.jpg" for row in range(1, SHOWN + 1)))
        ]
        assert (
            f"60 of 60 pictures have a short side below 112 pixels (typically {side_px})" in found[0].message
        )


def test_errors_come_before_warnings_before_notes_whatever_the_order() -> None:
    examples = examples_of("a" * 100 + "b" * 9, "t" * 99 + "jttttttttj")
    found = audited(examples, [near(0, 99), same(1, 100), near(3, 4)], side_px=30)
    found = ordered([*found, Finding("corrupt", "z.jpg", "not a picture", "error")])
    assert [one.severity for one in found] == sorted(
        (one.severity for one in found), key=("error", "warning", "note").index
    )
    assert {one.kind for one in found} == {
        "corrupt", "leak", "label-conflict", "imbalance", "tiny-class", "duplicate", "near-duplicate",
        "small-picture",
    }  # fmt: skip
    shuffled = [found[row] for row in np.random.default_rng(0).permutation(len(found))]
    assert ordered(shuffled) == found
    assert audited(examples, [near(3, 4), same(1, 100), near(0, 99)], side_px=30) == found[1:]


def test_ten_thousand_copies_are_told_in_a_few_lines() -> None:
    examples = examples_of("a" * 10_000 + "b" * 2_000, "tj" * 6_000)
    twins = [same(0, row) for row in range(1, 10_000)]
    found = audited(examples, twins)
    assert sum(one.kind == "duplicate" for one in found) == 1
    leaks = [one for one in found if one.kind == "leak"]
    assert len(leaks) == 5_000
    assert all(one.others[0] == "a/000.jpg" and len(one.others) == SHOWN for one in leaks)


def test_leaked_rows_are_those_of_a_search_by_hand() -> None:
    rng = np.random.default_rng(0)
    parts = tuple(rng.choice(["train", "val", "test"], 200).tolist())
    numbers = rng.integers(0, 120, 200)
    found = leaked_rows(Split(parts, dealt=False), numbers)
    expected = [
        row
        for row in range(200)
        if parts[row] == "test"
        and any(parts[other] != "test" and numbers[other] == numbers[row] for other in range(200))
    ]
    assert found.tolist() == expected
    assert 0 < len(expected) < parts.count("test")
    assert leaked_rows(Split(("train", "test"), dealt=True), np.array([0, 1])).tolist() == []


def test_leaks_and_leaked_rows_tell_of_the_same_pictures() -> None:
    rng = np.random.default_rng(2)
    examples = examples_of("ab" * 60, "".join(rng.choice(list("ttj"), 120)))
    pairs = {tuple(sorted(pair)) for pair in rng.choice(120, (25, 2)).tolist() if pair[0] != pair[1]}
    used, alone = set(), []
    for i, j in sorted(pairs):  # pairs apart from each other: chains join groups, but are no evidence
        if not {i, j} & used:
            used |= {i, j}
            alone.append(near(i, j))
    told = {one.path for one in audited(examples, alone) if one.kind == "leak"}
    split = Split(tuple("train" if part == "" else part for part in examples.parts), dealt=False)
    rows = leaked_rows(split, groups(120, alone, examples.groups))
    assert told == {examples.paths[row] for row in rows}
    assert told


def test_empty_classes_are_no_imbalance() -> None:
    examples = replace(examples_of(PLAIN), classes=("a", "b", "none"))
    assert [(one.kind, one.path) for one in audited(examples)] == [("tiny-class", "none")]
