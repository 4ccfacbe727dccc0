"""Networks that start from nothing: `scratch:ARCHITECTURE[?SWITCH=VALUE&…]`, weights drawn from a seed.

Two of the textbooks' networks with a switch for each thing that a lecture turns. Every switch, also one that
nobody named, stands among the arguments of the Spec, so that a network stays what it was when a default
changes. The torch modules are in `network.py`.
"""

import json
from dataclasses import dataclass
from typing import Literal, Self, final
from urllib.parse import parse_qsl

from headstart.errors import Misuse, UnknownName
from headstart.files import digest_bytes
from headstart.values import Preprocess, Spec, Stage, Weights

LIBRARY: Literal["headstart"] = "headstart"
PREFIX = "scratch"
EDITION = 1  # of what is built and drawn; a change of either is a new number

SIZES_PX = range(8, 1025)  # the small CNN halves its map three times
WIDTHS = range(1, 257)
SEEDS = range(2**63)  # what torch takes
INITS = ("he", "xavier", "small")
ACTIVATIONS = ("relu", "tanh", "sigmoid")
NORMS = ("batch", "none")
CLIPS = ("norm", "none")

Arguments = tuple[tuple[str, str], ...]

_CITATIONS = {
    "resnet18": "He et al. 2016, arXiv:1512.03385; weights He et al. 2015, arXiv:1502.01852",
    "small-cnn": "LeCun et al. 1998; 3 x 3 as Simonyan and Zisserman 2015, arXiv:1409.1556",
}
_TITLES = {"resnet18": "ResNet-18 for small pictures", "small-cnn": "Small CNN"}
_WIDTH = {"resnet18": 64, "small-cnn": 32}


@final
@dataclass(frozen=True)
class Switches:
    """What may be said of a network that starts from nothing."""

    size: int  # px, side of the square that the network gets
    width: int  # channels of the first stage
    seed: int  # of the initial weights
    init: str
    activation: str
    norm: str
    clip: str  # of gradients, while it is trained

    @classmethod
    def of(cls, architecture: str, asked: dict[str, str]) -> Self:
        """The switches of this architecture, where nothing is asked its defaults.

        Raises:
            UnknownName: there is no such architecture.
            Misuse: an unknown switch, or a value that it cannot have.
        """
        if architecture not in names():
            raise UnknownName("network from scratch", architecture, names())
        known = sorted(cls.__dataclass_fields__)
        if unknown := sorted(asked.keys() - known):
            raise Misuse(
                f"{PREFIX}:{architecture} has no switch {unknown[0]!r}. Known: {', '.join(known)}, resize."
            )
        return cls(
            size=_whole("size", asked.get("size", "32"), SIZES_PX),
            width=_whole("width", asked.get("width", str(_WIDTH[architecture])), WIDTHS),
            seed=_whole("seed", asked.get("seed", "0"), SEEDS),
            init=_one("init", asked.get("init", "he"), INITS),
            activation=_one("activation", asked.get("activation", "relu"), ACTIVATIONS),
            norm=_one("norm", asked.get("norm", "batch"), NORMS),
            clip=_one("clip", asked.get("clip", "norm"), CLIPS),
        )

    def arguments(self) -> Arguments:
        """All of them as a Spec holds them, sorted."""
        return tuple((key, str(getattr(self, key))) for key in sorted(self.__dataclass_fields__))


def names() -> list[str]:
    """Names of the architectures, sorted."""
    return sorted(_WIDTH)


def described(name: str) -> Spec:
    """The facts of `scratch:ARCHITECTURE[?SWITCH=VALUE&…]`.

    Raises:
        UnknownName: there is no such architecture.
        Misuse: an unknown switch, or a value that it cannot have.
    """
    architecture, _, query = name.removeprefix(f"{PREFIX}:").partition("?")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    resize = asked.pop("resize", None)
    switches = Switches.of(architecture, asked)
    size = switches.size
    resized = size if resize is None else _whole("resize", resize, range(size, SIZES_PX.stop))
    from headstart.backbones.libraries import BACKGROUND, measured  # torch: not for a slip of the pen

    preprocess = Preprocess(
        size_px=size,
        resize_px=resized,
        interpolation="bicubic",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),  # about what photographs have
        background=BACKGROUND,
    )
    arguments = switches.arguments()
    found = measured((LIBRARY, architecture, arguments), size)
    return Spec(
        name=name,
        title=f"{_TITLES[architecture]} from scratch",
        library=LIBRARY,
        architecture=architecture,
        arguments=arguments,
        weights=Weights("random", "", "", digest(architecture, arguments), ""),
        stages=tuple(Stage(*stage) for stage in found["stages"]),
        dim=found["dim"],
        parameters=found["parameters"],
        gmac=found["gmac"],
        licence="Apache-2.0",
        citation=_CITATIONS[architecture],
        preprocess=preprocess,
    )


def digest(architecture: str, arguments: Arguments) -> str:
    """What stands for the initial weights, as the digest of a file stands for the weights in it."""
    drawn = [one for one in arguments if one[0] != "clip"]  # that is of training alone
    return digest_bytes(json.dumps([PREFIX, EDITION, architecture, *drawn]).encode())


def is_unclipped(spec: Spec) -> bool:
    """Whether this network's gradients are used as they are, however large."""
    return spec.library == LIBRARY and dict(spec.arguments).get("clip") == "none"


def _whole(switch: str, value: str, allowed: range) -> int:
    try:
        found = int(value)
    except ValueError:
        found = -1
    if found not in allowed:
        raise Misuse(
            f"{switch}={value[:40]!r} cannot be used; wanted a whole number, {allowed[0]} to {allowed[-1]}."
        )
    return found


def _one(switch: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise Misuse(f"{switch}={value[:40]!r} cannot be used; wanted one of {', '.join(allowed)}.")
    return value
