"""A pretrained network as a chain: stem, named stages, tail, top.

Whoever pools features after every stage, freezes up to a stage or trains from one on needs the network in
pieces that follow one another. Each family of architectures says here how it falls into pieces; a network of
no known family is one piece. That the pieces are the network is checked on a picture, not believed.
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Any, Literal, final

import torch
from torch import nn

from headstart.errors import UnknownFamily

Layout = Literal["NCHW", "NHWC", "tokens"]
Pieces = list[tuple[str, nn.Module]]


@final
class Step(nn.Module):
    """A function with the modules that it calls, so that their weights are found."""

    def __init__(self, call: Callable[[torch.Tensor], torch.Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.parts, self._call = nn.ModuleList(parts), call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it."""
        return self._call(x)


@final
class Chain(nn.Module):
    """`top(tail(stages(stem(pictures))))`, each a module. Pictures are normalised, [b, 3, s, s].

    `tail` gives the last layer's features [b, dim]; `top` gives the source network's own logits from what
    `head_input` says: the features, or what the last stage gives.
    """

    def __init__(  # noqa: PLR0913  the pieces of a network
        self,
        stem: nn.Module,
        stages: Pieces,
        tail: nn.Module,
        top: nn.Module,
        *,
        layout: Layout = "NCHW",
        prefix: int = 0,
        top_sees_features: bool = True,
    ) -> None:
        super().__init__()
        self.stem, self.tail, self.top = stem, tail, top
        self.names = [name for name, _ in stages]
        self.stages = nn.ModuleList(stage for _, stage in stages)
        self.layout, self.prefix, self.top_sees_features = layout, prefix, top_sees_features
        self.whole: tuple[nn.Module, ...] = ()  # the network itself; in a tuple its tensors count once

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The source network's own logits, [b, source classes]."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        logits: torch.Tensor = self.top(self.tail(x) if self.top_sees_features else x)
        return logits

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The last layer's features, [b, dim]."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        found: torch.Tensor = self.tail(x)
        return found

    def depths(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Mean and maximum over the positions after each stage, [b, 2 x channels] each; then the features."""
        x = self.stem(x)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(self.pooled(x))
        return [*found, self.tail(x)]

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Mean and maximum over the positions of a stage's output; class tokens are left out."""
        if self.layout == "tokens":
            x = x[:, self.prefix :]
        places = {"NCHW": (2, 3), "NHWC": (1, 2), "tokens": (1,)}[self.layout]
        return torch.cat([x.mean(places), x.amax(places)], 1)


def chain(model: nn.Module, picture: torch.Tensor) -> Chain:
    """The network in pieces, in eval mode. `picture` [1, 3, s, s] is what it is tried on.

    Where the pieces do not give the network's own logits to the last bit, or its family is unknown, it is one
    piece without stages. What is a chain already stays what it is.

    Raises:
        UnknownFamily: the features before its last layer cannot be told, either.
    """
    model = model.eval()
    if isinstance(model, Chain):
        model.whole = (model,)
        return model
    known = next((split for kinds, split in FAMILIES if type(model).__name__ in kinds), None)
    if known is not None:
        with torch.no_grad():
            wanted = model(picture)  # its own errors are no matter of the pieces
        try:
            found = known(model, picture).eval()
            with torch.no_grad():
                same = torch.equal(found(picture), wanted)
                found.depths(picture)
        except (AttributeError, TypeError, RuntimeError):  # a variant that is made otherwise
            same = False
        if same:
            found.whole = (model,)
            return found
    found = _whole(model)
    found.whole = (model,)
    return found


def _whole(model: nn.Module) -> Chain:
    """A network of timm's without stages: timm gives the features before the last layer of all of them."""
    if not hasattr(model, "forward_head"):
        raise UnknownFamily(f"how to take a {type(model).__name__} to pieces is not known.")
    own: Any = model

    def features(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = own.forward_head(own.forward_features(x), pre_logits=True)
        return found

    def logits(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = own(x)
        return found

    return Chain(nn.Identity(), [], Step(features, model), Step(logits), top_sees_features=False)


def _pool(x: torch.Tensor) -> torch.Tensor:
    return x.mean((2, 3))


def _by_resolution(
    stem: nn.Module, pieces: Iterable[nn.Module], picture: torch.Tensor, layout: Layout
) -> Pieces:
    """Consecutive pieces of one resolution are a stage; a last piece without weights joins the one before."""
    side = 2 if layout == "NCHW" else 1
    groups: list[tuple[int, list[nn.Module]]] = []
    with torch.no_grad():
        x = stem(picture)
        for piece in pieces:
            x = piece(x)
            if not groups or groups[-1][0] != x.shape[side]:
                groups.append((int(x.shape[side]), []))
            groups[-1][1].append(piece)
    if len(groups) > 1 and not any(list(own.parameters()) for own in groups[-1][1]):
        groups[-2][1].extend(groups.pop()[1])
    return [(f"stage{number}", nn.Sequential(*own)) for number, (_, own) in enumerate(groups, 1)]


def _numbered(modules: Iterable[nn.Module]) -> Pieces:
    return [(f"stage{number}", own) for number, own in enumerate(modules, 1)]


# -- torchvision ------------------------------------------------------------------------------------------


def _features(model: Any, picture: torch.Tensor) -> Chain:
    """AlexNet, VGG, MobileNet, EfficientNet: `features`, a pooling, and a `classifier` of linear layers."""
    stages = _by_resolution(nn.Identity(), model.features, picture, "NCHW")
    *before, top = model.classifier if isinstance(model.classifier, nn.Sequential) else [model.classifier]
    tail = nn.Sequential(model.avgpool, nn.Flatten(1), *before)
    return Chain(nn.Identity(), stages, tail, top)


def _convnext(model: Any, picture: torch.Tensor) -> Chain:
    norm, flatten, top = model.classifier
    stages = _by_resolution(nn.Identity(), model.features, picture, "NCHW")
    return Chain(nn.Identity(), stages, nn.Sequential(model.avgpool, norm, flatten), top)


def _mobilenet_v2(model: Any, picture: torch.Tensor) -> Chain:
    stages = _by_resolution(nn.Identity(), model.features, picture, "NCHW")
    tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
    return Chain(nn.Identity(), stages, tail, model.classifier)


def _squeezenet(model: Any, picture: torch.Tensor) -> Chain:
    """Its last layer is a convolution whose map is averaged, so it sees the map and not the features."""
    stages = _by_resolution(nn.Identity(), model.features, picture, "NCHW")
    top = nn.Sequential(model.classifier, nn.Flatten(1))
    return Chain(nn.Identity(), stages, Step(_pool), top, top_sees_features=False)


def _densenet(model: Any, picture: torch.Tensor) -> Chain:
    stages = _by_resolution(nn.Identity(), model.features, picture, "NCHW")
    tail = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
    return Chain(nn.Identity(), stages, tail, model.classifier)


def _resnet(model: Any, _: torch.Tensor) -> Chain:
    """Torchvision's and timm's, which name the activation and the pooling otherwise."""
    activation = model.relu if hasattr(model, "relu") else model.act1
    stem = nn.Sequential(model.conv1, model.bn1, activation, model.maxpool)
    stages = _numbered([model.layer1, model.layer2, model.layer3, model.layer4])
    pool = nn.Sequential(model.avgpool, nn.Flatten(1)) if hasattr(model, "avgpool") else model.global_pool
    return Chain(stem, stages, pool, model.fc)


def _inception(model: Any, picture: torch.Tensor) -> Chain:
    """Inception v3 and GoogLeNet of torchvision: modules in the order of their registration."""
    stem = Step(model._transform_input)  # noqa: SLF001
    last = {"avgpool", "dropout", "fc"}
    pieces = [
        own for name, own in model.named_children() if name not in last and not name.lower().startswith("aux")
    ]
    stages = _by_resolution(stem, pieces, picture, "NCHW")
    return Chain(stem, stages, nn.Sequential(model.avgpool, nn.Flatten(1)), model.fc)


def _mnasnet(model: Any, picture: torch.Tensor) -> Chain:
    stages = _by_resolution(nn.Identity(), model.layers, picture, "NCHW")
    return Chain(nn.Identity(), stages, Step(_pool), model.classifier)


def _shufflenet(model: Any, picture: torch.Tensor) -> Chain:
    pieces = [model.conv1, model.maxpool, model.stage2, model.stage3, model.stage4, model.conv5]
    stages = _by_resolution(nn.Identity(), pieces, picture, "NCHW")
    return Chain(nn.Identity(), stages, Step(_pool), model.fc)


def _swin(model: Any, picture: torch.Tensor) -> Chain:
    stages = _by_resolution(nn.Identity(), model.features, picture, "NHWC")
    tail = nn.Sequential(model.norm, model.permute, model.avgpool, model.flatten)
    return Chain(nn.Identity(), stages, tail, model.head, layout="NHWC")


def _torchvision_vit(model: Any, _: torch.Tensor) -> Chain:
    def tokens(x: torch.Tensor) -> torch.Tensor:
        x = model._process_input(x)  # noqa: SLF001
        x = torch.cat([model.class_token.expand(x.shape[0], -1, -1), x], 1)
        found: torch.Tensor = model.encoder.dropout(x + model.encoder.pos_embedding)
        return found

    stem = Step(tokens, model)
    return _tokens(stem, list(model.encoder.layers), model.encoder.ln, model.heads, prefix=1)


# -- timm -------------------------------------------------------------------------------------------------


def _tokens(
    stem: nn.Module,
    blocks: list[nn.Module],
    norm: nn.Module,
    top: nn.Module,
    *,
    prefix: int,
    has_class: bool = True,
) -> Chain:
    """A vision transformer: blocks in four stages; features are the class token beside the mean of patches.

    (Oquab et al. 2023, DINOv2, arXiv:2304.07193, use both for linear classifiers.) Without a class token they
    are that mean alone; `prefix` counts it and registers, which stand before the patches.
    """
    cuts = [round(len(blocks) * part / 4) for part in range(5)]
    stages = _numbered(nn.Sequential(*blocks[a:b]) for a, b in itertools.pairwise(cuts) if a < b)

    def features(x: torch.Tensor) -> torch.Tensor:
        x = norm(x)
        patches = x[:, prefix:].mean(1)
        return torch.cat([x[:, 0], patches], 1) if has_class else patches

    def logits(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = top(norm(x)[:, 0])
        return found

    return Chain(
        stem,
        stages,
        Step(features, norm),
        Step(logits, norm, top),
        layout="tokens",
        prefix=prefix,
        top_sees_features=False,
    )


def _timm_vit(model: Any, _: torch.Tensor) -> Chain:
    def tokens(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(x))))  # noqa: SLF001
        return found

    def logits(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model.forward_head(model.norm(x))
        return found

    found = _tokens(
        Step(tokens, model),
        list(model.blocks),
        model.norm,
        model.head,
        prefix=model.num_prefix_tokens,
        has_class=model.has_class_token,
    )
    found.top = Step(logits)
    return found


def _timm_efficientnet(model: Any, _: torch.Tensor) -> Chain:
    stem = nn.Sequential(model.conv_stem, model.bn1)
    stages = _numbered(model.blocks)
    if hasattr(model, "bn2"):
        tail: nn.Module = nn.Sequential(model.conv_head, model.bn2, Step(_pool))
    else:  # MobileNetV3 pools before its last convolution
        tail = Step(lambda x: model.forward_head(x, pre_logits=True), model)
    return Chain(stem, stages, tail, model.classifier)


def _timm_stages(model: Any, _: torch.Tensor) -> Chain:
    """ConvNeXt, MobileOne, RepVGG, FastViT: `stem`, `stages`, the rest."""
    rest = model.norm_pre if hasattr(model, "norm_pre") else model.final_conv
    tail = Step(lambda x: model.forward_head(rest(x), pre_logits=True), model)
    top = model.head.fc
    return Chain(model.stem, _numbered(model.stages), tail, top)


def _timm_regnet(model: Any, _: torch.Tensor) -> Chain:
    tail = Step(lambda x: model.forward_head(model.final_conv(x), pre_logits=True), model)
    stages = _numbered([model.s1, model.s2, model.s3, model.s4])
    return Chain(model.stem, stages, tail, model.head.fc)


def _regnet(model: Any, _: torch.Tensor) -> Chain:
    pool = nn.Sequential(model.avgpool, nn.Flatten(1))
    return Chain(model.stem, _numbered(model.trunk_output), pool, model.fc)


def _maxvit(model: Any, _: torch.Tensor) -> Chain:
    *before, top = model.classifier
    return Chain(model.stem, _numbered(model.blocks), nn.Sequential(*before), top)


def _timm_swin(model: Any, _: torch.Tensor) -> Chain:
    tail = Step(lambda x: model.forward_head(model.norm(x), pre_logits=True), model)
    return Chain(model.patch_embed, _numbered(model.layers), tail, model.head.fc, layout="NHWC")


def _timm_features(model: Any, picture: torch.Tensor) -> Chain:
    """DenseNet and VGG."""
    stages = _by_resolution(nn.Identity(), model.features, picture, "NCHW")
    tail = Step(lambda x: model.forward_head(x, pre_logits=True), model)
    top = model.classifier if hasattr(model, "classifier") else model.head.fc
    return Chain(nn.Identity(), stages, tail, top)


def _either(torchvisions: Callable[..., Chain], timms: Callable[..., Chain]) -> Callable[..., Chain]:
    """Two libraries, one name of a class."""
    return lambda model, picture: (timms if hasattr(model, "forward_head") else torchvisions)(model, picture)


FAMILIES: tuple[tuple[set[str], Callable[[Any, torch.Tensor], Chain]], ...] = (
    ({"AlexNet"}, _features),
    ({"VGG"}, _either(_features, _timm_features)),
    ({"DenseNet"}, _either(_densenet, _timm_features)),
    ({"ConvNeXt"}, _either(_convnext, _timm_stages)),
    ({"EfficientNet", "MobileNetV3"}, _either(_features, _timm_efficientnet)),
    ({"MobileNetV2"}, _mobilenet_v2),
    ({"SqueezeNet"}, _squeezenet),
    ({"ResNet"}, _resnet),
    ({"Inception3", "GoogLeNet"}, _inception),
    ({"MNASNet"}, _mnasnet),
    ({"ShuffleNetV2"}, _shufflenet),
    ({"SwinTransformer"}, _either(_swin, _timm_swin)),
    ({"VisionTransformer"}, _either(_torchvision_vit, _timm_vit)),
    ({"RegNet"}, _either(_regnet, _timm_regnet)),
    ({"MaxVit"}, _maxvit),
    ({"ByobNet", "FastVit"}, _timm_stages),
)
