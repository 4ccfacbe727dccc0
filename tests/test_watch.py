"""Watching a training: every epoch is told, of which training it is, errors stay what they were; and what
training looks at keeps its hues."""

import colorsys
import contextlib
import io
import itertools
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import make
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image, ImageOps
from safetensors.torch import save_file

from headstart import backbones
from headstart.backbones.network import load
from headstart.cli import _show, group
from headstart.cli.train import LINEAR, tuning
from headstart.errors import (
    DownloadError,
    HeadstartError,
    Misuse,
    NotFinite,
    OutputError,
    StoreError,
    UnreadablePicture,
)
from headstart.finetune import augment, loop, sheet, tune
from headstart.finetune.promise import _blank
from headstart.finetune.thawed import Thawed
from headstart.finetune.tune import Asked
from headstart.finetune.views import Looks, Views
from headstart.finetune.watch import watch
from headstart.finetune.wish import Epoch, Material, OnEpoch, Promise, silent, wish
from headstart.values import Bytes

TINY = "scratch:small-cnn?size=8&width=2&norm=none"
BRISK = replace(loop.FROM_SCRATCH, epochs=3, batch=8)
N, K = 24, 2


def epoch(number: int = 1, val: float | None = 0.5, **more: Any) -> Epoch:
    slopes = {"stage6": 0.00012345, "stage7": 0.25, "head": 1.5}
    return Epoch(5, number, 1 / number, 1e-4, slopes, val, val, 2.0, **more)


def strict(line: str) -> dict[str, Any]:
    """JSON as the standard has it, without NaN and Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    found: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return found


def course(place: Path, recipe: loop.Recipe, name: str = TINY, on_epoch: OnEpoch = silent) -> loop.Course:
    """A few tiny pictures of two brightnesses, learnt from; a third of them judge."""
    spec = backbones.spec(name)
    network = Thawed(spec, 0, _blank(spec, K))
    dice, y = np.random.default_rng(0), np.arange(N) % K
    place.mkdir(exist_ok=True)
    for at in range(N):
        pixels = dice.integers(0, 128, network.width) + 100 * y[at]
        (place / f"{at}.bin").write_bytes(pixels.astype(np.uint8).tobytes())
    files = tuple(place / f"{at}.bin" for at in range(N))
    views = Views(files, Looks("none", 1, mirror=False), network.width, network.dtype)
    rows, val = np.arange(8, N), np.arange(8)
    return loop.run(
        network, views, y, rows, recipe,
        seed=0, val=val, stop_after=recipe.epochs, kept=place / "kept", on_epoch=on_epoch,
    )  # fmt: skip


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of the libraries themselves
@pytest.mark.parametrize("where", ["{}/run.jsonl", "tensorboard:{}", "mlflow:file:{}"])
@pytest.mark.parametrize(
    "error",
    [
        StoreError("views do not fit"), DownloadError("no weights"), UnreadablePicture("x.jpg changed"),
        OutputError("the state cannot be kept"), OSError(5, "the disk"), KeyboardInterrupt(),
    ],
)  # fmt: skip
def test_errors_of_the_training_stay_what_they_were(where: str, error: BaseException, tmp_path: Path) -> None:
    if not where.endswith(".jsonl"):
        pytest.importorskip(where.partition(":")[0])
    found: BaseException | None = None
    try:
        with watch(where.format(tmp_path)) as told:
            told(epoch(), 3)
            raise error
    except BaseException as raised:  # noqa: BLE001
        found = raised
    assert found is error


def test_a_full_disk_is_told_with_its_place(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    (tmp_path / "run.jsonl").symlink_to("/dev/full")
    said = r"run\.jsonl cannot be written: .*[Nn]o space"
    watched = watch(str(tmp_path / "run.jsonl"))
    told = watched.__enter__()
    with pytest.raises(OutputError, match=said):
        told(epoch(), 3)
    with pytest.raises(OutputError, match=said):  # what could not be written is tried again in closing
        watched.__exit__(None, None, None)


@pytest.mark.filterwarnings("ignore")
def test_a_place_that_tensorboard_cannot_write_is_told(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("here")
    with (
        pytest.raises(OutputError, match="file cannot be written"),
        watch(f"tensorboard:{tmp_path / 'file'}") as told,
    ):
        told(epoch(), 3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "FINISHED"), (StoreError("full"), "FAILED"), (KeyboardInterrupt(), "KILLED")],
)
def test_no_run_of_mlflow_stays_running(error: BaseException | None, status: str, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    try:
        with watch(f"mlflow:file:{tmp_path}") as told:
            for number in (0, 2):
                told(epoch(fold=number), 1)
            if error:
                raise error
    except (HeadstartError, KeyboardInterrupt) as found:
        assert found is error  # noqa: PT017
    client = MlflowClient(f"file:{tmp_path}")
    own = client.get_experiment_by_name("headstart")
    runs = client.search_runs([own.experiment_id])
    assert {run.info.run_name: run.info.status for run in runs} == {
        "5-frozen-judged": status,
        "5-frozen-fold-2-judged": status,
    }


# -- which training it is ---------------------------------------------------------------------------------


def test_every_fold_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's own training has none."""

    class Some:
        def take(self, _rows: object) -> "Some":
            return self

    def attempt(own: Material, *_: object) -> Any:
        own.on_epoch(epoch(), 1)
        own.on_epoch(epoch(val=None), 1)
        return SimpleNamespace(is_changed=True)

    told: list[Epoch | Promise] = []
    features: Any = Some()
    own = Material(
        backbones.spec("efficientnet_lite0"), features, (), np.zeros(0, np.int64),
        on_epoch=lambda one, _of: told.append(one),
    )  # fmt: skip
    monkeypatch.setattr(tune, "attempt", attempt)
    monkeypatch.setattr(tune, "finish", lambda *_: None)
    monkeypatch.setattr(tune, "choose", lambda *_, **__: None)
    attempt(own)
    fit = tune.fitting(own, Asked(5, "none", BRISK, 0))
    for _ in range(2):
        fit(np.zeros(0, np.int64))
    assert [one.training for one in told if isinstance(one, Epoch)] == [
        "judged", "final", "fold 1 judged", "fold 1 final", "fold 2 judged", "fold 2 final",
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_trainings_are_kept_apart(tmp_path: Path) -> None:
    """Ten times `epoch 1` in one curve would be no curve."""
    pytest.importorskip("tensorboard")
    trainings = [{"val": 0.5}, {"val": None}, {"val": 0.5, "fold": 1}, {"val": 0.5, "fold": 2}]
    for where in (f"{tmp_path}/run.jsonl", f"tensorboard:{tmp_path}/events"):
        with watch(where) as told:
            for one in trainings:
                told(epoch(**one), 1)  # type: ignore[arg-type]
    lines = [strict(line) for line in (tmp_path / "run.jsonl").read_text("utf-8").splitlines()]
    wanted = ["judged", "final", "fold 1 judged", "fold 2 judged"]
    assert [line["training"] for line in lines] == wanted
    assert [line["fold"] for line in lines] == [0, 0, 1, 2]
    folders = {f"5-frozen-{one.replace(' ', '-')}" for one in wanted}
    assert {path.name for path in (tmp_path / "events").iterdir()} == folders


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(told: list[Epoch | Promise], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    screen = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", screen)
        with _show.epochs() as tell:
            for one in told:
                tell(one, 100)
    return screen.getvalue().splitlines()


def test_the_terminal_names_each_training_once_within_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    slopes = {"denseblock1": 0.000123, "denseblock2": 12.5, "denseblock4": 123456.0}
    lines = shown(
        [
            Promise(5, 100, 53_000_000, 61.0, 12345.0),
            epoch(1), epoch(2), epoch(1, None), epoch(1, fold=1), epoch(2, fold=1), epoch(1, None, fold=1),
            replace(epoch(100, float("nan")), loss=1e12, gradients=slopes, seconds=1e5),
        ],
        monkeypatch,
    )  # fmt: skip
    assert max(map(len, lines)) <= 80
    assert lines[:2] == [
        "5 stages frozen: at most 100 epochs, about 61 s until judged,",
        "  206 min in all if taken; at most 53 MB on disk",
    ]
    assert [line for line in lines[2:] if not line.startswith(" ")] == [
        "judged on pictures kept aside, 5 stages frozen",
        "on all pictures, 5 stages frozen",
        "fold 1: judged on pictures kept aside, 5 stages frozen",
        "fold 1: on all pictures, 5 stages frozen",
        "judged on pictures kept aside, 5 stages frozen",
    ]
    first = lines[4].split()
    assert first[:5] == ["1/100", "1.0000", "0.5000", "0.500", "1e-04"]  # loss, val, right, rate
    assert lines[4].endswith("0.00012 stage6, 1.5 head")  # the least and the greatest gradient
    assert "nan" in lines[-1]
    assert "1.0e+12" in lines[-1]


# -- what is asked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "trains"),
    [
        ([], False), (["--tune", "never"], False), (["--tune", "last"], True),
        (["--freeze-to", "stage2"], True),
        (["--backbone", "scratch:small-cnn"], True),
        (["--backbone", "scratch:small-cnn", "--tune", "never"], False),
        (["--backbone", "scratch:small-cnn", "--weights", "own.pth"], False),
    ],
)  # fmt: skip
def test_only_what_trains_can_be_watched(options: list[str], trains: bool, tmp_path: Path) -> None:
    """Asked of a folder that is not there: what can be trained comes as far as that."""
    where = tmp_path / "run.jsonl"
    line = ["train", str(tmp_path / "nowhere"), *options, "--watch", str(where)]
    watched = CliRunner().invoke(group, line)
    assert isinstance(watched.exception, Misuse)
    assert ("say --tune as well" in str(watched.exception)) == (not trains)
    assert where.exists() == trains


@pytest.mark.parametrize("more", [{"epochs": 3}, {"augment": "none"}, {"budget_s": 9.0}])
def test_a_frozen_network_from_scratch_has_no_epochs(more: dict[str, Any]) -> None:
    nothing: dict[str, Any] = {"freeze_to": None, "augment": None, "epochs": None, "budget_s": math.inf}
    spec = backbones.spec(TINY)
    with pytest.raises(Misuse, match="say --tune as well"):
        wish(spec, "never", **nothing | more)
    assert wish(spec, "never", **nothing).tune == "never"
    assert wish(spec, None, **nothing | more).tune == "all"


@pytest.mark.parametrize(("head", "said"), [("prototypes", True), ("ridge", False), ("auto", False)])
def test_a_head_that_cannot_be_trained_is_said(
    head: str, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for tuned in ("last 1", "never"):
        tuning({"options": {"head": head}, "tune": tuned, "tuning": None, "kept_frozen": None})
        words = "a linear head was trained in its place" in capsys.readouterr().out
        assert words == (said and tuned != "never")
    assert LINEAR == tune.LINEAR


def test_docs_have_the_numbers_of_the_code() -> None:
    docs = (Path(__file__).parents[1] / "docs" / "finetuning.md").read_text("utf-8")
    usual, few = loop.PRETRAINED.epochs, round(loop.SEEN / (loop.LONGEST - 0.5))
    assert f"unless you say, {usual} (more below a thousand pictures, up to {loop.LONGEST} below" in docs
    assert f"below {10 * (few // 10 + 1)}), and {loop.FROM_SCRATCH.epochs} from scratch" in docs
    assert sheet.COLUMNS == tune.VIEWS == 4
    assert "draws the four views of eight pictures" in docs
    assert sheet.ROWS == 8


# -- what is looked at ------------------------------------------------------------------------------------

TINTS = [(220, 130, 30), (250, 180, 60), (40, 90, 200), (60, 190, 80), (200, 60, 160)]


def tinted(tint: tuple[int, int, int]) -> Image.Image:
    """One hue in more and less shadow."""
    light = np.random.default_rng(0).uniform(0.6, 1.0, (9, 9, 1))
    rough = Image.fromarray((np.array(tint) * light).clip(0, 255).astype(np.uint8))
    return rough.resize((96, 96), Image.Resampling.BICUBIC)


def turned(seen: Bytes, tint: tuple[int, int, int]) -> float:
    """Degrees by which the hues of the coloured pixels lie from that of `tint`, in the middle."""
    pixels = seen.reshape(-1, 3)
    coloured = np.ptp(pixels.astype(int), axis=1) > 20
    if coloured.mean() < 0.5:
        return 180.0  # the colour is gone
    hues = np.array([colorsys.rgb_to_hsv(*own)[0] for own in pixels[coloured][::50] / 255])
    apart = np.abs(hues - colorsys.rgb_to_hsv(*(one / 255 for one in tint))[0])
    return float(np.median(np.minimum(apart, 1 - apart)) * 360)


@pytest.mark.parametrize("tint", TINTS)
def test_a_strong_look_keeps_the_hue(tint: tuple[int, int, int], tmp_path: Path) -> None:
    tinted(tint).save(tmp_path / "one.png")
    data, how = (tmp_path / "one.png").read_bytes(), backbones.spec("scratch:small-cnn?size=64").preprocess
    for digest in ("0a" * 32, "5c" * 32):
        found = augment.looks(data, digest, how, "strong", 24, mirror=True)
        assert max(turned(own, tint) for own in found) < 2
    # what Pillow offers for the same does not: a channel is stretched, or cut off, by itself
    plain = tinted(tint)
    assert turned(np.asarray(ImageOps.autocontrast(plain)), tint) > 15
    assert turned(np.asarray(ImageOps.autocontrast(plain, preserve_tone=True)), tint) > 5


def test_a_picture_of_one_colour_is_not_stretched() -> None:
    class Stretch:
        def integers(self, _: int) -> int:
            return 4

        def uniform(self, *_: float) -> float:
            return 1.0

    dice: Any = Stretch()
    for grey in (0, 90, 255):
        flat = np.full((8, 8, 3), grey, np.uint8)
        assert np.array_equal(augment._changed(flat, dice), flat)
    low = np.stack([np.full((8, 8), 60, np.uint8)] * 3, 2)
    low[4:] = 120
    assert np.unique(augment._changed(low, dice)).tolist() == [0, 255]


# -- what runs away ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [8, 100])  # seen in the loss of the second step, or in judging the first
def test_an_explosion_is_told_before_it_is_raised(batch: int, tmp_path: Path) -> None:
    told: list[Epoch] = []
    wild = replace(BRISK, batch=batch, rate=1e30, head_rate=1e30)
    with (
        pytest.raises(NotFinite, match="ran away in epoch 1"),
        watch(str(tmp_path / "run.jsonl"), lambda one, _of: told.append(one)) as watched,  # type: ignore[arg-type]
    ):
        course(tmp_path / "wild", wild, on_epoch=watched)
    (last,) = told
    assert not np.isfinite(last.loss if batch == 8 else last.val_nll or 0.0)
    assert last.gradients["head"] > 0  # of the step before
    assert np.isfinite(list(last.gradients.values())).all()
    (line,) = (tmp_path / "run.jsonl").read_text("utf-8").splitlines()
    assert strict(line)["loss" if batch == 8 else "val_nll"] is None
    assert strict(line)["training"] == "judged"
    assert not (tmp_path / "wild" / "kept").exists()  # nobody goes on from there
    assert [one.number for one in course(tmp_path / "calm", BRISK).epochs] == [1, 2, 3]


@pytest.mark.parametrize("clip", ["norm", "none"])
def test_a_gradient_that_explodes_is_seen_and_holds_up_what_follows_unless_it_is_clipped(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, steps = loop.descend, itertools.count(1)
    recipe = replace(BRISK, epochs=12)
    name = f"scratch:small-cnn?size=8&width=4&norm=none&clip={clip}"
    calm = course(tmp_path / "calm", recipe, name)

    def explode(network: Thawed, seen: torch.Tensor, truth: torch.Tensor) -> float:
        loss = plain(network, seen, truth)
        if next(steps) == 3:  # the first of the second epoch
            for _, group in network.groups():
                for own in group:
                    assert own.grad is not None
                    own.grad *= 1e6
        return loss

    monkeypatch.setattr(loop, "descend", explode)
    spiked = course(tmp_path / "spiked", recipe, name)
    norms = [one.gradients["head"] for one in spiked.epochs]
    assert norms[1] > 1e4 * norms[0]  # told as it was, before clipping
    left = [own.epochs[-1].loss / own.epochs[0].loss for own in (calm, spiked)]
    assert left[0] < 0.1
    assert left[1] < 0.1 if clip == "norm" else left[1] > 0.5


# -- from the command line --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_training_is_watched_from_the_command_line(tmp_path: Path) -> None:
    """Its terminal is a real one; a test part of its own spares the folds."""
    pty = pytest.importorskip("pty")
    data, name = make.parted(tmp_path), "scratch:small-cnn?width=8"
    save_file(load(backbones.spec(name)).state_dict(), tmp_path / "own.safetensors")
    ours, theirs = pty.openpty()
    line = [
        sys.executable, "-c", "from headstart.cli import main; main()",
        "train", str(data), "--out", str(tmp_path / "model"),
        "--backbone", name, "--weights", str(tmp_path / "own.safetensors"),
        "--tune", "last", "--budget", "10m", "--epochs", "1", "--augment", "light", "--head", "prototypes",
        "--no-report", "--watch", str(tmp_path / "run.jsonl"),
    ]  # fmt: skip
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # how a terminal ends on Linux
            while piece := os.read(ours, 4096):
                said += piece
        out, _ = process.communicate()
    os.close(ours)
    assert process.returncode == 0, said.decode()
    lines = [one for one in said.decode().replace("\r\n", "\n").split("\n") if "\r" not in one]
    told = [one for one in lines if one]
    assert max(len(one) for one in [*told, *out.splitlines()] if str(tmp_path) not in one) <= 80
    assert re.fullmatch(r"2 stages frozen: at most 1 epoch, about \d+ s until judged,", told[0])
    assert re.search(r"in all if taken; at most \d+ MB on disk", told[1])
    assert told[2] == "judged on pictures kept aside, 2 stages frozen"
    assert told[4].split()[0] == "1/1"
    kept = [strict(one) for one in (tmp_path / "run.jsonl").read_text("utf-8").splitlines()]
    assert [one["training"] for one in kept][:1] == ["judged"]
    assert len(kept) == sum("1/1" in one for one in told)
    assert "  2 stages frozen: " in out
    assert re.search(r"gain -?\d\.\d{3} \(-?\d\.\d{3} to -?\d\.\d{3}\) on \d+ pictures", out)
    if len(kept) == 2:  # once more on all pictures, where it was taken
        assert "a linear head was trained in its place" in out
