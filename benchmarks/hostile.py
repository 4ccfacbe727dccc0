"""300 broken, odd and malicious files beside good pictures: all finishes, every file is accounted for.

The model must be the same bits, and the parts the same rows, as when the unreadable files are not there.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import _harness
from _harness import Bound, Options, Result

GOOD, HOSTILE = "flowers12", "hostile"
SAME = ("weights.safetensors", "split.csv")


def measure(asked: Options) -> Iterator[Result]:
    """check, train, train without the unreadable, predict."""
    with _harness.workplace() as place:
        hostile = sorted(_harness.picture_set(asked, HOSTILE).iterdir())[:: 4 if asked.quick else 1]
        good = _harness.picture_set(asked, GOOD) / "train"
        mixed = _harness.some(good, place / "mixed" / "pictures", 10 if asked.quick else 10_000)
        cache = _harness.with_network(place / "cache")
        beside = spread(hostile, mixed)

        def run(*words: str | Path) -> _harness.Run:
            return _harness.run(_harness.headstart(*words), cache=cache)

        checked = run("check", mixed, "--json")
        trained = run("train", mixed, "--out", place / "model-mixed", "--json")
        lost = [done.err[-300:] for done in (checked, trained) if done.code or "Traceback" in done.err]
        assert not lost, lost
        used = set(split_paths(place / "model-mixed"))
        relative = {str(file.relative_to(mixed).as_posix()): file for file in beside}
        unread = {path for path in relative if path not in used}
        yield accounted("check", checked, unread)
        yield accounted("train", trained, unread)

        answered = run("predict", place / "model-mixed", *beside, "--format", "jsonl")
        lines = [json.loads(line) for line in answered.out.splitlines()]
        refused = {str(Path(one["path"]).relative_to(mixed).as_posix()) for one in lines if "error" in one}
        in_order = [one["path"] for one in lines] == [str(file) for file in beside]
        yield Result(
            f"predict on {len(beside)} hostile files: unreadable ones not named, or readable ones refused",
            len(refused ^ unread),
            "files",
            Bound("==", 0),
            len(beside),
            1,
            None,
            {
                "answered": len(lines) - len(refused),
                "named": len(refused),
                "exit_code": answered.code,
                "order_kept": in_order,
                "only_predict_refuses": sorted(refused - unread)[:5],
                "only_train_refuses": sorted(unread - refused)[:5],
                "wall_s": answered.wall,
            },
        )
        assert in_order
        assert answered.code == (1 if refused else 0), answered.err[-500:]

        for path in unread:
            relative[path].unlink()
        clean = mixed.rename(place / "clean")  # the same files in another place
        _harness.ok(run("train", clean, "--out", place / "model-clean", "--json"))
        other = [
            name
            for name in SAME
            if (place / "model-mixed" / name).read_bytes() != (place / "model-clean" / name).read_bytes()
        ]
        yield Result(
            "model trained beside unreadable files: files that differ from the one without them",
            len(other),
            f"of {len(SAME)}",
            Bound("==", 0),
            len(beside),
            1,
            None,
            {
                "compared": list(SAME),
                "differ": other,
                "unreadable": len(unread),
                "readable": len(beside) - len(unread),
            },
        )


def spread(files: list[Path], target: Path) -> list[Path]:
    """Copy the files over the class folders in turn; where they are now."""
    classes = sorted(target.iterdir())
    found = []
    for at, file in enumerate(files):
        found.append(classes[at % len(classes)] / f"hostile-{file.name}")
        shutil.copy(file, found[-1])
    return found


def split_paths(model: Path) -> list[str]:
    """Paths of the pictures that a model was made of."""
    import csv

    with (model / "split.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


def accounted(name: str, done: _harness.Run, unread: set[str]) -> Result:
    """How many of the files that were not used are named by no finding."""
    findings = (done.json if name == "check" else done.json["data"])["findings"]
    named = {one["path"] for one in findings} | {path for one in findings for path in one.get("others", [])}
    kinds = {
        kind: sum(one["kind"] == kind for one in findings)
        for kind in sorted({one["kind"] for one in findings})
    }
    missing = sorted(unread - named)
    return Result(
        f"{name} beside hostile files: unreadable files that no finding names",
        len(missing),
        "files",
        Bound("==", 0),
        len(unread),
        1,
        None,
        {
            "findings": kinds,
            "not_named": missing[:5],
            "exit_code": done.code,
            "wall_s": done.wall,
            "rss_mb": done.rss / 1e6,
        },
    )


if __name__ == "__main__":
    _harness.main(measure, __doc__)
