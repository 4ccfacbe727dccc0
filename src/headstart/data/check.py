"""The audit: what twins, counts and sizes mean for somebody who wants to trust a score. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

import numpy as np

from headstart.data.duplicates import Twin, joined
from headstart.data.walk import shown
from headstart.errors import NoData
from headstart.values import Examples, Finding, Ints, Kind, Part, Pictures, Severity, Split

IMBALANCED = 10  # largest class over smallest
FEW = 10  # all ten right would still leave a recall between 0.72 and 1, with 95 % confidence (Wilson)
SHOWN = 20  # files or classes that one finding names
ORDER: tuple[Part, ...] = ("train", "val", "test")


def corrupt(examples: Examples, reasons: Mapping[int, str]) -> list[Finding]:
    """One finding for each of the `examples` that could not be read, by position, with the reason.

    Raises:
        NoData: it is all of them.
    """
    found = [Finding("corrupt", shown(examples.paths[at]), why, "error") for at, why in reasons.items()]
    if len(found) == len(examples):
        raise NoData(
            f"none of the {len(found)} files can be read. First: {found[0].path}: {found[0].message}"
        )
    return found


def audit(examples: Examples, pictures: Pictures, twins: Iterable[Twin], *, size_px: int) -> list[Finding]:
    """What is wrong with readable, labelled pictures, in the order of `ordered`.

    Equal files and near-duplicates are one finding per set of them; a leak is one finding per picture that
    has a twin, or a member of its group, in a part that is learnt from or judged by earlier (train before val
    before test), in parts that the user brought. Two labels on one picture are one finding per set, beside
    the others. Balance and size are one finding each.

    Args:
        examples: The pictures that can be read, [n].
        pictures: Their sizes, [n].
        twins: Pairs among them, as `duplicates.find` gives them.
        size_px: Side of the square that the network gets.
    """
    twins = list(twins)
    found = [
        *_duplicates(examples, [twin for twin in twins if twin.exact], "duplicate"),
        *_duplicates(examples, [twin for twin in twins if not twin.exact], "near-duplicate"),
        *_conflicts(examples, twins),
        *_leaks(examples, twins),
        *_torn_groups(examples),
        *_balance(examples),
        *_small(examples, pictures, size_px),
    ]
    return ordered(found)


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, warnings, notes; within them by kind, path and message. Suspicious labels stay as they come."""
    severities, kinds = get_args(Severity), get_args(Kind)
    return sorted(
        findings,
        key=lambda one: (
            severities.index(one.severity),
            kinds.index(one.kind),
            # suspects come as they were ranked, most suspicious first
            () if one.kind == "label-suspect" else (one.path, one.message, one.others),
        ),
    )


def learnt_before(examples: Examples, rows: Ints, name: str) -> list[Finding]:
    """A warning about the pictures to learn from, at `rows`, that the network has learnt from before."""
    if not len(rows):
        return []
    path, *others = (examples.paths[int(row)] for row in rows)
    message = (
        f"{len(rows)} of the pictures to learn from, or twins of theirs, were learnt from by {name} before: "
        "it knows them by heart, and what rests on them is too sure (head, probabilities, sets, suspects). "
        "The test part is not touched by that"
    )
    return [Finding("leak", path, message, "warning", _few(others))]


def leaked_rows(split: Split, groups: Ints) -> Ints:
    """Rows of the test part with a member of their group in train or val, ascending."""
    seen = np.concatenate([groups[split.rows("train")], groups[split.rows("val")]])
    test = split.rows("test")
    found: Ints = test[np.isin(groups[test], seen)]
    return found


def _duplicates(examples: Examples, twins: Sequence[Twin], kind: Kind) -> list[Finding]:
    """One note per set of pictures that are one."""
    found = []
    for rows, links in _sets(len(examples), twins):
        path, *others = (examples.paths[row] for row in rows)
        if kind == "duplicate":
            message = f"{len(rows)} files with the same content"
        else:
            message = f"{len(rows)} files of the same picture: {_evidence(links)}"
        found.append(Finding(kind, path, message, "note", _few(others)))
    return found


def _conflicts(examples: Examples, twins: Sequence[Twin]) -> list[Finding]:
    """One warning per set of twins that carries more than one label."""
    labels, crossing = examples.labels, []
    for _, links in _sets(len(examples), [twin for twin in twins if twin.exact]):
        rows = sorted({row for twin in links for row in (twin.i, twin.j)})
        if len(set(labels[rows].tolist())) > 1:
            crossing += links
    crossing += [twin for twin in twins if not twin.exact and labels[twin.i] != labels[twin.j]]
    found = []
    for rows, links in _sets(len(examples), crossing):
        path, *others = (examples.paths[row] for row in rows)
        counts = Counter(examples.classes[label] for label in labels[rows])
        names = ", ".join(f"{name!r} ({counts[name]})" for name in sorted(counts))
        message = f"the same picture under {len(counts)} labels: {names}; {_evidence(links)}"
        found.append(Finding("label-conflict", path, message, "warning", _few(others)))
    return found


def _leaks(examples: Examples, twins: Sequence[Twin]) -> list[Finding]:
    """One warning per picture with a twin in an earlier part; the most alike is the evidence."""
    parts = examples.parts
    content = joined(len(examples), ((twin.i, twin.j) for twin in twins if twin.exact)).tolist()
    held = defaultdict(list)  # what is a twin of one file is a twin of all with its content
    for row, part in enumerate(parts):
        held[content[row], part].append(row)
    near = defaultdict(list)
    for twin in sorted(twins, key=lambda twin: -twin.likeness):
        if not twin.exact:
            near[content[twin.i]].append((twin, content[twin.j]))
            near[content[twin.j]].append((twin, content[twin.i]))
    found = []
    for row, part in enumerate(parts):
        earlier = ORDER[: ORDER.index(part)] if part else ()
        same = [other for before in earlier for other in held[content[row], before][: SHOWN + 1]]
        like = [
            (twin, other)
            for twin, one in near[content[row]]
            for before in earlier
            for other in held[one, before][: SHOWN + 1]
        ]
        others = dict.fromkeys([*same, *(other for _, other in like)])
        if others:
            first = next(iter(others))
            why = "same file" if same else _evidence([like[0][0]])
            message = f"in {part}, and in {parts[first]} as {examples.paths[first]}: {why}"
            paths = [examples.paths[other] for other in others]
            found.append(Finding("leak", examples.paths[row], message, "warning", _few(paths)))
    return found


def _torn_groups(examples: Examples) -> list[Finding]:
    """One warning per group of the user's that he spread over several parts himself."""
    rows = defaultdict(list)
    for row, (group, part) in enumerate(zip(examples.groups, examples.parts, strict=True)):
        if group and part:
            rows[group].append(row)
    found = []
    for group, own in sorted(rows.items()):
        counts = Counter(examples.parts[row] for row in own)
        if len(counts) > 1:
            own.sort(key=lambda row: (-ORDER.index(examples.parts[row]), examples.paths[row]))
            path, *others = (examples.paths[row] for row in own)
            names = ", ".join(f"{part} ({counts[part]})" for part in ORDER if counts[part])
            message = f"group {group!r} is spread over the parts {names}"
            found.append(Finding("leak", path, message, "warning", _few(others)))
    return found


def _balance(examples: Examples) -> list[Finding]:
    """Classes with many times the pictures of others, and classes too small to be judged."""
    counts = np.bincount(examples.labels, minlength=len(examples.classes)).tolist()
    by_size = sorted(zip(counts, examples.classes, strict=True))
    held = [(count, name) for count, name in by_size if count]
    found = []
    if held and held[-1][0] >= IMBALANCED * held[0][0]:
        (least, rare), (most, common) = held[0], held[-1]
        message = (
            f"class {common!r} has {most} pictures, {rare!r} has {least}: {most / least:.0f} times as many"
        )
        found.append(Finding("imbalance", rare, message, "warning", (common,)))
    small = [(count, name) for count, name in by_size if count < FEW]
    if small:
        least, rarest = small[0]
        which = f"class {rarest!r} has" if len(small) == 1 else f"{len(small)} classes have"
        fewest = f"{least}" if len(small) == 1 else f"{least} to {small[-1][0]}"
        message = f"{which} fewer than {FEW} pictures ({fewest}): too few to tell how well it is recognised"
        found.append(Finding("tiny-class", rarest, message, "warning", _few([name for _, name in small[1:]])))
    return found


def _small(examples: Examples, pictures: Pictures, size_px: int) -> list[Finding]:
    """Pictures that are enlarged more than twice before the network sees them."""
    short = np.minimum(pictures.widths, pictures.heights)
    rows = np.flatnonzero(2 * short < size_px)
    if not len(rows):
        return []
    path, *others = (examples.paths[row] for row in rows)
    message = (
        f"{len(rows)} of {len(short)} pictures have a short side below {-(-size_px // 2)} pixels (typically "
        f"{int(np.median(short[rows]))}): the network gets {size_px}, so they are enlarged and look blurred"
    )
    return [Finding("small-picture", path, message, "note", _few(others))]


def _sets(n: int, twins: Sequence[Twin]) -> list[tuple[list[int], list[Twin]]]:
    """Rows that the pairs hold together, and the pairs that do, by first row."""
    numbers = joined(n, ((twin.i, twin.j) for twin in twins))
    links = defaultdict(list)
    for twin in twins:
        links[int(numbers[twin.i])].append(twin)
    return sorted((sorted({row for twin in own for row in (twin.i, twin.j)}), own) for own in links.values())


def _evidence(twins: Sequence[Twin]) -> str:
    """What shows that they are twins; ranges where there are several pairs."""
    near = [twin for twin in twins if not twin.exact]
    if not near:
        return "same file"
    how = sorted({twin.how for twin in near})
    numbers = [("likeness", [twin.likeness for twin in near]), ("cosine", [twin.cosine for twin in near])]
    return ", ".join(["; ".join(how), *(f"{name} {_range(found)}" for name, found in numbers)])


def _range(numbers: Sequence[float]) -> str:
    low, high = f"{min(numbers):.2f}", f"{max(numbers):.2f}"
    return low if low == high else f"{low} to {high}"


def _few(others: Sequence[str]) -> tuple[str, ...]:
    return tuple(others[:SHOWN])
