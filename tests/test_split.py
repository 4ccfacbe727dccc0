"""Parts and folds are dealt out by content: laws over random pictures, groups and labels."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.split import deal, folds, read_split, write_split
from headstart.errors import Misuse, TooFewExamples
from headstart.values import Examples, Ints, Part, Split

seeds = st.integers(0, 2**32 - 1)
Case = tuple[Ints, Ints, list[str]]


def digests_of(names: Sequence[object]) -> list[str]:
    """A digest as files have, for each name."""
    return [hashlib.sha256(repr(name).encode()).hexdigest() for name in names]


def lonely(labels: Ints, salt: int = 0) -> Case:
    """Each picture its own group."""
    n = len(labels)
    return labels, np.arange(n), digests_of([(salt, row) for row in range(n)])


def make_case(seed: int, *, pure: bool) -> Case:
    """Random labels and groups of all sizes; in `pure` ones each group holds one class."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 150))
    groups = rng.integers(0, rng.integers(1, n + 1), n)
    if rng.random() < 0.3:
        groups[rng.random(n) < 0.5] = 0  # a giant
    k = int(rng.integers(1, 7))
    labels = groups * 7 % k if pure else rng.integers(0, k, n)
    return labels, groups, digests_of([(seed, row) for row in range(n)])


def is_test(case: Case, seed: int, share: float = 0.2) -> np.ndarray:
    return np.array(deal(*case, seed=seed, share=share).parts) == "test"


def groups_of(case: Case, label: int) -> set[int]:
    return set(case[1][case[0] == label].tolist())


def take(case: Case, rows: Ints) -> Case:
    labels, groups, digests = case
    return labels[rows], groups[rows], [digests[row] for row in rows]


# laws that parts and folds share


@given(seeds, st.booleans(), st.integers(0, 9))
def test_order_and_group_numbers_do_not_matter(seed: int, pure: bool, deal_seed: int) -> None:
    case = make_case(seed, pure=pure)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(case[0]))
    labels, groups, digests = take(case, order)
    renamed = (labels, rng.permutation(1000)[groups], digests)
    np.testing.assert_array_equal(is_test(renamed, deal_seed), is_test(case, deal_seed)[order])
    if len(set(groups.tolist())) >= 2:
        wanted = folds(*case, 2, seed=deal_seed)[order]
        np.testing.assert_array_equal(folds(*renamed, 2, seed=deal_seed), wanted)


@given(seeds, st.booleans(), st.integers(2, 6), st.floats(0.05, 0.6))
def test_no_group_straddles(seed: int, pure: bool, k: int, share: float) -> None:
    case = make_case(seed, pure=pure)
    parts = is_test(case, 0, share)
    for group in set(case[1].tolist()):
        assert len(set(parts[case[1] == group])) == 1
    if len(set(case[1].tolist())) >= k:
        found = folds(*case, k, seed=0)
        assert set(found.tolist()) <= set(range(k))
        for group in set(case[1].tolist()):
            assert len(set(found[case[1] == group])) == 1


@given(seeds)
def test_equal_content_never_straddles_even_in_different_groups(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 60
    digests = digests_of(rng.integers(0, 100, n).tolist())
    case = rng.integers(0, 3, n), rng.integers(0, 200, n), digests
    parts, found = is_test(case, 1, 0.4), folds(*case, 2, seed=1)
    for digest in set(digests):
        rows = [row for row in range(n) if digests[row] == digest]
        assert len(set(parts[rows])) == len(set(found[rows])) == 1


def test_the_seed_decides_and_decides_the_same_again() -> None:
    case = lonely(np.arange(300) % 3)
    parts = [is_test(case, seed).tobytes() for seed in range(10)]
    dealt = [folds(*case, 5, seed=seed).tobytes() for seed in range(10)]
    assert len(set(parts)) == len(set(dealt)) == 10
    assert parts == [is_test(case, seed).tobytes() for seed in range(10)]
    assert dealt == [folds(*case, 5, seed=seed).tobytes() for seed in range(10)]


def test_every_picture_is_tested_under_some_seed_and_about_equally_often() -> None:
    case = lonely(np.arange(100) % 4)
    often = sum(is_test(case, seed).astype(int) for seed in range(400)) / 400
    assert np.abs(often - 0.2).max() < 0.09  # 4.5 standard deviations of a fair share


def test_a_digest_is_wanted() -> None:
    labels, groups = np.array([0, 1, 0]), np.arange(3)
    with pytest.raises(Misuse, match="example 1 has no content digest"):
        deal(labels, groups, ["a", "", "c"], seed=0)
    with pytest.raises(Misuse, match="example 1 has no content digest"):
        folds(labels, groups, ["a", "", "c"], 2, seed=0)


# deal


def test_the_parts_of_this_seed_are_these_on_every_machine() -> None:
    case = lonely(np.arange(20) % 2)
    order = sorted(range(20), key=lambda row: hashlib.sha256(f"0:{case[2][row]}".encode()).hexdigest())
    first_two = [[row for row in order if row % 2 == label][:2] for label in (0, 1)]
    assert deal(*case, seed=0).rows("test").tolist() == sorted(first_two[0] + first_two[1]) == [0, 5, 11, 16]


@given(seeds, st.integers(0, 5), st.floats(0.05, 0.5))
def test_lonely_pictures_give_each_class_its_rounded_share(seed: int, deal_seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(6), rng.integers(1, 60, 6))
    case = lonely(rng.permutation(labels), seed)
    parts = is_test(case, deal_seed, share)
    for label, size in enumerate(np.bincount(labels)):
        count = parts[case[0] == label].sum()
        assert count < size
        if size >= 5:
            assert count >= 1
            assert abs(count - share * size) <= 0.5 or count == 1


@given(seeds, st.booleans(), st.integers(0, 5))
def test_each_class_keeps_a_group_in_train_and_a_large_one_is_tested(
    seed: int, pure: bool, deal_seed: int
) -> None:
    case = make_case(seed, pure=pure)
    parts = is_test(case, deal_seed)
    for label in set(case[0].tolist()):
        mine, all_groups = parts[case[0] == label], groups_of(case, label)
        assert not mine.all()
        if len(all_groups) < 2:
            assert not mine.any()
        elif pure and len(mine) >= 5:
            assert mine.any()


def test_groups_bring_a_class_near_its_share() -> None:
    gaps = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(200), rng.integers(1, 8, 200))
        case = groups % 4, groups, digests_of([(seed, row) for row in range(len(groups))])
        parts = is_test(case, seed)
        gaps += [abs(parts[case[0] == c].sum() - 0.2 * (case[0] == c).sum()) for c in range(4)]
    assert max(gaps) < 1.5  # of pictures, in groups of up to seven


def test_a_giant_group_stays_in_train_and_the_others_are_still_dealt() -> None:
    labels = np.zeros(200, dtype=np.int64)
    groups = np.r_[np.zeros(120, dtype=np.int64), np.arange(1, 81)]
    for seed in range(20):
        parts = is_test((labels, groups, digests_of(range(200))), seed)
        assert not parts[:120].any()
        assert parts.sum() == 40


def test_a_group_that_overshoots_is_taken_where_that_is_nearer() -> None:
    labels, groups = np.zeros(24, dtype=np.int64), np.arange(24) // 3
    for seed in range(5):  # 4.8 wanted: six are nearer than three
        assert is_test((labels, groups, digests_of(range(24))), seed).sum() == 6


def test_two_giants_still_give_a_test_part_and_the_smaller_one_goes() -> None:
    labels = np.zeros(110, dtype=np.int64)
    groups = np.repeat([0, 1], [60, 50])
    for seed in range(5):
        np.testing.assert_array_equal(is_test((labels, groups, digests_of(range(110))), seed), groups == 1)


def test_the_only_group_of_a_class_holds_back_the_others_in_it() -> None:
    labels = np.r_[np.zeros(30, dtype=np.int64), 1]
    groups = np.r_[np.arange(30), 0]  # group 0 holds the only picture of class 1
    for seed in range(30):
        parts = is_test((labels, groups, digests_of(range(31))), seed)
        assert not parts[[0, 30]].any()
        assert parts.sum() == 6


def test_groups_of_several_classes_count_for_each() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 300, 900)
    labels = rng.integers(0, 3, 900)
    case = labels, groups, digests_of(range(900))
    for seed in range(10):
        parts = is_test(case, seed)
        for label in range(3):
            assert abs(parts[labels == label].sum() - 0.2 * (labels == label).sum()) < 1.5


def moved_by_ten_more(seed: int, classes: int, groups: Ints | None = None) -> int:
    """How many of a thousand pictures change part when ten are added."""
    rng = np.random.default_rng(seed)
    groups = np.arange(1010) if groups is None else groups
    case = rng.permutation(1010)[groups] % classes, groups, digests_of([(seed, i) for i in range(1010)])
    before, after = is_test(take(case, np.arange(1000)), seed), is_test(case, seed)[:1000]
    return int((before != after).sum())


def test_ten_more_pictures_move_few_of_a_thousand() -> None:
    assert max(moved_by_ten_more(seed, 10) for seed in range(20)) <= 10
    assert max(moved_by_ten_more(seed, 100) for seed in range(20)) <= 20


def test_ten_more_pictures_in_groups_move_few_of_a_thousand() -> None:
    moved = [moved_by_ten_more(s, 10, np.random.default_rng(s).integers(0, 600, 1010)) for s in range(20)]
    assert np.mean(moved) <= 12
    assert max(moved) <= 25


def test_a_shuffle_by_position_would_have_moved_many() -> None:
    rng_before, rng_after = np.random.default_rng(0), np.random.default_rng(0)
    before, after = rng_before.permutation(1000)[:200], rng_after.permutation(1010)[:202]
    assert len(np.setxor1d(before, after[after < 1000])) > 100


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2, 20.0])
def test_the_share_must_be_one(share: float) -> None:
    with pytest.raises(Misuse, match="between 0 and 1"):
        deal(*lonely(np.zeros(9, dtype=np.int64)), seed=0, share=share)


# folds


@given(seeds, st.integers(2, 10))
def test_folds_of_lonely_pictures_are_even_in_each_class_and_altogether(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(5), rng.integers(1, 30, 5))
    labels = np.r_[labels, np.zeros(max(0, k - len(labels)), dtype=np.int64)]
    case = lonely(rng.permutation(labels), seed)
    found = folds(*case, k, seed=seed)
    assert np.ptp(np.bincount(found, minlength=k)) <= 1
    for label in range(5):
        assert np.ptp(np.bincount(found[case[0] == label], minlength=k)) <= 1


@given(seeds, st.integers(2, 6))
def test_each_class_of_two_groups_has_members_outside_each_fold(seed: int, k: int) -> None:
    case = make_case(seed, pure=True)
    if len(set(case[1].tolist())) < k:
        return
    found = folds(*case, k, seed=seed)
    for label in set(case[0].tolist()):
        if len(groups_of(case, label)) >= 2:
            assert len(set(found[case[0] == label])) >= 2


def test_a_conflicting_group_does_not_drag_a_class_into_one_fold() -> None:
    # the last group of class 0 also holds class 1, which would rather have it beside the first
    groups = np.repeat([0, 1, 2, 3], [9, 8, 3, 1])
    labels = np.r_[np.zeros(9, dtype=np.int64), np.ones(8, dtype=np.int64), [0, 1, 1], 1]
    for seed in range(20):
        found = folds(labels, groups, digests_of([(seed, i) for i in range(21)]), 2, seed=seed)
        assert len(set(found[labels == 0])) == len(set(found[labels == 1])) == 2


def test_folds_of_groups_are_about_even() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(120), rng.integers(1, 9, 120))
        labels = groups % 3
        found = folds(labels, groups, digests_of([(seed, i) for i in range(len(groups))]), 5, seed=seed)
        for label in range(3):
            assert np.ptp(np.bincount(found[labels == label], minlength=5)) <= 2


def test_small_classes_are_spread_over_all_folds() -> None:
    case = lonely(np.repeat(np.arange(50), 2))
    assert np.bincount(folds(*case, 5, seed=0)).tolist() == [20] * 5


def test_folds_refuse_what_cannot_be() -> None:
    case = lonely(np.zeros(3, dtype=np.int64))
    with pytest.raises(Misuse, match="at least 2"):
        folds(*case, 1, seed=0)
    with pytest.raises(TooFewExamples, match="4 groups"):
        folds(*case, 4, seed=0)


# split.csv


def make_examples(paths: Sequence[str], classes: tuple[str, ...] = ("ant", "bee")) -> Examples:
    n = len(paths)
    return Examples(
        root=Path("photos"),
        paths=tuple(paths),
        labels=np.arange(n) % len(classes),
        classes=classes,
        groups=("",) * n,
        parts=("",) * n,
        digests=tuple(digests_of(paths)),
    )


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
raw_names = st.binary(min_size=1, max_size=8).map(
    lambda raw: raw.replace(b"\0", b"_").decode("utf-8", "surrogateescape")
)


@settings(max_examples=60)
@given(st.lists(texts | raw_names, unique=True, max_size=8), texts, st.data())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str], name: str, data: st.DataObject
) -> None:
    examples = make_examples(paths, ('a,"b"\r', name))
    parts = tuple(data.draw(st.sampled_from(["train", "val", "test"])) for _ in paths)
    file = tmp_path_factory.mktemp("split") / "split.csv"
    write_split(file, examples, np.arange(len(paths)), Split(parts, dealt=True))
    back = read_split(file, examples)
    assert back.parts == parts
    assert not back.dealt
    by_path = read_split(file, replace(examples, digests=tuple(digests_of(range(len(paths))))))
    assert by_path.parts == parts
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        rows = list(csv.reader(lines))
    assert rows[0] == ["path", "digest", "label", "group", "part"]
    assert [row[0] for row in rows[1:]] == paths
    assert [row[2] for row in rows[1:]] == [examples.classes[label] for label in examples.labels]


def test_the_table_is_plain_to_read(tmp_path: Path) -> None:
    examples = replace(make_examples(["a/ä.jpg", "b/x, y.jpg"]), digests=("d0", "d1"))
    write_split(tmp_path / "s.csv", examples, np.array([7, 8]), Split(("train", "test"), dealt=True))
    wanted = 'path,digest,label,group,part\na/ä.jpg,d0,ant,7,train\n"b/x, y.jpg",d1,bee,8,test\n'
    assert (tmp_path / "s.csv").read_bytes().decode() == wanted


def read(tmp_path: Path, text: str, examples: Examples) -> tuple[Part, ...]:
    (tmp_path / "given.csv").write_bytes(text.encode())
    return read_split(tmp_path / "given.csv", examples).parts


def test_content_goes_before_path(tmp_path: Path) -> None:
    examples = make_examples(["a.jpg", "b.jpg"])
    d0, d1 = examples.digests
    swapped = f"path,digest,part\nb.jpg,{d0},test\na.jpg,{d1},train\n"
    assert read(tmp_path, swapped, examples) == ("test", "train")
    moved = f"part,digest\ntest,{d1}\ntrain,{d0}\ntest,unheard-of\n"
    assert read(tmp_path, moved, examples) == ("train", "test")
    unread = replace(examples, digests=("", ""))
    assert read(tmp_path, "path,digest,part\na.jpg,,train\nb.jpg,,test\n", unread) == ("train", "test")


def test_a_copy_in_two_parts_is_told_apart_by_its_path(tmp_path: Path) -> None:
    examples = replace(make_examples(["a.jpg", "b.jpg"]), digests=("same", "same"))
    both = "path,digest,part\na.jpg,same,train\nb.jpg,same,test\n"
    assert read(tmp_path, both, examples) == ("train", "test")
    with pytest.raises(Misuse, match=r"no single part for 2 of 2 pictures; first: c\.jpg"):
        read(tmp_path, both, replace(examples, paths=("c.jpg", "d.jpg")))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_tables_of_other_programs_are_read(tmp_path: Path, newline: str, mark: str) -> None:
    lines = [
        "part,path,extra",
        "Valid,a.jpg,1",
        '" validation ",b.jpg,2',
        "",
        "TRAIN,c.jpg,3",
        "test,d.jpg,4",
        "",
    ]
    examples = make_examples(["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    assert read(tmp_path, mark + newline.join(lines), examples) == ("val", "val", "train", "test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns are: none"),
        ("path,split\na.jpg,test\n", "needs a column 'part'"),
        ("part\ntest\n", "one of 'digest' and 'path'"),
        ("path,part\nb.jpg,test\na.jpg,holdout\n", "line 3: the part is 'holdout'"),
        ("path,part\na.jpg\n", "line 2: the part is ''"),
        ("path,part\nz.jpg,test\n", r"no single part for 1 of 1 pictures; first: a\.jpg"),
        ("path,part\na.jpg,test\na.jpg,train\n", r"no single part for 1 of 1"),
        ('path,part\n"' + "x" * 200_000 + '",test\n', "cannot be read as a table"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Misuse, match=message):
        read(tmp_path, text, make_examples(["a.jpg"]))


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"given\.csv cannot be read"):
        read_split(tmp_path / "given.csv", make_examples(["a.jpg"]))
    with pytest.raises(OSError, match="given"):
        write_split(tmp_path / "no" / "given.csv", make_examples([]), np.arange(0), Split((), dealt=True))
