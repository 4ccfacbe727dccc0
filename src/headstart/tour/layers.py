"""Chapter 7: what the layers see: a few maps of every stage."""

from dataclasses import dataclass

import numpy as np

from headstart.tour import draw
from headstart.tour.pictures import Material
from headstart.tour.section import Section
from headstart.values import Bytes

MAPS = 4


@dataclass(frozen=True, eq=False)
class Stage:
    """What one piece of the network makes of the picture."""

    name: str
    shape: tuple[int, int, int]  # channels, height, width
    maps: tuple[Bytes, ...]  # those that differ most within the picture
    channels: tuple[int, ...]  # which these are


@dataclass(frozen=True, eq=False)
class Layers:
    """The chapter's numbers."""

    network: str
    shown: Bytes
    shown_class: str
    stages: tuple[Stage, ...]


def measured(material: Material) -> Layers:
    """Run one judged picture at full size through the frozen default network, piece by piece."""
    import torch

    from headstart.backbones.network import Normalise, load

    network = load(material.spec)
    pieces = [("stem", network.stem), *zip(network.names, network.stages, strict=True)]
    found = []
    with torch.no_grad():
        x = Normalise(material.spec.preprocess)(torch.from_numpy(material.shown[None]))
        for name, piece in pieces:
            x = piece(x)
            maps = x[0].numpy()
            best = np.argsort(-maps.std((1, 2)), kind="stable")[:MAPS]
            channels, height, width = maps.shape
            shown = tuple(draw.stretched(maps[at]) for at in best)
            found.append(Stage(name, (channels, height, width), shown, tuple(int(at) for at in best)))
    return Layers(material.spec.title, material.shown, material.shown_class, tuple(found))


def rendered(found: Layers) -> Section:
    """The chapter as HTML."""
    rows = []
    for stage in found.stages:
        channels, height, width = stage.shape
        maps = "".join(
            draw.image(own, f"{stage.name}, channel {at + 1}: bright where it answers", size=92)
            for own, at in zip(stage.maps, stage.channels, strict=True)
        )
        words = f"{channels} maps of {height} × {width}"
        rows.append(
            f'<div class="stage"><p><b>{draw.text(stage.name)}</b><br>{words}</p><div>{maps}</div></div>'
        )
    first, last = found.stages[0].shape, found.stages[-1].shape
    body = (
        f"<p>A picture of class <b>{draw.text(found.shown_class)}</b> goes into {draw.text(found.network)}, at "
        f'{found.shown.shape[0]} × {found.shown.shape[1]} pixels:</p><p><img src="{draw.jpeg(found.shown)}" '
        f'width="150" height="150" alt="The picture that goes in, of class {draw.text(found.shown_class)}"></p><p>Of each '
        f"stage, the {MAPS} maps that differ most from place to place:</p>{''.join(rows)}"
        f"<p>From {first[1]} × {first[2]} positions with {first[0]} numbers each to {last[1]} × {last[2]} positions "
        f"with {last[0]}: the network gives up knowing where, and gains knowing what. The head sees the mean "
        "over the positions.</p>"
    )
    code = (
        "from headstart.backbones.network import example, load\n"
        "from headstart.look import chosen\n\n"
        'network = load(chosen("efficientnet_lite0"))\n'
        "x = network.stem(example(224))  # noise; a picture of yours works as well\n"
        "for name, stage in zip(network.names, network.stages):\n"
        "    x = stage(x)\n"
        "    print(name, tuple(x.shape))"
    )
    return Section(
        "layers",
        "What the layers see",
        "Go down the stages: the first maps are still the picture with its edges, the last are a few coarse "
        "spots that say “here is something like this”.",
        body,
        code,
    )
