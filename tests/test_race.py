"""The race of backbones: who wins, on which pictures, at what cost, and that the test part takes no part."""

import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.dom.minidom import Element, parseString

import make
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from headstart import backbones, ladder, race, recipe
from headstart.cli import group
from headstart.cli._scatter import drawn
from headstart.engines import Engine
from headstart.errors import Misuse, TooFewExamples, UnknownName, UnreadablePicture
from headstart.files import digest_bytes
from headstart.heads._choose import choose
from headstart.look import look_with, scan_all
from headstart.modalities.image import decode
from headstart.race import PER_CLASS, Candidate, Heat, sample, sizes
from headstart.recipe import train
from headstart.values import Bytes, Doubles, Halves, Ints, Preprocess, Spec

PREPROCESS = Preprocess(56, 64, "bilinear", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), (255, 255, 255))
DIM = 8


class Toy(Engine):
    """Mean colours and their spread, blurred by `noise` that the content decides. Remembers what it saw."""

    precision, workers, batch = "f32", 2, 1

    def __init__(self, spec: Spec, noise: float) -> None:
        self.digest = hashlib.sha256(spec.name.encode()).hexdigest()
        self.noise, self.saw = noise, Counter[str]()

    def encode(self, pixels: Bytes) -> Halves:
        rows = []
        for one in pixels:
            name = digest_bytes(one.tobytes())
            self.saw[name] += 1
            seed = int(digest_bytes(f"{self.digest}{name}".encode())[:12], 16)
            plain = np.concatenate([one.mean((0, 1)), one.std((0, 1)), [one.min(), one.max()]])
            rows.append(plain + self.noise * np.random.default_rng(seed).normal(size=DIM))
        return np.stack(rows).astype(np.float16)


class Toys:
    """Toy backbones, each with how blurred it sees and what it costs."""

    def __init__(self, **toys: tuple[float, float]) -> None:
        plain = backbones.spec(backbones.DEFAULT)
        facts = {"stages": (), "dim": DIM, "preprocess": PREPROCESS}
        self.specs = [replace(plain, name=name, gmac=gmac, **facts) for name, (_, gmac) in toys.items()]
        self.engines = {
            spec.name: Toy(spec, noise) for spec, (noise, _) in zip(self.specs, toys.values(), strict=True)
        }

    def open(self, spec: Spec, _device: str = "cpu") -> Engine:
        return self.engines[spec.name]


def seen(path: Path) -> str:
    """A picture as a toy sees it."""
    return digest_bytes(decode(path.read_bytes(), PREPROCESS).pixels.tobytes())


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.getbasetemp() / "toys"
    place.mkdir(exist_ok=True)
    return place


@pytest.fixture(scope="session")
def album(base: Path) -> Path:
    return make.album(base)


@pytest.fixture(scope="session")
def photos(base: Path) -> Path:
    return make.photos(base)


@pytest.fixture
def enter(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Toys with these names in place of real networks, and nothing kept from others of the same name."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))

    def build(**toys: tuple[float, float]) -> Toys:
        found = Toys(**toys)
        monkeypatch.setattr(race, "open_engine", found.open)
        monkeypatch.setattr(race, "candidates", lambda names=(): _named(found.specs, names))
        return found

    return build


def _named(specs: list[Spec], names: tuple[str, ...]) -> tuple[Spec, ...]:
    return tuple(spec for spec in specs if not names or spec.name in names)


def ranked(toys: Toys, data: Path, *, head: str = "ridge", seed: int = 0) -> tuple[Candidate, ...]:
    """The race alone, on all pictures of a folder."""
    found = scan_all(data, None).examples
    found = replace(found, digests=tuple(digest_bytes(file.read_bytes()) for file in found.files()))
    return race.race(found, np.arange(len(found)), toys.specs, head=head, seed=seed)


def timeless(found: tuple[Candidate, ...]) -> list[Candidate]:
    """All but what the clock said."""
    return [replace(one, ms_per_picture=0.0) for one in found]


def judged(losses: Doubles, groups: Ints) -> race._Judged:
    return race._Judged(len(losses), losses, losses < 1, groups)


# -- who wins ---------------------------------------------------------------------------------------------


def test_noise_loses_and_encodes_no_more_than_the_first_heat(enter: Any, album: Path) -> None:
    toys = enter(noise=(1e4, 0.1), colours=(0.0, 1.0))
    first, second = ranked(toys, album)
    assert (first.name, first.verdict, first.survived) == ("colours", "chosen", True)
    assert (second.name, second.survived) == ("noise", False)
    assert re.fullmatch(
        r"left after 201 pictures: log-loss 0\.\d{3} higher \(95 % 0\.\d{3} to \d\.\d{3}\)", second.verdict
    )
    assert abs(second.nll - math.log(3)) < 0.2
    assert first.accuracy > 0.75
    assert sum(toys.engines["noise"].saw.values()) == 201
    low, high = first.accuracy_ci95
    assert low < first.accuracy < high


def test_among_equals_the_cheapest_wins_and_the_others_are_told_their_price(enter: Any, photos: Path) -> None:
    found = ranked(enter(a=(0.0, 3.0), b=(0.0, 1.0), c=(0.0, 1.5)), photos)
    assert found[0].name == "b"
    assert {one.name: one.verdict for one in found[1:]} == {
        "a": "as good within noise, but 3.0 times the cost",
        "c": "as good within noise, but 1.5 times the cost",
    }


def test_what_is_dearer_and_surely_better_wins(enter: Any, album: Path) -> None:
    found = ranked(enter(blurred=(25.0, 0.1), clear=(0.0, 5.0)), album)
    assert [one.name for one in found] == ["clear", "blurred"]
    assert found[1].nll > found[0].nll


@pytest.mark.parametrize(
    ("gaps", "costs", "on"),
    [
        ((0, 0.5, 9, 9), (1, 2, 3, 4), "ab"),  # the better half
        ((0, 3, 9, 9), (1, 2, 3, 4), "a"),  # of it whoever is surely worse
        ((0, 1.5, 9), (1, 2, 3), "ab"),
        ((0, 0.1, 0.8, 0.9), (3, 1, 4, 2), "abd"),  # and the cheap that are as good within noise
        ((0, 0.1, 1.2, 1.4), (3, 1, 4, 2), "ab"),
        ((0, 0.1), (1, 2), "a"),
        ((0, 0.1), (2, 1), "ab"),
    ],
)
def test_who_goes_on_from_a_heat(
    gaps: tuple[float, ...], costs: tuple[float, ...], on: str, enter: Any
) -> None:
    """`gaps` to the first are in standard errors."""
    names = "abcd"[: len(gaps)]
    toys = enter(**{name: (0.0, cost) for name, cost in zip(names, costs, strict=True)})
    wiggle = np.tile([1.0, -1.0], 50)
    losses = [10 + (wiggle + gap * np.sqrt(1 / 99) if gap else 0 * wiggle) for gap in gaps]
    runners = [
        race._Runner(spec, toys.open(spec), [judged(own, np.arange(100))])
        for spec, own in zip(toys.specs, losses, strict=True)
    ]
    assert runners[1].judged[0].above(runners[0].judged[0])[1] == pytest.approx(np.sqrt(1 / 99))
    assert sorted(one.spec.name for one in race._left(runners)) == list(on)
    assert sorted(one.spec.name for one in race._left(runners[::-1])) == list(on)


@pytest.mark.parametrize("noise", [0.0, 1e4])
def test_on_shuffled_labels_nobody_is_better_than_chance_and_the_cheapest_is_chosen(
    enter: Any, photos: Path, tmp_path: Path, noise: float
) -> None:
    files = sorted(photos.rglob("*.*"))
    labels = np.random.default_rng(1).permutation([file.parent.name for file in files])
    data = make.table(tmp_path / "shuffled.csv", zip(files, labels, strict=True))
    found = ranked(enter(cheap=(noise, 1.0), dear=(0.0, 2.0)), data, head="auto")
    assert found[0].name == "cheap"
    assert all(0.15 < one.accuracy < 0.52 and one.nll < 1.3 for one in found)


def test_one_candidate_is_judged_on_all_pictures_at_once(enter: Any, album: Path) -> None:
    (only,) = ranked(enter(colours=(0.0, 1.0)), album)
    assert (only.verdict, only.survived, [one.n for one in only.heats]) == ("chosen", True, [510])


def test_log_loss_and_accuracy_are_those_of_the_head_that_would_be_chosen(enter: Any, photos: Path) -> None:
    toys = enter(colours=(0.0, 1.0))
    (only,) = ranked(toys, photos, head="auto", seed=3)
    look = look_with(toys.specs[0], toys.engines["colours"], scan_all(photos, None))
    best = choose(replace(look.features, groups=np.arange(72)), seed=3).best
    assert (only.nll, only.accuracy) == (pytest.approx(best.nll, rel=1e-12), best.accuracy)


def test_same_pictures_same_race_and_nothing_is_encoded_twice(enter: Any, album: Path) -> None:
    toys = enter(noise=(60.0, 0.5), colours=(0.0, 1.0), blurred=(5.0, 0.2))
    first = ranked(toys, album)
    assert {count for toy in toys.engines.values() for count in toy.saw.values()} == {1}
    before = {name: toy.saw.total() for name, toy in toys.engines.items()}
    again = ranked(toys, album)
    assert timeless(first) == timeless(again)
    for name, toy in toys.engines.items():  # a few, to tell the speed that nobody remembers
        assert toy.saw.total() - before[name] == race.PACED
    assert all(one.ms_per_picture > 0 for one in (*first, *again))
    assert timeless(ranked(toys, album, seed=1)) != timeless(first)


def test_a_picture_that_changes_meanwhile_is_named(enter: Any, tmp_path: Path) -> None:
    data = make.folder(tmp_path / "data", dict.fromkeys(make.TINTS, 8))
    toys = enter(colours=(0.0, 1.0))
    found = scan_all(data, None).examples
    found = replace(found, digests=tuple(digest_bytes(file.read_bytes()) for file in found.files()))
    make.picture((1, 2, 3), 77).save(data / "green" / "0002.png")
    with pytest.raises(UnreadablePicture, match=r"green/0002\.png was changed .* run the command again"):
        race.race(found, np.arange(len(found)), toys.specs)


def test_nothing_to_hold_out_is_said(enter: Any, tmp_path: Path) -> None:
    data = make.folder(tmp_path / "data", {"red": 1, "green": 1})
    with pytest.raises(TooFewExamples):
        ranked(enter(a=(0.0, 1.0), b=(0.0, 2.0)), data)


# -- which pictures ---------------------------------------------------------------------------------------


@st.composite
def populations(draw: st.DrawFn) -> tuple[Ints, Ints, list[str]]:
    counts = draw(st.lists(st.integers(1, 60), min_size=2, max_size=6))
    labels = np.repeat(np.arange(len(counts)), counts)
    groups = np.array(draw(st.lists(st.integers(0, 40), min_size=len(labels), max_size=len(labels))))
    return labels, groups, [hashlib.sha256(f"{i}".encode()).hexdigest() for i in range(len(labels))]


@given(populations(), st.integers(1, 400), st.integers(0, 400), st.integers(0, 3))
def test_samples_are_nested_stratified_and_dealt_by_content(
    population: tuple[Ints, Ints, list[str]], n: int, more: int, seed: int
) -> None:
    labels, groups, digests = population
    small, large = (sample(labels, groups, digests, size, seed=seed) for size in (n, n + more))
    assert set(small) <= set(large)
    assert (np.diff(small) > 0).all()
    for label, count in Counter(labels.tolist()).items():
        own = small[labels[small] == label]
        share = n * count / len(labels)
        assert min(count, PER_CLASS) <= len(own) <= min(count, max(PER_CLASS, share + 0.5))
        assert len(own) >= min(count, share - 0.5)
        used = Counter(groups[own].tolist())
        there = Counter(groups[labels == label].tolist())
        most = max(used.values())
        assert all(used[one] >= min(most - 1, there[one]) for one in there)  # no third before a second
    order = np.random.default_rng(n).permutation(len(labels))
    moved = sample(labels[order], groups[order], [digests[i] for i in order], n, seed=seed)
    assert {digests[order[i]] for i in moved} == {digests[i] for i in small}
    if n >= len(labels):
        assert len(small) == len(labels)


@given(st.integers(2, 5000), st.integers(2, 1500))
def test_heats_grow_and_hold_every_class(n: int, k: int) -> None:
    found = sizes(n, k)
    assert found == sorted(set(found))
    assert found[-1] == min(n, max(2000, PER_CLASS * k))
    assert all(min(n, PER_CLASS * k) <= size <= n for size in found)


def test_the_standard_error_of_a_paired_difference_is_scipys_and_copies_do_not_shrink_it() -> None:
    from scipy.stats import sem

    rng = np.random.default_rng(0)
    a, b = rng.exponential(size=(2, 50))
    alone = np.arange(50)
    gap, error = judged(a, alone).above(judged(b, alone))
    assert (gap, error) == (pytest.approx((a - b).mean()), pytest.approx(sem(a - b)))
    thrice = judged(np.repeat(a, 3), np.repeat(alone, 3)).above(judged(np.repeat(b, 3), np.repeat(alone, 3)))
    assert thrice == (pytest.approx(gap), pytest.approx(error))
    assert judged(b, alone).above(judged(a, alone)) == (pytest.approx(-gap), pytest.approx(error))


def test_the_test_part_takes_no_part(enter: Any, album: Path) -> None:
    """Parts as `train` deals them; only the first look and the winner see the test pictures."""
    toys = enter(efficientnet_lite0=(40.0, 0.4), colours=(0.0, 1.0), noise=(1e4, 0.1))
    scanned = scan_all(album, None)
    won = race.win(scanned, toys.specs, None, head="ridge")
    assert won.candidates[0].name == won.spec.name == "colours"
    files, parts = won.seen.examples.files(), won.split.parts
    test = {seen(file) for file, part in zip(files, parts, strict=True) if part == "test"}
    learnt = {seen(file) for file, part in zip(files, parts, strict=True) if part == "train"}
    assert (len(test), len(learnt)) == (102, 408)
    saw = {name: set(toy.saw) for name, toy in toys.engines.items()}
    assert saw["efficientnet_lite0"] == saw["colours"] == test | learnt
    assert saw["noise"] <= learnt
    assert {count for toy in toys.engines.values() for count in toy.saw.values()} == {1}
    assert won.seen.encoded == sum(toy.saw.total() for toy in toys.engines.values())
    first = look_with(toys.specs[0], toys.engines["efficientnet_lite0"], scanned)
    assert parts == race.parts_of(first.examples, first.features, None, 0).parts
    np.testing.assert_array_equal(won.seen.features.groups, first.features.groups)
    assert won.seen.features.backbone == toys.engines["colours"].digest


def test_labels_of_the_test_part_change_nothing(enter: Any, album: Path, tmp_path: Path) -> None:
    """A negative control: with the test labels turned round, the race is the same race."""
    files = sorted(album.rglob("*.*"))
    names = sorted(make.TINTS)
    found = []
    for turn in (0, 1):
        rows = []
        for at, file in enumerate(files):
            part = "test" if at % 5 == 0 else "train"
            name = names[(names.index(file.parent.name) + (turn if part == "test" else 0)) % 3]
            rows.append((file, name, part))
        data = make.table(tmp_path / f"{turn}.csv", rows, "path,label,split")
        enter(colours=(0.0, 1.0), blurred=(20.0, 0.5))
        found.append(timeless(ladder.compare(data, rungs=()).candidates))
    assert found[0] == found[1]


def test_groups_never_straddle_a_fold_so_that_copies_do_not_flatter(enter: Any, tmp_path: Path) -> None:
    """Of pictures that say nothing of their class, each is there five times under one group's name."""
    rows = []
    for number in range(24):
        for copy in range(5):
            file = tmp_path / f"{number}-{copy}.png"
            image = make.picture((120, 120, 120), number)
            image.putpixel((copy, 0), (0, 0, 0))
            image.save(file)
            rows.append((file, "ab"[number % 2], f"g{number}"))
    found = scan_all(make.table(tmp_path / "t.csv", rows, "path,label,group"), None)
    toys = enter(colours=(0.0, 1.0))
    (only,) = race.win(found, toys.specs, None, head="lda").candidates
    assert only.accuracy < 0.75
    low, high = only.accuracy_ci95
    assert high - low > 0.3  # of 24 pictures, not of 120


def test_the_winner_keeps_the_groups_of_the_first_look(enter: Any, photos: Path, tmp_path: Path) -> None:
    files = sorted(photos.rglob("*.*"))
    rows = [(file, file.parent.name, f"{file.parent.name} {int(file.stem) // 4}") for file in files]
    found = scan_all(make.table(tmp_path / "t.csv", rows, "path,label,group"), None)
    toys = enter(efficientnet_lite0=(1e4, 0.1), colours=(0.0, 1.0))
    won = race.win(found, toys.specs, None, head="ridge")
    assert won.spec.name == "colours"
    named = [found.examples.groups.index(name) for name in found.examples.groups]
    assert len(set(named)) == 18
    pairs = zip(named, won.seen.features.groups.tolist(), strict=True)
    assert len(set(pairs)) == len(set(won.seen.features.groups.tolist())) == 18


# -- names ------------------------------------------------------------------------------------------------


def test_candidates_are_those_that_are_here_or_those_that_were_named(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"efficientnet_lite0", "dinov2_vits14"}
    monkeypatch.setattr(backbones, "is_here", lambda spec: spec.name in here)
    monkeypatch.setattr(race, "chosen", backbones.spec)
    assert [one.name for one in race.candidates()] == ["dinov2_vits14", "efficientnet_lite0"]
    monkeypatch.setattr(backbones, "is_here", lambda _: False)
    assert [one.name for one in race.candidates()] == [backbones.DEFAULT]
    named = race.candidates(["best", "fast", "efficientnet_lite0", "best"])
    assert [one.name for one in named] == ["dinov2_vits14", "efficientnet_lite0"]
    with pytest.raises(UnknownName, match="Did you mean 'efficientnet_lite1'"):
        race.candidates(["eficientnet_lite1"])


# -- train ------------------------------------------------------------------------------------------------


def test_train_goes_on_with_the_winner_and_encodes_nothing_again(
    enter: Any, album: Path, tmp_path: Path
) -> None:
    toys = enter(efficientnet_lite0=(40.0, 0.4), colours=(0.0, 1.0), noise=(1e4, 0.1))
    model = train(album, out=tmp_path / "m", backbone="auto", head="ridge", report=False)
    assert {count for toy in toys.engines.values() for count in toy.saw.values()} == {1}
    report = model.report
    json.dumps(report, allow_nan=False)
    assert report["backbone"] == report["race"][0]["name"] == "colours"
    assert report["race"][0]["verdict"] == "chosen"
    assert len(report["race"]) == 3
    assert report["encoded"] == sum(toy.saw.total() for toy in toys.engines.values())
    assert report["seconds"]["race"] >= 0
    assert report["test"]["n"] == 102
    assert report["test"]["accuracy"] > 0.7
    stamp = (tmp_path / "m" / "model.json").stat().st_mtime_ns
    train(album, out=tmp_path / "m", backbone="auto", head="ridge", report=False)
    assert (tmp_path / "m" / "model.json").stat().st_mtime_ns == stamp  # the same command, made twice
    again = train(album, out=tmp_path / "again", backbone="auto", head="ridge", report=False)
    assert again.report["encoded"] == 0
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (
        tmp_path / "m" / "weights.safetensors"
    ).read_bytes()


def test_train_with_a_named_backbone_has_no_race(
    enter: Any, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys = enter(colours=(0.0, 1.0))
    monkeypatch.setattr(recipe, "chosen", lambda *_: toys.specs[0])
    monkeypatch.setattr(recipe, "open_engine", toys.open)
    report = train(
        make.parted(base), out=tmp_path / "m", backbone="colours", head="ridge", report=False
    ).report
    assert report["race"] is None
    assert toys.engines["colours"].saw.total() == 54


def test_weights_go_with_one_backbone(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="name the backbone"):
        train(photos, out=tmp_path / "m", backbone="auto", weights=tmp_path / "w.pth")


# -- the command ------------------------------------------------------------------------------------------


def call(*words: object) -> Result:
    return CliRunner().invoke(group, ["compare", "--rungs", "none", *map(str, words)], terminal_width=80)


def test_the_document_has_its_keys(enter: Any, album: Path) -> None:
    enter(colours=(0.0, 1.0), noise=(1e4, 0.1))
    said = json.loads(call(album, "--json").stdout)
    assert said.keys() == {"backbones", "chosen", "rungs", "left_out", "leaked", "data", "seconds"}
    assert said["chosen"] == said["backbones"][0]["name"] == "colours"
    assert said["data"] == {"files": 510, "used": 510, "train": 408, "val": 0, "test": 102}
    assert said["seconds"].keys() >= {"scan", "race", "ladder", "total"}
    for one in said["backbones"]:
        assert one.keys() == {
            "name", "accuracy", "accuracy_ci95", "nll", "ms_per_picture", "parameters", "gmac", "survived",
            "verdict", "heats",
        }  # fmt: skip
        assert one["heats"][-1] == {
            "n": one["heats"][-1]["n"],
            "nll": one["nll"],
            "accuracy": one["accuracy"],
        }


def test_the_table_fits_a_terminal_and_says_what_to_type_next(enter: Any, album: Path) -> None:
    long = "timm:mobilenetv2_100?pad_type=same&mean=0.5&std=0.5"
    enter(**{long: (0.0, 1.0), "noise": (1e4, 0.1)})
    lines = call(album).stdout.splitlines()
    assert max(map(len, lines[:-1])) <= 80
    assert lines[-1].split() == ["headstart", "train", str(album), "--backbone", f"'{long}'"]
    assert "chosen" in lines[lines.index(long) + 2]
    assert any(line.startswith("noise ") for line in lines)
    assert not any("comparison" in line for line in lines)


def test_one_backbone_is_shown_and_others_are_named(enter: Any, photos: Path) -> None:
    enter(colours=(0.0, 1.0), noise=(1e4, 0.1))
    said = call(photos, "--backbone", "colours")
    assert said.exit_code == 0
    assert "colours" in said.stdout
    assert "--backbone NAME" in said.stdout
    assert "headstart[backbones]" in said.stdout


def test_real_backbones_race(base: Path) -> None:
    """The default alone: another network would have to be converted."""
    said = json.loads(call(make.parted(base), "--backbone", "fast", "--json").stdout)
    assert said["chosen"] == backbones.DEFAULT
    assert said["data"]["test"] == 18
    assert said["backbones"][0]["accuracy"] > 0.6


def test_ones_own_network_is_called_what_it_was_asked_for_as(base: Path, tmp_path: Path) -> None:
    """Else two rows bear one name, and the command at the end brings the network it started from."""
    from safetensors.torch import save_file

    from headstart.backbones.network import load

    plain, own = "scratch:small-cnn?width=4", f"headstart:{tmp_path / 'own'}"
    save_file(load(backbones.spec(f"{plain}&seed=1")).state_dict(), tmp_path / "w.safetensors")
    photos = make.parted(base)
    words = {"backbone": plain, "weights": tmp_path / "w.safetensors", "report": False}
    train(photos, out=tmp_path / "own", **words)  # type: ignore[arg-type]
    plot = tmp_path / "race.svg"
    said = json.loads(call(photos, "--backbone", plain, "--backbone", own, "--plot", plot, "--json").stdout)
    assert {one["name"] for one in said["backbones"]} == {plain, own}
    (told,) = parsed(plot.read_text(encoding="utf-8")).getElementsByTagName("desc")
    assert f"{own}: " in text(told)
    last = call(photos, "--backbone", own).stdout.splitlines()[-1]
    assert last.split() == ["headstart", "train", str(photos), "--backbone", own]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--plot", "x.png"], "name the file x.svg"),
        (["--plot", "nowhere/x.svg"], "no folder nowhere"),
        (["--backbone", "eficientnet_lite0"], "Did you mean"),
    ],
)
def test_what_is_asked_wrongly_is_said_first(photos: Path, words: list[str], told: str) -> None:
    said = call(photos, *words)
    assert said.exit_code != 0
    assert told in (said.output or "") + str(said.exception)


# -- the plot ---------------------------------------------------------------------------------------------


def candidate(name: str, ms: float, accuracy: float, *, survived: bool = True) -> Candidate:
    ends = accuracy - 0.03, min(1.0, accuracy + 0.02)
    return Candidate(name, (Heat(200, 0.1, accuracy),), accuracy, ends, 0.1, ms, 1, 1.0, survived, "so so")


FIVE = [
    candidate("efficientnet_lite0", 15, 0.983),
    candidate("timm:mobilenetv2_100?pad_type=same&mean=0.5&std=0.5", 12, 0.956, survived=False),
    candidate("efficientnet_lite1", 22.3, 0.976, survived=False),
    candidate("efficientnet_lite2", 28.2, 0.99),
    candidate("torchvision:squeezenet1_1", 10.4, 0.941, survived=False),
]


def parsed(svg: str) -> Element:
    """Its root."""
    found = parseString(svg).documentElement  # noqa: S318  our own
    assert found is not None
    return found


def text(element: Element) -> str:
    return "".join(child.data for child in element.childNodes)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "shown", [FIVE, FIVE[:1], [candidate("<&>\x00", 0.3, 0.5), candidate("b", 900, 1.0)]]
)
def test_the_plot_is_whole_and_tells_itself(shown: list[Candidate]) -> None:
    root = parsed(drawn(shown, "photos <&>"))
    assert root.getAttribute("role") == "img"
    assert root.getAttribute("aria-labelledby") == "title desc"
    (told,) = root.getElementsByTagName("desc")
    assert text(told).count("ms per picture, accuracy") == len(shown)
    points = root.getElementsByTagName("circle")
    assert len(points) == len(shown)
    for point, one in zip(points, shown, strict=True):
        assert 72 <= float(point.getAttribute("cx")) <= 736
        assert 56 <= float(point.getAttribute("cy")) <= 374
        assert (point.getAttribute("fill") == "#ffffff") is not one.survived
    by_time = sorted(zip(shown, points, strict=True), key=lambda pair: pair[0].ms_per_picture)
    places = [float(point.getAttribute("cx")) for _, point in by_time]
    assert places == sorted(places)


def test_labels_do_not_hide_one_another() -> None:
    words = parsed(drawn(FIVE, "photos")).getElementsByTagName("text")
    boxes = []
    for one in FIVE:
        (label,) = (word for word in words if text(word).startswith(one.name[:20]))
        width, x = 6.4 * len(text(label)), float(label.getAttribute("x"))
        left = {"start": x, "end": x - width, "middle": x - width / 2}[label.getAttribute("text-anchor")]
        boxes.append((left, left + width, float(label.getAttribute("y"))))
    for at, (left, right, y) in enumerate(boxes):
        assert left >= 72
        assert right <= 736
        for other_left, other_right, other_y in boxes[:at]:
            assert abs(y - other_y) >= 12 or right <= other_left or other_right <= left


def test_the_command_draws_it(enter: Any, photos: Path, tmp_path: Path) -> None:
    enter(colours=(0.0, 1.0), noise=(1e4, 0.1))
    assert call(photos, "--plot", tmp_path / "race.svg").exit_code == 0
    root = parsed((tmp_path / "race.svg").read_text(encoding="utf-8"))
    assert len(root.getElementsByTagName("circle")) == 2


def test_networks_too_small_to_count_are_raced_all_the_same(tmp_path: Path) -> None:
    """Their multiply-adds are told as none: nothing is divided by that."""
    folder = make.folder(tmp_path / "data", {"blue": 12, "green": 12})
    names = ["scratch:small-cnn?width=1", "scratch:small-cnn?width=2"]
    assert backbones.spec(names[0]).gmac == 0
    found = ladder.compare(folder, names=names, rungs=["majority"])
    assert len(found.candidates) == 2
