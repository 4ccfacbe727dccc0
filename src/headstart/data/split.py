"""Which part each picture plays, dealt out by what the pictures are.

The order is that of a hash of the seed and the content of the files, never of their names, places or
positions: the same pictures and seed give the same parts on any machine, and a few more pictures move few of
the others. Groups are never torn; groups that hold the same content are one group.
"""

import csv
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.errors import Misuse, TooFewExamples
from headstart.values import Examples, Ints, Part, Split

SURE_OF_A_TEST = 5  # a class with this many pictures has at least one in the test part, groups permitting
COLUMNS = ("path", "digest", "label", "group", "part")
PARTS: dict[str, Part] = {
    "train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
}  # fmt: skip


@dataclass(frozen=True)
class _Pack:
    """What cannot be torn: the rows of one group, and how many pictures of each class they are."""

    key: bytes
    rows: tuple[int, ...]
    counts: dict[int, int]  # in the order of the classes


def deal(labels: Ints, groups: Ints, digests: Sequence[str], *, seed: int, share: float = 0.2) -> Split:
    """A train and a test part of pictures with `labels` [n], `groups` [n] and content `digests` [n].

    Stratified: each class gives its `share` (rounded; at least one picture of a class of five or more) to
    the test part. Groups are taken in the order of their hashes: first those that fit into what each of
    their classes still has to give, then those that overshoot and come nearer all the same. So a group more
    than twice as large as what is wanted stays in train; only a class that would have no test picture at
    all for that reason gives the group that fits best, however large. Every class keeps a group in train; a
    class of one group is wholly there.

    Raises:
        Misuse: `share` is not between 0 and 1, or a digest is missing.
    """
    if not 0 < share < 1:
        raise Misuse(f"the share of the test part must lie between 0 and 1, for example 0.2; got {share}.")
    packs = _packs(labels, groups, digests, seed)
    sizes = Counter(labels.tolist())
    wanted = {c: max(int(n >= SURE_OF_A_TEST), math.floor(share * n + 0.5)) for c, n in sizes.items()}
    missing = dict(wanted)
    in_train = Counter(c for pack in packs for c in pack.counts)
    test: set[bytes] = set()

    def take(pack: _Pack) -> None:
        test.add(pack.key)
        for c, count in pack.counts.items():
            missing[c] -= count
            in_train[c] -= 1

    def gain(pack: _Pack) -> int:
        # squares: one class far off is worse than several that are slightly off
        return sum(missing[c] ** 2 - (missing[c] - count) ** 2 for c, count in pack.counts.items())

    def is_free(pack: _Pack) -> bool:
        return pack.key not in test and all(in_train[c] > 1 for c in pack.counts)

    for pack in packs:
        if is_free(pack) and all(count <= missing[c] for c, count in pack.counts.items()):
            take(pack)
    for pack in packs:
        if is_free(pack) and gain(pack) > 0:
            take(pack)
    for c in sorted(sizes):
        if wanted[c] and missing[c] == wanted[c]:
            fitting = [pack for pack in packs if c in pack.counts and is_free(pack)]
            if fitting:
                take(max(fitting, key=gain))
    parts: list[Part] = ["train"] * len(labels)
    for pack in packs:
        if pack.key in test:
            for row in pack.rows:
                parts[row] = "test"
    return Split(tuple(parts), dealt=True)


def folds(labels: Ints, groups: Ints, digests: Sequence[str], k: int, *, seed: int) -> Ints:
    """The fold, 0 to k-1, of each picture [n], for cross-validation.

    Stratified: where every picture is its own group, the counts of a class in two folds differ by at most
    one, and so do the sizes of the folds. Large groups are dealt out first, each into the fold that has
    least of its classes, so that the small ones even out what they left. No fold gets all groups of a class
    of two groups or more; only where groups hold several classes can this be impossible.

    Raises:
        Misuse: `k` is below 2, or a digest is missing.
        TooFewExamples: fewer groups than folds.
    """
    if k < 2:
        raise Misuse(f"cross-validation needs at least 2 folds, got {k}.")
    packs = _packs(labels, groups, digests, seed)
    if len(packs) < k:
        raise TooFewExamples(
            f"{k} folds need at least {k} groups of pictures, there are {len(packs)}. Add pictures."
        )
    sizes = Counter(labels.tolist())
    waiting = Counter(c for pack in packs for c in pack.counts)
    held = {c: [0] * k for c in sizes}  # pictures of each class in each fold
    total = [0] * k
    found = np.empty(len(labels), dtype=np.int64)

    def cost(pack: _Pack, fold: int) -> tuple[int, float, int]:
        swallowed, crowd = 0, 0.0
        for c, count in pack.counts.items():
            swallowed += waiting[c] == 1 and 0 < held[c][fold] == sum(held[c])
            crowd += count * held[c][fold] / sizes[c]
        return swallowed, crowd, total[fold]

    for pack in sorted(
        packs, key=lambda pack: (-len(pack.rows), max(pack.counts, key=pack.counts.__getitem__))
    ):
        fold = min(range(k), key=lambda fold: cost(pack, fold))
        found[list(pack.rows)] = fold
        total[fold] += len(pack.rows)
        for c, count in pack.counts.items():
            held[c][fold] += count
            waiting[c] -= 1
    return found


def read_split(file: Path, examples: Examples) -> Split:
    """The parts that a table gives: CSV with a column `part` and one of `digest` and `path`, others ignored.

    A picture is looked up by its content; where that is not in the table, or stands in it under several
    parts, by its path. Parts: train, val (valid, validation), test. Rows of pictures that
    are not among `examples` are passed over.

    Raises:
        Misuse: the file cannot be read, lacks a column, names an unknown part, or leaves out a picture.
    """
    by_digest: defaultdict[str, set[Part]] = defaultdict(set)
    by_path: defaultdict[str, set[Part]] = defaultdict(set)
    for digest, path, part in _rows(file):
        if digest:
            by_digest[digest].add(part)
        if path:
            by_path[path].add(part)
    parts: list[Part] = []
    lost: list[str] = []
    for path, digest in zip(examples.paths, examples.digests, strict=True):
        known = by_digest.get(digest, set())
        if len(known) != 1:
            known = by_path.get(path, known)
        if len(known) == 1:
            parts.extend(known)
        else:
            lost.append(path)
    if lost:
        raise Misuse(
            f"{file} gives no single part for {len(lost)} of {len(examples)} pictures; first: {lost[0]}. "
            "Add a row for each, or leave --split out to have the parts dealt out."
        )
    return Split(tuple(parts), dealt=False)


def write_split(file: Path, examples: Examples, groups: Ints, split: Split) -> None:
    """Write `split.csv`: path, content digest, label (the class's name), group and part of each example.

    UTF-8, one line per picture; file names that are not UTF-8 keep their bytes.

    Raises:
        OSError: the file cannot be written.
    """
    labels = [examples.classes[label] for label in examples.labels]
    # Python before 3.13 does not quote a lone carriage return by itself
    lone_returns = any("\r" in text for text in (*examples.paths, *examples.classes))
    with file.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        writer = csv.writer(
            out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC if lone_returns else csv.QUOTE_MINIMAL
        )
        writer.writerow(COLUMNS)
        writer.writerows(
            zip(examples.paths, examples.digests, labels, groups.tolist(), split.parts, strict=True)
        )


def _packs(labels: Ints, groups: Ints, digests: Sequence[str], seed: int) -> list[_Pack]:
    """The groups, in the order of the hash of the seed and their smallest digest."""
    members: defaultdict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(_joined(groups.tolist(), digests)):
        members[group].append(row)
    packs, classes = [], labels.tolist()
    for rows in members.values():
        first = min(digests[row] for row in rows)
        key = hashlib.sha256(f"{seed}:{first}".encode()).digest()
        packs.append(_Pack(key, tuple(rows), dict(sorted(Counter(classes[row] for row in rows).items()))))
    return sorted(packs, key=lambda pack: pack.key)


def _joined(groups: Sequence[int], digests: Sequence[str]) -> list[int]:
    """Group numbers, after groups that share a digest became one."""
    if not all(digests):
        raise Misuse(f"example {list(digests).index('')} has no content digest; read the files first.")
    parent = {group: group for group in groups}

    def root(group: int) -> int:
        while parent[group] != group:
            parent[group] = group = parent[parent[group]]
        return group

    holder: dict[str, int] = {}
    for group, digest in zip(groups, digests, strict=True):
        parent[root(group)] = root(holder.setdefault(digest, group))
    return [root(group) for group in groups]


def _rows(file: Path) -> Iterable[tuple[str, str, Part]]:
    """Digest, path and part of each row of a table of parts."""
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            reader = csv.DictReader(lines)
            header = reader.fieldnames or ()
            if "part" not in header or not {"path", "digest"} & set(header):
                raise Misuse(
                    f"{file} needs a column 'part' and one of 'digest' and 'path'; its columns are: "
                    f"{', '.join(header) or 'none'}."
                )
            for row in reader:
                name = (row["part"] or "").strip().lower()
                if name not in PARTS:
                    raise Misuse(
                        f"{file}, line {reader.line_num}: the part is {name!r}; wanted: {', '.join(PARTS)}."
                    )
                yield row.get("digest") or "", row.get("path") or "", PARTS[name]
    except (OSError, csv.Error) as error:
        raise Misuse(f"{file} cannot be read as a table of parts: {error}.") from error
