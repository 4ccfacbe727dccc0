"""Choosing the backbone by a race: accuracy lost against hindsight, and what the race costs.

Hindsight: every candidate is trained with as `headstart train --backbone NAME` does and tested; the best of
them on the test part is compared with the one that the race had chosen on the training part. Cost: pictures
that went through each network, times its multiply-adds, and the seconds that took, as a share of sending
every picture through every candidate. What the first look and the winner encode is counted in.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, NamedTuple

import _harness
from _harness import Bound, Options, Result

if TYPE_CHECKING:
    from headstart.values import Spec

SETS = ("flowers12", "alien_predator", "caltech101_small", "cifar10_small", "hymenoptera")
CATALOGUE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
FILES = {
    "timm:mobilenetv2_100?pad_type=same&mean=0.5&std=0.5": "mobilenet_v2_tf_qat_timm_mobilenetv2_100.pth",
    "torchvision:squeezenet1_1": "squeezenet1_1_gluon_as_torchvision.pth",
}
QUICK = 12  # pictures of each class
QUICK_HEATS = (40, 80, 2000)


class Entrant(NamedTuple):
    """A candidate, and how `train` is told of it."""

    spec: "Spec"
    weights: Path | None


def measure(asked: Options) -> Iterator[Result]:
    """A line per set, the mean regret, the cost in multiply-adds and in seconds."""
    from headstart import race

    if asked.quick:
        race.HEATS = QUICK_HEATS
    found: dict[str, dict[str, Any]] = {}
    names = SETS[:2] if asked.quick else SETS
    folders = {name: _harness.picture_set(asked, name) for name in names}
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        entrants = candidates(asked.extra.weights)
        for name, source in folders.items():
            folder = _harness.some(source, place / name, QUICK) if asked.quick else source
            found[name] = one = judged(entrants, folder, place / f"{name}-models", asked.extra.seed)
            yield Result(
                f"backbone by a race of {len(entrants)}, behind the best in hindsight, {name}",
                100 * one["regret"],
                "points",
                None,
                one["n"],
                1,
                None,
                {key: value for key, value in one.items() if key not in ("regret", "n")},
            )
    pictures = sum(one["n"] for one in found.values())
    yield Result(
        f"backbone by a race of {len(entrants)}, behind the best in hindsight, mean over {len(found)} sets",
        100 * mean(one["regret"] for one in found.values()),
        "points",
        Bound("<=", 1),
        pictures,
        1,
        _harness.ends([100 * one["regret"] for one in found.values()]),
        {
            "any_at_random": 100
            * mean(mean(behind(one, name) for name in one["accuracy"]) for one in found.values()),
            "the_default_always": 100 * mean(behind(one, CATALOGUE[0]) for one in found.values()),
            "the_dearest_always": 100 * mean(behind(one, dearest(entrants)) for one in found.values()),
        },
    )
    for key, what in (("gmac_share", "multiply-adds"), ("seconds_share", "seconds of encoding")):
        shares = [100 * one[key] for one in found.values()]
        yield Result(
            f"race of {len(entrants)} backbones, {what} of those that all candidates on all pictures take",
            mean(shares),
            "%",
            None,
            pictures,
            1,
            _harness.ends(shares),
            {name: one[key] for name, one in found.items()},
        )


def candidates(weights: Path) -> list[Entrant]:
    """The catalogue's that are installed, and others whose files of weights are there; all networks open.

    Converting a network takes seconds, once on a machine; here it is done before anything is timed.

    Raises:
        Absent: fewer than two are there.
    """
    from headstart import backbones
    from headstart.engines import open_engine

    found = [Entrant(backbones.spec(name), None) for name in CATALOGUE]
    found = [one for one in found if backbones.is_here(one.spec)]
    for name, file in FILES.items():
        if (weights / file).is_file():
            found.append(Entrant(backbones.with_file(backbones.spec(name), weights / file), weights / file))
    if len(found) < 2:
        raise _harness.Absent("there is nothing to race with: pip install 'headstart[backbones]'")
    for one in found:
        open_engine(one.spec).ready()
    return found


def judged(entrants: Sequence[Entrant], folder: Path, out: Path, seed: int) -> dict[str, Any]:
    """The race from a cold start on the training part, then every candidate trained with and tested."""
    import headstart
    from headstart import race
    from headstart.look import scan_all

    specs = [one.spec for one in entrants]
    before = [kept(spec) for spec in specs]
    won = race.win(scan_all(folder, None), specs, None, seed=seed)
    encoded = [kept(spec) - was for spec, was in zip(specs, before, strict=True)]
    seconds = won.seen.seconds["extract"]
    everything, accuracy, n = seconds, {}, 0
    for at, one in enumerate(entrants):
        report = headstart.train(
            folder, out=out / str(at), backbone=one.spec.name, weights=one.weights, seed=seed
        ).report
        everything += report["seconds"]["extract"]
        accuracy[one.spec.name] = report["test"]["accuracy"]
        n = report["test"]["n"]
    whole = [kept(spec) - was for spec, was in zip(specs, before, strict=True)]
    return {
        "regret": max(accuracy.values()) - accuracy[won.spec.name],
        "n": n,
        "chosen": won.spec.name,
        "accuracy": accuracy,
        "gmac_share": work(specs, encoded) / work(specs, whole),
        "seconds_share": seconds / everything,
        "gmac_of_winner_alone": work(specs, encoded) / (won.spec.gmac * max(whole)),
        "encoding_s": seconds,
        "heads_s": won.seen.seconds["race"],
        "race": {
            one.name: {
                "nll": one.nll,
                "accuracy": one.accuracy,
                "ms": one.ms_per_picture,
                "pictures": one.heats[-1].n,
                "verdict": one.verdict,
            }
            for one in won.candidates
        },
    }


def kept(spec: "Spec") -> int:
    """Of how many pictures the features are kept."""
    from headstart.engines import open_engine
    from headstart.features.store import Store

    with Store.open(spec.name, open_engine(spec).digest, spec.depths[-1].stop) as store:
        return len(store.known())


def work(specs: Sequence["Spec"], pictures: Sequence[int]) -> float:
    """Multiply-adds, in billions."""
    return sum(spec.gmac * count for spec, count in zip(specs, pictures, strict=True))


def dearest(entrants: Sequence[Entrant]) -> str:
    """The candidate with most multiply-adds."""
    return max(entrants, key=lambda one: one.spec.gmac).spec.name


def behind(one: dict[str, Any], name: str) -> float:
    """What always taking the same backbone would have lost on this set."""
    found: float = max(one["accuracy"].values()) - one["accuracy"][name]
    return found


if __name__ == "__main__":
    weights = _harness.ROOT.parent / "shared" / "weights"
    _harness.main(
        measure,
        __doc__,
        ("--seed", {"type": int, "default": 0}),
        ("--weights", {"type": Path, "default": weights, "help": "folder of the files of weights"}),
    )
