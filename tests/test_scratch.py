"""Networks that start from nothing: the same seed gives the same bits, and each switch does what it says."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from headstart import backbones
from headstart.backbones.chain import Chain, chain
from headstart.backbones.libraries import anatomy
from headstart.backbones.network import Pooled, architecture, load
from headstart.backbones.scratch import Switches
from headstart.cli import main
from headstart.engines import digest as engine_digest
from headstart.engines import open_engine
from headstart.errors import Misuse, UnknownName, WeightsError

SMALL = "scratch:small-cnn"
RESNET = "scratch:resnet18"
NETWORKS = [SMALL, f"{SMALL}?size=64&width=8", f"{SMALL}?norm=none", f"{RESNET}?width=8"]
CHANGES = {
    "size": "64", "resize": "40", "width": "12", "seed": "1",
    "init": "xavier", "activation": "tanh", "norm": "none", "clip": "none",
}  # fmt: skip


def bits(network: nn.Module) -> bytes:
    return b"".join(value.numpy().tobytes() for value in network.state_dict().values())


def of(network: nn.Module, *kinds: type[nn.Module]) -> list[nn.Module]:
    return [own for own in network.modules() if isinstance(own, kinds)]


def pictures(side: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(7))


# -- the seed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [SMALL, f"{RESNET}?width=8"])
def test_the_same_seed_gives_the_same_bits_and_another_one_others(name: str) -> None:
    torch.manual_seed(1)
    first = bits(load(backbones.spec(name)))
    torch.manual_seed(2)  # what others draw is no matter
    assert bits(load(backbones.spec(name))) == first
    other = load(backbones.spec(f"{name}{'&' if '?' in name else '?'}seed=1"))
    convolutions = zip(of(load(backbones.spec(name)), nn.Conv2d), of(other, nn.Conv2d), strict=True)
    assert not any(torch.equal(a.weight, b.weight) for a, b in convolutions)


def test_the_global_generator_stays_where_it_was() -> None:
    before = torch.random.get_rng_state()
    load(backbones.spec(f"{SMALL}?seed=5"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_no_layer_is_a_copy_of_another() -> None:
    """One generator for all layers, and not one for each from the same seed."""
    layers = of(load(backbones.spec(f"{RESNET}?width=4")), nn.Conv2d)
    firsts = [tuple(layer.weight.flatten()[:4].div(layer.weight.std()).tolist()) for layer in layers]
    assert len(set(firsts)) == len(firsts)


# -- the switches -----------------------------------------------------------------------------------------


def test_every_switch_has_a_change() -> None:
    assert CHANGES.keys() == {*Switches.__dataclass_fields__, "resize"}


@pytest.mark.parametrize("name", [SMALL, f"{RESNET}?width=8"])
@pytest.mark.parametrize("switch", CHANGES)
def test_every_switch_moves_the_features_and_what_they_are_kept_under(name: str, switch: str) -> None:
    base = name.partition("?")[0]
    asked = {"width": "8"} | {switch: CHANGES[switch]}
    plain = backbones.spec(f"{base}?width=8")
    moved = backbones.spec(f"{base}?{'&'.join(f'{key}={value}' for key, value in asked.items())}")
    if switch == "clip":  # what it moves is training, see test_watch.py
        assert moved.weights == plain.weights
        assert moved.arguments != plain.arguments
        return
    assert engine_digest(plain, "torch", "f32") != engine_digest(moved, "torch", "f32")
    if switch == "resize":
        assert (moved.preprocess.size_px, moved.preprocess.resize_px) == (32, 40)
        assert moved.weights == plain.weights  # the network has no part in it
        return
    assert moved.weights.sha256 != plain.weights.sha256
    found = []
    for one in (plain, moved):
        side = one.preprocess.size_px
        pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
        with torch.no_grad():
            network = Pooled(load(one), one.preprocess)
            # normalisation lets everything through at first; while it trains, it hides the spread
            found.append(torch.cat([network.train(mode)(torch.from_numpy(pixels)) for mode in (False, True)]))
    assert found[0].shape != found[1].shape or not torch.allclose(*found, rtol=0.05)


@pytest.mark.parametrize("name", [SMALL, RESNET])
def test_a_default_is_the_same_as_what_it_stands_for(name: str) -> None:
    plain = backbones.spec(name)
    said = backbones.spec(f"{name}?{'&'.join(f'{key}={value}' for key, value in reversed(plain.arguments))}")
    assert replace(said, name=name) == plain
    assert engine_digest(said, "torch", "f32") == engine_digest(plain, "torch", "f32")


@pytest.mark.parametrize("name", [SMALL, RESNET])
@pytest.mark.parametrize(
    ("activation", "kind"), [("relu", nn.ReLU), ("tanh", nn.Tanh), ("sigmoid", nn.Sigmoid)]
)
def test_there_is_one_kind_of_activation(name: str, activation: str, kind: type[nn.Module]) -> None:
    network = load(backbones.spec(f"{name}?width=4&activation={activation}"))
    assert {type(own) for own in of(network, nn.ReLU, nn.Tanh, nn.Sigmoid)} == {kind}


@pytest.mark.parametrize("name", [SMALL, RESNET])
def test_a_shift_stands_behind_every_convolution_once(name: str) -> None:
    """The normalisation's, or where there is none the convolution's own, which starts at zero."""
    normed, plain = (load(backbones.spec(f"{name}?width=4&norm={norm}")) for norm in ("batch", "none"))
    convolutions = of(normed, nn.Conv2d)
    assert all(own.bias is None for own in convolutions)
    assert len(of(normed, nn.BatchNorm2d)) == len(convolutions) == len(of(plain, nn.Conv2d))
    assert of(plain, nn.BatchNorm2d) == []
    assert all(own.bias is not None and not own.bias.any() for own in of(plain, nn.Conv2d))


@pytest.mark.parametrize(
    ("size", "stages", "side"), [(8, 3, 1), (32, 3, 4), (63, 3, 7), (64, 4, 4), (128, 5, 4), (224, 5, 7)]
)
def test_larger_pictures_get_more_stages_until_the_map_is_small(size: int, stages: int, side: int) -> None:
    spec = backbones.spec(f"{SMALL}?width=2&size={size}")
    pieces = anatomy(spec)
    assert [stage.channels for stage in spec.stages] == [2, 4, 8, 16, 16][:stages]
    assert pieces[-2].shape == (min(2**stages, 16), side, side)
    assert backbones.spec(f"{RESNET}?width=2&size={size}").stages[-1].channels == 16


# -- initial weights --------------------------------------------------------------------------------------


def stage_by_stage(network: Chain, side: int) -> list[torch.Tensor]:
    x, found = network.stem(pictures(side)), []
    for stage in network.stages:
        x = stage(x)
        found.append(x)
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("init", "least", "most"), [("he", 0.5, 10), ("xavier", 1e-4, 0.05), ("small", 1e-14, 1e-8)]
)
def test_he_keeps_the_variance_through_ten_layers_of_relu_and_the_others_lose_it(
    init: str, least: float, most: float, seed: int
) -> None:
    """Pooling takes the larger of four, so He's variance grows a little."""
    network = load(backbones.spec(f"{SMALL}?size=128&norm=none&init={init}&seed={seed}"))
    with torch.no_grad():
        variances = [float(x.double().var()) for x in stage_by_stage(network, 128)]
    assert least < variances[-1] / variances[0] < most, variances


@pytest.mark.parametrize(
    ("init", "std"),
    [
        ("he", lambda inside, _: (2 / inside) ** 0.5),
        ("xavier", lambda inside, out: (2 / (inside + out)) ** 0.5),
        ("small", lambda *_: 0.01),
    ],
)
@pytest.mark.parametrize("name", [SMALL, RESNET])
def test_initial_weights_have_the_spread_of_their_paper(name: str, init: str, std: object) -> None:
    for layer in of(load(backbones.spec(f"{name}?width=32&init={init}")), nn.Conv2d):
        out, inside, *kernel = layer.weight.shape
        area = float(np.prod(kernel))
        wanted = std(inside * area, out * area)  # type: ignore[operator]
        assert float(layer.weight.std()) == pytest.approx(wanted, rel=0.1)
        assert abs(float(layer.weight.mean())) < 0.2 * wanted


def first_gradient(switches: str) -> float:
    """Its length in the first stage, for a fixed linear classifier behind the features."""
    network = load(backbones.spec(f"{SMALL}?{switches}")).requires_grad_(requires_grad=True)
    features = network.features(pictures(32, 8))
    weight = torch.randn(10, features.shape[1], generator=torch.Generator().manual_seed(1))
    logits = features @ weight.T / features.shape[1] ** 0.5
    nn.functional.cross_entropy(logits, torch.arange(8)).backward()
    return sum(float(own.grad.square().sum()) for own in network.stages[0].parameters()) ** 0.5


@pytest.mark.parametrize("init", ["he", "xavier"])
def test_sigmoid_lets_little_gradient_through(init: str) -> None:
    """Its slope is a quarter at most, six layers deep."""
    relu, sigmoid = (first_gradient(f"norm=none&init={init}&activation={a}") for a in ("relu", "sigmoid"))
    assert 0 < sigmoid < 0.02 * relu


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_learns(name: str) -> None:
    spec = backbones.spec(name)
    network = load(spec).requires_grad_(requires_grad=True).train()
    network(pictures(spec.preprocess.size_px, 4)).square().mean().backward()
    assert all(own.grad is not None and own.grad.any() for own in network.parameters())


# -- facts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NETWORKS, SMALL, RESNET])
def test_facts_are_what_torch_counts(name: str) -> None:
    spec = backbones.spec(name)
    network = load(spec)
    assert spec.parameters == sum(own.numel() for own in network.parameters())
    side = spec.preprocess.size_px
    products: list[int] = []

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        products.append(layer.weight.numel() * output.shape[2] * output.shape[3])

    for layer in of(network, nn.Conv2d):
        layer.register_forward_hook(count)
    with torch.no_grad():
        depths = network.depths(pictures(side, 1))
    assert spec.gmac == round(sum(products) / 1e9, 3)
    widths = [depth.stop - depth.start for depth in spec.depths]
    assert widths == [depth.shape[1] for depth in depths]
    assert [stage.name for stage in spec.stages] == network.names
    assert widths[-1] == spec.dim
    assert sum(piece.parameters for piece in anatomy(spec)) == spec.parameters
    assert backbones.spec_from_json(json.loads(json.dumps(asdict(spec)))) == spec


def test_the_textbook_networks_have_the_sizes_of_the_textbooks() -> None:
    small, resnet = backbones.spec(SMALL), backbones.spec(RESNET)
    assert [stage.channels for stage in small.stages] == [32, 64, 128]
    assert [stage.channels for stage in resnet.stages] == [64, 128, 256, 512]
    assert resnet.parameters + 512 * 10 + 10 == 11_173_962  # of ResNet-18 for CIFAR-10, with its classifier
    for spec in (small, resnet):
        assert spec.library == "headstart"
        assert spec.weights.source == "random"
        assert (spec.preprocess.size_px, spec.preprocess.resize_px) == (32, 32)
        assert (spec.preprocess.mean, spec.preprocess.std) == ((0.5,) * 3, (0.25,) * 3)


def test_facts_need_no_other_library() -> None:
    code = (
        f"import sys\nfrom headstart import backbones\nbackbones.spec({SMALL!r})\n"
        "print({'timm', 'torchvision'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()"


# -- as a backbone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_a_chain_as_the_others_are(name: str) -> None:
    spec = backbones.spec(name)
    network = load(spec)
    assert not any(own.training for own in network.modules())
    assert not any(own.requires_grad for own in network.parameters())
    reached = {id(own) for part in (network.stem, network.stages, network.tail) for own in part.parameters()}
    assert reached == {id(own) for own in network.parameters()}
    assert chain(network, pictures(spec.preprocess.size_px)) is network
    assert [id(own) for own in network.whole] == [id(network)]  # what is saved of it fits a new one
    x = pictures(spec.preprocess.size_px)
    with torch.no_grad():
        assert torch.equal(network(x), network.features(x))
        assert torch.equal(network.features(x), network.depths(x)[-1])


def test_there_is_nothing_to_fetch() -> None:
    spec = backbones.spec(SMALL)
    assert backbones.is_here(spec)
    assert backbones.pinned(spec) is spec
    with pytest.raises(WeightsError, match=r"starts from nothing.*no file"):
        backbones.weights_file(spec)


@pytest.mark.parametrize("change", ["arguments", "digest", "library"])
def test_weights_that_would_be_others_are_refused(change: str) -> None:
    spec = backbones.spec(SMALL)
    other = {
        "arguments": replace(spec, arguments=backbones.spec(f"{SMALL}?seed=1").arguments),
        "digest": replace(spec, weights=replace(spec.weights, sha256="0" * 64)),
        "library": replace(spec, library="timm", architecture="resnet18", arguments=()),
    }[change]
    with pytest.raises(WeightsError, match="not drawn as they were"):
        load(other)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_trained_one_comes_back_from_its_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    spec = backbones.spec(name)
    x = pictures(spec.preprocess.size_px, 4)
    network = load(spec).requires_grad_(requires_grad=True).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    network(x).square().mean().backward()
    optimiser.step()
    network.eval()
    save_file(network.state_dict(), tmp_path / "trained.safetensors")
    found = backbones.with_file(spec, tmp_path / "trained.safetensors")
    assert (found.library, found.weights.source) == ("headstart", "file")
    again = load(found)
    assert bits(again) == bits(network) != bits(load(spec))
    with torch.no_grad():
        assert torch.equal(again(x), network(x))
    assert not any(own.requires_grad for own in again.parameters())
    with pytest.raises(WeightsError, match=r"does not fit small-cnn: tensor stages"):
        load(backbones.with_file(backbones.spec(f"{SMALL}?width=3"), tmp_path / "trained.safetensors"))


def test_engines_agree() -> None:
    spec = backbones.spec(f"{SMALL}?seed=3")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    ours, reference = (open_engine(spec, d).encode(pixels).astype(np.float64) for d in ("cpu", "torch"))
    assert ours.shape == (4, spec.depths[-1].stop)
    lengths = np.sqrt((ours**2).sum(1) * (reference**2).sum(1))
    assert (1 - (ours * reference).sum(1) / lengths).max() < 1e-4


# -- what is said -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("scratch:small-cnm", UnknownName, r"Did you mean 'small-cnn'\? Known: resnet18, small-cnn\."),
        ("scratch:", UnknownName, r"Known: resnet18, small-cnn\."),
        ("scratch", UnknownName, "Known: resnet18, small-cnn"),
        ("scratch:small-cnn.best", UnknownName, "small-cnn.best"),
        ("scrap:small-cnn", UnknownName, "scratch:NAME"),
        (
            f"{SMALL}?depth=4",
            Misuse,
            "'depth'. Known: activation, clip, init, norm, seed, size, width, resize",
        ),
        (f"{SMALL}?mean=0.5", Misuse, "no switch 'mean'"),
        (f"{SMALL}?width=0", Misuse, "width='0' cannot be used; wanted a whole number, 1 to 256"),
        (f"{SMALL}?width=wide", Misuse, "width='wide' .* whole number"),
        (f"{SMALL}?width", Misuse, "width='' .* whole number"),
        (f"{SMALL}?seed=-1", Misuse, "seed='-1' .* 0 to 9223372036854775807"),
        (f"{SMALL}?seed={2**63}", Misuse, "seed='9223372036854775808'"),
        (f"{SMALL}?seed={'9' * 9999}", Misuse, "seed='9{40}' cannot"),
        (f"{SMALL}?size=7", Misuse, "size='7' .* 8 to 1024"),
        (f"{SMALL}?size=64&resize=63", Misuse, "resize='63' .* 64 to 1024"),
        (f"{SMALL}?init=she", Misuse, "init='she' .* he, xavier, small"),
        (f"{SMALL}?activation=gelu", Misuse, "relu, tanh, sigmoid"),
        (f"{RESNET}?norm=layer", Misuse, "batch, none"),
    ],
)
def test_a_name_that_cannot_be_meant_is_said(name: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        backbones.spec(name)
    assert len(str(caught.value)) < 300


def test_arguments_that_were_damaged_are_said_by_the_builder() -> None:
    with pytest.raises(UnknownName, match="resnet18, small-cnn"):
        architecture("headstart", "large-cnn")
    with pytest.raises(Misuse, match="relu, tanh, sigmoid"):
        architecture("headstart", "small-cnn", (("activation", "none"),))


def told(words: Sequence[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "argv", ["headstart", "backbones", *words])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("name", [SMALL, RESNET, f"{SMALL}?seed={2**63 - 1}&activation=sigmoid&width=100"])
def test_the_command_describes_it(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = told([name], capsys, monkeypatch)
    assert max(map(len, out.splitlines())) <= 80
    for said in ("stage1", "stage3", "init=he", "drawn from the seed"):
        assert said in out
    assert "scratch:small-cnn" in told([], capsys, monkeypatch)
    stages = json.loads(told([name, "--json"], capsys, monkeypatch))["stages"]
    spec = backbones.spec(name)
    assert [one["name"] for one in stages] == ["stem", *(stage.name for stage in spec.stages), "last"]
