"""The whole road on one page: a folder of pictures becomes an honest, saved classifier.

    scan -> extract -> twins and groups -> split -> choose and fit a head -> judge -> doubt -> save
                                                          └ train stages further, encode again ┘

Features are frozen: the backbone learns nothing from the pictures, so encoding them may precede the
split. Where stages are trained (`--tune`), they learn from the training part and are a new backbone.
Everything that is chosen (head, depths, penalty, temperature, thresholds, how deep to train) is chosen on
the training part; the test part is looked at in `_judge` alone, once for each model that is saved.
"""

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from headstart import backbones, heads, race
from headstart.data.check import leaked_rows, learnt_before, ordered
from headstart.data.facts import facts as facts_of
from headstart.data.fix import Fixes, apply, decided, read_fixes, written
from headstart.engines import Engine, open_engine
from headstart.errors import Misuse, OutputExists, TooFewExamples
from headstart.evaluate import judge, softmax
from headstart.features.extract import OnStep, quiet
from headstart.files import check_free, digest_bytes, digest_file, write_whole
from headstart.finetune.wish import NEVER, Material, OnEpoch, silent, wish
from headstart.heads._choose import Fitted, choose
from headstart.heads._cross_validate import cross_validate, frozen
from headstart.look import chosen, look_with, scan_all, seen_by
from headstart.modalities.image import LIMIT_PX
from headstart.model import folder as model_folder
from headstart.model.again import is_finished, same
from headstart.model.build import build
from headstart.model.model import Model
from headstart.race import ENOUGH
from headstart.report import remake, write
from headstart.trust import NOBODY, examine
from headstart.trust.evidence import Evidence, counted
from headstart.values import Evaluation, Examples, Features, Finding, Ints, Part, Spec, Split
from headstart.version import VERSION

if TYPE_CHECKING:
    from headstart.finetune.climb import Climb

BESIDE = ("out", "force", "on_step", "on_epoch")  # arguments of `train` that change nothing in the model
PARTS: tuple[Part, ...] = ("train", "val", "test")


def train(
    data: str | Path,
    *,
    out: str | Path | None = None,
    test: str | Path | None = None,
    split: str | Path | None = None,
    fix: str | Path | None = None,
    backbone: str = backbones.DEFAULT,
    weights: str | Path | None = None,
    head: str = "auto",
    tune: str | None = None,
    freeze_to: str | None = None,
    augment: str | None = None,
    epochs: int | None = None,
    budget_s: float = math.inf,
    seed: int = 0,
    device: str = "cpu",
    report: bool = True,
    force: bool = False,
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
    on_epoch: OnEpoch = silent,
) -> Model:
    """Learn a classifier from `data`, judge it honestly and save it to `out` (default: NAME-model).

    `backbone` is a name as `headstart backbones` explains it; its weights are fetched if they are not here,
    unless `weights` names a file of them; with `auto` those that are here race on the training part. `test`
    brings a test part of its own, `split` a table of parts, `fix` decisions about labels: an edited
    `suspects.csv`. `report` off leaves out what `trust` looks into.

    `tune` says how many stages of the network are trained further, from the fitted head: never (the usual),
    last, all, a number of last stages, or auto, which takes a depth only where it is better on pictures kept
    for that. `freeze_to` names the deepest stage that stays frozen instead. `augment` (none, light, strong),
    `epochs` (at most) and `budget_s` (seconds for tuning) bound it. A network from scratch is trained whole.
    `force` replaces a model that is there; the very model that would be made again is returned as it is, its
    report made anew where that was removed. The same data, options and machine give the same bits. While
    stages are trained, the model of the frozen network stands at `out`, if nothing else does; an interrupt
    (KeyboardInterrupt, which is raised again) replaces it by the best that was judged so far, where a test
    part can say how good that is. The same call goes on.

    Raises:
        NoData, Misuse: asked wrongly, see the message.
        OutputExists: there is something at `out` already.
        TooFewExamples: fewer than two classes, or nothing can be held out.
        StoreError, OutputError, DownloadError, WeightsError, UnknownName: see the messages.
    """
    begin = time.perf_counter()
    data, test = Path(data), Path(test) if test else None
    given = {
        "test": test, "split": split, "fix": fix, "backbone": backbone, "weights": weights, "head": head,
        "tune": tune, "freeze_to": freeze_to, "augment": augment, "epochs": epochs, "budget_s": budget_s,
        "seed": seed, "device": device, "report": report, "limit_px": limit_px,
    }  # fmt: skip
    out = Path(out) if out else default_out(data)
    if split is not None and not os.path.isfile(split):  # noqa: PTH113
        raise Misuse(f"there is no table of parts at {split}.")
    auto = backbone == race.AUTO
    if auto and weights is not None:
        raise Misuse("--weights with --backbone auto: name the backbone that they are for.")
    specs = race.candidates() if auto else (chosen(backbone, weights),)
    asked, *_ = [wish(own, tune, freeze_to, augment, epochs, budget_s) for own in specs]
    if asked.tune != NEVER and head != "auto" and specs[0].weights.source == "random":
        raise Misuse(f"--head {head}: {specs[0].name} starts from nothing, its head as well: leave it out.")
    options = {
        "backbone": backbone if auto else specs[0].name,
        "weights": " ".join(own.weights.sha256 for own in specs),
        "head": head if head == "auto" else heads.get(head).name,
        "seed": seed,
        "device": device,
        "limit_px": limit_px,
        "tune": asked.to_json(),
        "split": digest_file(Path(split)) if split is not None else None,
        "report": report,
    }
    found = scan_all(data, test)
    fixes = read_fixes(Path(fix), found.examples) if fix is not None else None
    found = apply(fixes, found) if fixes else found
    options |= {"fix": fixes.digest() if fixes else None, "data": _fingerprint(found.examples)}
    there = same(out, found, options)
    if there and is_finished(there.report) and not force:
        missing = out / model_folder.REPORT
        if report and not missing.is_file():
            anew = remake(out, data, test=test, device=device, limit_px=limit_px, on_step=on_step)
            write_whole(missing, anew.page)
        return there
    begun = there is not None and not is_finished(there.report)
    holds = _INTERRUPTED if there and begun and there.report.get("interrupted") else _FROZEN if begun else ""
    target = _target(out, force=force or begun, fixed=fix is not None)
    heads.load_beside()
    clock = {"scan": time.perf_counter() - begin}
    table = Path(split) if split else None
    raced, dealt = None, None
    if auto:
        raced, spec, engine, seen, dealt = race.win(
            found, specs, table, head=head, seed=seed, device=device, limit_px=limit_px, on_step=on_step
        )
    else:
        spec, engine = specs[0], open_engine(specs[0], device)
        seen = look_with(spec, engine, found, limit_px=limit_px, on_step=on_step)
    features, examples, encoded = seen.features, seen.examples, seen.encoded
    clock |= {"network": engine.opening_s} | seen.seconds
    scanned, findings = seen.files, list(seen.findings)
    started = time.perf_counter()
    facts = facts_of(seen.pictures, examples.files()) if report else None
    clock["trust"] = time.perf_counter() - started
    del seen  # its thumbs are large, and nothing below looks at pictures

    started = time.perf_counter()
    parts = dealt or race.parts_of(examples, features, table, seed, enough=ENOUGH)
    rows = {name: parts.rows(name) for name in PARTS}
    known = race.learnt_rows(features, spec)
    if len(known) and not len(rows["test"]):
        raise TooFewExamples(
            f"{spec.name} has learnt from {len(known)} of these pictures, so that cross-validation on them "
            "would say nothing. Bring a test part of other pictures: --test."
        )
    findings = ordered([*findings, *learnt_before(examples, np.setdiff1d(known, rows["test"]), spec.name)])
    fitted = choose(features.take(rows["train"]), head=head, seed=seed)
    evidence = Evidence(features, examples, parts, facts, fitted, seed) if facts else None
    clock |= {"head": time.perf_counter() - started, "tune": 0.0}

    road = _Road(
        begin, clock, options, _command(data, given), examples, scanned, findings, parts, known, raced,
        encoded, fixes, target,
    )  # fmt: skip
    network = _Network(spec, engine, features, fitted)
    if asked.tune == NEVER:
        return _deliver(road, network, None, evidence, force=force)
    from headstart.finetune.climb import check, climb, interrupted  # brings torch

    used = np.concatenate([rows["train"], rows["val"]])
    val = np.arange(len(rows["train"]), len(used))
    files = tuple(examples.take(used).files())
    own = features.take(used)
    besides = len(rows["test"])
    material = Material(
        spec, own, files, val, device, limit_px, on_step, on_epoch, crossed=not besides, besides=besides
    )
    unfit = check(material, asked, seed)
    is_free = not (target / model_folder.JSON).exists()
    if is_free and not unfit and spec.weights.source != "random":  # from nothing there is nothing to keep
        _deliver(road, network, None, None, force=False)
        begun, holds = True, _FROZEN
    started = time.perf_counter()
    with _going_on(out, holds=holds):
        try:
            climbed = climb(material, fitted, asked, seed, head)
        except KeyboardInterrupt:
            so_far = interrupted(material, fitted, asked, seed, head) if is_free or begun else None
            if so_far is None:
                raise
            climbed = so_far
        if climbed.tuned is not None:
            spec = climbed.tuned.spec
            engine = open_engine(spec, device)
            features = seen_by(spec, engine, features, examples.files(), limit_px)
            network = _Network(spec, engine, features, climbed.tuned.fitted)
        road.clock["tune"] = time.perf_counter() - started
        if begun:
            _target(out, force=True, fixed=fix is not None)  # nobody put anything beside it meanwhile
        model = _deliver(road, network, climbed, evidence, force=force or begun)
    if climbed.is_stopped:
        raise KeyboardInterrupt(f"{out} holds {_INTERRUPTED}. The same command goes on with the training.")
    return model


_FROZEN, _INTERRUPTED = "the model of the frozen network", "the best network judged so far"


@dataclass(frozen=True, eq=False)
class _Road:
    """What is known before any stage is trained, and where the model goes."""

    begin: float
    clock: dict[str, float]  # seconds by step, so far
    options: dict[str, Any]
    command: list[str]  # that asks for the same again
    examples: Examples
    scanned: int  # files
    findings: list[Finding]
    parts: Split
    known: Ints  # rows that the network had learnt from before
    raced: tuple[race.Candidate, ...] | None
    encoded: int
    fixes: Fixes | None
    target: Path


class _Network(NamedTuple):
    """A network, what it sees in all pictures, and the head on that."""

    spec: Spec
    engine: Engine
    features: Features
    fitted: Fitted


@contextmanager
def _going_on(out: Path, *, holds: str) -> Iterator[None]:
    """An interrupt says what stands at `out`, where anything of this command does."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if not holds:
            raise
        raise KeyboardInterrupt(f"{out} holds {holds}. The same command goes on with the training.") from stop


def _deliver(
    road: _Road, network: _Network, climbed: "Climb | None", evidence: Evidence | None, *, force: bool
) -> Model:
    """Judge, look into it where there is `evidence`, and save; without `climbed` the network is frozen."""
    spec, engine, features, fitted = network
    examples, parts, known, fixes, options = road.examples, road.parts, road.known, road.fixes, road.options
    findings, clock, limit_px = road.findings, dict(road.clock), options["limit_px"]
    head, seed = options["head"], options["seed"]
    rows = {name: parts.rows(name) for name in PARTS}
    started = time.perf_counter()
    leaked = np.union1d(leaked_rows(parts, features.groups), np.intersect1d(rows["test"], known))
    tested = _judge(fitted, features, rows["test"])
    honest = _judge(fitted, features, np.setdiff1d(rows["test"], leaked)) if len(leaked) else None
    valid = _judge(fitted, features, rows["val"])
    crossed = climbed.cross_validated(seed) if climbed and not tested else None
    if not tested and not crossed:
        train_rows = features.take(rows["train"])
        crossed = cross_validate(train_rows, frozen(train_rows, head, seed), seed)
    clock["evaluate"] = time.perf_counter() - started

    started = time.perf_counter()
    unseen = climbed.tuned.unseen if climbed and climbed.tuned else None
    model = build(fitted, features, examples, parts, spec, unseen=unseen)
    trust, origin = None, climbed.material.spec if climbed else spec
    if evidence:
        trust = examine(
            evidence,
            model,
            features,
            counted(fitted, features, parts, leaked),
            frozen=origin,
            decided=fixes.paths() if fixes else NOBODY,
        )
        findings = ordered([*findings, *trust.findings])
    clock["trust"] += time.perf_counter() - started
    clock["total"] = time.perf_counter() - road.begin

    document: dict[str, Any] = {
        "model": road.target.name,
        "classes": list(examples.classes),
        "data": {
            "files": road.scanned,
            "used": len(examples),
            **{name: len(own) for name, own in rows.items()},
            "findings": [finding.to_json() for finding in findings],
        },
        "fixed": fixes.to_json(_paths(examples, rows["test"] if tested else rows["train"]))
        if fixes
        else None,
        "split": "cross-validation" if crossed else "dealt" if parts.dealt else "given",
        "backbone": spec.name,
        "race": [one.to_json() for one in road.raced] if road.raced else None,
        "head": fitted.best.head,
        "tune": climbed.depth if climbed else NEVER,
        "tuning": climbed.to_json() if climbed else None,
        "kept_frozen": (climbed.why or None) if climbed else None,
        "interrupted": climbed.is_stopped if climbed else False,
        "choice": _choice(fitted),
        "test": tested.to_json() if tested else None,
        "test_without_leaks": honest.to_json() if honest else None,
        "leaked": len(leaked),
        "val": valid.to_json() if valid else None,
        "cv": crossed.to_json() if crossed else None,
        "unknown_false_rejection": model.familiar.stated,
        "trust": trust.document if trust else None,
        "options": options,
        "command": road.command,
        "device": options["device"],
        "precision": engine.precision,
        "seed": seed,
        "encoded": road.encoded,
        "seconds": {name: round(value, 4) for name, value in clock.items()},
        "images_per_second": round(road.encoded / clock["extract"], 1) if road.encoded else 0.0,
        "version": VERSION,
    }
    model = replace(model, report=document)
    beside = {model_folder.SUSPECTS: written(fixes.rows())} if fixes else {}
    if trust and evidence:
        started = time.perf_counter()
        page = write(
            model, engine, features, examples, parts, fitted, leaked,
            source=(origin, evidence.features.last()), limit_px=limit_px,
        )  # fmt: skip
        beside = {
            model_folder.SUSPECTS: written([*trust.suspects, *(fixes.rows() if fixes else [])]),
            model_folder.REPORT: page,
        }
        ended = time.perf_counter()
        document["seconds"] |= {"report": round(ended - started, 4), "total": round(ended - road.begin, 4)}
    model_folder.save(model, road.target, replace=force, beside=beside)
    return model


def _paths(examples: Examples, rows: Ints) -> frozenset[str]:
    return frozenset(examples.paths[int(row)] for row in rows)


def default_out(data: Path) -> Path:
    """Where the model goes unless told otherwise: beside you, named after the data."""
    is_table = os.path.isfile(data)  # noqa: PTH113  Path.is_file fails on names that are too long
    return Path(f"{data.resolve().stem if is_table else data.resolve().name}-model")


def _command(data: Path, given: dict[str, Any]) -> list[str]:
    """The command that asks for the same again: DATA, and every option that is not as usual."""
    words = ["headstart", "train", str(data)]
    for name, usual in (train.__kwdefaults__ or {}).items():
        if name in BESIDE or given[name] == usual:
            continue
        option = name.removesuffix("_s").replace("_", "-")
        words += ["--no-report"] if name == "report" else [f"--{option}", str(given[name])]
    return words


def _target(out: Path, *, force: bool, fixed: bool) -> Path:
    """The place for the model, before any work is done. Only a model is ever replaced.

    The user's decisions in its table of suspects are replaced only where he gave some, so is `fixed`.
    """
    real = check_free(out, replace=force)
    inside = {entry.name for entry in real.iterdir()} if force and real.is_dir() else set()
    if inside and model_folder.JSON not in inside:
        raise OutputExists(
            f"{out} is not a model folder, so --force will not replace it. Choose another --out."
        )
    if inside - model_folder.FILES:
        raise OutputExists(
            f"{out} holds more than a model: {', '.join(sorted(inside - model_folder.FILES)[:5])}. "
            "--force would remove that too. Move it away, or choose another --out."
        )
    table = out / model_folder.SUSPECTS
    if table.name in inside and not fixed and any(decided(table)):
        raise OutputExists(
            f"{table} holds decisions on labels, and --force would throw them away. Give them back with "
            f"--fix {table}, or move the table away."
        )
    return real


def _fingerprint(examples: Examples) -> str:
    """What the user said of the pictures beside their content: names, labels, groups, parts, titles."""
    said = (examples.paths, examples.labels.tolist(), examples.classes, examples.groups, examples.parts)
    return digest_bytes(repr((*said, examples.infos)).encode("utf-8", "surrogateescape"))


def _judge(fitted: Fitted, features: Features, rows: Ints) -> Evaluation | None:
    """The numbers on these rows, or None where there are none."""
    if not len(rows):
        return None
    probabilities = softmax(fitted.logits(features.x[rows]), fitted.best.temperature)
    return judge(features.y[rows], probabilities, features.classes, features.groups[rows])


def _choice(fitted: Fitted) -> dict[str, Any]:
    """What was tried for the head, best first, rounded for reading."""
    trials = [
        {"head": one.head, "depths": one.depths, "penalty": one.penalty}
        | {"nll": round(one.nll, 4), "accuracy": round(one.accuracy, 4)}
        for one in fitted.trials
    ]
    best = fitted.best
    return {"head": best.head, "depths": best.depths, "penalty": best.penalty, "trials": trials}
