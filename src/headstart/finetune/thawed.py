"""The part of a network that is trained: its last stages, its tail and a linear head, and nothing below.

Batch normalisation keeps its statistics and trains its affine part, so that it is a factor and a shift for
each channel. These are multiplied into the convolution before it at every step: the same gradients, and two
passes over the largest maps less (`benchmarks/finetuning.py`).
"""

import copy
import itertools
import types
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.backbones.chain import Chain
from headstart.backbones.network import Normalise, example, load
from headstart.backbones.scratch import is_unclipped
from headstart.values import Floats, Spec

CLOSE = 1e-3  # of the largest feature: how far a folded network may be from the plain one


@dataclass(frozen=True, eq=False)
class Start:
    """A linear head on inputs, from which training starts."""

    first: int  # feature at which the inputs begin
    mean: Floats  # [d]
    scale: Floats  # [d]
    weight: Floats  # [d, k]
    bias: Floats  # [k]


@final
class Thawed(nn.Module):
    """Views [b, width] to logits [b, k], through the stages from `stages` on. Below them nothing is held.

    On `cuda` it lies there, and is trained in bfloat16 (autocast) where the chip computes in it; on any other
    device of the engines on the CPU. Views may lie anywhere, logits come where the network is.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, spec: Spec, stages: int, start: Start, device: str = "cpu") -> None:
        super().__init__()
        self.chain = load(spec)
        self.stages, self.dim, self._first = stages, spec.dim, start.first
        self.learns_statistics = spec.weights.source == "random"
        self.is_clipped = not is_unclipped(spec)
        if not self.learns_statistics:
            fold(self.chain, spec.preprocess.size_px)
        self.chain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.normalise = Normalise(spec.preprocess)
        self.weight = nn.Parameter(torch.from_numpy(start.weight.copy()))
        self.bias = nn.Parameter(torch.from_numpy(start.bias.copy()))
        self.register_buffer("mean", torch.from_numpy(start.mean.copy()))
        self.register_buffer("scale", torch.from_numpy(start.scale.copy()))
        self._side = spec.preprocess.size_px
        self.pooled_width, self.map_shape = _below(self.chain, stages, self._side)
        self.eval()
        self.to(place(device))
        self.is_halved = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        self._trained = self._parts()
        for _, group in self._trained:
            for own in group:
                own.requires_grad_(True)  # noqa: FBT003

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.weight.device

    @property
    def width(self) -> int:
        """Numbers in one view."""
        return self.pooled_width + int(np.prod(self.map_shape))

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Of the numbers in a view."""
        return np.dtype("<f2") if self.stages else np.dtype(np.uint8)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """Logits before calibration."""
        inputs: torch.Tensor = (self.features(views)[:, self._first :] - self.mean) * self.scale
        return inputs @ self.weight + self.bias

    def features(self, views: torch.Tensor) -> torch.Tensor:
        """Features of every depth [b, d], in the order of `Spec.depths`."""
        views = views.to(self.device, non_blocking=True)
        if self.stages:
            found = [views[:, : self.pooled_width].float()]
            x = views[:, self.pooled_width :].float().reshape(len(views), *self.map_shape)
        else:
            found = []
            x = self.chain.stem(self.normalise(views.reshape(len(views), self._side, self._side, 3)))
        if x.ndim == 4 and self.chain.layout == "NCHW":
            x = x.contiguous(memory_format=torch.channels_last)
        for stage in list(self.chain.stages)[self.stages :]:
            x = stage(x)
            found.append(self.chain.pooled(x))
        return torch.cat([*found, self.chain.tail(x)], 1)

    def groups(self) -> list[tuple[str, list[nn.Parameter]]]:
        """What is trained, by name, shallow to deep: stages, tail, head."""
        return [*self._trained, ("head", [self.weight, self.bias])]

    def learning(self, *, on: bool) -> None:
        """Let batch normalisation learn its statistics, in a network that has none from elsewhere."""
        if self.learns_statistics:
            for module in self.chain.modules():
                if isinstance(module, _BatchNorm):
                    module.train(on)

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that training changes: trained tensors by their own names, and the head."""
        (whole,) = self.chain.whole
        trained = {id(own) for _, group in self.groups() for own in group}
        found: dict[str, torch.Tensor] = {
            name: own for name, own in whole.named_parameters() if id(own) in trained
        }
        if self.learns_statistics:
            found |= {name: own for name, own in whole.named_buffers() if own.is_floating_point()}
        return found | {"head.weight": self.weight, "head.bias": self.bias}

    def put(self, state: dict[str, torch.Tensor]) -> None:
        """Take over what `state` of a network of this kind gave."""
        with torch.no_grad():
            for name, own in self.state().items():
                own.copy_(state[name])

    def network(self) -> dict[str, Any]:
        """All tensors of the network under its library's names, as arrays: a file of weights."""
        (whole,) = self.chain.whole
        return {
            name: np.ascontiguousarray(own.detach().cpu().numpy())
            for name, own in whole.state_dict().items()
            if own.ndim  # counters of steps tell nothing and have no shape
        }

    def _parts(self) -> list[tuple[str, list[nn.Parameter]]]:
        """Parameters of the pieces that are trained. Some pieces hold their whole network to call its parts.

        A pretrained stem stays as it is: it has few weights and sees the largest gradients (Kumar et al.
        2022, arXiv:2211.09359).
        """
        stages, tail = list(self.chain.stages), list(self.chain.tail.parameters())
        in_stages = {id(own) for own in self.chain.stages.parameters()}
        elsewhere = set[int]()
        if in_stages & {id(own) for own in tail}:
            elsewhere = in_stages | {id(own) for own in self.chain.stem.parameters()}
            elsewhere |= {id(own) for own in self.chain.top.parameters()}
        found = [
            (name, list(stage.parameters()))
            for name, stage in zip(self.chain.names[self.stages :], stages[self.stages :], strict=True)
        ]
        found.append(("last", [own for own in tail if id(own) not in elsewhere]))
        if self.learns_statistics and not self.stages:
            stem = [own for own in self.chain.stem.parameters() if id(own) not in in_stages]
            found.insert(0, ("stem", stem))
        return [(name, own) for name, own in found if own]


def place(device: str) -> torch.device:
    """Where a network is trained whose pictures are encoded on `device`."""
    return torch.device(device if device.startswith("cuda") else "cpu")


def _below(chain: Chain, stages: int, side: int) -> tuple[int, tuple[int, ...]]:
    """Width of the pooled features below, and shape of the map that they hand over."""
    if not stages:
        return 0, (side, side, 3)
    width = 0
    with torch.no_grad():
        x = chain.stem(example(side))
        for stage in list(chain.stages)[:stages]:
            x = stage(x)
            width += chain.pooled(x).shape[1]
    return width, tuple(x.shape[1:])


def fold(chain: Chain, side: int) -> None:
    """Let every convolution do the work of the batch normalisation behind it, where that changes nothing.

    A pair is a convolution and a normalisation that were registered one after the other; whether they are
    also run so is tried on noise. Names of tensors stay as they are.
    """
    pairs = {
        (first, second)
        for module in chain.modules()
        for first, second in itertools.pairwise(module.children())
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d) and second.affine
    }
    picture = example(side)
    with torch.no_grad():
        plain = torch.cat(chain.depths(picture), 1)
        for conv, norm in pairs:
            _join(conv, norm)
        found = torch.cat(chain.depths(picture), 1)
    if not torch.allclose(found, plain, rtol=0, atol=CLOSE * float(plain.abs().max())):
        for conv, norm in pairs:
            del conv.forward, norm.forward  # back to their classes'


def _join(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    plain: Any = type(conv).forward

    def convolve(self: Any, x: torch.Tensor) -> torch.Tensor:
        own: Any = norm
        factor = own.weight * torch.rsqrt(own.running_var + own.eps)
        shift = own.running_mean if self.bias is None else own.running_mean - self.bias
        double = copy.copy(self)  # with tensors of its own, for several threads may be here at once
        double.__dict__["_parameters"] = {
            "weight": self.weight * factor[:, None, None, None],
            "bias": own.bias - shift * factor,
        }
        found: torch.Tensor = plain(double, x)
        return found

    def activate(self: Any, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.act(self.drop(x)) if hasattr(self, "act") else x
        return found

    conv.forward = types.MethodType(convolve, conv)  # type: ignore[method-assign]
    norm.forward = types.MethodType(activate, norm)  # type: ignore[method-assign]
