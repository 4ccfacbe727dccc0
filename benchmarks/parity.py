"""One picture, one answer: OpenVINO and PyTorch, train, evaluate, predict of one and of many, the server."""

import json
import os
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import _harness
from _harness import Bound, Options, Result

LABELLED = ("hymenoptera", "flowers12", "alien_predator", "caltech101_small", "cifar10_small")
BARE = ("imagenet_sample", "background")


def measure(asked: Options) -> Iterator[Result]:
    """Cosines on every set, then accuracies and answers on those with labels."""
    import headstart
    from headstart import backbones
    from headstart.engines import open_engine
    from headstart.features.extract import extract

    folders = {name: _harness.picture_set(asked, name) for name in (*BARE, *LABELLED)}
    spec = backbones.spec(backbones.DEFAULT)
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        fast, exact = open_engine(spec, "cpu"), open_engine(spec, "torch")
        distances: dict[str, Any] = {}
        judged: dict[str, Any] = {}
        for name, source in folders.items():
            folder = _harness.some(source, place / name, 4 if asked.quick else 10_000)
            files = sorted(file for file in folder.rglob("*") if file.is_file())
            ours, theirs = (extract(files, spec, engine) for engine in (fast, exact))
            assert ours.unreadable == theirs.unreadable
            depths = {"all depths": slice(None), "last": slice(spec.depths[-1].start, None)}
            distances[name] = {
                which: float((1 - _cosine(ours.x[:, own], theirs.x[:, own])).max())
                for which, own in depths.items()
            }
            distances[name]["n"] = len(ours.rows)
            if name in LABELLED:
                model = headstart.train(folder, out=place / f"{name}-model")
                judged[name] = compared(model, folder, fast, exact)
        n = sum(one["n"] for one in distances.values())
        yield Result(
            "features, OpenVINO against PyTorch float32, one less the least cosine",
            max(max(one["all depths"], one["last"]) for one in distances.values()),
            "",
            Bound("<", 0.001),
            n,
            1,
            None,
            {"sets": distances, "precision": fast.precision},
        )
    pictures = sum(one["n"] for one in judged.values())
    yield Result(
        "test pictures judged otherwise on PyTorch float32, most in any set",
        max(abs(one["right_openvino"] - one["right_torch"]) for one in judged.values()),
        "pictures",
        Bound("<=", 1),
        pictures,
        1,
        None,
        judged,
    )
    differ = {
        key: sum(one[key] for one in judged.values())
        for key in next(iter(judged.values()))
        if "differ" in key
    }
    yield Result(
        "pictures on which train, evaluate, predict of one or predict of many disagree in any bit",
        sum(differ.values()),
        "pictures",
        Bound("==", 0),
        pictures,
        1,
        None,
        differ,
    )
    yield Result(
        "test pictures that the server answers otherwise than predict, in any bit",
        sum(one["http_apart"] for one in judged.values()),
        "pictures",
        Bound("==", 0),
        pictures,
        1,
        None,
        {name: one["http_apart"] for name, one in judged.items()},
    )


def over_http(folder: Path, files: list[Path]) -> list[dict[str, Any]]:
    """What `headstart serve` says of each picture, asked one by one."""
    line = _harness.headstart("serve", folder, "--port", "0", "--json", "--quiet")
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        url = json.loads(server.stdout.readline())["url"]
        asking = HTTPConnection(url.partition("//")[2], timeout=60)
        found = []
        try:
            for file in files:
                asking.request(
                    "POST", "/predict", file.read_bytes(), {"Content-Type": "application/octet-stream"}
                )
                found.append(json.load(asking.getresponse())["predictions"][0])
        finally:
            asking.close()
            server.terminate()
    return found


def compared(model: Any, folder: Path, fast: Any, exact: Any) -> dict[str, Any]:
    """A trained model on its own test part, by every road. Where there is none, on pictures it has seen."""
    from headstart.features.extract import extract
    from headstart.model.folder import load
    from headstart.model.measure import measure as evaluate
    from headstart.model.predict import predict

    parts = {part.path: part for part in model.manifest if part.part == "test"}
    files, truth = [folder / path for path in parts], [part.label for part in parts.values()]
    loaded = load(Path(folder.parent / f"{folder.name}-model"))
    reports = {
        name: evaluate(loaded, folder, engine) for name, engine in (("openvino", fast), ("torch", exact))
    }
    many = list(predict(loaded, files, fast))
    each = [next(iter(predict(loaded, [file], fast))) for file in files]
    kept = extract(files, model.backbone, fast)  # what train and evaluate judge: features from the store
    answers = model.answer(kept.x)
    from_store = [dict(zip(model.classes, map(float, row), strict=True)) for row in answers.probabilities]
    right = sum(one.label == own for one, own in zip(many, truth, strict=True))
    served = over_http(Path(folder.parent / f"{folder.name}-model"), files)
    trained, measured = model.report["test"], reports["openvino"]["test"]
    return {
        "n": len(files),
        "right_openvino": round(measured["accuracy"] * measured["n"]),
        "right_torch": round(reports["torch"]["test"]["accuracy"] * reports["torch"]["test"]["n"]),
        "one_differs_from_many": sum(a != b for a, b in zip(many, each, strict=True)),
        "predict_differs_from_kept": sum(
            one.probabilities != own for one, own in zip(many, from_store, strict=True)
        ),
        "evaluate_differs_from_train": int(measured != trained) * len(files),
        "evaluate_differs_from_predict": abs(right - round(measured["accuracy"] * measured["n"])),
        "http_apart": sum(
            one.probabilities != own["probabilities"]
            or one.unknown != own["unknown"]
            or list(one.set) != own["set"]
            for one, own in zip(many, served, strict=True)
        ),
        "accuracy": measured["accuracy"],
    }


def _cosine(a: Any, b: Any) -> Any:
    import numpy as np

    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


if __name__ == "__main__":
    _harness.main(measure, __doc__)
