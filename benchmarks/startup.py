"""How soon headstart answers: `--help`, and `predict` of one picture with warm caches, as whole processes."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import _generate
import _harness
from _harness import Bound, Options, Result

LOADED = """
import sys
sys.argv = ["headstart", *sys.argv[1:]]
from headstart.cli import main
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
print("torch" in sys.modules, file=sys.stderr)
"""


def measure(asked: Options) -> Iterator[Result]:
    """Medians of whole processes, in turn with `import torch`."""
    runs = 5 if asked.quick else asked.extra.runs
    with _harness.workplace() as place:
        cache = _harness.with_network(place / "cache")
        folder = _generate.folder(place / "pictures", 60, classes=3)
        one, model = next((folder / "class-0").iterdir()), place / "model"
        train: list[str | Path] = ["train", folder, "--out", model, "--force", "--json"]
        _harness.ok(_harness.run(_harness.headstart(*train), cache=cache))
        memory: list[int] = []

        def timed(*line: str | Path) -> float:
            done = _harness.ok(_harness.run(line, cache=cache))
            memory.append(done.rss)
            return done.wall

        (helped,) = _harness.rounds(runs, lambda: timed(*_harness.headstart("--help")))
        yield Result("headstart --help", median(helped), "s", Bound("<", 0.2), 0, runs, _harness.ends(helped))

        memory.clear()
        question = _harness.headstart("predict", model, one)
        imports = _harness.python("-c", "import torch")
        answered, torch = _harness.rounds(runs, lambda: timed(*question), lambda: timed(*imports))
        rss = max(memory[::2]) / 1e6  # in turn: predict, torch, predict …
        ratio, spread = _harness.ratios(answered, torch)
        yield Result(
            "predict of one picture, process start included",
            median(answered),
            "s",
            Bound("<", 0.7),
            1,
            runs,
            _harness.ends(answered),
        )
        yield Result("predict of one picture, peak memory", rss, "MB", Bound("<", 300), 1, runs)
        yield Result(
            "predict of one picture, of the time that `python -c 'import torch'` takes",
            100 * ratio,
            "%",
            Bound("<", 50),
            1,
            runs,
            (100 * spread[0], 100 * spread[1]),
            {"predict_s": median(answered), "import_torch_s": median(torch)},
        )
        commands: dict[str, list[str | Path]] = {
            "predict": ["predict", model, one],
            "train, network kept": train,
            "help": ["train", "--help"],
        }
        found = {}
        for name, words in commands.items():
            done = _harness.ok(_harness.run(_harness.python("-c", LOADED, *words), cache=cache))
            found[name] = done.err.split()[-1] == "True"
        yield Result(
            "commands that import torch: predict, train with a kept network, help",
            sum(found.values()),
            "of 3",
            Bound("==", 0),
            0,
            1,
            None,
            found,
        )


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--runs", {"type": int, "default": 15}))
