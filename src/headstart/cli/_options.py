"""Options that several commands share."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

PATH = click.Path(path_type=Path)
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

as_json: Decorator = click.option("--json", "json", is_flag=True, help="One JSON document on stdout.")
device: Decorator = click.option(
    "--device",
    default="cpu",
    show_default=True,
    help="cpu (OpenVINO), torch (PyTorch on the CPU), cuda, cuda:N.",
)
backbone: Decorator = click.option(
    "--backbone", default="efficientnet_lite0", show_default=True, help="See `headstart backbones`."
)
weights: Decorator = click.option(
    "--weights", type=PATH, help="A file of weights for the backbone, .safetensors or .pth."
)
limit_px: Decorator = click.option(
    "--limit-px",
    default=100_000_000,
    show_default=True,
    type=click.IntRange(1),
    help="Larger pictures are refused.",
)


class _Duration(click.ParamType[float]):
    """Seconds, or a number with s, m or h behind it."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        text = str(value).strip().lower()
        unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
        try:
            found = float(text[:-1] if unit else text) * (unit or 1)
        except ValueError:
            found = 0.0
        if not 0 < found < math.inf:
            self.fail(f"{value!r} is no time: for example 90s, 10m or 2h.", param, ctx)
        return found


DURATION = _Duration()


def tuning(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of training stages of the backbone."""
    for option in reversed(
        (
            click.option(
                "--tune", metavar="DEPTH", help="Train stages too: never, auto, last, all, or how many."
            ),
            click.option("--freeze-to", metavar="STAGE", help="Train what lies above this stage."),
            click.option("--augment", metavar="POLICY", help="none, light or strong; else by their number."),
            click.option("--epochs", type=click.IntRange(1), help="At most, when stages are trained."),
            click.option("--watch", metavar="WHERE", help="FILE.jsonl, tensorboard:DIR or mlflow:URI."),
            click.option("--budget", type=DURATION, default=math.inf, help="Time for tuning, such as 10m."),
        )
    ):
        command = option(command)
    return command
