"""Any pretrained network as a source: it is the network it says it is, its weights are the ones wanted."""

import functools
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import make
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

import headstart
from headstart import backbones
from headstart.backbones.chain import chain
from headstart.backbones.libraries import anatomy, search
from headstart.backbones.network import Classify, _filled, architecture, load
from headstart.cli import group, main
from headstart.engines import open_engine
from headstart.engines.openvino import OpenVinoEngine
from headstart.errors import DownloadError, Misuse, UnknownFamily, UnknownName, WeightsError
from headstart.files import digest_file
from headstart.modalities.image import decode
from headstart.values import Spec, Weights

SMALL = "torchvision:squeezenet1_1"
MOBILENET = "timm:mobilenetv2_100?mean=0.5&std=0.5"
MOBILENET_FILE = "mobilenet_v2_tf_qat_timm_mobilenetv2_100.pth"
TRANSFORMER = "timm:vit_tiny_patch16_224"
FAMILIES = [
    ("torchvision", "alexnet", 3),
    ("torchvision", "vgg11", 5),
    ("torchvision", "resnet18", 4),
    ("torchvision", "inception_v3", 7),
    ("torchvision", "googlenet", 5),
    ("torchvision", "densenet121", 5),
    ("torchvision", "mobilenet_v2", 5),
    ("torchvision", "mobilenet_v3_small", 5),
    ("torchvision", "efficientnet_b0", 5),
    ("torchvision", "convnext_tiny", 4),
    ("torchvision", "vit_b_32", 4),
    ("torchvision", "swin_t", 4),
    ("torchvision", "squeezenet1_1", 4),
    ("torchvision", "mnasnet0_5", 5),
    ("torchvision", "shufflenet_v2_x0_5", 5),
    ("torchvision", "regnet_y_400mf", 4),
    ("torchvision", "maxvit_t", 4),
    ("timm", "resnet18", 4),
    ("timm", "convnextv2_atto", 4),
    ("timm", "swin_tiny_patch4_window7_224", 4),
    ("timm", "regnety_002", 4),
    ("timm", "mobilenetv3_small_050", 6),
    ("timm", "efficientnet_b0", 7),
    ("timm", "densenet121", 5),
    ("timm", "mobileone_s0", 4),
    ("timm", "vit_tiny_patch16_224", 4),
    ("timm", "deit3_small_patch16_224", 4),
    ("timm", "eva02_tiny_patch14_224", 0),  # of no known family: one piece
    ("timm", "mixer_s32_224", 0),
]


FIXED = ("vit", "deit", "eva", "swin", "mixer", "maxvit")  # in the size of their pictures


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the smallest of torchvision's networks, as a file."""
    return saved(SMALL, tmp_path_factory.mktemp("weights") / "small.safetensors")


def saved(name: str, file: Path) -> Path:
    """Random weights that leave something to see after many layers."""
    torch.manual_seed(0)
    library, _, rest = name.partition(":")
    model = architecture(library, rest)
    save_file(model.state_dict(), file)
    return file


# -- pieces -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("library", "name", "stages"), FAMILIES, ids=lambda own: str(own))
def test_the_pieces_are_the_network(library: str, name: str, stages: int) -> None:
    torch.manual_seed(0)
    model = architecture(library, name).eval()
    for own in model.modules():  # layer scales that start near zero would hide a missing block
        for scale in ("gamma", "layer_scale"):
            if isinstance(getattr(own, scale, None), nn.Parameter):
                getattr(own, scale).data.fill_(0.5)
    side = 96 if not name.startswith(FIXED) else 224  # small, because it takes no more to see
    picture = torch.randn(1, 3, side, side)
    found = chain(model, picture)
    assert len(found.names) == stages
    with torch.no_grad():
        assert torch.equal(found(picture), model(picture))
        depths = found.depths(picture)
        assert torch.equal(found.features(picture), depths[-1])
    assert [depth.ndim for depth in depths] == [2] * (stages + 1)
    owned = {id(one) for one in found.parameters()}
    assert owned >= {id(one) for key, one in model.named_parameters() if "aux" not in key.lower()}


@pytest.mark.parametrize(
    ("name", "token"), [("vit_tiny_patch16_224", 1), ("vit_little_patch16_reg4_gap_256", 0)]
)
def test_features_of_a_transformer_are_its_class_token_and_patches_and_no_register(
    name: str, token: int
) -> None:
    torch.manual_seed(0)
    model = architecture("timm", name).eval()
    picture = torch.randn(1, 3, *model.patch_embed.img_size)
    with torch.no_grad():
        seen = model.forward_features(picture)
        found = chain(model, picture).features(picture)
    patches = seen[:, model.num_prefix_tokens :].mean(1)
    assert torch.equal(found, torch.cat([seen[:, 0], patches], 1) if token else patches)


def test_a_variant_that_is_made_otherwise_is_one_piece_and_never_wrong() -> None:
    model = architecture("timm", "resnet18").eval()
    model.layer4.register_forward_hook(lambda _module, _inputs, output: output + 1)  # still the same pieces
    assert chain(model, torch.randn(1, 3, 64, 64)).names
    forward = model.forward_features
    model.forward_features = lambda x: forward(x) + 1
    picture = torch.randn(1, 3, 64, 64)
    found = chain(model, picture)
    assert found.names == []
    with torch.no_grad():
        assert torch.equal(found(picture), model(picture))


def test_a_network_of_which_nothing_is_known_is_refused() -> None:
    with pytest.raises(UnknownFamily, match="Linear"):
        chain(nn.Linear(3, 3), torch.zeros(1, 3, 8, 8))


# -- facts ------------------------------------------------------------------------------------------------


def test_facts_of_the_catalogue_agree_with_the_network() -> None:
    for name in backbones.names():
        spec = backbones.spec(name)
        pieces = anatomy(spec)
        assert sum(one.parameters for one in pieces) <= spec.parameters
        assert [(one.name, one.shape) for one in pieces[-1:]] == [("last", (spec.dim,))]
        told = [one for one in pieces if one.name.startswith("stage")]
        assert [one.name for one in told] == [stage.name for stage in spec.stages]
        at = 1 if name.startswith("dinov2") else 0  # tokens x channels
        assert [one.shape[at] for one in told] == [stage.channels for stage in spec.stages]
        assert sum(one.gmac for one in pieces) == pytest.approx(spec.gmac, rel=0.02)
        model = architecture(spec.library, spec.architecture, spec.arguments)
        assert sum(one.numel() for one in model.parameters()) == spec.parameters
        facts = model.pretrained_cfg
        assert facts["interpolation"] == spec.preprocess.interpolation
        np.testing.assert_allclose(facts["mean"], spec.preprocess.mean, atol=0.004)
        np.testing.assert_allclose(facts["std"], spec.preprocess.std, atol=0.004)
        if not spec.arguments:
            assert facts["input_size"][1] == spec.preprocess.size_px
            assert abs(spec.preprocess.size_px / facts["crop_pct"] - spec.preprocess.resize_px) < 1
        else:
            assert spec.weights.origin.endswith(f"{facts['hf_hub_id']}/resolve/main/model.safetensors")
            assert facts["license"] == spec.licence.lower()


def test_other_names_bring_what_their_library_says() -> None:
    spec = backbones.spec("torchvision:resnet18")
    assert spec.weights == Weights(
        "address",
        "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        "resnet18-f37072fd.pth",
        "f37072fd",
        "",
    )
    assert (spec.dim, [stage.channels for stage in spec.stages]) == (512, [64, 128, 256, 512])
    assert (spec.preprocess.size_px, spec.preprocess.resize_px) == (224, 256)
    assert backbones.spec("torchvision:resnet18") == spec  # kept facts are the same facts
    other = backbones.spec("timm:mobilenetv2_100?pad_type=same&mean=0.5&std=0.1,0.2,0.3&size=192")
    assert other.arguments == (("pad_type", "same"),)
    assert (other.preprocess.size_px, other.preprocess.resize_px) == (192, 192)
    assert (other.preprocess.mean, other.preprocess.std) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    assert backbones.spec_from_json(json.loads(json.dumps(as_json(other)))) == other


def as_json(spec: Spec) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(spec)


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("torchvision:resnet81", UnknownName, "Did you mean 'resnet18'"),
        ("timm:resnet_18", UnknownName, "Did you mean"),
        ("timm:qqqqqq", UnknownName, r"1,\d\d\d are known\."),
        ("torchvision:resnet18.IMAGENET1K_V9", UnknownName, "IMAGENET1K_V1"),
        ("timm:resnet18.nobody", UnknownName, "a1_in1k"),
        ("torchvision:resnet18?width=3", Misuse, "cannot build resnet18"),
        ("torchvision:resnet18?mean=1,2", Misuse, "mean"),
        ("torchvision:resnet18?size=big", Misuse, "big"),
        ("torchvision:resnet18?std=0", Misuse, "std"),
        ("torchvision:resnet18?size=300&resize=200", Misuse, "at most resize"),
        ("torchvision:resnet18?interpolation=nearest", Misuse, "bicubic, bilinear"),
        ("keras:resnet", UnknownName, "timm:NAME"),
        ("timm:vit_tiny_patch16_224?size=160", Misuse, r"160 x 160: .*224.*\?img_size=N"),
        ("timm:swin_tiny_patch4_window7_224?size=160", Misuse, r"160 x 160: .*\?img_size=N"),
        ("timm:vit_small_patch14_dinov2?img_size=big", Misuse, "img_size=big .* whole pixels"),
        ("timm:resnet18?in_chans=1", Misuse, "'in_chans': '1'.* colour pictures .* channels"),
        ("timm:vit_tiny_patch16_224?patch_size=0", Misuse, "'patch_size': '0'"),
        ("torchvision:vit_b_16?size=160", Misuse, r"160 x 160: Wrong image height.*224"),
        ("torchvision:inception_v3?size=64", Misuse, "64 x 64: .*[Kk]ernel"),
    ],
)
def test_a_name_that_cannot_be_meant_is_said(name: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        backbones.spec(name)
    assert len(str(caught.value)) < 600


def test_tiers_are_names() -> None:
    assert backbones.spec("fast").name == backbones.DEFAULT
    assert backbones.spec("best").name == "dinov2_vits14"
    assert "torchvision:squeezenet1_1" in search("squeezenet")
    assert all("vit_small" in name for name in search("vit_small"))


# -- weights ----------------------------------------------------------------------------------------------


def test_a_search_says_which_weights_are_here(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(text: str) -> tuple[list[str], list[str]]:
        monkeypatch.setattr(sys, "argv", ["headstart", "backbones", "--search", text, "--json"])
        with pytest.raises(SystemExit):
            main()
        said = json.loads(capsys.readouterr().out)
        return said["names"], said["here"]

    assert found("squeezenet") == (["torchvision:squeezenet1_0", "torchvision:squeezenet1_1"], [])
    for name in ("torchvision:squeezenet1_1", "timm:mobilenetv2_100.ra_in1k"):
        place = cache / "downloads" / backbones.spec(name).weights.file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"weights")
    assert found("squeezenet")[1] == ["torchvision:squeezenet1_1"]
    assert found("mobilenetv2_100")[1] == ["timm:mobilenetv2_100.ra_in1k"]
    names, here = found("efficientnet_lite0")  # the recommended ones come first
    assert (names[0], here) == (backbones.DEFAULT, [backbones.DEFAULT])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@functools.cache
def small() -> Spec:
    """Its facts, measured once."""
    return backbones.spec(SMALL)


def remote(server: make.Server, body: bytes, digest: str) -> Spec:
    server.body = body
    address = f"http://127.0.0.1:{server.server_address[1]}/models/small.safetensors"
    return replace(small(), weights=Weights("address", address, "small.safetensors", digest, ""))


def test_weights_are_fetched_once_when_asked_for(
    server: make.Server, small_weights: Path, cache: Path
) -> None:
    whole = digest_file(small_weights)
    spec = remote(server, small_weights.read_bytes(), whole[:8])
    assert not backbones.is_here(spec)
    assert server.asked == 0
    seen: list[tuple[int, int]] = []
    found = backbones.pinned(spec, progress=lambda *said: seen.append(said))
    assert found.weights.sha256 == whole
    assert seen[-1] == (len(server.body), len(server.body))
    assert backbones.pinned(spec) == found
    assert server.asked == 1
    assert backbones.weights_file(found).is_relative_to(cache)


def test_wrong_weights_are_never_kept(server: make.Server, small_weights: Path, cache: Path) -> None:
    spec = remote(server, small_weights.read_bytes(), "0" * 8)
    with pytest.raises(DownloadError, match="wanted 00000000"):
        backbones.pinned(spec)
    assert [path.name for path in (cache / "downloads").iterdir()] == []
    place = cache / "downloads" / "small.safetensors"
    place.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"wanted 00000000\. Remove it"):
        backbones.pinned(spec)


PORTAL = b"<!DOCTYPE html><title>Please log in</title>"


@pytest.mark.parametrize("file", ["small.safetensors", "small.pth"])
def test_a_page_in_place_of_weights_is_not_kept(
    file: str, server: make.Server, small_weights: Path, cache: Path
) -> None:
    """Whose digest nobody says: a captive portal answers everything with 200."""
    spec = remote(server, PORTAL, "")
    spec = replace(spec, weights=replace(spec.weights, file=file))
    place = cache / "downloads" / file
    with pytest.raises(DownloadError, match=rf"not weights.* not kept.*put it at {place}"):
        backbones.pinned(spec)
    assert list(place.parent.iterdir()) == []
    if file.endswith(".pth"):
        return
    server.body = small_weights.read_bytes()
    assert load(backbones.pinned(spec)).names


def test_what_lies_there_and_is_no_weights_is_named_with_its_place(server: make.Server, cache: Path) -> None:
    spec = remote(server, b"", "")
    place = cache / "downloads" / "small.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(PORTAL)
    with pytest.raises(
        WeightsError, match=rf"cannot be read as weights.* {place}. Remove it, and it is fetched"
    ):
        load(backbones.pinned(spec))
    assert server.asked == 0


def test_offline_the_user_is_told_which_file_to_put_where(small_weights: Path, cache: Path) -> None:
    address = "http://127.0.0.1:1/models/small.safetensors"
    weights = Weights("address", address, "small.safetensors", digest_file(small_weights)[:8], "")
    spec = replace(backbones.spec(SMALL), weights=weights)
    place = cache / "downloads" / "small.safetensors"
    with pytest.raises(DownloadError, match=rf"cannot fetch {address}.*put it at {place}"):
        backbones.pinned(spec)
    with pytest.raises(WeightsError, match=rf"Get {address} .SHA-256 {weights.sha256}….*put it at {place}"):
        backbones.weights_file(spec)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(small_weights.read_bytes())
    assert load(backbones.pinned(spec)).names


@pytest.mark.usefixtures("cache")
def test_a_network_without_weights_asks_for_a_file() -> None:
    spec = replace(backbones.spec(SMALL), weights=Weights("file", "", "", "", ""))
    with pytest.raises(WeightsError, match=r"offers no weights for .* --weights"):
        backbones.pinned(spec)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://x/y", ""])
def test_only_the_web_is_asked(address: str) -> None:
    spec = replace(backbones.spec(SMALL), weights=Weights("address", address, "../../x.pth", "", ""))
    with pytest.raises(DownloadError, match="no address of weights"):
        backbones.pinned(spec)


@pytest.mark.usefixtures("cache")
def test_a_file_of_ones_own_is_copied_and_may_go(small_weights: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(small_weights.read_bytes())
    spec = backbones.with_file(backbones.spec(SMALL), own)
    own.unlink()
    assert load(spec).names
    assert str(tmp_path) not in json.dumps(as_json(spec))
    kept = backbones.weights_file(spec)
    kept.unlink()
    with pytest.raises(
        WeightsError, match=r"Find the file own.safetensors .SHA-256 [0-9a-f]{64}. and put it at"
    ):
        load(spec)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("evil-was-here"),))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("how", ["pickle", "tensor", "cut", "text", "nothing"])
def test_a_file_that_is_no_weights_runs_no_code(
    how: str, small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ("x.safetensors" if how == "cut" else "x.pth")
    if how == "pickle":
        file.write_bytes(pickle.dumps({"state_dict": Evil()}))
    elif how == "tensor":
        torch.save(torch.zeros(3), file)
    else:
        file.write_bytes({"cut": small_weights.read_bytes()[:-9], "text": b"hello", "nothing": b""}[how])
    with pytest.raises(WeightsError, match=r"x\.(pth|safetensors) (cannot be read as|holds no plain set of)"):
        load(backbones.with_file(backbones.spec(SMALL), file))
    assert not (tmp_path / "evil-was-here").exists()


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_checkpoints_as_people_write_them_are_read(library: str, tmp_path: Path) -> None:
    model = architecture(library, "resnet18", (("num_classes", "7"),))
    weights = {f"module.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "run.pth")
    network = load(backbones.with_file(backbones.spec(f"{library}:resnet18"), tmp_path / "run.pth"))
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(picture), model.eval()(picture))
    assert not any(one.requires_grad for one in network.parameters())


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("torchvision:resnet18", {"fc"}),
        ("torchvision:alexnet", {"classifier.6"}),
        ("torchvision:squeezenet1_1", {"classifier.1"}),  # a convolution
        ("torchvision:densenet121", {"classifier"}),
        ("torchvision:mnasnet0_5", {"classifier.1"}),  # refuses tensors without a note of their version
        ("torchvision:vit_b_32", {"heads.head"}),
        ("torchvision:swin_t", {"head"}),
        ("torchvision:inception_v3", {"fc", "AuxLogits.fc"}),
        ("timm:deit_tiny_distilled_patch16_224", {"head", "head_dist"}),
    ],
)
def test_a_classifier_of_any_number_of_classes_fits(name: str, layers: set[str]) -> None:
    library, _, rest = name.partition(":")
    wanted = architecture(library, rest, (("num_classes", "2"),)).state_dict()
    usual = architecture(library, rest).state_dict()
    differ = {key.rpartition(".")[0] for key in wanted if wanted[key].shape != usual[key].shape}
    assert differ == layers
    spec = replace(backbones.spec(SMALL), library=library, architecture=rest)
    model = _filled(spec, dict(wanted), "ants_bees.pth")
    found = model.state_dict()
    assert all(torch.equal(found[key], value) for key, value in wanted.items())
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 224, 224)).shape == (1, 2)


@pytest.mark.parametrize("classes", ["2", "1000"])
@pytest.mark.parametrize("aside", ["of 1000 classes", "absent"])
def test_side_classifiers_that_do_not_fit_are_no_obstacle(classes: str, aside: str) -> None:
    """As scripts leave them that replace the last layer alone, or build the network without them."""
    wanted = architecture("torchvision", "inception_v3", (("num_classes", classes),)).state_dict()
    usual = architecture("torchvision", "inception_v3").state_dict()
    weights = {key: value for key, value in wanted.items() if not key.startswith("AuxLogits.")}
    if aside != "absent":
        weights |= {key: value for key, value in usual.items() if key.startswith("AuxLogits.")}
    spec = replace(backbones.spec(SMALL), library="torchvision", architecture="inception_v3")
    one, again = (_filled(spec, dict(weights), "own.pth").state_dict() for _ in range(2))
    main = [key for key in wanted if not key.startswith("AuxLogits.")]
    assert all(torch.equal(one[key], wanted[key]) for key in main)
    assert all(torch.equal(one[key], again[key]) for key in wanted)  # nothing is drawn
    del weights["Mixed_5b.branch1x1.conv.weight"]
    with pytest.raises(WeightsError, match=r"tensor Mixed_5b\S+ is missing|does not fit"):
        _filled(spec, dict(weights), "own.pth")


@pytest.mark.parametrize(
    ("name", "renamed"),
    [
        ("densenet121", {".norm1.": ".norm.1.", ".conv2.": ".conv.2."}),
        ("vit_b_32", {"mlp.0.": "mlp.linear_1.", "mlp.3.": "mlp.linear_2."}),
    ],
)
def test_torchvisions_older_names_of_tensors_are_known(name: str, renamed: dict[str, str]) -> None:
    spec = replace(backbones.spec(SMALL), library="torchvision", architecture=name)
    wanted = published = architecture("torchvision", name).state_dict()
    for now, then in renamed.items():
        published = {key.replace(now, then): value for key, value in published.items()}
    assert len(published.keys() - wanted.keys()) > 40
    found = _filled(spec, published, "published.pth").state_dict()
    assert all(torch.equal(found[key], value) for key, value in wanted.items())


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:resnet18", "scratch:small-cnn"])
def test_a_tensor_that_lacks_is_no_matter_of_classes(name: str, tmp_path: Path) -> None:
    spec = backbones.spec(name)
    weights = architecture(spec.library, spec.architecture, spec.arguments).state_dict()
    lost = next(iter(weights))
    del weights[lost]
    save_file(weights, tmp_path / "run.safetensors")
    with pytest.raises(WeightsError, match=f"tensor {lost} is missing"):
        load(backbones.with_file(spec, tmp_path / "run.safetensors"))


@pytest.mark.usefixtures("cache")
def test_weights_of_another_network_name_what_does_not_fit(small_weights: Path) -> None:
    with pytest.raises(WeightsError, match=r"does not fit resnet18: tensor .* \(\d+ tensors do not fit\)"):
        load(backbones.with_file(backbones.spec("torchvision:resnet18"), small_weights))
    with pytest.raises(Misuse, match=r"wanted one of \.safetensors"):
        backbones.with_file(backbones.spec(SMALL), small_weights.with_suffix(".exe"))
    with pytest.raises(Misuse, match="cannot be read"):
        backbones.with_file(backbones.spec(SMALL), small_weights.with_name("absent.pth"))


# -- the whole road ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("float32_here")
@pytest.mark.parametrize("name", [SMALL, TRANSFORMER])
def test_engines_agree_on_other_networks(name: str, tmp_path: Path) -> None:
    spec = backbones.with_file(backbones.spec(name), saved(name, tmp_path / "weights.safetensors"))
    side = spec.preprocess.size_px
    pixels = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    ours, reference = (
        open_engine(spec, device).encode(pixels).astype(np.float64) for device in ("cpu", "torch")
    )
    assert ours.shape == (3, spec.depths[-1].stop)
    cosine = (ours * reference).sum(1) / np.sqrt((ours**2).sum(1) * (reference**2).sum(1))
    assert cosine.min() > 0.999
    engine = OpenVinoEngine.open(spec)
    if name == TRANSFORMER:
        with pytest.raises(UnknownFamily, match="not means and maxima of maps"):
            engine.maps()
        return
    for pool, found in zip(engine.maps().pools, engine.maps().of(pixels), strict=True):
        pooled = found.mean((2, 3)) if pool.kind == "mean" else found.max((2, 3))
        np.testing.assert_allclose(pooled, reference[:, pool.start : pool.stop], rtol=5e-3, atol=5e-3)


def test_another_network_makes_a_model_that_predicts(
    small_weights: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    photos = make.parted(tmp_path_factory.getbasetemp())
    model = headstart.train(photos, out=tmp_path / "m", backbone=SMALL, weights=small_weights, head="lda")
    assert model.report["backbone"] == SMALL
    said = CliRunner().invoke(group, ["backbones", f"headstart:{tmp_path / 'm'}", "--json"])
    told = json.loads(said.stdout)
    assert told["name"] == f"headstart:{tmp_path / 'm'}"
    assert [one["name"] for one in told["stages"]][1:-1] == [one.name for one in model.backbone.stages]
    assert "headstart:FOLDER" in CliRunner().invoke(group, ["backbones"]).stdout
    again = headstart.train(photos, out=tmp_path / "m", backbone=SMALL, weights=small_weights, head="lda")
    assert again.report["seconds"] == model.report["seconds"]  # the very model
    picture = next((photos / "test").rglob("*.png"))
    code = (
        "import sys, headstart\n"
        f"said = headstart.load({str(tmp_path / 'm')!r}).predict({str(picture)!r})\n"
        "print(said[0].label, 'torch' in sys.modules, 'timm' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == [model.predict(picture)[0].label, "False", "False"]


def test_the_command_lists_describes_and_finds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in ([], [SMALL], ["--search", "squeezenet"]):
        monkeypatch.setattr(sys, "argv", ["headstart", "backbones", *words])
        with pytest.raises(SystemExit) as done:
            main()
        assert not done.value.code
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= 80
        assert {0: "dinov2_vits14", 1: "stage4"}.get(len(words), SMALL) in out
    monkeypatch.setattr(sys, "argv", ["headstart", "backbones", SMALL, "--json"])
    with pytest.raises(SystemExit):
        main()
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert [one["name"] for one in stages] == ["stem", "stage1", "stage2", "stage3", "stage4", "last"]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "file", "least", "most"),
    [
        (SMALL, "squeezenet1_1_gluon_as_torchvision.pth", 0.55, 0.8),
        (f"{MOBILENET}&pad_type=same", MOBILENET_FILE, 0.85, 1),
        (MOBILENET, MOBILENET_FILE, 0.7, 0.86),
    ],
    ids=["squeezenet", "same padding", "the trap: ordinary padding"],
)
def test_real_weights_know_their_own_classes(
    real: Path, name: str, file: str, least: float, most: float
) -> None:
    weights = real.parent / "weights" / file
    if not weights.is_file():
        pytest.skip(f"{file} is not there")
    spec = backbones.with_file(backbones.spec(name), weights)
    files = sorted((real / "imagenet_sample").glob("*.jpg"))
    network = Classify(load(spec), spec.preprocess)
    truth = [int(one.name.split("_")[0]) for one in files]
    with torch.no_grad():
        said = [
            int(
                network(
                    torch.from_numpy(decode(one.read_bytes(), spec.preprocess).pixels[None].copy())
                ).argmax()
            )
            for one in files
        ]
    right = float(np.mean(np.array(said) == truth))
    assert least <= right <= most, right
