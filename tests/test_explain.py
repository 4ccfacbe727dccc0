"""What heat maps owe: they add up to the logit, lie where the evidence lies, and can be shown to be wrong."""

import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import make
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from headstart import backbones, heads
from headstart.backbones.weights import with_bytes
from headstart.cli import group
from headstart.data.scan import scan
from headstart.engines import open_engine
from headstart.errors import Misuse, OutputExists, UnreadablePicture
from headstart.explain import Explanation, explain, quick
from headstart.explain import page as page_
from headstart.explain.colour import levels, overlay
from headstart.explain.effect import SAMPLES, effects, with_effects
from headstart.explain.faithful import STEPS, Check, Curve, answering, blurred, course, random_map
from headstart.explain.heat import CELLS, heats, heats_of
from headstart.explain.lens import Lens, open_lens, pixels_of, see
from headstart.explain.page import PAGE, html, save
from headstart.heads._choose import choose
from headstart.look import look_with, scan_all
from headstart.model import folder as model_folder
from headstart.model.build import build
from headstart.model.model import Model
from headstart.values import Bytes, Doubles, Floats, Spec, Split

if TYPE_CHECKING:
    import torch

SIDE, MARK = 64, 16  # pixels of the pictures, and of the patch by which two classes differ
CLASSES = ("marked", "plain", "striped")
CORNERS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def marked(place: Path, count: int, *, classes: tuple[str, ...] = CLASSES[:2], first: int = 0) -> Path:
    """Noise; `marked` has a checkered patch in the upper left corner, `striped` one in the lower right."""
    patches = {
        "marked": (slice(0, MARK), slice(0, MARK)),
        "striped": (slice(-MARK, None), slice(-MARK, None)),
    }
    checkers = np.kron(np.indices((4, 4)).sum(0) % 2, np.ones((4, 4))) * 255
    stripes = np.repeat(np.arange(MARK) // 4 % 2, MARK).reshape(MARK, MARK) * 255
    for name in classes:
        (place / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            rng = np.random.default_rng([number, len(name)])
            pixels = rng.normal(128, 20, (SIDE, SIDE, 3)) + rng.normal(0, 10, 3)
            if name in patches:
                pixels[patches[name]] = (checkers if name == "marked" else stripes)[..., None]
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(place / name / f"{number:03d}.png")
    return place


def fitted(spec: Spec, data: Path, head: str = "auto") -> Model:
    """A model as `train` makes it, of all pictures, with the features that PyTorch gives."""
    seen = look_with(spec, open_engine(spec, "torch"), scan_all(data, None))
    split = Split(("train",) * len(seen.examples), dealt=False)
    found = choose(seen.features, head=head)
    return replace(build(found, seen.features, seen.examples, split, spec), report={"version": "0"})


def small() -> Spec:
    return backbones.spec(f"scratch:small-cnn?size={SIDE}&width=8")


def with_random_weights(name: str) -> Spec:
    """A library's network, as if somebody had trained it."""
    import torch
    from safetensors.torch import save as to_bytes

    from headstart.backbones.network import architecture

    spec = backbones.spec(name)
    torch.manual_seed(0)
    own = architecture(spec.library, spec.architecture, spec.arguments).state_dict()
    return with_bytes(spec, to_bytes(own))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return marked(tmp_path_factory.mktemp("marked"), 24)


@pytest.fixture(scope="module")
def model(data: Path) -> Model:
    return fitted(small(), data)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Marked pictures that no model has seen."""
    place = marked(tmp_path_factory.mktemp("new"), 12, first=100, classes=("marked",))
    return sorted(place.rglob("*.png"))


@pytest.fixture(scope="module")
def why(model: Model, new: list[Path]) -> Explanation:
    return explain(model, new[0], device="torch")


def is_marked_out(heat: Floats) -> bool:
    """Whether the quarter with the patch has more than twice as much as any other."""
    half = SIDE // 2
    first, *others = (
        float(heat[down * half :, right * half :][:half, :half].sum()) for down, right in CORNERS
    )
    return first > 2 * max(0.0, *others)


def logits_of(model: Model, files: list[Path]) -> Doubles:
    """What the head says of features that PyTorch gives, without a detour through half precision."""
    lens = open_lens(model)
    seen = see(lens, np.stack([pixels_of(file, model) for file in files]))
    return model.head.logits(model.inputs.of(seen.features.numpy())).astype(np.float64)


# -- the maps add up ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("float32_here")
@pytest.mark.parametrize("head", heads.names())
def test_the_quick_maps_are_those_of_pytorch(head: str, tmp_path: Path) -> None:
    three = fitted(small(), marked(tmp_path, 8, classes=CLASSES), head)
    files, engine = sorted(tmp_path.rglob("*.png"))[::6], open_engine(three.backbone)
    for file in files:
        for label in CLASSES:
            (wanted,) = heats(three, [file], labels=[label])
            found = quick.heat(three, engine.maps(), file, label)
            scale = float(np.abs(wanted.map).max())
            # where two positions all but share a maximum, rounding says which of them has it
            assert (np.abs(found.map - wanted.map) > 2e-3 * scale).mean() < 0.15
            assert np.corrcoef(found.map.ravel(), wanted.map.ravel())[0, 1] > 0.99
            assert found.logit == pytest.approx(wanted.logit, rel=1e-3, abs=1e-3)
            assert [name for name, _ in found.depths] == [name for name, _ in wanted.depths]


def test_files_that_cannot_be_read_get_no_overlay(model: Model, new: list[Path], tmp_path: Path) -> None:
    engine, label = open_engine(model.backbone), model.classes[0]
    wanted = {"here": (new[0], label), "gone": (tmp_path / "gone.png", label)}
    found = quick.overlays(model, engine, wanted)
    assert list(found) == ["here"]
    by_torch = quick.overlays(model, open_engine(model.backbone, "torch"), wanted)
    one, other = (Image.open(BytesIO(own["here"])).convert("RGB") for own in (found, by_torch))
    assert np.abs(np.asarray(one, np.float64) - np.asarray(other)).mean() < 2


@pytest.mark.parametrize("head", heads.names())
def test_the_maps_add_up_to_the_logits(head: str, tmp_path: Path) -> None:
    three = fitted(small(), marked(tmp_path, 8, classes=CLASSES), head)
    files = sorted(tmp_path.rglob("*.png"))[::6]
    logits = logits_of(three, files)
    for at, name in enumerate(CLASSES):
        others = [i for i in range(3) if i != at]
        averaged = heats(three, files, labels=[name] * len(files))
        against = heats(three, files, labels=[name] * len(files), against=[CLASSES[others[0]]] * len(files))
        wanted = logits[:, at] - logits[:, others].mean(1), logits[:, at] - logits[:, others[0]]
        for found, truth in zip((averaged, against), wanted, strict=True):
            for heat, value in zip(found, truth, strict=True):
                assert heat.logit == pytest.approx(value, rel=1e-4, abs=1e-5)
                assert heat.constant + sum(part for _, part in heat.depths) == pytest.approx(heat.logit)
                assert heat.is_exact
                for (depth, part), (again, own) in zip(heat.depths, heat.maps, strict=True):
                    assert depth == again
                    scale = float(np.abs(own).sum())
                    assert float(own.sum(dtype=np.float64)) == pytest.approx(part, abs=1e-5 * scale + 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("torchvision:resnet18?size=64", True),
        ("timm:vit_tiny_patch16_224?img_size=64", False),  # the class token has no place
        ("timm:convnext_atto?size=64", False),  # normalised after its pooling
        ("torchvision:swin_t?size=64", True),
        ("timm:mobilenetv3_small_050?size=64", False),  # pools before its last convolution
    ],
)
def test_so_do_those_of_other_networks(name: str, exact: bool, data: Path) -> None:
    own = fitted(with_random_weights(name), data, "ridge")
    files = sorted(data.rglob("*.png"))[::12]
    logits = logits_of(own, files)
    for heat, truth in zip(heats(own, files, labels=["marked"] * len(files)), logits, strict=True):
        assert heat.logit == pytest.approx(truth[0] - truth[1], rel=1e-3, abs=1e-4)
        placed = sum(float(part.sum(dtype=np.float64)) for _, part in heat.maps)
        assert placed + heat.unplaced + heat.constant == pytest.approx(heat.logit, rel=1e-3, abs=1e-4)
        assert heat.is_exact == exact
        assert np.isfinite(heat.map).all()
        assert float(np.abs(heat.map).max()) > 0


def test_held_against_each_other_two_classes_have_opposite_maps(model: Model, new: list[Path]) -> None:
    (one,) = heats(model, new[:1], labels=["marked"], against=["plain"])
    (two,) = heats(model, new[:1], labels=["plain"], against=["marked"])
    np.testing.assert_allclose(one.map, -two.map, atol=1e-7)


# -- they lie where the evidence lies -----------------------------------------------------------------------


def test_the_heat_is_where_the_classes_differ(model: Model, new: list[Path]) -> None:
    for heat in heats(model, new):
        assert heat.label == "marked"
        assert is_marked_out(heat.map)


def test_each_position_has_what_a_loop_over_channels_gives_it(model: Model, new: list[Path]) -> None:
    (heat,) = heats(model, new[:1], labels=["marked"], against=["plain"])
    lens = open_lens(model)
    seen = see(lens, pixels_of(new[0], model)[None])
    z = model.inputs.of(seen.features.numpy())[0].astype(np.float64)
    weight = next(array for array in model.head.arrays().values() if array.ndim == 2).astype(np.float64)
    weight = weight[:, 0] - weight[:, 1]
    if model.head.name == "prototypes":
        weight /= np.linalg.norm(z)
    depth = model.backbone.depths[0]
    assert model.inputs.start == 0
    x = seen.stages[0][0].numpy().astype(np.float64)
    wanted = np.zeros(x.shape[1:])
    for channel, plane in enumerate(x):
        at = depth.start + channel
        wanted += weight[at] * (plane - model.inputs.mean[at]) * model.inputs.scale[at] / plane.size
        at += len(x)
        rows, columns = np.nonzero(plane == plane.max())
        for row, column in zip(rows, columns, strict=True):
            wanted[row, column] += weight[at] * z[at] / len(rows)
    np.testing.assert_allclose(dict(heat.maps)[depth.name], wanted, atol=1e-5 * np.abs(wanted).max())


def test_a_mirrored_picture_has_the_mirrored_map(data: Path, new: list[Path]) -> None:
    import torch
    from safetensors.torch import save as to_bytes

    from headstart.backbones.network import load

    weights = load(small()).state_dict()
    even = {
        name: (own + own.flip(3)) / 2 if own.ndim == 4 else own for name, own in weights.items()
    }  # a network that takes left for right
    own = fitted(with_bytes(small(), to_bytes({name: one.contiguous() for name, one in even.items()})), data)
    lens, pixels = open_lens(own), np.stack([pixels_of(file, own) for file in new[:4]])
    names, labels, against = ["x"] * 4, ["marked"] * 4, ["plain"] * 4
    as_is = heats_of(lens, see(lens, pixels), names, pixels, labels, against)
    other = np.ascontiguousarray(pixels[:, :, ::-1])
    mirrored = heats_of(lens, see(lens, other), names, other, labels, against)
    for one, two in zip(as_is, mirrored, strict=True):
        np.testing.assert_allclose(one.map, two.map[:, ::-1], atol=5e-3 * float(np.abs(one.map).max()))
    assert torch.is_grad_enabled()


def test_the_same_picture_gives_the_same_bits(model: Model, new: list[Path]) -> None:
    first, again = heats(model, new[:3]), heats(model, new[:3])
    for one, two in zip(first, again, strict=True):
        assert one.map.tobytes() == two.map.tobytes()
        assert (one.logit, one.depths, one.unplaced) == (two.logit, two.depths, two.unplaced)


# -- the effect is what showing a place does ----------------------------------------------------------------


def sums_of(model: Model, features: "Callable[[torch.Tensor], torch.Tensor]") -> Lens:
    """A network of which each cell is a pixel, where pictures are as large as cells are many."""
    from torch import nn

    from headstart.backbones.chain import Chain, Step

    return Lens(model, Chain(nn.Identity(), [], Step(features), nn.Identity()))


def normalised(model: Model, pixels: Bytes) -> "torch.Tensor":
    import torch

    from headstart.backbones.network import Normalise

    return Normalise(model.backbone.preprocess)(torch.from_numpy(pixels[None].copy()))[0]


def test_the_effect_on_a_linear_network_is_its_sum_taken_apart(model: Model) -> None:
    import torch

    weight = torch.randn(3, CELLS, CELLS, 2, generator=torch.Generator().manual_seed(0))
    pixels = np.random.default_rng(1).integers(0, 256, (CELLS, CELLS, 3), np.uint8)
    lens = sums_of(model, lambda x: x.flatten(1) @ weight.flatten(0, 2))
    found = effects(lens, pixels, np.float32([[1, 0], [0, 1], [1, -1]]))
    gap = (normalised(model, pixels) - normalised(model, blurred(pixels)))[..., None]
    wanted = (weight * gap).sum(0).permute(2, 0, 1).numpy()
    np.testing.assert_allclose(found[:2], wanted, atol=1e-4)
    np.testing.assert_allclose(found[2], wanted[0] - wanted[1], atol=1e-4)


def test_two_pixels_that_count_only_together_share_what_they_do(model: Model) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (CELLS, CELLS, 3), np.uint8)
    pixels[3, 4], pixels[9, 9] = 250, 5
    lens = sums_of(model, lambda x: (x.sum(1)[:, 3, 4] * x.sum(1)[:, 9, 9])[:, None])
    (found,) = effects(lens, pixels, np.ones((1, 1), np.float32))
    one, two = (
        [float(normalised(model, own).sum(0)[at]) for own in (blurred(pixels), pixels)]
        for at in ((3, 4), (9, 9))
    )
    wanted = (  # the Shapley values: half of each pixel's effect when it comes first, half when second
        (one[1] - one[0]) * (two[0] + two[1]) / 2,
        (two[1] - two[0]) * (one[0] + one[1]) / 2,
    )
    together = abs((one[1] - one[0]) * (two[1] - two[0]))
    noise = 3 * 0.5 / SAMPLES**0.5 * together
    assert abs(found[3, 4] - wanted[0]) < noise
    assert abs(found[9, 9] - wanted[1]) < noise
    assert noise < 0.5 * min(abs(own) for own in wanted)
    found[3, 4] = found[9, 9] = 0
    assert not found.any()


def test_a_map_with_effects_is_the_mean_of_both_halves(model: Model, new: list[Path]) -> None:
    (heat,) = heats(model, new[:1])
    lens = open_lens(model)
    one, again = (with_effects(lens, see(lens, heat.pixels[None]), [heat, heat])[at] for at in (0, 1))
    assert heat.effect is None
    assert one.effect is not None
    assert (heat.map == heat.parts).all()
    np.testing.assert_allclose(2 * one.map - one.parts, one.effect, atol=1e-6)
    assert one.map.tobytes() == again.map.tobytes()
    assert is_marked_out(one.effect)


# -- the check of the maps checks something -----------------------------------------------------------------


def test_the_curves_are_what_their_names_say() -> None:
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, : SIDE // 2] = 200
    heat = np.tile(np.arange(SIDE, 0, -1, dtype=np.float32), (SIDE, 1))
    asked: list[Bytes] = []

    def same(shown: Bytes) -> Doubles:
        """The share of pixels that are as in the picture."""
        asked.append(shown)
        found: Doubles = (shown == pixels).all(-1).mean((1, 2))
        return np.stack([1 - found, found], 1)

    whole = course(same, pixels, heat)
    found = whole.of(1)
    assert (whole.of(0).deletion == 1 - found.deletion).all()
    some = (found.deletion > 0) & (found.deletion < 1)
    odds = np.log(found.deletion[some] / (1 - found.deletion[some]))
    np.testing.assert_allclose(whole.lead(1).deletion[some], odds)  # of two classes, the log of the odds
    assert found.deletion[0] == found.insertion[-1] == 1
    assert (asked[0][0] == pixels).all()
    assert (asked[0][STEPS] == blurred(pixels)).all()
    assert (np.diff(found.deletion) <= 0).all()
    assert (np.diff(found.insertion) >= 0).all()
    straight = np.linspace(0, 1, STEPS + 1)
    assert Curve(straight[::-1], straight).deleted == pytest.approx(0.5)
    quarter = np.where(straight < 0.25, 1.0, 0.0)
    assert Curve(quarter, 1 - quarter).deleted == pytest.approx(0.25 - 0.5 / STEPS)
    assert Curve(quarter, 1 - quarter).inserted == pytest.approx(0.75 + 0.5 / STEPS)


def test_true_maps_beat_random_ones_and_maps_of_a_shuffled_head_do_not(model: Model, new: list[Path]) -> None:
    engine = open_engine(model.backbone, "torch")
    answer, column = answering(model, engine), model.classes.index("marked")
    new = new[:4]
    pixels = [pixels_of(file, model) for file in new]

    def deleted(own: Bytes, heat: Floats) -> float:
        return course(answer, own, heat).of(column).deleted

    chance = np.array([deleted(own, random_map(SIDE, at)) for at, own in enumerate(pixels)])

    def gain(judged: Model) -> float:
        lens, maps = open_lens(judged), heats(judged, new, labels=["marked"] * len(new))
        maps = [with_effects(lens, see(lens, one.pixels[None]), [one])[0] for one in maps]
        found = [deleted(own, heat.map) for own, heat in zip(pixels, maps, strict=True)]
        return float((chance - found).mean())

    # every feature of a toy network is larger at the patch: the signs of the weights are shuffled, too
    rng = np.random.default_rng(0)
    arrays = model.head.arrays()
    name = next(key for key, array in arrays.items() if array.ndim == 2)
    gains = []
    for _ in range(12):
        weight = rng.permutation(arrays[name]) * rng.choice(np.float32([-1, 1]), (len(arrays[name]), 1))
        head = type(model.head).from_arrays(arrays | {name: weight})
        gains.append(gain(replace(model, head=head)))
    assert gain(model) > 0.15
    assert np.mean(gains) < 2 * np.std(gains) / np.sqrt(len(gains))


# -- the rest of the page -----------------------------------------------------------------------------------


def test_a_training_picture_is_nearest_to_itself(model: Model, data: Path) -> None:
    near = explain(model, data / "plain" / "003.png").near
    assert near[0].path == "plain/003.png"
    assert near[0].distance == pytest.approx(0, abs=1e-3)
    assert near[0].distance <= near[1].distance <= near[2].distance


def test_the_numbers_are_those_of_predict(model: Model, new: list[Path], why: Explanation) -> None:
    (said,) = model.predict(new[0], device="torch")
    assert (why.label, why.unknown, why.set) == (said.label, said.unknown, said.set)
    document = json.loads(json.dumps(why.to_json()))
    assert document["probabilities"] == said.probabilities
    scaled = np.array(list(document["logits"].values())) / document["temperature"]
    powers = np.exp(scaled - scaled.max())
    np.testing.assert_allclose(powers / powers.sum(), list(said.probabilities.values()), rtol=1e-6)
    heat = document["heats"][0]
    assert heat["constant"] + sum(heat["depths"].values()) == pytest.approx(heat["logit"])


def test_asking_why_not_changes_the_other_class(tmp_path: Path) -> None:
    three = fitted(small(), marked(tmp_path, 8, classes=CLASSES), "ridge")
    file = tmp_path / "marked" / "000.png"
    usual = explain(three, file, device="torch")
    asked = next(name for name in CLASSES if name not in (usual.label, usual.other))
    found = explain(three, file, label=asked, device="torch")
    assert [one.label for one in found.checks] == [usual.label, asked]
    said, at = found.checks[0].curve.deletion[0], three.classes.index(asked)
    assert said == pytest.approx(found.probabilities[three.classes.index(usual.label)])
    scaled = found.logits.astype(np.float64) / three.temperature
    lead = scaled[at] - np.delete(scaled, at).mean()
    assert found.checks[1].curve.deletion[0] == pytest.approx(lead, rel=1e-4)
    answer, heat = answering(three, open_engine(three.backbone, "torch")), found.heats[1]
    own = course(answer, heat.pixels, heat.map).lead(at)
    assert found.checks[1].curve.deletion.tolist() == pytest.approx(own.deletion.tolist())
    assert [(heat.label, heat.against) for heat in found.heats] == [
        (usual.label, ""), (asked, ""), (usual.label, asked)
    ]  # fmt: skip
    with pytest.raises(Misuse, match="no class 'cat'"):
        explain(three, file, label="cat", device="torch")


class Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_escapes_what_users_name(tmp_path: Path, data: Path) -> None:
    evil = '<img src=x onerror="alert(1)">&\'\n\x1b[31m'
    place = tmp_path / "data"
    marked(place, 6)
    (place / "plain").rename(place / evil.replace("/", ""))
    own = fitted(small(), place, "ridge")
    file = tmp_path / f"{evil}.png"
    file.write_bytes((data / "plain" / "001.png").read_bytes())
    found = explain(own, file, device="torch")
    save(found, tmp_path / "out", pictures=scan(place).examples.files())
    page = (tmp_path / "out" / PAGE).read_text(encoding="utf-8")
    tags = Tags(page).tags
    assert evil not in page
    assert "\x1b" not in page
    assert {"script", "link", "iframe"}.isdisjoint(tag for tag, _ in tags)
    assert not any(name.startswith("on") for _, attributes in tags for name in attributes)
    sources = [attributes["src"] or "" for tag, attributes in tags if "src" in attributes]
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert "http" not in page.replace("http-equiv", "")
    assert all(attributes.get("alt") for tag, attributes in tags if tag == "img")


def test_the_page_shows_the_nearest_only_where_they_are(why: Explanation, data: Path, tmp_path: Path) -> None:
    save(why, tmp_path / "out")
    files = {name: np.zeros((4, 4, 3), np.uint8) for name in
             [entry.name for entry in (tmp_path / "out").iterdir() if entry.suffix == ".png"]}  # fmt: skip
    moved = [tmp_path / f"renamed {at}" for at in range(len(list(data.rglob("*.png"))))]
    for old, file in zip(sorted(data.rglob("*.png")), moved, strict=True):
        file.write_bytes(old.read_bytes())
    changed = tmp_path / Path(why.near[0].path).name
    changed.write_bytes(b"other content")
    count = {}
    for name, pictures in {
        "without": None, "with": scan(data).examples.files(), "moved": moved, "elsewhere": [changed, tmp_path]
    }.items():  # fmt: skip
        page = html(why, files, pictures=pictures)
        count[name] = page.count("training picture of class")
        assert (name == "elsewhere") == ("not found there" in page)
        assert (name == "without") == ("--data" in page)
    assert count == {"without": 0, "with": len(why.near), "moved": len(why.near), "elsewhere": 0}


def test_a_map_is_trusted_only_where_it_beats_every_random_one() -> None:
    steep, flat = np.linspace(1, 0, STEPS + 1), np.full(STEPS + 1, 0.9)
    own = Curve(steep**4, 1 - steep**4)
    middle = Curve(steep, 1 - steep)
    for own_, beaten, centre, said in (
        (own, 9, middle, "beats all 9 random maps both ways"),
        (own, 8, middle, "beats 8 of 9 random maps"),
        (middle, 9, own, "Blurring the middle does no worse"),
        (Curve(flat, flat), 9, middle, "nothing can tell whether the map is true"),
    ):
        assert said in page_._verdict(Check("marked", False, own_, Curve(flat, flat), centre, beaten)), said
    told = page_._verdict(Check("marked", False, own, Curve(flat, flat), middle, 9))
    assert "Blurring the middle" not in told


def test_only_an_earlier_page_is_replaced(why: Explanation, tmp_path: Path) -> None:
    files = save(why, tmp_path / "out")
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == sorted(files)
    assert save(why, tmp_path / "out") == files
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"mine\.txt"):
        save(why, tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_overlays_are_small_whatever_they_show(model: Model, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (heat,) = heats(model, [_noise(tmp_path / "noise.png")])
    large = replace(
        heat,
        pixels=rng.integers(0, 256, (448, 448, 3), dtype=np.uint8),
        parts=rng.normal(size=(448, 448)).astype(np.float32),
    )
    data = overlay(large)
    assert data.startswith(b"\x89PNG")
    assert len(data) <= 30_000
    assert levels(np.zeros((3, 3), np.float32)).shape == (3, 3, 3)


def _noise(file: Path) -> Path:
    pixels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def test_what_is_no_picture_is_named(model: Model, tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("no picture")
    for file in (text, tmp_path / "absent.jpg", tmp_path):
        with pytest.raises(UnreadablePicture, match=str(file)):
            heats(model, [file])
        with pytest.raises(UnreadablePicture, match=str(file)):
            explain(model, file, device="torch")
    with pytest.raises(Misuse, match="no class 'cat'"):
        heats(model, [text.with_suffix(".png")] * 0 + [_noise(tmp_path / "n.png")], labels=["cat"])
    with pytest.raises(Misuse, match="one for each"):
        heats(model, [text], labels=[])


def test_the_command_names_what_it_cannot_read_and_goes_on(
    model: Model, new: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model_folder, "load", lambda _: model)
    (tmp_path / "broken.png").write_bytes(new[0].read_bytes()[:100])
    words = ["explain", "toy", "broken.png", str(new[0]), str(new[0]), "--device", "torch", "--json"]
    done = CliRunner().invoke(group, words)
    assert done.exit_code == 1
    found = json.loads(done.stdout)["explained"]
    assert "broken.png" in found[0]["error"]
    assert "broken.png" in done.stderr
    assert [one["folder"] for one in found[1:]] == ["100-explained", "100-explained-2"]
    for one in found[1:]:
        assert all((tmp_path / one["folder"] / name).is_file() for name in one["files"])
    table = make.table(tmp_path / "data.csv", [(new[0], "plain"), (new[1], "marked")])
    words = ["explain", "toy", str(new[1]), "--device", "torch", "--out", "here", "--data", str(table)]
    told = CliRunner().invoke(group, words)
    assert told.exit_code == 0, told.output
    assert max(len(line) for line in told.stdout.splitlines()) <= 80
    assert str(Path("here") / PAGE) in told.stdout
