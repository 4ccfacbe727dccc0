"""The part of a network that is trained: its last stages, its tail and a linear head, and nothing below.

Batch normalisation keeps its statistics and trains its affine part, so that it is a factor and a shift for
each channel. These are multiplied into the convolution before it at every step: the same gradients, and two
passes over the largest maps less. Maps that would be padded by a pass of their own lie turned by 180 degrees
(see `fold`), and no activation overwrites what its gradient needs (`benchmarks/finetuning.py`).
"""

import copy
import itertools
import math
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
_KEPT = (nn.Hardtanh, nn.Hardswish, nn.SiLU)  # in place, gradients need a copy of what they overwrite


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

    On `cuda` it lies there, on any other device of the engines on the CPU; it is trained in bfloat16
    (autocast) where that is faster. Views may lie anywhere, logits come where the network is.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, spec: Spec, stages: int, start: Start, device: str = "cpu") -> None:
        super().__init__()
        self.chain = load(spec)
        self.stages, self.dim, self._first = stages, spec.dim, start.first
        self.learns_statistics = spec.weights.source == "random"
        self.is_clipped = not is_unclipped(spec)
        self._is_turned = not self.learns_statistics and fold(self.chain, spec.preprocess.size_px)
        for module in self.chain.modules():
            if isinstance(module, _KEPT):
                module.inplace = False
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
        self.is_halved = halves(self.chain, self.device)
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
        inputs: torch.Tensor = (self._depths(views, self._first) - self.mean) * self.scale
        return inputs @ self.weight + self.bias

    def features(self, views: torch.Tensor) -> torch.Tensor:
        """Features of every depth [b, d], in the order of `Spec.depths`."""
        return self._depths(views, 0)

    def _depths(self, views: torch.Tensor, first: int) -> torch.Tensor:
        """Features from `first` on. What lies before is not pooled: its gradients, too, would cost passes."""
        views = views.to(self.device, non_blocking=True)
        below, above = views[:, : self.pooled_width], views[:, self.pooled_width :]
        if self.stages:
            x = above.float().reshape(len(views), *self.map_shape)
        else:
            x = self.normalise(above.reshape(len(views), self._side, self._side, 3))
        if self._is_turned:
            x = x.flip(2, 3)
        if not self.stages:
            x = self.chain.stem(x)
        if x.ndim == 4 and self.chain.layout == "NCHW":
            x = x.contiguous(memory_format=torch.channels_last)
        found, at = [below[:, first:].float()], self.pooled_width
        for stage in list(self.chain.stages)[self.stages :]:
            x = stage(x)
            width = 2 * x.shape[1 if self.chain.layout == "NCHW" else -1]
            if first < at + width:
                found.append(self.chain.pooled(x)[:, max(0, first - at) :])
            at += width
        return torch.cat([*found, self.chain.tail(x)[:, max(0, first - at) :]], 1)

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


def halves(chain: nn.Module, device: torch.device) -> bool:
    """Whether training is faster in bfloat16, by what there is and not by the clock: a run has to end with
    the bits of another on the same machine.

    On a processor that multiplies tiles of bfloat16 (AMX) two to three times, unless convolutions have a
    kernel for each channel, whose gradients there are slow (`benchmarks/halved.py`).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.6 has none
    has_depthwise = any(isinstance(one, nn.Conv2d) and one.groups > 1 for one in chain.modules())
    return device.type == "cpu" and able.get("amx_bf16", False) and not has_depthwise


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


def fold(chain: Chain, side: int) -> bool:
    """Let every convolution do the work of what stands around it, where that changes nothing.

    Behind it, of a batch normalisation: a pair is a convolution and a normalisation that were registered one
    after the other. Before it, of TensorFlow's "same" padding, which is one wider below and on the right than
    above and on the left, so that libraries pad the map first. On a map turned by 180 degrees a turned kernel
    does the same with padding of its own. Whether all this leaves the features alone is tried on noise.
    Names of tensors stay as they are, and so do the tensors.

    Returns:
        Whether the chain now has to be given turned pictures, or turned maps.
    """
    convs = [module for module in chain.modules() if isinstance(module, nn.Conv2d)]
    norms = {
        first: second
        for module in chain.modules()
        for first, second in itertools.pairwise(module.children())
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d) and second.affine
    }
    picture = example(side)
    with torch.no_grad():
        plain = torch.cat(chain.depths(picture), 1)
        for turned in (True, False) if any(map(_pads_the_map, convs)) else (False,):
            for conv in convs if turned else norms:
                _join(conv, norms.get(conv), turned=turned)
            found = torch.cat(chain.depths(picture.flip(2, 3) if turned else picture), 1)
            if torch.allclose(found, plain, rtol=0, atol=CLOSE * float(plain.abs().max())):
                return turned
            for own in (*convs, *norms.values()):
                own.__dict__.pop("forward", None)  # back to their classes'
    return False


def _pads_the_map(conv: nn.Conv2d) -> bool:
    return type(conv).__name__ == "Conv2dSame" and all(size % 2 for size in conv.kernel_size)


def _turned_padding(conv: nn.Conv2d, x: torch.Tensor) -> tuple[int, ...]:
    """What "same" pads below and on the right: `ceil(n / stride)` outputs along a side of n."""
    sides = zip(x.shape[2:], conv.kernel_size, conv.stride, conv.dilation, strict=True)
    wanted = ((-(-n // step) - 1) * step + (size - 1) * far + 1 - n for n, size, step, far in sides)
    return tuple(math.ceil(max(0, total) / 2) for total in wanted)


def _join(conv: nn.Conv2d, norm: nn.BatchNorm2d | None, *, turned: bool) -> None:
    plain: Any = nn.Conv2d.forward if turned and _pads_the_map(conv) else type(conv).forward

    def convolve(self: Any, x: torch.Tensor) -> torch.Tensor:
        own: Any = norm
        weight, bias = self.weight, self.bias
        if turned and weight.shape[2:] != (1, 1):
            weight = weight.flip(2, 3)
        if own is not None:
            factor = own.weight * torch.rsqrt(own.running_var + own.eps)
            shift = own.running_mean if bias is None else own.running_mean - bias
            weight, bias = weight * factor[:, None, None, None], own.bias - shift * factor
        double = copy.copy(self)  # with tensors of its own, for several threads may be here at once
        double.__dict__["_parameters"] = {"weight": weight, "bias": bias}
        if turned and _pads_the_map(self):
            double.padding = _turned_padding(self, x)
        found: torch.Tensor = plain(double, x)
        return found

    def activate(self: Any, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.act(self.drop(x)) if hasattr(self, "act") else x
        return found

    conv.forward = types.MethodType(convolve, conv)  # type: ignore[method-assign]
    if norm is not None:
        norm.forward = types.MethodType(activate, norm)  # type: ignore[method-assign]
