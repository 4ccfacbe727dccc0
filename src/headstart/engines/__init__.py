"""Engines run a frozen network fast. One file per engine; a device's name decides, never a fallback.

| device | engine | precision |
|---|---|---|
| `cpu` (default) | OpenVINO | bfloat16 where the chip computes in it, else float32 |
| `torch` | PyTorch on the CPU: the reference, slower | float32 |
| `cuda`, `cuda:1` … | PyTorch on a GPU | bfloat16 (autocast) |
"""

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Literal

from headstart.errors import Misuse, UnknownFamily
from headstart.values import Bytes, Floats, Halves, Spec

LAYOUT = 1  # of the feature vector; a change of what is pooled, or how, is a new number


class Engine(ABC):
    """Pictures in, features out. May be called from several threads at once.

    What knows its digest need not have its network: a run that finds all features kept never opens it.
    """

    digest: str  # of weights, preprocessing, layout, engine and precision: features are kept under it
    precision: str
    workers: int  # how many threads should decode and call `encode`
    batch: int  # how many pictures a call should bring
    opening_s: float = 0.0  # what opening the network took, once somebody needed it

    def ready(self) -> None:  # noqa: B027  an engine may have nothing to open
        """Open the network now rather than with the first picture."""

    @abstractmethod
    def encode(self, pixels: Bytes) -> Halves:
        """Features [b, d] of pictures [b, s, s, 3]. A row depends on its own picture only."""

    def maps(self) -> "Maps":
        """The same network, giving what is pooled into its features as well.

        Raises:
            UnknownFamily: this engine cannot, or the features are not means and maxima of maps.
        """
        raise UnknownFamily("this engine gives features alone.")


@dataclass(frozen=True)
class Pool:
    """Features that are the mean or the maximum over the positions of a map, one for each channel."""

    kind: Literal["mean", "max"]
    start: int
    stop: int


class Maps(ABC):
    """Pictures in, the maps behind their features out."""

    pools: tuple[Pool, ...]  # in the order of the features, all of which they cover

    @abstractmethod
    def of(self, pixels: Bytes) -> list[Floats]:
        """The map of each pool, [b, c, h, w]."""


def open_engine(backbone: Spec, device: str = "cpu", *, stages: int | None = None) -> Engine:
    """The engine for a device. With `stages` it runs only so many, and gives the map as well: see `Prefix`.

    Raises:
        Misuse: no such device, or it is not on this machine.
    """
    if device == "cpu":
        from headstart.engines.openvino import OpenVinoEngine

        return OpenVinoEngine.open(backbone, stages)
    if device == "torch" or device.partition(":")[0] == "cuda":
        from headstart.engines.torch import TorchEngine

        return TorchEngine.open(backbone, device, stages)
    raise Misuse(f"there is no device {device!r}. Known: cpu, torch, cuda, cuda:N.")


def digest(backbone: Spec, engine: str, precision: str, stages: int | None = None) -> str:
    """What features are kept under: equal digests mean interchangeable features."""
    facts = {
        "weights": backbone.weights.sha256,
        "architecture": [backbone.library, backbone.architecture, *backbone.arguments],
        "preprocess": asdict(backbone.preprocess),
        "layout": LAYOUT,
        "engine": engine,
        "precision": precision,
    } | ({} if stages is None else {"stages": stages})
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
