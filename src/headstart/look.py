"""Looking at the data before anything is learnt: the first step of `train`, and all of `check`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart import backbones
from headstart.data import check, duplicates
from headstart.data.scan import Scan, scan
from headstart.download import bar
from headstart.engines import Engine, open_engine
from headstart.errors import Misuse, NoData, StoreError
from headstart.features.extract import Extraction, OnStep, extract, quiet
from headstart.features.twins import known_or
from headstart.heads import one_thread_each
from headstart.modalities.image import LIMIT_PX
from headstart.model.folder import load
from headstart.values import Examples, Features, Finding, Part, Pictures, Spec

OWN = "headstart:"  # before the folder of a model whose network is to be reused


@dataclass(frozen=True, eq=False)
class Look:
    """The data as seen before anything is learnt: what `check` reports and `train` learns from."""

    examples: Examples  # that could be read
    features: Features
    pictures: Pictures
    twins: tuple[duplicates.Twin, ...]
    findings: tuple[Finding, ...]
    files: int
    encoded: int
    seconds: dict[str, float]
    suggested: Mapping[str, str] = field(default_factory=dict)  # path of a suspect -> the class it looks like

    def to_json(self) -> dict[str, Any]:
        """As in `check --json`."""
        used = {
            name: int(sum(part == name for part in self.examples.parts)) for name in ("train", "val", "test")
        }
        return {
            "classes": list(self.examples.classes),
            "data": {"files": self.files, "used": len(self.examples)} | used,
            "findings": [finding.to_json() for finding in self.findings],
            "seconds": self.seconds,
        }


def look(  # noqa: PLR0913  each is an option of the command
    data: str | Path,
    *,
    test: str | Path | None = None,
    backbone: str = backbones.DEFAULT,
    weights: str | Path | None = None,
    device: str = "cpu",
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
) -> Look:
    """Read the data, encode every picture once, and find what is wrong with it.

    Raises:
        NoData: nothing usable there.
    """
    spec = chosen(backbone, weights)
    found = scan_all(Path(data), Path(test) if test else None)
    return look_with(spec, open_engine(spec, device), found, limit_px=limit_px, on_step=on_step)


def named(backbone: str) -> Spec:
    """The facts of the backbone that the user asked for; nothing is fetched.

    `headstart:FOLDER` is the network of one of our own models, as it was trained. It is called so wherever
    its own name would bring other weights.

    Raises:
        UnknownName, Misuse: asked wrongly, see the message.
        DamagedModel: the model at that place is not whole.
    """
    if backbone.startswith(OWN):
        spec = load(backbone.removeprefix(OWN)).backbone
        return replace(spec, name=backbone) if spec.weights.source in ("trained", "file") else spec
    return backbones.spec(backbone)


def chosen(backbone: str, weights: str | Path | None = None) -> Spec:
    """The backbone that the user asked for, with its weights on this machine.

    Raises:
        UnknownName, Misuse, DamagedModel: asked wrongly, see the message.
        DownloadError, WeightsError, MissingExtra: its weights are not here and cannot be fetched.
    """
    spec = named(backbone)
    if backbone.startswith(OWN):
        if weights is not None:
            raise Misuse(f"{backbone} brings its own weights; leave out --weights.")
        return spec
    if weights is not None:
        return backbones.with_file(spec, Path(weights))
    with bar(f"fetching {spec.name}") as step:
        return backbones.pinned(spec, progress=step)


def look_with(
    spec: Spec,
    engine: Engine,
    found: Scan,
    *,
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
) -> Look:
    """`look` with an engine and data that were scanned."""
    examples = found.examples
    read = extract(examples.files(), spec, engine, limit_px=limit_px, on_step=on_step)
    corrupt = check.corrupt(examples, read.unreadable)
    examples = replace(examples.take(read.rows), digests=read.digests)
    examples, gone = _without_empty_classes(examples)
    features = _features(read, examples, spec, engine)
    middle = time.perf_counter()

    def find() -> list[duplicates.Twin]:
        with one_thread_each():
            return duplicates.find(features.last(), read.pictures.thumbs, read.digests)

    twins = tuple(known_or(engine.digest, read.digests, find))
    groups = duplicates.groups(len(examples), twins, examples.groups)
    audited = check.audit(examples, read.pictures, twins, size_px=spec.preprocess.size_px)
    findings = check.ordered([*found.findings, *corrupt, *gone, *audited])
    seconds = {
        "extract": read.seconds,
        "check": time.perf_counter() - middle,
    }
    features = replace(features, groups=groups)
    return Look(examples, features, read.pictures, twins, tuple(findings), found.files, read.encoded, seconds)


def seen_by(spec: Spec, engine: Engine, features: Features, files: Sequence[Path], limit_px: int) -> Features:
    """The same pictures as another network sees them.

    Raises:
        StoreError: a file changed meanwhile.
    """
    read = extract(files, spec, engine, limit_px=limit_px)
    if read.digests != features.digests:
        raise StoreError("pictures changed while they were being learnt from. Start again.")
    return replace(features, x=read.x, depths=spec.depths, backbone=engine.digest)


def _features(read: Extraction, examples: Examples, spec: Spec, engine: Engine) -> Features:
    alone = np.arange(len(examples), dtype=np.int64)
    return Features(
        read.x, examples.labels, alone, read.digests, examples.classes, spec.depths, engine.digest
    )


def _without_empty_classes(examples: Examples) -> tuple[Examples, list[Finding]]:
    """A class of which no picture can be read is none: the model could only name it by mistake."""
    numbers = np.bincount(examples.labels, minlength=len(examples.classes))
    new = np.cumsum(numbers > 0) - 1
    gone = [name for name, number in zip(examples.classes, numbers, strict=True) if not number]
    left = tuple(name for name in examples.classes if name not in gone)
    infos = tuple((name, info) for name, info in examples.infos if name in left)
    said = "none of its pictures can be read: left out"
    findings = [Finding("tiny-class", name, said, "warning") for name in gone]
    return replace(examples, labels=new[examples.labels], classes=left, infos=infos), findings


def scan_all(data: Path, test: Path | None) -> Scan:
    """Scan the data, and a test part that lies elsewhere, as one."""
    main = scan(data)
    if test is None:
        return main
    if "test" in main.examples.parts:
        raise Misuse(f"{data} has a test part already; leave out --test, or point at its train folder.")
    other = scan(test)
    at = {name: position for position, name in enumerate(main.examples.classes)}
    names = [other.examples.classes[label] for label in other.examples.labels]
    known = [row for row, name in enumerate(names) if name in at]
    findings = [
        Finding("tiny-class", name, f"class {name!r} is in the test part only and was left out", "warning")
        for name in sorted(set(names) - at.keys())
    ]
    if not known:
        raise NoData(f"{test} has none of the classes of {data}: {', '.join(main.examples.classes[:10])}.")
    kept = other.examples.take(known)
    joined = Examples(
        root=Path(),
        paths=tuple(str(file) for file in (*main.examples.files(), *kept.files())),
        labels=np.concatenate([main.examples.labels, [at[names[row]] for row in known]]).astype(np.int64),
        classes=main.examples.classes,
        groups=(*main.examples.groups, *kept.groups),
        parts=(*("train" if part == "" else part for part in main.examples.parts), *_tests(len(known))),
        digests=(*main.examples.digests, *kept.digests),
        infos=main.examples.infos,
    )
    return Scan(joined, (*main.findings, *other.findings, *findings), main.files + other.files)


def _tests(n: int) -> list[Part]:
    return ["test"] * n
