"""Exports against predict on every labelled set: labels, probabilities, and what int8 costs and gains.

Each set's model is trained, exported to every format, and compared on all pictures of its test part (else of
its training part) through the finished file, opened anew; `headstart export` itself compares on 200. int8 is
exported with any loss allowed, so that there is a file to tell of.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _harness
import numpy as np
from _harness import Bound, Options, Result

SETS = ("hymenoptera", "flowers12", "alien_predator", "caltech101_small", "cifar10_small")
EXACT = ("onnx", "openvino", "torch_export")
INT8 = "onnx_int8"


def measure(asked: Options) -> Iterator[Result]:
    """Two lines for the formats in float32, three for int8."""
    import headstart

    folders = {name: _harness.picture_set(asked, name) for name in SETS[: 1 if asked.quick else None]}
    found: dict[str, dict[str, Any]] = {}
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        for name, source in folders.items():
            folder = _harness.some(source, place / name, 8 if asked.quick else 10_000)
            model = headstart.train(folder, out=place / f"{name}-model", report=False)
            found[name] = judged(model, place / f"{name}-model", folder)
    exact = [one[form] for one in found.values() for form in EXACT]
    n = sum(one["n"] for one in found.values())
    detail = {
        name: {form: one[form] for form in EXACT} | {"n": one["n"], "precision": one["precision"]}
        for name, one in found.items()
    }
    yield Result(
        "labels that float exports give otherwise than predict, over all formats and sets",
        sum(one["differ"] for one in exact),
        "pictures",
        Bound("==", 0),
        n,
        1,
        None,
        detail,
    )
    yield Result(
        "largest gap in probability between a float export and predict",
        max(one["gap"] for one in exact),
        "",
        Bound("<=", 1e-4),
        n,
        1,
        None,
        {name: {form: one[form]["gap"] for form in EXACT} for name, one in found.items()},
    )
    small = {name: one[INT8] for name, one in found.items()}
    losses = [one["loss"] for one in small.values()]
    yield Result(
        "accuracy lost by int8, mean over the sets",
        float(np.mean(losses)),
        "",
        None,
        n,
        1,
        _harness.ends(losses),
        {"interval_is": "least and largest set", "sets": small},
    )
    ratios = [one["speed_ratio"] for one in small.values()]
    yield Result(
        "int8 against float32 in ONNX Runtime, one picture at a time, times as fast",
        float(np.median(ratios)),
        "times",
        None,
        n,
        len(ratios),
        _harness.ends(ratios),
        {name: one["speed_ratio_range"] for name, one in small.items()},
    )
    sizes = [one["int8_bytes"] / one["float_bytes"] for one in small.values()]
    yield Result(
        "size of the int8 file against the float file",
        float(np.median(sizes)),
        "",
        None,
        n,
        len(sizes),
        _harness.ends(sizes),
        {name: [one["int8_bytes"], one["float_bytes"]] for name, one in small.items()},
    )


def judged(model: Any, folder: Path, data: Path) -> dict[str, Any]:
    """Each format of one model, held against `predict` on all of its test pictures."""
    from headstart import export as package
    from headstart.engines import open_engine
    from headstart.evaluate import paired_accuracy
    from headstart.modalities.image import decode

    parts = [one for one in model.manifest if one.part == "test"] or list(model.manifest)
    files = [data / one.path for one in parts]
    truth = np.array([model.classes.index(one.label) for one in parts])
    groups = np.unique([one.group for one in parts], return_inverse=True)[1]
    precision = open_engine(model.backbone).precision
    exactly = "cpu" if precision == "f32" else "torch"  # exports compute in float32, see docs/export.md
    answers = model.predict(files, device=exactly)
    wanted = np.array([list(one.probabilities.values()) for one in answers])
    found: dict[str, Any] = {"n": len(parts), "precision": precision}
    for form in (*EXACT, INT8):
        exact = form != INT8
        done = package.export(folder, to=form, data=data, max_loss=None if exact else 1.0)
        run, said = package.get(form).open(done.path), []
        for at in range(0, len(files), 16):
            pixels = [
                decode(file.read_bytes(), model.backbone.preprocess).pixels for file in files[at : at + 16]
            ]
            said.append(run(np.stack(pixels))["probabilities"])
        own = np.concatenate(said)
        right, before = own.argmax(1) == truth, wanted.argmax(1) == truth
        delta, low, high = paired_accuracy(right, before, groups)
        found[form] = {
            "differ": int((own.argmax(1) != wanted.argmax(1)).sum()),
            "gap": float(np.abs(own - wanted).max()),
            "loss": 0.0 - delta,
            "loss_ci95": [0.0 - high, 0.0 - low],
            "seconds": done.seconds,
            "bytes": done.bytes,
        } | done.parity.gains
    return found


if __name__ == "__main__":
    _harness.main(measure, __doc__)
