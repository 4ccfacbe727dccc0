"""A whole model as one torch module: uint8 pictures in, calibrated probabilities out.

Every format is written from this one module, so that they cannot differ in what they leave out:
normalisation, the network, half-precision features, inputs of the head, the head, temperature, and what tells
the unknown.
"""

import warnings
from typing import Any, final

import numpy as np
import torch
from torch import nn

from headstart.backbones.network import Normalise, load
from headstart.errors import ExportRefused
from headstart.evaluate import Familiar
from headstart.evaluate.unknown import NEIGHBOURS, SHARE, Clouds
from headstart.heads import Head
from headstart.model.model import Model

_TINY = 1e-12  # as in heads/prototypes.py


def pictures(model: Model) -> torch.Tensor:
    """What a network is traced on. Two: of one, torch would take the number for fixed."""
    side = model.backbone.preprocess.size_px
    return torch.zeros(2, side, side, 3, dtype=torch.uint8)


def program(model: Model) -> Any:
    """The model as torch's exported program, for any number of pictures at a time.

    Raises:
        ExportRefused: torch cannot trace this network.
    """
    network = Answering(model).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of what it itself uses and will change
        try:
            return torch.export.export(
                network, (pictures(model),), dynamic_shapes=({0: torch.export.Dim("n")},), strict=False
            )
        except (torch._dynamo.exc.UserError, RuntimeError, ValueError) as error:  # noqa: SLF001  it has no other name
            raise ExportRefused(
                f"nothing was written: torch cannot trace {model.backbone.name}: "
                f"{str(error).strip().splitlines()[0]}"
            ) from error


@final
class Answering(nn.Module):
    """uint8 pictures [n, s, s, 3] to the four OUTPUTS, float32; see `Model.answer`.

    Only those depths are pooled that the head looks at.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        spec, inputs = model.backbone, model.inputs
        self.normalise, self.network = Normalise(spec.preprocess), load(spec)
        self._wanted = [depth.stop > inputs.start for depth in spec.depths[:-1]]
        first = next(
            (d for d, wanted in zip(spec.depths, self._wanted, strict=False) if wanted), spec.depths[-1]
        )
        self._start, self._stop = inputs.start - first.start, inputs.stop - first.start
        self.register_buffer("mean", _tensor(inputs.mean))
        self.register_buffer("scale", _tensor(inputs.scale))
        self.head = _head(model.head)
        self.strange = Strange(model.familiar)
        self._temperature, self._dim = float(model.temperature), spec.dim

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """One pass."""
        x = self.network.stem(self.normalise(pixels))
        parts = []
        for stage, wanted in zip(self.network.stages, self._wanted, strict=True):
            x = stage(x)
            if wanted:
                parts.append(self.network.pooled(x))
        features = rounded(torch.cat([*parts, self.network.tail(x)], 1))
        last = features[:, features.shape[1] - self._dim :]
        z = (features[:, self._start : self._stop] - self.mean) * self.scale
        logits = self.head(z)
        probabilities = torch.softmax(logits / self._temperature, 1)
        return probabilities, logits, last, self.strange(last)


def rounded(x: torch.Tensor) -> torch.Tensor:
    """The nearest numbers of half precision, which is what features are kept in, as float32.

    By arithmetic alone (Veltkamp 1968; below half precision's normal numbers by the spacing of float32 at
    0.75), because OpenVINO takes a conversion to float16 and back for nothing to do.
    """
    far = x * 8193.0  # 2 ** 13 + 1: thirteen of float32's 24 digits go
    near = (x + 0.75) - 0.75
    return torch.where(x.abs() < 2.0**-14, near, far - (far - x))


@final
class Linear(nn.Module):
    """Ridge, LDA and logistic regression."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, arrays: dict[str, Any]) -> None:
        super().__init__()
        self.register_buffer("weight", _tensor(arrays["weight"]))
        k = arrays["weight"].shape[1]
        self.register_buffer("bias", _tensor(arrays.get("bias", np.zeros(k, np.float32))))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Logits [n, k] of inputs [n, d]."""
        return z @ self.weight + self.bias


@final
class Cosines(nn.Module):
    """Prototypes: cosines with each class's mean direction."""

    prototypes: torch.Tensor

    def __init__(self, arrays: dict[str, Any]) -> None:
        super().__init__()
        self.register_buffer("prototypes", _tensor(arrays["prototypes"]))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Cosines [n, k] of inputs [n, d]."""
        return _unit(z, _TINY) @ self.prototypes


@final
class Strange(nn.Module):
    """How unlike anything learnt: 0 as the middling known picture, above 1 unknown (`evaluate.unknown`)."""

    def __init__(self, familiar: Familiar) -> None:
        super().__init__()
        middle, limit = familiar.middle, familiar.limit
        self._middle, self._per_unit = middle, 1 / (limit - middle)  # 0 where nothing is ever unknown
        self._share = SHARE if familiar.method == "blend" else 0.0
        self.nearest = Nearest(familiar) if familiar.within is None else None
        self.within = None if familiar.within is None else Distances(familiar.within)
        self.overall = None if familiar.overall is None else Distances(familiar.overall)

    def forward(self, last: torch.Tensor) -> torch.Tensor:
        """Scores [n] of the last layer's features [n, dim]."""
        unit = _unit(last, 0.0)
        if self.nearest is not None:
            raw: torch.Tensor = self.nearest(unit)
        elif self.within is not None:
            distances = self.within(unit)
            raw = distances.amin(1)
            if self._share:
                raw = raw - self._share * distances.mean(1)
            if self.overall is not None:
                raw = raw - self.overall(unit)[:, 0]
        return (raw - self._middle) * self._per_unit


@final
class Nearest(nn.Module):
    """One less the mean cosine to the nearest training pictures."""

    references: torch.Tensor

    def __init__(self, familiar: Familiar) -> None:
        super().__init__()
        self.register_buffer("references", _tensor(familiar.wide.T))
        self._count = min(NEIGHBOURS, len(familiar.references))

    def forward(self, unit: torch.Tensor) -> torch.Tensor:
        """Distances [n], 0 to 2, of rows of length one [n, dim]."""
        return (1 - torch.topk(unit @ self.references, self._count, 1).values.mean(1)).clamp(0, 2)


@final
class Distances(nn.Module):
    """Squared Mahalanobis distances to centres of one shape: `Clouds.distances`."""

    directions: torch.Tensor
    slopes: torch.Tensor
    offsets: torch.Tensor

    def __init__(self, clouds: Clouds) -> None:
        super().__init__()
        self.register_buffer("directions", _tensor(clouds.directions))
        self.register_buffer("slopes", _tensor(clouds.slopes))
        self.register_buffer("offsets", _tensor(clouds.offsets))
        self._variance = float(clouds.variance)

    def forward(self, unit: torch.Tensor) -> torch.Tensor:
        """Distances [n, c] of rows of length one [n, dim]."""
        along = unit @ self.directions
        across = (unit * unit).sum(1) - (along * along).sum(1)
        return (across[:, None] - 2 * (unit @ self.slopes) + self.offsets) / self._variance


def _unit(x: torch.Tensor, tiny: float) -> torch.Tensor:
    """Rows of length one; a row that is not longer than `tiny` becomes, or stays, zero."""
    length = (x * x).sum(1, keepdim=True).sqrt()
    is_long = length > tiny
    return torch.where(
        is_long, x / torch.where(is_long, length, torch.ones_like(length)), torch.zeros_like(x)
    )


def _head(head: Head) -> nn.Module:
    arrays = head.arrays()
    if arrays.keys() in ({"weight"}, {"weight", "bias"}):
        return Linear(arrays)
    if arrays.keys() == {"prototypes"}:
        return Cosines(arrays)
    raise ExportRefused(f"the head {head.name} cannot be written down in another format.")


def _tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array, np.float32, order="C"))
