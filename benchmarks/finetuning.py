"""An epoch of fine-tuning against a plain PyTorch loop that does the same training.

Same start, stages, rates, batches and augmented views; the plain loop decodes and augments in a DataLoader of
two workers, runs the frozen stages without gradients and the trained ones with them, eager float32, batch
normalisation with kept statistics. Epochs after the first pass; then the accuracy of both on the test part.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import _harness
import numpy as np
from _harness import Bound, Options, Result

SET = "flowers12"
TITLE = {"1": "the last stage", "last": "the stages of the last resolution", "all": "all stages"}
EPOCHS = 3
ALL = 192  # pictures on which all stages are trained: an epoch of all takes the plain loop a minute


def measure(asked: Options) -> Iterator[Result]:
    """The last stage, all of the last resolution, then all stages."""
    folder = _harness.picture_set(asked, SET)
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        rungs = (("1", 10_000, Bound(">=", 4)), ("last", 10_000, None), ("all", ALL, Bound(">=", 1.5)))
        for share, most, wanted in rungs:
            few = 48 if asked.quick else most
            yield from one(share, folder, few, 2 if asked.quick else EPOCHS, wanted, place)


def one(
    share: str, folder: Path, most: int, epochs: int, wanted: Bound | None, place: Path
) -> Iterator[Result]:
    """Both loops from the same start."""
    from dataclasses import replace

    from headstart import backbones
    from headstart.engines import open_engine
    from headstart.finetune import loop, tune
    from headstart.finetune.thawed import Thawed
    from headstart.finetune.views import Looks, keep
    from headstart.finetune.wish import Material, silent
    from headstart.heads._choose import choose
    from headstart.look import look_with, scan_all

    spec = backbones.spec(backbones.DEFAULT)
    seen = look_with(spec, open_engine(spec), scan_all(folder, None))
    parts = np.array(seen.examples.parts)
    rows = np.flatnonzero(parts == "train")[:: max(1, int((parts == "train").sum()) // most)]
    files = tuple(seen.examples.take(rows).files())
    own = Material(spec, seen.features.take(rows), files, np.zeros(0, np.int64))
    train, val = tune.dealt(own, 0)
    fitted = choose(own.features.take(train))
    start = tune._start(spec, fitted)
    below = tune.stages_below(spec, share)
    network = Thawed(spec, below, start)
    looks = Looks("light", 4, mirror=True)
    views = keep(
        spec, below, network.width, files, own.features.digests, looks, device="cpu", on_step=lambda *_: None
    )
    recipe = replace(loop.PRETRAINED, epochs=epochs)
    rival = Plain(spec, below, start, own, looks)
    course = loop.run(
        network, views, own.features.y, train, recipe, seed=0, val=val, stop_after=epochs,
        kept=place / f"{share}.safetensors", on_epoch=silent,
    )  # fmt: skip
    ours = [epoch.seconds for epoch in course.epochs]
    theirs = rival.train(train, recipe, epochs)
    network.put(course.state)
    test = np.flatnonzero(parts == "test")
    unseen = tuple(seen.examples.take(test).files())
    plain_looks = Looks("none", 1, mirror=False)
    digests = seen.features.take(test).digests
    shown = keep(
        spec, below, network.width, unseen, digests, plain_looks, device="cpu", on_step=lambda *_: None
    )
    truth = seen.features.y[test]
    right = loop.logits(network, shown, np.arange(len(test))).argmax(1) == truth
    rights = rival.logits(unseen).argmax(1) == truth
    ratios = [b / a for a, b in zip(ours[1:], theirs[1:], strict=True)]
    yield Result(
        f"fine-tuning {TITLE[share]}, an epoch faster than a plain PyTorch loop, {SET}",
        median(ratios), "times", wanted, len(train), len(ratios), _harness.ends(ratios),
        {"ours_s": ours, "plain_s": theirs, "stages_frozen": below},
    )  # fmt: skip
    yield Result(
        f"fine-tuning {TITLE[share]}, more accurate than the plain loop after {epochs} epochs, {SET}",
        100 * (float(right.mean()) - float(rights.mean())), "points", Bound(">=", -2), len(test), 1, None,
        {"ours": float(right.mean()), "plain": float(rights.mean())},
    )  # fmt: skip


class Plain:
    """What one would write by hand, from the same start."""

    def __init__(self, spec: Any, below: int, start: Any, own: Any, looks: Any) -> None:
        import torch

        from headstart.backbones.network import Normalise, load

        self.spec, self.below, self.own, self.looks = spec, below, own, looks
        self.chain, self.normalise = load(spec), Normalise(spec.preprocess)
        self.weight = torch.tensor(start.weight, requires_grad=True)
        self.bias = torch.tensor(start.bias, requires_grad=True)
        self.mean, self.scale, self.first = torch.tensor(start.mean), torch.tensor(start.scale), start.first
        self.trained = [*list(self.chain.stages)[below:], self.chain.tail]
        for piece in self.trained:
            piece.requires_grad_(True)

    def forward(self, pixels: Any) -> Any:
        import torch

        found = []
        with torch.no_grad():
            x = self.chain.stem(self.normalise(pixels))
            for stage in list(self.chain.stages)[: self.below]:
                x = stage(x)
                found.append(self.chain.pooled(x))
        for stage in list(self.chain.stages)[self.below :]:
            x = stage(x)
            found.append(self.chain.pooled(x))
        inputs = (torch.cat([*found, self.chain.tail(x)], 1)[:, self.first :] - self.mean) * self.scale
        return inputs @ self.weight + self.bias

    def pixels(self, row: int, view: int) -> Any:
        """One view, decoded and cut as headstart does."""
        from headstart.finetune.augment import _cut
        from headstart.modalities.image import WHOLE, cuts

        dice = np.random.default_rng([int(self.own.features.digests[row][:15], 16), view])
        cut = _cut(dice, self.looks.policy, mirror=self.looks.mirror) if view else WHOLE
        return cuts(self.own.files[row].read_bytes(), self.spec.preprocess, [cut])[0]

    def train(self, rows: Any, recipe: Any, epochs: int) -> list[float]:
        """Seconds of each epoch."""
        import time

        import torch
        from torch.nn import functional as F
        from torch.utils.data import DataLoader, Dataset

        outer = self

        class Pictures(Dataset):  # type: ignore[type-arg]
            number = 0

            def __len__(self) -> int:
                return len(rows)

            def __getitem__(self, at: int) -> Any:
                return torch.from_numpy(outer.pixels(int(rows[at]), (at + self.number) % 4)), int(
                    outer.own.features.y[rows[at]]
                )

        torch.set_num_threads(os.cpu_count() or 1)
        names = [*self.chain.names[self.below :], "last"]
        groups = [
            {
                "params": list(piece.parameters()),
                "peak": recipe.rate * recipe.stage_decay ** max(0, len(names) - 2 - at),
            }
            for at, piece in enumerate(self.trained)
        ]
        groups.append({"params": [self.weight, self.bias], "peak": recipe.head_rate})
        optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
        pictures = Pictures()
        torch.manual_seed(0)
        steps, step, taken = epochs * -(-len(rows) // recipe.batch), 0, []
        for number in range(1, epochs + 1):
            pictures.number = number
            begin = time.perf_counter()
            for seen, truth in DataLoader(pictures, recipe.batch, shuffle=True, num_workers=2):
                step += 1
                factor = min(1.0, step / steps / recipe.warm_up) * 0.5 * (1 + np.cos(np.pi * step / steps))
                for group in optimiser.param_groups:
                    group["lr"] = group["peak"] * factor
                loss = F.cross_entropy(self.forward(seen), truth)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], recipe.clip)
                optimiser.step()
            taken.append(time.perf_counter() - begin)
        return taken

    def logits(self, files: Any) -> Any:
        """Logits of whole pictures."""
        import torch

        from headstart.modalities.image import decode

        found = []
        with torch.no_grad():
            for file in files:
                pixels = decode(file.read_bytes(), self.spec.preprocess).pixels
                found.append(self.forward(torch.from_numpy(pixels[None].copy())).numpy())
        return np.concatenate(found)


if __name__ == "__main__":
    _harness.main(measure, __doc__)
