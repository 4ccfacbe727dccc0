"""Training stages further: what is frozen stays, what is killed goes on, what does not help is not taken."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import make
import numpy as np
import pytest
import torch

from headstart import backbones, recipe
from headstart.backbones.chain import Chain
from headstart.backbones.network import load
from headstart.backbones.weights import LEARNT, learnt_from, weights_file, with_bytes
from headstart.engines import open_engine
from headstart.errors import Misuse, OutputError, OutputExists, StoreError, TooFewExamples, UnreadablePicture
from headstart.evaluate import softmax
from headstart.features.extract import quiet
from headstart.files import cache_folder
from headstart.finetune import augment, loop, pace, promise, thawed, tune
from headstart.finetune import climb as climbing
from headstart.finetune import views as kept_views
from headstart.finetune.climb import asked_for, climb
from headstart.finetune.thawed import Start, Thawed, fold
from headstart.finetune.tune import Asked, Attempt, attempt, finish, stages_below
from headstart.finetune.views import Looks, Views, keep
from headstart.finetune.watch import watch
from headstart.finetune.wish import Epoch, Halt, Material, Promise, Wish, silent, wish
from headstart.heads._choose import choose
from headstart.look import look_with, scan_all
from headstart.model.folder import load as load_model
from headstart.model.predict import predict
from headstart.recipe import train
from headstart.studio.jobs import _is_made
from headstart.values import Spec

LITE = backbones.spec("efficientnet_lite0")
SHORT = replace(loop.PRETRAINED, epochs=3, batch=8, rate=3e-3, head_rate=1e-3)


def small(seed: int = 0) -> Spec:
    """A little network with a file of weights, as if somebody had trained it."""
    from safetensors.torch import save

    spec = backbones.spec(f"scratch:small-cnn?width=8&seed={seed}")
    return with_bytes(spec, save(load(spec).state_dict()))


def material(spec: Spec, folder: Path, **more: object) -> Material:
    seen = look_with(spec, open_engine(spec), scan_all(folder, None))
    files = tuple(seen.examples.files())
    return Material(spec, seen.features, files, np.zeros(0, np.int64), **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.photos(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def learnt(photos: Path) -> Material:
    return material(small(), photos)


def start_of(own: Material) -> Start:
    return tune._start(own.spec, choose(own.features, head="lda"))


def whole_views(own: Material, network: Thawed) -> Views:
    looks = Looks("none", 1, mirror=False)
    digests = own.features.digests
    return keep(
        own.spec, network.stages, network.width, own.files, digests, looks, device="cpu", on_step=quiet
    )


# -- the network ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", [0, 1, 2])
def test_training_starts_from_the_frozen_answers(learnt: Material, stages: int) -> None:
    fitted = choose(learnt.features, head="lda")
    network = Thawed(learnt.spec, stages, start_of(learnt))
    rows = np.arange(len(learnt.features))
    found = softmax(loop.logits(network, whole_views(learnt, network), rows), 1.0)
    wanted = softmax(fitted.logits(learnt.features.x), fitted.best.temperature)
    np.testing.assert_allclose(found, wanted, atol=0.02)


@pytest.mark.parametrize("stages", [0, 2])
def test_on_another_device_everything_lies_there(
    learnt: Material, stages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what a GPU needs, this much can be tried without one: a device that computes shapes alone."""
    assert [str(thawed.place(name)) for name in ("cpu", "torch", "cuda", "cuda:1")] == [
        "cpu", "cpu", "cuda", "cuda:1",
    ]  # fmt: skip
    monkeypatch.setattr(thawed, "place", lambda _: torch.device("meta"))
    network = Thawed(learnt.spec, stages, start_of(learnt), "cuda")
    seen = torch.from_numpy(np.zeros((4, network.width), network.dtype))
    found = network(seen)
    assert found.device == network.device == torch.device("meta")
    found.sum().backward()
    parameters = [own for _, group in network.groups() for own in group]
    assert parameters
    assert all(own.grad is not None and own.grad.device == network.device for own in parameters)


@pytest.mark.parametrize(
    ("name", "able", "expected"),
    [
        ("scratch:small-cnn", {"amx_bf16": True}, True),
        ("scratch:resnet18", {"amx_bf16": True}, True),
        ("efficientnet_lite0", {"amx_bf16": True}, False),  # a kernel for each channel
        ("scratch:small-cnn", {"amx_bf16": False, "avx512_bf16": True}, False),
        ("scratch:small-cnn", {}, False),
    ],
    ids=str,
)
def test_half_precision_only_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, name: str, able: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    chain = load(backbones.spec(name))
    assert thawed.halves(chain, torch.device("cpu")) == expected


def test_training_in_half_precision_is_close_to_whole(learnt: Material) -> None:
    """As on a GPU, and on processors with AMX; what is kept and stepped stays in float32."""
    seen, truth = torch.zeros(0), torch.from_numpy(learnt.features.y[:8])
    losses, slopes = [], []
    for halved in (False, True):
        network = Thawed(learnt.spec, 1, start_of(learnt))
        network.is_halved = halved
        seen = torch.from_numpy(whole_views(learnt, network).of(np.arange(8), np.zeros(8, np.int64)))
        losses.append(loop.descend(network, seen, truth))
        own = [p.grad for _, group in network.groups() for p in group if p.grad is not None]
        assert all(one.dtype == torch.float32 for one in own)
        slopes.append(torch.cat([one.flatten() for one in own]))
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert torch.cosine_similarity(*slopes, dim=0) > 0.98


def test_a_folded_network_has_the_outputs_and_gradients_of_the_plain_one() -> None:
    plain, folded = load(LITE), load(LITE)
    assert fold(folded, 224)  # it pads more below and on the right
    assert "forward" in vars(next(m for m in folded.modules() if isinstance(m, torch.nn.Conv2d)))
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    slopes = []
    for net, own_x in ((plain, x), (folded, x.flip(2, 3))):
        net.requires_grad_(True)
        net.features(own_x).square().mean().backward()
        slopes.append({name: own.grad for name, own in net.named_parameters() if own.grad is not None})
    torch.testing.assert_close(folded.features(x.flip(2, 3)), plain.features(x), rtol=1e-3, atol=1e-4)
    assert slopes[0].keys() == slopes[1].keys()
    for name, slope in slopes[0].items():
        largest = float(slope.abs().max())
        torch.testing.assert_close(slopes[1][name], slope, rtol=0.02, atol=0.01 * largest + 1e-9)


@pytest.mark.parametrize(("side", "is_turned"), [(224, True), (225, True), (200, True), (224, False)])
def test_maps_are_turned_only_where_that_changes_nothing(side: int, is_turned: bool) -> None:
    """A stride with padding of its own leaves out other rows of a turned map than of the map itself."""
    nets = load(LITE), load(LITE)
    for net in nets:
        block = next(m for m in net.modules() if type(getattr(m, "conv_dw", None)).__name__ == "Conv2dSame")
        if not is_turned:
            own = torch.nn.Conv2d(96, 96, 3, 2, 1, groups=96, bias=False)
            own.weight = block.conv_dw.weight
            block.conv_dw = own
    plain, folded = nets
    assert fold(folded, side) == is_turned
    assert "forward" in vars(next(m for m in folded.modules() if isinstance(m, torch.nn.Conv2d)))
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        found = torch.cat(folded.depths(x.flip(2, 3) if is_turned else x), 1)
        wanted = torch.cat(plain.depths(x), 1)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize("stages", [0, 4])
def test_what_is_trained_has_the_features_of_the_network(stages: int) -> None:
    """Of pictures, and of maps that were kept, though its own maps lie turned."""
    width = LITE.depths[-1].stop
    start = Start(
        0, *(np.ones((width, *more), np.float32) for more in ((), (), (2,))), np.ones(2, np.float32)
    )
    network, plain = Thawed(LITE, stages, start), load(LITE)
    pixels = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8))
    with torch.no_grad():
        views, pooled = pixels.flatten(1), []
        if stages:
            x = plain.stem(network.normalise(pixels))
            for stage in list(plain.stages)[:stages]:
                x = stage(x)
                pooled.append(plain.pooled(x))
            views = torch.cat([*pooled, x.flatten(1)], 1)
        found = network.features(views)
        wanted = torch.cat(plain.depths(network.normalise(pixels)), 1)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize("stages", [0, 2])
def test_depths_that_the_head_does_not_see_change_nothing(stages: int) -> None:
    spec, dice = small(), np.random.default_rng(0)
    width = spec.depths[-1].stop
    weight, mean, scale = (dice.normal(size=(width, *more)).astype(np.float32) for more in ((2,), (), ()))
    for depth in spec.depths:
        zero = np.where(np.arange(width) < depth.start, np.float32(0), np.float32(1))[:, None]
        all_of_it = Thawed(spec, stages, Start(0, mean, scale, weight * zero, np.zeros(2, np.float32)))
        own = (array[depth.start :] for array in (mean, scale, weight))
        some = Thawed(spec, stages, Start(depth.start, *own, np.zeros(2, np.float32)))
        views = torch.from_numpy(dice.integers(0, 256, (3, some.width)).astype(some.dtype))
        with torch.no_grad():
            torch.testing.assert_close(some(views), all_of_it(views), rtol=1e-4, atol=1e-3)


def test_pairs_that_only_look_like_pairs_are_left_alone() -> None:
    """A network that runs its normalisation elsewhere than it registers it."""
    net = load(small())
    convs = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        convs[0].register_forward_hook(lambda _m, _x, y: torch.relu(y))  # something stands between the two
        norm = next(m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
        norm.running_mean.fill_(-3.0)  # type: ignore[union-attr]
        x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        before = net.features(x)
        fold(net, 32)
        assert torch.equal(net.features(x), before)


@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:vit_tiny_patch16_224", "timm:convnext_atto"])
@pytest.mark.parametrize("share", ["last", "all"])
def test_what_is_trained_is_what_lies_above(name: str, share: str) -> None:
    spec = backbones.spec(name)
    from headstart.backbones.network import architecture

    file = {k: v.contiguous() for k, v in architecture(spec.library, spec.architecture).state_dict().items()}
    from safetensors.torch import save

    spec = with_bytes(spec, save(file))
    below = stages_below(spec, share)
    width = spec.depths[-1].stop
    zeros = np.zeros(width, np.float32)
    network = Thawed(spec, below, Start(0, zeros, zeros, np.zeros((width, 2), np.float32), zeros[:2]))
    trained = {id(own) for _, group in network.groups() for own in group}
    for at, stage in enumerate(network.chain.stages):
        assert all((id(own) in trained) == (at >= below) for own in stage.parameters())
        assert all(own.requires_grad == (at >= below) for own in stage.parameters())
    assert network.groups()[-1][0] == "head"
    assert (
        sum(own.numel() for _, group in network.groups() for own in group) < spec.parameters + 2 * width + 2
    )


def test_frozen_means_frozen_bit_for_bit(learnt: Material) -> None:
    """Weights below, and every statistic of batch normalisation; what lies above does move."""
    tried = attempt(learnt, Asked(2, "light", SHORT, seed=0))
    tuned = finish(learnt, choose(learnt.features, head="lda"), replace(tried, share=1.0))
    before, after = load(learnt.spec).state_dict(), load(tuned.spec).state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("stages.2.") for name in moved), moved
    assert not any("running" in name for name in moved)


@pytest.mark.parametrize("is_scratch", [False, True])
def test_dropout_is_off_while_training(monkeypatch: pytest.MonkeyPatch, is_scratch: bool) -> None:
    """Two passes give the same, in a network whose last stage throws dice as long as nobody forbids it."""

    def dicing(spec: Spec) -> Chain:
        chain = load(spec)
        chain.stages[2] = torch.nn.Sequential(chain.stages[2], torch.nn.Dropout(0.5))
        return chain

    monkeypatch.setattr(thawed, "load", dicing)
    spec = backbones.spec("scratch:small-cnn?width=8") if is_scratch else small()
    width = spec.depths[-1].stop
    weight = np.random.default_rng(0).normal(size=(width, 2)).astype(np.float32)
    start = Start(0, np.zeros(width, np.float32), np.ones(width, np.float32), weight, weight[0])
    network = Thawed(spec, 2, start)
    views = torch.randn(4, network.width, generator=torch.Generator().manual_seed(0)).half()
    network.learning(on=True)
    first, second = (network(views).detach() for _ in range(2))
    assert torch.equal(first, second)
    network.chain.stages[2].train()
    assert not torch.equal(network(views).detach(), first)


# -- the loop ---------------------------------------------------------------------------------------------


def trained(
    own: Material, kept: Path, seed: int = 0, on_epoch: Callable[[Epoch, int], None] | None = None
) -> loop.Course:
    network = Thawed(own.spec, 1, start_of(own))
    rows = np.arange(0, len(own.features), 2)
    val = np.arange(1, len(own.features), 2)
    return loop.run(
        network, whole_views(own, network), own.features.y, rows, SHORT, seed=seed, val=val,
        stop_after=3, kept=kept, on_epoch=on_epoch or (lambda _e, _n: None),
    )  # fmt: skip


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(learnt: Material, tmp_path: Path) -> None:
    one, two, other = (trained(learnt, tmp_path / f"{at}", seed) for at, seed in enumerate((0, 0, 1)))
    assert [e.loss for e in one.epochs] == [e.loss for e in two.epochs] != [e.loss for e in other.epochs]
    assert all(torch.equal(one.state[name], two.state[name]) for name in one.state)


@pytest.mark.parametrize("after", [1, 2])
def test_a_killed_training_ends_with_the_same_bits(learnt: Material, tmp_path: Path, after: int) -> None:
    class Killed(Exception):
        pass

    def kill(epoch: Epoch, _of: int) -> None:
        if epoch.number == after:
            raise Killed

    whole = trained(learnt, tmp_path / "whole")
    with pytest.raises(Killed):
        trained(learnt, tmp_path / "cut", on_epoch=kill)
    done: list[int] = []
    again = trained(learnt, tmp_path / "cut", on_epoch=lambda epoch, _of: done.append(epoch.number))
    assert done == list(range(after + 1, 4))  # nothing before is done again
    assert [e.loss for e in again.epochs] == [e.loss for e in whole.epochs]
    assert again.epoch == whole.epoch
    assert all(torch.equal(again.state[name], whole.state[name]) for name in whole.state)


def test_a_damaged_state_is_as_good_as_none(learnt: Material, tmp_path: Path) -> None:
    whole = trained(learnt, tmp_path / "kept")
    data = (tmp_path / "kept").read_bytes()
    (tmp_path / "kept").write_bytes(data[: len(data) // 2])
    again = trained(learnt, tmp_path / "kept")
    assert all(torch.equal(again.state[name], whole.state[name]) for name in whole.state)


def test_training_lowers_the_loss_and_the_record_says_how(learnt: Material, tmp_path: Path) -> None:
    course = trained(learnt, tmp_path / "kept")
    assert course.epochs[-1].loss < course.epochs[0].loss
    assert [e.number for e in course.epochs] == [1, 2, 3]
    assert course.epochs[0].gradients.keys() == {"stage2", "stage3", "head"}
    assert all(norm > 0 for epoch in course.epochs for norm in epoch.gradients.values())


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_a_training_leaves_its_end_and_one_that_was_cut_off_its_best_epoch(
    learnt: Material, tmp_path: Path, *, is_cut_off: bool
) -> None:
    """From a head that says nothing, at rates so high that the last epoch is not the best."""
    wild = replace(SHORT, epochs=4 + is_cut_off, rate=0.05, head_rate=0.05)
    start = start_of(learnt)
    network = Thawed(learnt.spec, 1, replace(start, weight=0 * start.weight, bias=0 * start.bias))
    views, y = whole_views(learnt, network), learnt.features.y
    rows, val = np.arange(0, len(y), 2), np.arange(1, len(y), 2)
    course = loop.run(
        network, views, y, rows, wild,
        seed=0, val=val, stop_after=4, kept=tmp_path / "kept", on_epoch=silent,
    )  # fmt: skip
    losses = [epoch.val_nll or 0.0 for epoch in course.epochs]
    assert losses[-1] > min(losses) or not is_cut_off
    assert course.epoch == (1 + int(np.argmin(losses)) if is_cut_off else 4)
    assert loop._val_loss(network, views, y, val)[0] == losses[course.epoch - 1]
    assert all(torch.equal(own, network.state()[name]) for name, own in course.state.items())


def test_what_is_no_better_at_any_share_stays_as_it_was(learnt: Material) -> None:
    """Labels in disorder, and one step far too long."""
    labels = np.random.default_rng(0).permutation(learnt.features.y)
    own = replace(learnt, features=replace(learnt.features, y=labels))
    tried = attempt(own, Asked(1, "none", replace(SHORT, epochs=1, rate=1.0, head_rate=1.0), seed=0))
    assert (tried.share, tried.is_changed, tried.is_better) == (0.0, False, False)
    assert attempt(learnt, Asked(1, "none", SHORT, seed=0)).epoch == SHORT.epochs


def test_rates_are_greater_where_there_is_more_to_learn(learnt: Material) -> None:
    """And the second training has those of the first."""
    labels = np.random.default_rng(0).permutation(learnt.features.y)
    rates = []
    for own in (learnt, replace(learnt, features=replace(learnt.features, y=labels))):
        told: list[Epoch] = []
        own = replace(own, on_epoch=lambda epoch, _of, told=told: told.append(epoch))
        tried = attempt(own, Asked(2, "none", replace(SHORT, epochs=1), seed=0))
        finish(own, choose(own.features, head="lda"), replace(tried, share=1.0))
        rates.append(tried.recipe.rate)
        assert tried.to_json()["rate"] == pytest.approx(tried.recipe.rate, rel=1e-3)
        assert [epoch.rate / told[0].rate for epoch in told] == pytest.approx([1.0, 1.0], rel=0.5)
        assert told[0].rate <= tried.recipe.rate
    assert SHORT.rate <= rates[0] < rates[1] == loop.BOLDEST * SHORT.rate


def test_measuring_the_pace_leaves_no_trace(learnt: Material) -> None:
    network = Thawed(learnt.spec, 1, start_of(learnt))
    before = {name: own.clone() for name, own in network.state().items()}
    views, y = whole_views(learnt, network), torch.from_numpy(learnt.features.y[:8])
    rows = np.arange(8)
    step, see = pace.seconds_to_train(network, lambda: torch.from_numpy(views.of(rows, 0 * rows)), y)
    assert min(step, see) > 0
    assert all(torch.equal(own, before[name]) for name, own in network.state().items())


def test_rates_fall_towards_the_shallow_stages(learnt: Material) -> None:
    network = Thawed(learnt.spec, 0, start_of(learnt))
    peaks = {
        id(p): group["peak"]
        for group in loop._optimiser(network, SHORT).param_groups
        for p in group["params"]
    }
    by_stage = {name: {peaks[id(p)] for p in own} for name, own in network.groups()}
    assert by_stage["stage3"] == {SHORT.rate}
    assert list(by_stage["stage1"]) == [pytest.approx(SHORT.rate * SHORT.stage_decay**2)]
    assert by_stage["head"] == {SHORT.head_rate}


# -- judging ----------------------------------------------------------------------------------------------


def test_labels_that_say_nothing_leave_the_network_frozen(photos: Path) -> None:
    own = material(small(), photos)
    labels = np.random.default_rng(0).permutation(own.features.y)
    own = replace(own, features=replace(own.features, y=labels))
    asked = Wish("auto", None, "light", 2, float("inf"))
    fitted = choose(own.features)
    found = climb(own, fitted, asked, seed=0)
    assert len(found.attempts) == 1  # what did not pay with the last stages is not tried with all
    assert found.taken is None
    assert found.tuned is None
    assert found.depth == "never"
    assert found.why == "no depth was better by more than noise."


class Frame(NamedTuple):
    """Judged pictures by themselves: what an attempt says, and what `auto` makes of it."""

    won: float  # of log-loss on every picture; a little more and less
    epochs: int = 1
    share: float = 1.0
    seconds: float = 1.0


def tell(frames: list[Frame], tried: Attempt, left: list[float]) -> Callable[..., Attempt]:
    """In place of `attempt`: the next of `frames`. What was left of the budget goes into `left`."""

    def attempt(material: Material, asked: Asked, budget_s: float) -> Attempt:
        asked = replace(asked, again=not len(material.val))
        own, m = frames[len(left)], len(tried.truth)
        left.append(budget_s)
        rows = np.arange(m)
        before = np.full((m, 3), 0.25)
        before[rows, tried.truth] = 0.5
        after = before.copy()
        after[rows, tried.truth] *= np.exp(own.won * np.linspace(0.9, 1.1, m))
        epochs = tuple(Epoch(asked.stages, at + 1, 1.0, 1e-4, {}, 1.0, 0.5, 10.0) for at in range(own.epochs))
        return replace(
            tried, asked=asked, before=before, after=after, share=own.share,
            epoch=own.epochs, epochs=epochs, seconds=own.seconds,
        )  # fmt: skip

    return attempt


@pytest.fixture(scope="module")
def tried(learnt: Material) -> Attempt:
    return attempt(learnt, Asked(2, "none", SHORT, seed=0))


@pytest.mark.parametrize(
    ("frames", "taken"),
    [
        ([Frame(0.2), Frame(0.1)], 2),  # the last stages: better than all
        ([Frame(0.1), Frame(0.2)], 0),
        ([Frame(0.1), Frame(-0.2)], 2),
        ([Frame(-0.1)], None),  # all stages are not tried
        ([Frame(0.1, share=0.0)], None),
        ([Frame(0.1, epochs=0)], None),
    ],
)
def test_auto_climbs_while_it_is_better_and_takes_the_best(
    learnt: Material,
    tried: Attempt,
    monkeypatch: pytest.MonkeyPatch,
    frames: list[Frame],
    taken: int | None,
) -> None:
    done: list[float] = []
    monkeypatch.setattr(climbing, "attempt", tell(frames, tried, done))
    monkeypatch.setattr(climbing, "finish", lambda _material, _fitted, one: one)
    own = Wish("auto", None, "none", 1, float("inf"))
    found = climb(learnt, choose(learnt.features, head="lda"), own, 0)
    assert len(done) == len(frames)
    assert (found.taken.asked.stages if found.taken else None) == taken
    assert (found.tuned is None) == (taken is None)
    assert found.depth == {2: "last 1", 0: "all", None: "never"}[taken]
    assert bool(found.why) == (taken is None)
    assert [one["taken"] for one in found.to_json()].count(True) == (taken is not None)


def test_a_second_rung_leaves_time_for_the_training_of_the_first(
    learnt: Material, tried: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(climbing, "finish", lambda _material, _fitted, one: one)
    frames = [Frame(0.1, epochs=4, seconds=50.0), Frame(0.2, seconds=1.0)]
    for budget, rungs in ((200.0, 2), (90.0, 1)):  # 4 epochs of 10 s were on four fifths: 50 s once more
        left: list[float] = []
        monkeypatch.setattr(climbing, "attempt", tell(frames, tried, left))
        climb(learnt, choose(learnt.features, head="lda"), Wish("auto", None, "none", 4, budget), 0)
        assert len(left) == rungs
    monkeypatch.setattr(climbing, "attempt", tell(frames, tried, left := []))
    own = replace(learnt, val=np.arange(0, 70, 5))  # nothing is trained a second time
    climb(own, choose(learnt.features, head="lda"), Wish("auto", None, "none", 4, 90.0), 0)
    assert len(left) == 2


def test_a_named_depth_that_training_made_no_better_stays_frozen(
    learnt: Material, tried: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(climbing, "finish", lambda _material, _fitted, one: one)
    own = Wish("all", None, "none", 1, float("inf"))
    for frame, depth in ((Frame(0.1, share=0.0), "never"), (Frame(-0.1), "all")):
        monkeypatch.setattr(climbing, "attempt", tell([frame], tried, []))
        found = climb(learnt, choose(learnt.features, head="lda"), own, 0)
        assert found.depth == depth
        assert found.to_json()[0]["taken"] == (depth == "all")
        assert found.why == ("training made it no better." if depth == "never" else "")


def test_a_fold_in_which_training_made_it_no_better_answers_as_the_frozen_network(
    learnt: Material, tried: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "attempt", lambda *_: replace(tried, share=0.0))
    rows, mine = np.arange(0, 72, 2), np.arange(1, 72, 2)
    said = tune.fitting(learnt, Asked(2, "none", SHORT, seed=0, head="lda"))(rows)(mine)
    fitted = choose(learnt.features.take(rows), head="lda", seed=0)
    wanted = softmax(fitted.logits(learnt.features.x[mine]), fitted.best.temperature)
    assert np.array_equal(said, wanted)


def few(own: Material, per_class: int) -> Material:
    """So many pictures of two classes, each a group of its own."""
    rows = np.concatenate([np.flatnonzero(own.features.y == label)[:per_class] for label in (0, 1)])
    features = own.features.take(rows)
    alone = replace(features, groups=np.arange(len(rows)), classes=features.classes[:2])
    return replace(own, features=alone, files=tuple(own.files[int(row)] for row in rows))


def test_too_few_to_judge_are_named_before_anything_is_trained(learnt: Material) -> None:
    """A fold of cross-validation has fewer to judge by than the whole."""
    forever = float("inf")
    named, auto = (Wish(word, None, None, None, forever) for word in ("last", "auto"))
    own = few(learnt, 13)
    assert climbing.check(own, named, 0) == ""
    own = replace(own, crossed=True)
    with pytest.raises(TooFewExamples, match=r"in a fold of it there are too few .* Or use --tune never\."):
        climbing.check(own, named, 0)
    scratch = replace(own, spec=backbones.spec("scratch:small-cnn"))
    with pytest.raises(TooFewExamples, match=r"--test\. Or start from a pretrained network\."):
        climbing.check(scratch, Wish("all", None, None, None, forever), 0)
    assert climbing.check(few(learnt, 20), named, 0) == ""
    found = climb(own, choose(own.features), auto, 0)  # promised by the docs: it stays frozen
    assert found.depth == "never"
    assert found.to_json() == []
    assert "too few pictures to judge tuning by" in found.why
    assert climbing.check(replace(few(learnt, 20), crossed=True), named, 0) == ""


def test_where_judging_leaves_nothing_to_choose_a_head_by_nothing_is_trained(learnt: Material) -> None:
    """Every class has two groups: one judges, and of the other alone nothing can be held out."""
    n = 60
    y = np.arange(n) % 6
    own = replace(learnt.features, classes=tuple("abcdef")).take(np.arange(n))
    own = replace(own, y=y, groups=y * 2 + (np.arange(n) >= n // 2))
    pairs = replace(learnt, features=own, files=learnt.files[:n])
    with pytest.raises(TooFewExamples, match="to tune on beside those that judge"):
        climbing.check(pairs, Wish("last", None, None, None, float("inf")), 0)
    found = climb(pairs, choose(own), Wish("auto", None, None, None, float("inf")), 0)
    assert (found.depth, found.to_json()) == ("never", [])


def test_the_users_val_part_takes_nothing_from_the_folds(
    learnt: Material, tried: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It judges none of them: each trains as a whole training does, twice, on as many views."""
    asked: list[Asked] = []
    monkeypatch.setattr(climbing, "fitting", lambda _train, own, _budget: asked.append(own))
    monkeypatch.setattr(climbing, "cross_validate", lambda *_args, **_more: None)
    epochs = replace(SHORT, epochs=1)  # as a budget had planned it
    once = replace(tried, asked=replace(tried.asked, again=False, recipe=epochs, policy="light"),
                   looks=Looks("light", 4, mirror=False))  # fmt: skip
    for val, again in ((np.arange(0, 70, 5), True), (np.zeros(0, np.int64), False)):
        climbing.Climb(replace(learnt, val=val, crossed=True), (once,), (), once, None, "").cross_validated(0)
        assert asked[-1].again == again
        assert tune.usual_views(asked[-1]) == 4


def test_one_epoch_of_few_pictures_is_trained(learnt: Material) -> None:
    one = replace(SHORT, epochs=1, batch=200)
    network = Thawed(learnt.spec, 2, start_of(learnt))
    views = whole_views(learnt, network)
    before = {name: own.clone() for name, own in network.state().items()}
    rows = np.arange(len(learnt.features))
    course = loop.run(
        network, views, learnt.features.y, rows, one, seed=0, val=rows[:0], stop_after=1,
        kept=cache_folder() / "one-epoch.safetensors", on_epoch=silent,
    )  # fmt: skip
    assert course.epochs[0].rate > 0
    assert all(not torch.equal(own, before[name]) for name, own in course.state.items() if "weight" in name)
    asks = climbing.asked_for(learnt, Wish("1", None, "strong", 1, float("inf")), 0)
    assert [tune.usual_views(own) for own in asks] == [2]  # else --augment would be as none


def test_a_second_command_finds_kept_views_and_is_not_deceived(
    learnt: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is made in no time; the pace is that of what is missing, and that alone counts."""
    asked = Asked(1, "light", replace(SHORT, epochs=9), seed=21, budget_s=1.0)
    ground = tune._ground(learnt, asked)
    ground = replace(ground, looks=replace(ground.looks, policy="strong", mirror=False))
    made: list[int] = []
    real = tune._views

    def slowly(own: Material, *rest: Any) -> Views:
        made.append(len(own.files))
        return real(own, *rest)

    monkeypatch.setattr(tune, "_views", slowly)
    first = tune._in_time(learnt, ground, 1e-6)
    assert first.views == 1
    kept = [tune._in_time(learnt, ground, 1e-6).views for _ in range(2)]
    assert kept == [1, 4]  # of 72 pictures 8 are missing after the first of these, none after the other
    assert made == [2, 30, 2, 30, 2, 6]


def test_a_continued_training_took_as_long_as_all_its_runs(learnt: Material) -> None:
    asked = Asked(2, "none", replace(SHORT, epochs=2), seed=33)
    first = attempt(learnt, asked)
    again = attempt(learnt, asked)
    assert again.seconds >= sum(one.seconds for one in first.epochs)
    assert again.heads == first.heads
    assert first.to_json()["start_head"] in tune.LINEAR
    assert first.to_json()["precision"] == (
        "bf16" if thawed.halves(load(learnt.spec), torch.device("cpu")) else "f32"
    )


def test_pictures_of_one_class_judge_nothing(learnt: Material) -> None:
    one_class = np.flatnonzero(learnt.features.y == 0)[:10]
    with pytest.raises(TooFewExamples, match="of two classes or more"):
        attempt(replace(learnt, val=one_class), Asked(2, "none", SHORT, seed=0))


def test_what_the_users_val_part_judged_is_what_ships(learnt: Material) -> None:
    own = replace(learnt, val=np.arange(0, 72, 4))
    tried = attempt(own, Asked(2, "none", SHORT, seed=0))
    assert np.array_equal(tried.truth, own.features.y[own.val])
    one = replace(tried, share=1.0)
    network = load(finish(own, choose(own.features, head="lda"), one).spec).state_dict()
    moved = {name: value for name, value in tried.state.items() if not name.startswith("head.")}
    assert moved
    assert all(torch.equal(network[name], value) for name, value in moved.items())
    told: list[object] = []
    finish(replace(own, on_epoch=lambda epoch, _of: told.append(epoch)), choose(own.features), one)
    assert not told  # nothing is trained a second time


def test_the_share_of_zero_is_the_frozen_network(learnt: Material) -> None:
    tried = attempt(learnt, Asked(1, "none", SHORT, seed=0))
    tuned = finish(learnt, choose(learnt.features, head="lda"), replace(tried, share=0.0))
    before, after = load(learnt.spec).state_dict(), load(tuned.spec).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_pictures_that_judge_are_not_trained_on(learnt: Material) -> None:
    rows, val = tune.dealt(learnt, 0)
    assert not set(learnt.features.groups[rows]) & set(learnt.features.groups[val])
    assert sorted([*rows, *val]) == list(range(len(learnt.features)))
    own = replace(learnt, val=np.array([0, 5, 30, 40, 50, 60]))
    rows, val = tune.dealt(own, 0)
    assert val.tolist() == [0, 5, 30, 40, 50, 60]
    assert not set(rows) & set(val)


def test_twins_of_training_pictures_judge_nothing(learnt: Material) -> None:
    groups = learnt.features.groups.copy()
    groups[5] = groups[1]  # a picture of the val part that is one of the training part
    own = replace(learnt, features=replace(learnt.features, groups=groups), val=np.arange(0, 60, 5))
    assert 5 not in tune.dealt(own, 0)[1]
    with pytest.raises(TooFewExamples, match="at least 5 different ones"):
        tune.dealt(replace(own, val=np.array([0, 5, 10, 15])), 0)


@pytest.mark.usefixtures("float32_here")
def test_training_that_changes_nothing_is_never_better(photos: Path) -> None:
    learnt = material(small(), photos)
    still = replace(SHORT, rate=0.0, head_rate=0.0, epochs=1)
    gains = []
    for seed in range(6):
        tried = attempt(learnt, Asked(2, "none", still, seed))
        assert not tried.is_better
        gains.append(tried.gain[0])
    assert np.abs(gains).max() < 1e-3  # frozen and trained are calibrated alike


def test_another_start_is_another_training(learnt: Material) -> None:
    fitted = [choose(learnt.features, head=head) for head in ("lda", "ridge")]
    tried = replace(attempt(learnt, Asked(2, "none", SHORT, 0)), share=1.0)
    one, other = (finish(learnt, own, tried) for own in fitted)
    assert one.spec.weights != other.spec.weights
    shutil.rmtree(cache_folder() / "tuning")
    assert finish(learnt, fitted[1], tried).spec.weights == other.spec.weights


def test_a_budget_shortens_training_and_stays_when_continued(learnt: Material) -> None:
    recipe = replace(SHORT, epochs=50)
    tried = attempt(learnt, Asked(1, "light", recipe, seed=5), budget_s=1e-6)
    assert tried.asked.recipe.epochs == 1
    assert tried.looks.views == 1  # most would go into views
    again = attempt(learnt, Asked(1, "light", recipe, seed=5), budget_s=1e6)
    assert again.looks.views == 1
    assert again.asked.recipe.epochs == 1  # as was planned
    assert np.array_equal(again.probabilities, tried.probabilities)
    more = attempt(learnt, Asked(1, "light", replace(recipe, epochs=2), seed=5, budget_s=60.0), budget_s=60.0)
    assert more.asked.recipe.epochs == 2  # another budget is another plan
    assert more.asked.again
    assert more.looks.views == 4  # 60 s are enough


def test_where_the_budget_is_too_short_to_train_twice_what_was_judged_ships(learnt: Material) -> None:
    """And a continued run keeps to that, whatever the clock says then."""
    asked = Asked(1, "none", replace(SHORT, epochs=6), seed=3, budget_s=7.0)
    tried = attempt(learnt, asked, budget_s=1e-6)
    assert not tried.asked.again
    assert not attempt(learnt, asked, budget_s=1e6).asked.again
    told: list[object] = []
    own = replace(learnt, on_epoch=lambda epoch, _of: told.append(epoch))
    one = replace(tried, share=1.0)
    network = load(finish(own, choose(own.features, head="lda"), one).spec).state_dict()
    moved = {name: value for name, value in tried.state.items() if not name.startswith("head.")}
    assert moved
    assert all(torch.equal(network[name], value) for name, value in moved.items())
    assert not told
    twice = replace(one, asked=replace(one.asked, again=True))
    finish(own, choose(own.features, head="lda"), twice)
    assert len(told) == twice.asked.recipe.epochs  # else all of it is done again, on all pictures


# -- views ------------------------------------------------------------------------------------------------


def looked(
    file: Path, policy: augment.Policy = "strong", *, mirror: bool = True, views: int = 4
) -> np.ndarray:
    digest = "ab" * 32
    return augment.looks(file.read_bytes(), digest, LITE.preprocess, policy, views, mirror=mirror)


def test_the_first_look_is_what_the_network_will_see(photos: Path) -> None:
    from headstart.modalities.image import decode

    file = min(photos.rglob("*.png"))
    plain = decode(file.read_bytes(), LITE.preprocess).pixels
    for policy in augment.SIZES:
        found = looked(file, policy)  # type: ignore[arg-type]
        assert np.array_equal(found[0], plain)
        assert not any(np.array_equal(own, plain) for own in found[1:])
        assert np.array_equal(found, looked(file, policy))  # type: ignore[arg-type]
        assert np.array_equal(found[:3], looked(file, policy, views=3))  # type: ignore[arg-type]
    assert np.array_equal(looked(file, "none")[3], plain)


def test_the_sheet_shows_the_whole_picture_first(photos: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner
    from PIL import Image

    from headstart.cli import group
    from headstart.finetune.sheet import GAP_PX, ROWS, SIDE_PX
    from headstart.modalities.image import decode

    line = ["check", str(photos), "--sheet", str(tmp_path / "views.png"), "--augment", "strong", "--json"]
    assert CliRunner().invoke(group, line).exit_code == 0
    sheet = Image.open(tmp_path / "views.png")
    seen = look_with(LITE, open_engine(LITE), scan_all(photos, None)).examples
    first = seen.files()[int(np.argmin(np.array(seen.digests)))]
    pixels = Image.fromarray(decode(first.read_bytes(), LITE.preprocess).pixels)
    wanted = np.asarray(pixels.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))
    own = np.asarray(sheet.crop((GAP_PX, GAP_PX, GAP_PX + SIDE_PX, GAP_PX + SIDE_PX)))
    assert np.array_equal(own, wanted)
    assert sheet.height == ROWS * (SIDE_PX + GAP_PX) + GAP_PX


def test_no_look_is_mirrored_unless_that_is_allowed(tmp_path: Path) -> None:
    from PIL import Image

    ramp = np.broadcast_to(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None], (96, 96, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / "ramp.png")
    for mirror in (False, True):
        found = looked(tmp_path / "ramp.png", "light", mirror=mirror, views=12).astype(int)
        turned = found[:, :, -1].mean((1, 2)) < found[:, :, 0].mean((1, 2))
        assert turned.any() == mirror


def test_mirroring_is_left_out_where_it_hurts(tmp_path: Path) -> None:
    """Left and right arrows, against upright and lying bars."""
    from PIL import Image, ImageDraw

    dice = np.random.default_rng(0)
    shapes = {
        "arrows": {"left": [(20, 48), (76, 14), (76, 82)], "right": [(76, 48), (20, 14), (20, 82)]},
        "bars": {
            "up": [(38, 8), (58, 8), (58, 88), (38, 88)],
            "flat": [(8, 38), (8, 58), (88, 58), (88, 38)],
        },
    }
    for kind, classes in shapes.items():
        for name, corners in classes.items():
            (tmp_path / kind / name).mkdir(parents=True)
            for number in range(14):
                image = Image.new("RGB", (96, 96), tuple(dice.integers(180, 255, 3)))
                moved = [tuple(np.add(corner, dice.integers(-6, 7, 2))) for corner in corners]
                ImageDraw.Draw(image).polygon(moved, fill=tuple(dice.integers(0, 90, 3)))
                image.save(tmp_path / kind / name / f"{number}.png")
    for kind, wanted in (("arrows", False), ("bars", True)):
        own = material(LITE, tmp_path / kind)
        asked = Asked(5, "light", SHORT, seed=0)
        network = Thawed(own.spec, 5, start_of(own))
        assert tune._survives_mirror(own, asked, network, np.arange(len(own.features))) == wanted


def test_views_are_made_once_and_mended(learnt: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Thawed(learnt.spec, 1, start_of(learnt))
    looks = Looks("light", 3, mirror=True)

    def make_them() -> tuple[Views, int]:
        made: list[Path] = []
        write = kept_views._write
        with monkeypatch.context() as patch:
            patch.setattr(kept_views, "_write", lambda path, values: (made.append(path), write(path, values)))
            digests = learnt.features.digests
            found = keep(
                learnt.spec, 1, network.width, learnt.files, digests, looks, device="cpu", on_step=quiet
            )
        return found, len(made)

    n = len(learnt.files)
    first, made = make_them()
    assert made == n
    rows, picks = np.array([3, 0, 3]), np.array([2, 1, 0])
    values = first.of(rows, picks)
    again, made = make_them()
    assert made == 0
    first.files[3].write_bytes(first.files[3].read_bytes()[:-1])
    data = bytearray(first.files[0].read_bytes())
    data[7] ^= 1
    first.files[0].write_bytes(bytes(data))
    again, made = make_them()
    assert made == 2
    assert np.array_equal(again.of(rows, picks), values)


def test_views_that_do_not_fit_are_refused_beforehand(
    learnt: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Thawed(learnt.spec, 0, start_of(learnt))
    usage = shutil.disk_usage(cache_folder())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert tune._looks(learnt, Asked(0, "strong", SHORT, 0), network, np.arange(9), 4).views == 1
    looks = Looks("strong", 2, mirror=False)
    with pytest.raises(StoreError, match=r"views of 72 pictures need .* GB"):
        keep(
            learnt.spec, 0, network.width, learnt.files, learnt.features.digests, looks,
            device="cpu", on_step=quiet,
        )  # fmt: skip


def test_a_fuller_or_emptier_disk_changes_nothing_of_what_was_begun(
    learnt: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The views that are there count for nothing, and their number stays as it was chosen."""
    usage = shutil.disk_usage(cache_folder())
    asked = Asked(1, "light", replace(SHORT, epochs=4), seed=9)
    network = Thawed(learnt.spec, 1, start_of(learnt))
    one, three = (kept_views.need(network.width, network.dtype, len(learnt.files), at) for at in (1, 3))

    def with_free(free: int) -> Attempt:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
        return attempt(learnt, asked)

    class Killed(Exception):
        pass

    def kill(epoch: Epoch | Promise, _of: int) -> None:
        if isinstance(epoch, Epoch) and epoch.number == 2:
            raise Killed

    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2 * three))
    with pytest.raises(Killed):
        attempt(replace(learnt, on_epoch=kill), asked)
    done: list[int] = []
    told = replace(learnt, on_epoch=lambda epoch, _of: done.append(epoch.number))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=one))
    again = attempt(told, asked)
    assert again.looks.views == 3
    assert done == [3, 4]  # the epochs before are not done again
    assert with_free(100 * three).looks == again.looks
    assert attempt(learnt, replace(asked, seed=10, views=2)).looks.views == 2  # as in a fold
    shutil.rmtree(cache_folder() / "views")
    assert with_free(2 * one).looks.views == 1  # less is better than nothing where nothing is kept


def test_a_picture_that_changed_meanwhile_is_noticed(tmp_path: Path) -> None:
    own = material(small(), make.folder(tmp_path / "few", {"red": 6, "green": 6}))
    network = Thawed(own.spec, 1, start_of(own))
    own.files[2].write_bytes(own.files[3].read_bytes())
    with pytest.raises(UnreadablePicture, match="changed while"):
        whole_views(own, network)


# -- what is asked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"tune": "most"}, "wanted never, auto, last, all"),
        ({"tune": "8"}, "1 to 7"),
        ({"tune": "0"}, "1 to 7"),
        ({"tune": "²"}, "1 to 7"),
        ({"freeze_to": "stage9"}, "stage1, stage2"),
        ({"freeze_to": "stage7"}, "can be frozen to"),
        ({"tune": "last", "freeze_to": "stage3"}, "one of them"),
        ({"augment": "wild"}, "none, light, strong"),
        ({"tune": "last", "epochs": 0}, "1 or more"),
        ({"tune": "last", "budget_s": 0.0}, "more than nothing"),
        ({"epochs": 3}, "say --tune as well"),
        ({"augment": "light", "tune": "never"}, "say --tune as well"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(asked: dict[str, object], said: str) -> None:
    words: dict[str, object] = {"tune": None, "freeze_to": None, "augment": None, "epochs": None}
    words |= {"budget_s": float("inf")} | asked
    with pytest.raises(Misuse, match=said):
        wish(LITE, **words)  # type: ignore[arg-type]


def test_depths_that_are_asked_for() -> None:
    assert stages_below(LITE, "all") == 0
    assert stages_below(LITE, "3") == 4
    assert stages_below(LITE, "last") == 5  # two stages share the last resolution
    assert stages_below(backbones.spec("torchvision:resnet18"), "last") == 3
    nothing = float("inf")
    assert wish(LITE, None, None, None, None, nothing).tune == "never"
    scratch = backbones.spec("scratch:small-cnn")
    assert wish(scratch, None, None, None, None, nothing).tune == "all"
    with pytest.raises(Misuse, match="starts from nothing"):
        wish(scratch, "last", None, None, None, nothing)


def test_what_training_will_take_is_counted_from_its_steps(
    learnt: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks and frozen stages once, training and judging in every epoch, then the same again on all."""
    n, val = len(learnt.features), len(learnt.features) // 5
    monkeypatch.setattr(promise, "seconds_to_encode", lambda *_: 100.0)
    monkeypatch.setattr(promise, "_seconds_to_view", lambda _m, own, _views: 50.0 if own.stages else 0.0)
    monkeypatch.setattr(promise, "_seconds_to_train", lambda *_: (3.0, 1.0))
    monkeypatch.setattr(promise, "seconds_to_keep", lambda *_: 7.0)
    asked = Asked(0, "none", SHORT, 0)  # nothing frozen: nothing but looks before training
    (told,) = promise.promises(learnt, [asked])
    assert told.epochs == SHORT.epochs
    shares = len(tune.SHARES) + 1  # and the start
    assert told.seconds == SHORT.epochs * (3.0 * (n - val) + val + 7.0) + n + shares * val
    again = SHORT.epochs  # the second training is as long
    assert told.whole_s - told.seconds == n * 100.0 + again * (n * 3.0 + 7.0)
    (tested,) = promise.promises(replace(learnt, besides=9), [asked])
    assert tested.whole_s - told.whole_s == 9 * 100.0  # the test part is encoded as well
    network = Thawed(learnt.spec, 0, start_of(learnt))
    states = 2 * 4 * sum(own.nbytes for own in network.state().values())
    assert told.disk_bytes == states + n * (network.width + 4)
    (brought,) = promise.promises(replace(learnt, val=np.arange(val)), [asked])
    assert brought.seconds == told.seconds
    assert brought.whole_s - brought.seconds == n * 100.0  # what was judged ships
    (frozen,) = promise.promises(learnt, [replace(asked, stages=2)])
    assert 0 < frozen.seconds - told.seconds < n * 100.0  # a part of a pass for each picture
    (alone,) = promise.promises(replace(learnt, crossed=True), [asked])
    fold = n - n // 5  # of these a fifth judges, and all are trained on again; what is left out is judged
    held = round(tune.SHARE * fold)
    each = SHORT.epochs * (3.0 * (fold - held) + held + 7.0) + fold + shares * held
    each += again * (fold * 3.0 + 7.0)
    assert alone.whole_s - told.whole_s == 5 * (each + n // 5 * 100.0)
    assert alone.disk_bytes - told.disk_bytes == 5 * states
    (own,) = promise.promises(replace(learnt, val=np.arange(val), crossed=True), [asked])
    assert own.whole_s - brought.whole_s > 4 * SHORT.epochs * 3.0 * (n - val) * 0.8 * 0.8 * 2  # twice a fold
    one_epoch = replace(asked, recipe=replace(SHORT, epochs=1))
    (least,) = promise.promises(learnt, [one_epoch])
    two = replace(asked, recipe=replace(SHORT, epochs=2), budget_s=least.whole_s + 0.5)
    (bounded,) = promise.promises(learnt, [two])
    assert (bounded.epochs, bounded.seconds, bounded.whole_s) == (1, least.seconds, least.whole_s)
    four = replace(asked, recipe=replace(SHORT, epochs=4), budget_s=least.whole_s + 0.5)
    (short,) = promise.promises(learnt, [four])  # one of four would fit twice, two fit once
    assert short.epochs == 2
    assert short.whole_s - short.seconds == n * 100.0
    (crossed,) = promise.promises(replace(learnt, crossed=True), [four])
    each = 3.0 * (fold - held) + held + 7.0 + fold + shares * held + n // 5 * 100.0
    assert crossed.whole_s - short.whole_s == 5 * each


def test_the_promise_comes_before_the_first_epoch(learnt: Material, tmp_path: Path) -> None:
    told: list[object] = []
    place = tmp_path / "epochs.jsonl"
    with watch(str(place), lambda one, _of: told.append(one)) as watched:
        own = Wish("2", None, "none", 1, float("inf"))
        found = climb(replace(learnt, on_epoch=watched), choose(learnt.features), own, 0)
    assert [type(one) for one in told[:2]] == [Promise, Epoch]
    assert len(place.read_text(encoding="utf-8").splitlines()) == len(told) - 1
    assert found.to_json()[0]["promised_s"] > 0


def test_a_depth_named_is_the_depth_trained(learnt: Material) -> None:
    nothing = float("inf")
    for tuned, to, wanted in (
        ("2", None, [1]),
        ("all", None, [0]),
        ("", "stage2", [2]),
        ("auto", None, [2, 0]),
    ):
        own = Wish(tuned, to, None, None, nothing)
        assert [one.stages for one in asked_for(learnt, own, 0)] == wanted
    assert asked_for(learnt, Wish("all", None, None, 4, nothing), 0)[0].recipe.epochs == 4
    assert asked_for(learnt, Wish("all", None, None, None, nothing), 0)[0].policy == "light"


# -- the whole road ---------------------------------------------------------------------------------------


def test_from_nothing_there_is_no_head_to_choose(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(Misuse, match=r"--head lda: scratch:small-cnn.* starts from nothing, its head"):
        train(photos, out=tmp_path / "one", backbone="scratch:small-cnn?width=8", head="lda")
    frozen = train(
        photos, out=tmp_path / "two", backbone="scratch:small-cnn?width=8", head="lda", tune="never"
    )
    assert frozen.report["head"] == "lda"


def test_from_files_to_a_model_that_carries_its_network(tmp_path: Path, photos: Path) -> None:
    """Trained from nothing, saved, moved to a machine that never saw it, reused as a source, tuned again."""
    model = train(
        photos, out=tmp_path / "one", backbone="scratch:small-cnn?width=8", epochs=3, augment="none", seed=1
    )
    assert model.report["tune"] == "all"
    assert model.report["cv"]["n"] == 72
    (rung,) = model.report["tuning"]
    assert rung["taken"]
    assert rung["start_head"] == "zero"
    assert model.report["choice"]["depths"] == "last"
    assert len(rung["epochs"]) == 3
    weights_file(model.backbone).unlink()
    moved = load_model(shutil.copytree(tmp_path / "one", tmp_path / "moved"))
    files = sorted(photos.rglob("*.png"))[:5]
    said = [list(predict(own, files, open_engine(own.backbone))) for own in (model, moved)]
    assert [one.probabilities for one in said[0]] == [one.probabilities for one in said[1]]

    assert "all stages trained on these pictures" in (tmp_path / "moved" / "README.md").read_text("utf-8")

    source = f"headstart:{tmp_path / 'moved'}"
    with pytest.raises(TooFewExamples, match="has learnt from 72 of these pictures"):
        train(photos, out=tmp_path / "two", backbone=source)
    others = make.folder(tmp_path / "others", {"red": 20, "green": 20, "blue": 20}, first=500)
    frozen = train(others, out=tmp_path / "two", backbone=source)
    assert frozen.report["tune"] == "never"
    assert frozen.backbone == replace(model.backbone, name=source)
    assert frozen.report["backbone"] == frozen.report["options"]["backbone"] == source
    assert f"- Backbone: {source} (" in (tmp_path / "two" / "README.md").read_text("utf-8")
    again = train(others, out=tmp_path / "three", backbone=source, tune="last", epochs=1, augment="none")
    assert len(learnt_from(again.backbone)) == 72 + 60
    assert again.report["tune"] == "last 1"
    below = load(model.backbone).state_dict()
    above = load(again.backbone).state_dict()
    assert all(torch.equal(below[name], above[name]) for name in below if not name.startswith("stages.2"))
    assert (
        json.loads((tmp_path / "three" / "model.json").read_text())["backbone"]["weights"]["source"]
        == "trained"
    )


def test_the_same_command_again_brings_the_same_model(tmp_path: Path, photos: Path) -> None:
    words = {"backbone": "scratch:small-cnn?width=8", "epochs": 1, "augment": "none", "seed": 3}
    first = train(photos, out=tmp_path / "a", **words)  # type: ignore[arg-type]
    shutil.rmtree(cache_folder() / "tuning")
    second = train(photos, out=tmp_path / "b", **words)  # type: ignore[arg-type]
    assert first.backbone == second.backbone
    assert np.array_equal(first.head.arrays()["weight"], second.head.arrays()["weight"])
    assert first.temperature == second.temperature


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever backbone is named, it is the little one with weights, as a model keeps them."""
    from safetensors.numpy import load_file, save

    own = small()
    tensors = {name: array for name, array in load_file(weights_file(own)).items() if array.ndim}
    own = with_bytes(own, save(tensors))
    monkeypatch.setattr(recipe, "chosen", lambda *_: own)


def stop_after(number: int, *, final: bool = False, twice: bool = False) -> Callable[..., None]:
    """Interrupt after this epoch of the judged or the final training; `twice`: and what is then begun."""

    def stop(epoch: Epoch | Promise | Halt, _of: int) -> None:
        if isinstance(epoch, Halt) and twice:
            raise KeyboardInterrupt
        if isinstance(epoch, Epoch) and epoch.number == number and (epoch.val_nll is None) == final:
            raise KeyboardInterrupt

    return stop


def parted(base: pytest.TempPathFactory) -> Path:
    return make.parted(base.getbasetemp())


@pytest.mark.usefixtures("source")
def test_interrupted_tuning_leaves_the_frozen_model_and_goes_on(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data, out = parted(tmp_path_factory), tmp_path / "model"
    words = {"tune": "last", "epochs": 3, "augment": "none", "report": False}
    with pytest.raises(KeyboardInterrupt, match=r"model holds the model of the frozen network\. The same"):
        train(data, out=out, on_epoch=stop_after(2, twice=True), **words)  # type: ignore[arg-type]
    kept = load_model(out)
    frozen = train(data, out=tmp_path / "frozen", report=False)
    assert kept.report["tune"] == "never"
    assert not _is_made(out)  # a studio that was killed goes on with it
    assert kept.report["test"] == frozen.report["test"]
    assert np.array_equal(kept.head.arrays()["weight"], frozen.head.arrays()["weight"])
    with pytest.raises(OutputExists):  # another command does not take it for its own
        train(data, out=out, tune="all", report=False)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"notes\.txt"):
        train(data, out=out, **words)  # type: ignore[arg-type]
    (out / "notes.txt").unlink()
    done: list[object] = []
    tuned = train(data, out=out, on_epoch=lambda one, _of: done.append(one), **words)  # type: ignore[arg-type]
    assert next(one.number for one in done if isinstance(one, Epoch)) == 3
    assert len(tuned.report["tuning"]) == 1
    assert _is_made(out)
    shutil.rmtree(cache_folder() / "tuning")
    whole = train(data, out=tmp_path / "whole", **words)  # type: ignore[arg-type]
    assert whole.backbone == tuned.backbone
    assert whole.report["test"] == tuned.report["test"]
    done.clear()
    again = train(data, out=out, on_epoch=lambda one, _of: done.append(one), **words)  # type: ignore[arg-type]
    assert not done
    assert again.report == tuned.report


@pytest.mark.usefixtures("source")
def test_an_older_model_stays_until_the_new_one_is_ready(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data, out = parted(tmp_path_factory), tmp_path / "model"
    train(data, out=out, head="ridge", report=False)
    before = (out / "model.json").read_bytes()
    words = {"tune": "last", "epochs": 1, "augment": "none", "report": False, "force": True}
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        train(data, out=out, on_epoch=stop_after(1), **words)  # type: ignore[arg-type]
    assert (out / "model.json").read_bytes() == before
    train(data, out=out, **words)  # type: ignore[arg-type]
    assert (out / "model.json").read_bytes() != before


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("final", [False, True])
def test_an_interrupt_leaves_the_best_that_was_judged_and_the_same_command_goes_on(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, *, final: bool
) -> None:
    shutil.rmtree(cache_folder() / "tuning", ignore_errors=True)
    data, out = parted(tmp_path_factory), tmp_path / "model"
    words = {"tune": "all", "epochs": 3, "augment": "none"}
    with pytest.raises(KeyboardInterrupt, match=r"model holds the best network judged so far\. The same"):
        train(data, out=out, on_epoch=stop_after(1 if final else 2, final=final), **words)  # type: ignore[arg-type]
    kept = load_model(out)
    (tried,) = kept.report["tuning"]
    assert (kept.report["interrupted"], kept.report["tune"], tried["taken"]) == (True, "all", True)
    assert (len(tried["epochs"]), tried["again"]) == (3 if final else 2, False)
    assert "Training was interrupted" in (out / "report.html").read_text(encoding="utf-8")
    files = [data / part.path for part in kept.manifest if part.part == "test"]
    named = [part.label for part in kept.manifest if part.part == "test"]
    right = [one.label == name for one, name in zip(kept.predict(files), named, strict=True)]
    assert np.mean(right) == kept.report["test"]["accuracy"]  # judged is what is there
    assert not _is_made(out)
    done: list[object] = []
    tuned = train(data, out=out, on_epoch=lambda one, _of: done.append(one), **words)  # type: ignore[arg-type]
    judged = [one.number for one in done if isinstance(one, Epoch) and one.val_nll is not None]
    assert judged == ([] if final else [3])
    assert _is_made(out)
    assert not tuned.report["interrupted"]
    shutil.rmtree(cache_folder() / "tuning")
    whole = train(data, out=tmp_path / "whole", **words)  # type: ignore[arg-type]
    assert whole.backbone == tuned.backbone
    assert kept.backbone != tuned.backbone


@pytest.mark.usefixtures("source")
def test_where_only_more_training_could_judge_it_an_interrupt_leaves_the_frozen_model(tmp_path: Path) -> None:
    data = make.folder(tmp_path / "some", {"red": 40, "green": 40}, jitter=90)
    with pytest.raises(KeyboardInterrupt, match="holds the model of the frozen network"):
        train(data, out=tmp_path / "model", tune="all", epochs=2, augment="none", on_epoch=stop_after(2))
    assert load_model(tmp_path / "model").report["tune"] == "never"


def test_from_nothing_there_is_nothing_to_keep_before_an_epoch_is_judged(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = parted(tmp_path_factory)
    words = {"backbone": "scratch:small-cnn?width=8", "epochs": 3, "augment": "none"}
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        train(data, out=tmp_path / "model", on_epoch=stop_after(1, twice=True), **words)  # type: ignore[arg-type]
    assert not (tmp_path / "model").exists()
    with pytest.raises(KeyboardInterrupt, match="the best network judged so far"):
        train(data, out=tmp_path / "model", on_epoch=stop_after(2), **words)  # type: ignore[arg-type]
    assert load_model(tmp_path / "model").report["interrupted"]


@pytest.mark.usefixtures("source")
def test_what_stays_frozen_says_why(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    few = make.folder(tmp_path / "few", {"red": 13, "green": 13}, jitter=30)
    model = train(few, out=tmp_path / "auto", tune="auto", report=False)
    assert (model.report["tune"], model.report["tuning"]) == ("never", [])
    assert "too few pictures to judge tuning by" in model.report["kept_frozen"]
    with pytest.raises(TooFewExamples, match="in a fold of it"):
        train(few, out=tmp_path / "last", tune="last", report=False)
    assert not (tmp_path / "last").exists()
    data = parted(tmp_path_factory)
    assert train(data, out=tmp_path / "never", report=False).report["kept_frozen"] is None


def test_pictures_that_a_source_knows_by_heart_are_named(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save

    data = parted(tmp_path_factory)
    known = sorted(hashlib.sha256(file.read_bytes()).digest() for file in (data / "train" / "red").iterdir())
    digests = torch.from_numpy(np.frombuffer(b"".join(known), np.uint8).reshape(-1, 32).copy())
    spec = small()
    told = with_bytes(spec, save(load(spec).state_dict() | {LEARNT: digests}))
    leaks = []
    for at, own in enumerate((spec, told)):
        monkeypatch.setattr(recipe, "chosen", lambda *_, own=own: own)
        found = train(data, out=tmp_path / f"{at}", report=False).report["data"]["findings"]
        leaks.append([one for one in found if one["kind"] == "leak"])
    assert leaks[0] == []
    ((finding),) = leaks[1]
    assert finding["severity"] == "warning"
    assert finding["message"].startswith("12 of the pictures to learn from")
    assert {finding["path"], *finding["others"]} == {
        f"train/red/{file.name}" for file in (data / "train" / "red").iterdir()
    }


# -- watching ---------------------------------------------------------------------------------------------


def epoch(number: int, val: float | None) -> Epoch:
    return Epoch(5, number, 1 / number, 1e-4, {"stage7": 0.5 * number, "head": 0.1}, val, val, 2.0)


def test_lines_are_added_as_epochs_come(tmp_path: Path) -> None:
    told: list[int] = []
    for turn in (0, 2):  # a second run goes on below the first
        with watch(str(tmp_path / "run.jsonl"), lambda one, _of: told.append(one.number)) as keep:
            keep(epoch(turn + 1, 0.25), 9)
            assert len((tmp_path / "run.jsonl").read_text().splitlines()) == turn + 1  # while it goes on
            keep(epoch(turn + 2, None), 9)
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert [line["number"] for line in lines] == told == [1, 2, 3, 4]
    assert lines[0]["gradients"] == {"stage7": 0.5, "head": 0.1}
    assert lines[0]["val_nll"] == 0.25
    assert lines[1]["val_nll"] is None


@pytest.mark.filterwarnings("ignore")  # of the libraries themselves
def test_tensorboard_reads_what_was_kept(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with watch(f"tensorboard:{tmp_path}") as keep:
        for number in (1, 2, 3):
            keep(epoch(number, 0.5), 3)
        keep(epoch(1, None), 1)
    found = EventAccumulator(str(tmp_path / "5-frozen-judged"))
    found.Reload()
    assert {tag.split("/")[0] for tag in found.Tags()["tensors"]} == {
        "loss", "rate", "val", "seconds", "gradients",
    }  # fmt: skip
    assert [one.step for one in found.Tensors("gradients/stage7")] == [1, 2, 3]
    assert (tmp_path / "5-frozen-final").is_dir()


@pytest.mark.filterwarnings("ignore")
def test_mlflow_reads_what_was_kept(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    with watch(f"mlflow:file:{tmp_path}") as keep:
        for number in (1, 2):
            keep(epoch(number, 0.5), 2)
    from mlflow import MlflowClient

    client = MlflowClient(f"file:{tmp_path}")
    own = client.get_experiment_by_name("headstart")
    (run,) = client.search_runs([own.experiment_id])
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(1, 1.0), (2, 0.5)]
    assert run.info.status == "FINISHED"


def test_a_place_that_cannot_be_watched_is_refused(tmp_path: Path) -> None:
    for where, kind, said in (
        ("run.txt", Misuse, "wanted FILE.jsonl"),
        ("no/run.jsonl", OutputError, "written"),
    ):
        with pytest.raises(kind, match=said), watch(str(tmp_path / where)):
            pass
