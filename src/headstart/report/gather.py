"""What a report shows, taken from what `train` has in hand at its end."""

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from typing import Any

import numpy as np

from headstart.backbones import source
from headstart.evaluate import confusion
from headstart.files import digest_bytes
from headstart.heads import one_thread_each
from headstart.heads._choose import Fitted
from headstart.modalities.image import LIMIT_PX
from headstart.model.model import Model
from headstart.report.layout import layout
from headstart.report.material import Answered, Judged, Material
from headstart.report.rungs import kept
from headstart.report.thumbs import thumbs
from headstart.trust.evidence import counted
from headstart.values import Doubles, Examples, Features, Floats, Ints, Split

TOP = 5  # of the source network's guesses
ANSWERS = 3  # of the model
WORST = 12  # mistakes that are shown with their nearest training pictures
NEAREST = 3
ON_MAP = 400
LISTED = 3000  # judged pictures that the page knows by name
EACH_CLASS, SHEET = 6, 96  # pictures of a class on the contact sheet, and of all
SETS, IN_SET = 12, 4  # findings whose pictures are shown, and pictures of each
SUSPECTS, STRANGEST, GROUPS, IN_GROUP, TOLD, WRONG = 24, 8, 4, 6, 12, 4
LIBRARIES = ("numpy", "openvino", "pillow", "scikit-learn", "timm", "torch")


def answered(fitted: Fitted, features: Features, split: Split, leaked: Ints) -> Answered:
    """The pictures that count, as `trust` judges them."""
    found = counted(fitted, features, split, leaked)
    return Answered(found.rows, found.probabilities)


def gather(  # noqa: PLR0913  all that `train` has at its end
    model: Model,
    features: Features,
    examples: Examples,
    split: Split,
    found: Answered,
    *,
    limit_px: int = LIMIT_PX,
    libraries: Mapping[str, str],
) -> Material:
    """The material of a report, but for the heat maps.

    Pictures are decoded only where they are shown, a few hundred at most.
    """
    rows, probabilities, shown = _listed(features.y, found)
    last = features.last()
    asked, before = found.source or (model.backbone, last)
    own = source.guesses(asked, before[rows])
    train = split.rows("train")
    near = _nearest(features, rows, surest_wrong(features.y[rows], probabilities), train)
    is_new = split.parts and bool(len(rows)) and split.parts[int(rows[0])] == "test"
    strange = model.answer(features.x[rows]).unknown_score if is_new else None
    judged = tuple(
        Judged(
            examples.paths[int(row)],
            int(features.y[row]),
            _best(probabilities[at]),
            _named(own, at),
            tuple(examples.paths[int(i)] for i in near.get(at, ())),
            float(strange[at]) if strange is not None else None,
        )
        for at, row in enumerate(rows)
    )
    with one_thread_each():
        places = layout(last[rows[shown]]) if len(shown) else np.zeros((0, 2))
    mapped = tuple((int(at), float(x), float(y)) for at, (x, y) in zip(shown, places, strict=True))
    known = {
        path: (int(label), part)
        for path, label, part in zip(examples.paths, features.y, split.parts, strict=True)
    }
    files = dict(zip(examples.paths, examples.files(), strict=True))
    wanted = _wanted(model.report, judged, known, [at for at, _, _ in mapped])
    return Material(
        report=model.report,
        classes=model.classes,
        infos=model.infos,
        backbone=model.backbone,
        known=known,
        counts=Counter(zip(features.y.tolist(), split.parts, strict=True)),
        judged=judged,
        confusion=confusion(features.y[found.rows], found.probabilities.argmax(1), len(model.classes)),
        silence="" if own is not None else source.silence(asked),
        map=mapped,
        ladder=kept(features),
        thumbs=thumbs(wanted, files, model.backbone.preprocess, limit_px=limit_px),
        heats={},
        facts=_facts(model, libraries),
    )


def here() -> dict[str, str]:
    """Versions of the libraries that take part, as installed now; those that are absent are left out."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _listed(y: Ints, found: Answered) -> tuple[Ints, Doubles, Ints]:
    """As many as the page can hold, in the order of the rows, and which of them stand on the map.

    First those of the map, which shows mistakes in their true proportion; then all mistakes; then others.
    """
    wrong = found.probabilities.argmax(1) != y[found.rows]
    mapped = np.isin(np.arange(len(wrong)), _on_map(y[found.rows]))
    chosen = np.sort(np.lexsort((~wrong, ~mapped))[:LISTED])
    return found.rows[chosen], found.probabilities[chosen], np.flatnonzero(mapped[chosen])


def surest_wrong(y: Ints, probabilities: Doubles) -> Ints:
    """Positions of the surest wrong answers, the surest first."""
    wrong = np.flatnonzero(probabilities.argmax(1) != y)
    return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:WORST]


def _nearest(features: Features, rows: Ints, at: Ints, train: Ints) -> dict[int, Ints]:
    """For some positions in `rows` the most alike training pictures that are not their twins."""
    if not len(at) or not len(train):
        return {}

    def unit(of: Ints) -> Floats:
        x = features.last()[of].astype(np.float32)
        found: Floats = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        return found

    cosine = unit(rows[at]) @ unit(train).T
    cosine[features.groups[rows[at]][:, None] == features.groups[train][None]] = -np.inf
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :NEAREST]
    return {int(one): train[own] for one, own in zip(at, order, strict=True)}


def _best(row: Doubles) -> tuple[tuple[int, float], ...]:
    order = np.argsort(-row, kind="stable")[:ANSWERS]
    return tuple((int(c), float(row[c])) for c in order)


def _named(own: source.Guesses | None, at: int) -> tuple[tuple[str, float], ...]:
    if own is None:
        return ()
    row = own.probabilities[at]
    order = np.argsort(-row, kind="stable")[:TOP]
    return tuple((own.names[int(c)], float(row[c])) for c in order)


def _on_map(y: Ints) -> Ints:
    """Which judged pictures stand on the map: of each class about its share, the first ones."""
    if len(y) <= ON_MAP:
        return np.arange(len(y), dtype=np.int64)
    place = np.zeros(len(y))
    for label in np.unique(y):
        own = np.flatnonzero(y == label)
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    return np.sort(np.argsort(place, kind="stable")[:ON_MAP])


def _wanted(
    report: dict[str, Any],
    judged: tuple[Judged, ...],
    known: Mapping[str, tuple[int, str]],
    mapped: list[int],
) -> Iterator[str]:
    """Paths whose pictures the page would show, the most needed first."""
    wrong = sorted(
        (one for one in judged if not one.is_right), key=lambda one: (not one.near, -one.answers[0][1])
    )
    for one in wrong[:WORST]:  # those with neighbours
        yield one.path
        yield from one.near
    yield from (one.path for one in before_after(judged))
    trust = report.get("trust") or {}
    for finding in with_pictures(report):
        yield from [finding["path"], *finding.get("others", [])][:IN_SET]
    yield from (row["path"] for row in (trust.get("suspects") or {"rows": []})["rows"][:SUSPECTS])
    for group in (trust.get("weak") or [])[:GROUPS]:
        yield from group["paths"][:IN_GROUP]
    yield from (one.path for one in strangest(judged))
    yield from sheet(known)
    yield from (one.path for one in wrong[WORST:])
    yield from (judged[at].path for at in mapped)


def with_pictures(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Findings whose pictures stand side by side on the page, a few of each kind."""
    kinds = ("label-conflict", "leak", "duplicate", "near-duplicate", "small-picture")
    own = [[one for one in report["data"]["findings"] if one["kind"] == kind] for kind in kinds]
    return [one for found in own for one in found[: SETS // 4]][:SETS]


def before_after(judged: tuple[Judged, ...]) -> list[Judged]:
    """Pictures for the comparison with the source network: right ones of every class, and some mistakes."""
    if not any(one.guesses for one in judged):
        return []
    own: dict[int, list[Judged]] = {}
    for one in judged:
        if one.is_right:
            own.setdefault(one.truth, []).append(one)
    mistakes = [one for one in judged if not one.is_right]
    few = min(WRONG, len(mistakes))
    wrong = [mistakes[at * len(mistakes) // few] for at in range(few)]  # from all classes
    room = TOLD - len(wrong)
    first = [own[label][0] for label in sorted(own)]
    if len(first) > room:
        return [*(first[at * len(first) // room] for at in range(room)), *wrong]
    rounds = [one for found in zip_longest(*(own[label] for label in sorted(own))) for one in found if one]
    return [*rounds[:room], *wrong]


def strangest(judged: tuple[Judged, ...]) -> list[Judged]:
    """Judged pictures that look least like anything learnt, the strangest first."""
    measured = [one for one in judged if one.strangeness is not None]
    return sorted(measured, key=lambda one: -(one.strangeness or 0))[:STRANGEST]


def sheet(known: Mapping[str, tuple[int, str]]) -> list[str]:
    """A few pictures of every class for the contact sheet, class by class; all parts take part.

    Of more classes than it has room for, every second, third … one.
    """
    own: dict[int, list[str]] = {}
    for path, (label, _) in known.items():
        own.setdefault(label, []).append(path)
    each = max(1, min(EACH_CLASS, SHEET // max(1, len(own))))
    labels = sorted(own)
    few = min(len(labels), SHEET)
    chosen = (labels[at * len(labels) // few] for at in range(few))
    return [path for label in chosen for path in own[label][:each]]


def _facts(model: Model, libraries: Mapping[str, str]) -> dict[str, str]:
    report, spec = model.report, model.backbone
    lines = "".join(f"{one.path}\0{one.digest}\0{one.part}\n" for one in model.manifest)
    return {
        "headstart": report["version"],
        "libraries": ", ".join(f"{name} {own}" for name, own in libraries.items() if own),
        "backbone": f"{spec.title} ({spec.name})",
        "weights": f"{spec.weights.file or 'drawn from a seed'}, SHA-256 {spec.weights.sha256}",
        "licence of the weights": spec.licence,
        "source": spec.citation,
        "features": f"{spec.depths[-1].stop:,} numbers a picture, digest {model.features}",
        "precision": f"{report.get('precision', '')} on {report.get('device', '')}",
        "head": f"{report['head']}, {report['choice']['depths']} depths, "
        f"penalty {report['choice']['penalty']:g}, temperature {model.temperature:.3f}",
        "seed": str(report.get("seed", 0)),
        "pictures and parts": f"SHA-256 {digest_bytes(lines.encode('utf-8', 'surrogateescape'))}",
    }
