"""Options that several commands share."""

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
