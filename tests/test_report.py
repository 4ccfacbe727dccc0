"""The report: names stay names, numbers are those of the run, the page works in a real browser and alone."""

import html
import io
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import make
import numpy as np
import pytest
import reporting
from click.testing import CliRunner
from PIL import Image

from headstart import backbones, recipe
from headstart.backbones import source
from headstart.cli import group
from headstart.cli.train import command as train_command
from headstart.errors import Misuse, OutputExists
from headstart.evaluate import fpr95
from headstart.files import cache_folder
from headstart.look import look
from headstart.model.folder import _digest, load
from headstart.recipe import train
from headstart.report import Answered, Material, remake, render
from headstart.report import gather as gathering
from headstart.report.anew import _as_of_now
from headstart.report.compared import compared
from headstart.report.layout import layout
from headstart.report.markup import percent, script_json, text
from headstart.report.sections import is_web, of_so_many
from headstart.report.thumbs import MOST_BYTES, thumbs
from headstart.values import Finding, Split

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "\"quoted\" onmouseover='hack()' & </style>",
    "</script><img src=x onerror=hack()>",
)
PARTS_OF_TRUST = {"reliability", "abstain", "sets", "suspects", "shortcuts", "weak", "curve"}


class Seen(HTMLParser):
    """Tags and their attributes' names in order, and what is asserted of the page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.values: list[tuple[str, str, str]] = []
        self.facts = ""
        self._inside = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.values += [(tag, name, value or "") for name, value in attrs]
        self._inside = "facts" if dict(attrs).get("id") == "facts" else ""

    def handle_data(self, data: str) -> None:
        if self._inside == "facts":
            self.facts += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == "script" else self._inside

    def ids(self) -> set[str]:
        return {value for _, name, value in self.values if name == "id"}


# The source network's own guesses


def test_the_names_are_those_of_torchvision() -> None:
    found = find_spec("torchvision")
    assert found is not None
    assert found.submodule_search_locations
    meta: dict[str, Any] = {}
    exec((Path(found.submodule_search_locations[0]) / "models" / "_meta.py").read_text("utf-8"), meta)  # noqa: S102
    assert list(source.imagenet()) == meta["_IMAGENET_CATEGORIES"]


def test_guesses_are_the_networks_own_and_need_no_torch_once_kept() -> None:
    import torch

    from headstart.backbones.network import load as load_network

    spec = backbones.spec(backbones.DEFAULT)
    last = np.random.default_rng(0).normal(0, 1, (5, spec.dim)).astype(np.float16)
    found = source.guesses(spec, last)
    assert found is not None
    with torch.no_grad():
        wanted = torch.softmax(load_network(spec).top(torch.from_numpy(last.astype(np.float32))), 1).numpy()
    np.testing.assert_allclose(found.probabilities, wanted, atol=1e-6)
    assert len(found.names) == 1000
    code = (
        "import sys, numpy as np\nfrom headstart import backbones\nfrom headstart.backbones import source\n"
        "spec = backbones.spec(backbones.DEFAULT)\n"
        "print(source.guesses(spec, np.ones((1, spec.dim), np.float16)) is not None, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_a_damaged_kept_classifier_is_made_again() -> None:
    spec = backbones.spec(backbones.DEFAULT)
    wanted = source.classifier(spec)
    path = cache_folder() / "networks" / source._file(spec)
    path.write_bytes(path.read_bytes()[:1000])
    np.testing.assert_array_equal(source.classifier(spec).weight, wanted.weight)


def test_networks_without_a_source_task_say_why() -> None:
    scratch = backbones.spec("scratch:small-cnn")
    assert source.guesses(scratch, np.zeros((1, scratch.dim), np.float16)) is None
    assert "random weights" in source.silence(scratch)
    lite0 = backbones.spec(backbones.DEFAULT)
    trained = replace(lite0, weights=replace(lite0.weights, source="trained"))
    assert "trained on your pictures" in source.silence(trained)


# The page as text


def test_names_change_no_markup() -> None:
    """With hostile names the tags and attributes are those that harmless names give, and names come back."""
    harmless = Seen(render(reporting.material(("aa", "bb", "cc"))))
    page = render(reporting.material(HOSTILE))
    hostile = Seen(page)
    assert hostile.tags == harmless.tags
    assert json.loads(hostile.facts)["classes"] == list(HOSTILE)
    assert not any(name.startswith("on") for _, names in hostile.tags for name in names)
    assert [tag for tag, _ in hostile.tags].count("script") == 2


def test_hostile_file_names_change_no_markup() -> None:
    plain = Seen(render(reporting.material()))
    odd = Seen(
        render(reporting.material(name="photos/{label}<b onclick='x'>\udce9\u202e\"-{number:03d}.jpg"))
    )
    assert odd.tags == plain.tags


def compared_page(names: tuple[str, ...]) -> Seen:
    side = {"accuracy": 0.8, "accuracy_ci95": [0.6, 0.9], "only": [names[2]]}
    document = {
        "a": side | {"model": names[0]}, "b": side | {"model": names[1]}, "n": 2, "pictures": "told",
        "left_out": 1, "left_out_why": {"that cannot be read": 1},
        "gain": 0.0, "gain_ci95": [-0.2, 0.2], "p": 1.0, "verdict": f"{names[1]} is better",
        "per_class": [{"class": names[0], "n": 2, "a": 1, "b": 1, "won": 1, "lost": 0}],
        "changes": [
            {"path": names[2], "truth": names[0], "a": names[1], "a_probability": 0.9, "b": names[0],
             "b_probability": 0.8, "won": True}
        ],
    }  # fmt: skip
    return Seen(compared(document, {names[2]: reporting.jpeg(0, 0)}))


def test_names_change_no_markup_of_a_difference() -> None:
    assert compared_page(HOSTILE).tags == compared_page(("aa", "bb", "cc")).tags


def test_json_in_a_script_cannot_leave_it() -> None:
    said = script_json(["</script><!--", "\u2028"])
    assert not set("<>&\u2028") & set(said)
    assert json.loads(said) == ["</script><!--", "\u2028"]


@pytest.mark.parametrize(
    ("url", "linked"),
    [("https://example.org/a?b=1&c", True), ("http://example.org", True), ("javascript:alert(1)", False),
     ("data:text/html,x", False), ("//example.org", False), ("https:", False), ("http://[", False)],
)  # fmt: skip
def test_only_web_addresses_become_links(url: str, linked: bool) -> None:
    assert is_web(url) == linked
    found = Seen(render(reporting.material(url=url)))
    links = [value for tag, name, value in found.values if (tag, name) == ("a", "href") and value[0] != "#"]
    assert bool(links) == linked
    assert set(links) <= {url}


def test_a_section_stands_only_where_its_part_is_there() -> None:
    whole, bare = (
        Seen(render(reporting.material())),
        Seen(render(reporting.material(trust=False, race=False))),
    )
    assert PARTS_OF_TRUST | {"race", "ladder", "tuning"} <= whole.ids()
    assert not (PARTS_OF_TRUST | {"race", "ladder", "tuning"}) & bare.ids()
    assert {
        "verdict",
        "before",
        "confusion",
        "classes",
        "mistakes",
        "map",
        "unknown",
        "data",
        "made",
    } <= bare.ids()
    linked = {
        value[1:] for tag, name, value in bare.values if (tag, name) == ("a", "href") and value[0] == "#"
    }
    assert linked <= bare.ids()
    half = reporting.material()
    trust = dict.fromkeys(half.report["trust"]) | {"sets": half.report["trust"]["sets"]}
    found = Seen(render(replace(half, report=half.report | {"trust": trust}))).ids()
    assert found & PARTS_OF_TRUST == {"sets", "weak"}  # that too few were judged to look is told
    trust = {"sets": trust["sets"]}
    found = Seen(render(replace(half, report=half.report | {"trust": trust}))).ids()
    assert found & PARTS_OF_TRUST == {"sets"}


def test_the_words_over_a_statistic_say_what_it_is() -> None:
    """95 of 100 known pictures are kept by a limit below which 30 of 100 strangers lie."""
    known, strangers = np.arange(100.0), np.concatenate([np.full(30, 50.0), np.full(70, 500.0)])
    share = fpr95(known, strangers)
    assert share == pytest.approx(0.3)
    of = reporting.material()
    of.report["trust"]["unknown"]["tried"] = [{"method": "nearest", "auroc": 0.9, "fpr95": share}]
    page = render(of).decode()
    assert "strangers missed where 95 % of the known are kept" in page
    assert f"{percent(share)}<svg" in page.partition("strangers missed")[2].partition("</table>")[0]


def test_without_a_test_part_nothing_is_said_of_how_many_known_ones_are_unknown() -> None:
    of = reporting.material()
    page = render(of).decode()
    assert "of 238 test pictures 2.5\xa0% were (1.1 to 5.4\xa0%)" in page
    of.report["trust"]["unknown"] |= {"rejected": None, "rejected_ci95": [0.0, 1.0], "n": 0}
    page = render(of).decode()
    assert "2\xa0% are meant to be; without test pictures that count, nothing tells how many are." in page


def test_nothing_is_sent_to_a_person_where_all_answers_are_right_enough() -> None:
    of = reporting.material()
    rows = of.report["trust"]["abstain"]
    rows[1] |= {"accuracy": 0.995, "min_confidence": 0.9996}
    page = render(of).decode()
    assert "Send the 3\xa0% it is least sure of to a person" in page
    assert "--min-confidence 0.9996." in page
    rows[0] |= {"accuracy": 0.992}
    page = render(of).decode()
    assert "It is right on 99.2\xa0% of all: nothing has to be sent to a person for that." in page
    assert "Send the" not in page


def test_sending_away_is_praised_only_where_it_brings_something() -> None:
    of = reporting.material()
    everything = {"min_confidence": 0.0, "kept": 1.0, "n": 60, "accuracy": 0.8, "accuracy_ci95": [0.7, 0.9],
                  "reaches": None}  # fmt: skip
    half = everything | {"min_confidence": 0.7, "kept": 0.5, "n": 30}
    for accuracy, low, said in (
        (0.8, 0.7, "no more often where it is sure"),
        (0.86, 0.75, "this may be chance"),
        (0.97, 0.9, "and the rest is right more often"),
    ):
        of.report["trust"]["abstain"] = [
            everything,
            half | {"accuracy": accuracy, "accuracy_ci95": [low, 1.0]},
        ]
        assert said in section_of(render(of), "abstain"), accuracy
    six = everything | {"n": 6, "accuracy": 1.0, "accuracy_ci95": [0.6, 1.0]}
    of.report["trust"]["abstain"] = [six]
    said = section_of(render(of), "abstain")
    assert "Too few pictures were judged" in said
    assert "nothing has to be sent" not in said


def test_what_was_not_looked_for_was_not_found() -> None:
    of = reporting.material()
    of.report["trust"]["weak"] = None
    assert "too few to look for groups" in section_of(render(of), "weak")
    of.report["trust"]["weak"] = []
    assert "No group of pictures was found" in section_of(render(of), "weak")
    of.report["trust"]["unknown"]["false_rejection"] = None
    said = section_of(render(of), "unknown")
    assert "too few to say how often" in said
    assert "are meant to be" not in said


def test_colours_are_no_trick_and_what_says_most_is_named() -> None:
    of = reporting.material()
    size, colour = of.report["trust"]["shortcuts"]
    assert 'class="note bad"' in section_of(render(of), "shortcuts")
    size |= {"found": False, "accuracy": 0.6}
    colour |= {"accuracy": 0.85, "accuracy_ci95": [0.3, 0.95]}
    said = section_of(render(of), "shortcuts")
    assert "Nothing gives the class away. The mean colour says most: 85.0\xa0% right from it alone" in said
    colour |= {"accuracy_ci95": [colour["chance"] + 0.01, 0.95]}
    assert "a warning is due. The mean colour says most" in section_of(render(of), "shortcuts")
    assert "note" not in said
    colour |= {"found": True, "accuracy": 0.97}
    said = section_of(render(of), "shortcuts")
    assert "no harm if that is what tells the classes apart" in said
    assert 'class="note warn"' in said
    assert "note bad" not in said


def section_of(page: bytes, name: str) -> str:
    return page.decode().partition(f'<section id="{name}"')[2].partition("</section>")[0]


def test_suspects_say_how_many_were_examined_and_how_many_are_listed() -> None:
    of = reporting.material()
    doubt = of.report["trust"]["suspects"]
    doubt |= {"examined": 40, "estimated": 5, "found": 7}
    page = render(of).decode()
    assert "About 5 labels of the 40 that were examined, out of 59 may be wrong" in page
    assert "suspects.csv lists the first 3 of 7" in page
    assert "Judged by the frozen network" in page  # the material was tuned
    of.report["trust"]["suspects"] = doubt | {"rows": [], "found": 0}
    assert "No single label of the 40 that were examined, out of 59 is clearly wrong" in render(of).decode()
    of.report["trust"]["suspects"] = doubt | {"rows": [], "found": 0, "estimated": 0}
    assert "No label of the 40 that were examined, out of 59 looks wrong." in render(of).decode()
    of.report["trust"]["suspects"] = doubt | {"estimated": 0}
    assert "expects no wrong label" in section_of(render(of), "suspects")
    of.report["trust"]["suspects"] = doubt | {"rows": [], "examined": 0}
    assert "suspects" not in Seen(render(of)).ids()


@pytest.mark.parametrize("classes", [3, 96, 101, 250])
def test_the_contact_sheet_takes_classes_from_everywhere(classes: int) -> None:
    known = {f"{label}/{n}": (label, "train") for label in range(classes) for n in range(9)}
    found = gathering.sheet(known)
    labels = [known[path][0] for path in found]
    assert labels == sorted(labels)
    assert len(set(labels)) == min(classes, 96)
    assert len(found) <= 96
    assert max(np.diff(sorted({*labels, classes}))) <= -(-classes // 96)
    page = render(reporting.material(tuple(f"class {n:03d}" for n in range(classes)), per_class=2)).decode()
    assert (f"of 96 of {classes} classes" in page) == (classes > 96)
    assert (f"and {classes - 32} classes more: choose one above" in page) == (classes > 32)


def test_of_many_judged_pictures_the_map_keeps_the_share_of_mistakes() -> None:
    """1,000 of 10,000 are wrong: all are listed, and a tenth of the map is wrong."""
    y = np.repeat(np.arange(10), 1000)
    said = y.copy()
    said[np.random.default_rng(0).permutation(10_000)[:1000]] += 1
    probabilities = np.eye(11)[said]
    rows, listed, shown = gathering._listed(y, Answered(np.arange(10_000), probabilities))
    assert len(rows) == len(listed) == gathering.LISTED
    wrong = listed.argmax(1) != y[rows]
    assert wrong.sum() == 1000
    assert len(shown) == gathering.ON_MAP
    assert 0.05 < wrong[shown].mean() < 0.15


def test_the_mistakes_that_are_shown_are_the_surest_ones() -> None:
    probabilities = np.array([[0.1, 0.3, 0.6], [0.55, 0.45, 0.0], [0.0, 0.2, 0.8], [0.0, 1.0, 0.0]])
    assert gathering.surest_wrong(np.array([0, 1, 1, 1]), probabilities).tolist() == [2, 0, 1]


def test_what_was_decided_and_validated_is_told() -> None:
    of = reporting.material()
    val = of.report["test"] | {"n": 12, "accuracy": 0.75, "accuracy_ci95": [0.45, 0.93]}
    told = of.report | {"val": val, "fixed": {"moved": 1, "dropped": 2, "kept": 0, "judges": 2}}
    page = render(replace(of, report=told)).decode()
    assert (
        "On the 12 pictures of the validation part it is right on 75.0\xa0% (45.0 to 93.0\xa0%); they said"
        in page
    )
    assert "Your decisions: 1 label moved, 2 pictures dropped, 0 labels kept." in page
    assert "2 pictures that judge it, or might, were moved or dropped by hand" in page
    quiet = told | {"fixed": {"moved": 1, "dropped": 0, "kept": 0, "judges": 0}}
    assert "flatters" not in section_of(render(replace(of, report=quiet)), "verdict")
    assert "Your decisions" not in render(of).decode()


def test_joiners_stay_and_what_reorders_text_does_not() -> None:
    persian, family = "\u0645\u06cc\u200c\u0634\u0648\u062f", "\U0001f469\u200d\U0001f467"
    assert text(persian + family) == persian + family
    assert text("a\u202eb\x00") == "a\ufffdb\ufffd"


def test_nothing_judged_and_no_guesses_still_make_a_page() -> None:
    bare = replace(
        reporting.material(trust=False), judged=(), map=(), thumbs={}, heats={}, silence="It has no names."
    )
    assert {"verdict", "classes", "data", "made"} <= Seen(render(bare)).ids()
    silent = reporting.material()
    silent = replace(
        silent, judged=tuple(replace(one, guesses=()) for one in silent.judged), silence="It has no names."
    )
    assert b"It has no names." in render(silent)


def test_many_classes_are_listed_by_confusion() -> None:
    page = render(reporting.material(tuple(f"class {n:02d}" for n in range(30)), per_class=5))
    assert b'<table class="matrix">' not in page
    assert b'data-cell="3,4"' in page


def test_headings_never_skip_a_level_and_ids_are_unique() -> None:
    found = Seen(render(reporting.material()))
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = [value for _, name, value in found.values if name == "id"]
    assert len(ids) == len(set(ids))
    for tag, names in found.tags:
        if tag == "th":
            assert "scope" in names
        if tag == "img":
            assert "alt" in names


@pytest.mark.parametrize(
    ("accuracy", "ends", "said"),
    [
        (0.95, (0.89, 0.98), "Right on 19 of 20 pictures it has not seen; between 17.8 and 19.6 of 20"),
        (
            0.985,
            (0.971, 0.993),
            "Right on 98.5 of 100 pictures it has not seen; between 97.1 and 99.3 of 100",
        ),
    ],
)
def test_the_verdict_counts_pictures(accuracy: float, ends: tuple[float, float], said: str) -> None:
    assert of_so_many({"accuracy": accuracy, "accuracy_ci95": ends}) == said


def test_the_verdict_leaves_twins_of_training_pictures_out() -> None:
    """What has a twin in training has been seen; where all have, nothing is known."""
    of = reporting.material()
    said = render(of).decode()
    assert "Right on 15 of 20 pictures it has not seen; between 12 and 17 of 20" in said
    assert "1 test picture of 48 have a twin" in said
    without = render(replace(of, report=of.report | {"leaked": 0, "test_without_leaks": None})).decode()
    assert of_so_many(of.report["test"]) in without
    seen = render(replace(of, report=of.report | {"leaked": 48, "test_without_leaks": None})).decode()
    assert "Nothing is known about pictures it has not seen" in seen
    assert "Right on" not in seen


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = render(reporting.material())
    for _, name, value in Seen(page).values:
        if name in ("src", "srcset", "poster", "data") or (name == "href" and value[0] != "#"):
            assert value.startswith("data:") or value == "https://example.org/ants"
    assert not re.search(rb"@import|url\((?!data:)", page)


# Small, and placed


def test_noise_of_ten_thousand_pictures_stays_below_five_megabytes(tmp_path: Path) -> None:
    """The worst case: pictures that no JPEG makes small, and as many judged ones as a page lists."""
    rng = np.random.default_rng(0)
    files = {}
    for number in range(40):
        files[f"{number}.png"] = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)).save(files[f"{number}.png"])
    spec = backbones.spec(backbones.DEFAULT)
    one = next(iter(thumbs(files, files, spec.preprocess).values()))
    many = {f"photos/{at % 3}-{at // 3:03d}.jpg": one for at in range(MOST_BYTES // len(one))}
    of = replace(reporting.material(per_class=1000, embed=False), thumbs=many)
    assert 3_000_000 < len(render(of)) < 5_000_000


def test_thumbs_keep_to_their_budget_in_the_order_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{n}.jpg": tmp_path / f"{n}.jpg" for n in range(6)}
    for number, file in enumerate(files.values()):
        file.write_bytes(reporting.jpeg(number, 0))
    files["broken.jpg"] = tmp_path / "broken.jpg"
    files["broken.jpg"].write_bytes(b"\xff\xd8\xff")
    spec = backbones.spec(backbones.DEFAULT)
    asked = ["broken.jpg", "5.jpg", "3.jpg", "gone.jpg", *files]
    found = thumbs(asked, files, spec.preprocess)
    assert list(found) == ["5.jpg", "3.jpg", "0.jpg", "1.jpg", "2.jpg", "4.jpg"]
    assert Image.open(io.BytesIO(found["5.jpg"])).size == (112, 112)
    monkeypatch.setattr("headstart.report.thumbs.MOST_BYTES", len(found["5.jpg"]) + len(found["3.jpg"]))
    assert list(thumbs(asked, files, spec.preprocess))[:2] == ["5.jpg", "3.jpg"]


def neighbours_alike(places: np.ndarray, y: np.ndarray) -> float:
    distances = ((places[:, None] - places[None]) ** 2).sum(2)
    np.fill_diagonal(distances, np.inf)
    return float((y[distances.argmin(1)] == y).mean())


def main_directions(x: np.ndarray) -> np.ndarray:
    """What a map of two principal components would show."""
    unit = x.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    u, s, _ = np.linalg.svd(unit - unit.mean(0), full_matrices=False)
    found: np.ndarray = u[:, :2] * s[:2]
    return found


def test_the_map_keeps_neighbours_and_invents_none() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 30)
    groups = rng.normal(0, 1, (4, 64))[y] + rng.normal(0, 0.4, (120, 64))
    places = layout(groups.astype(np.float16))
    assert neighbours_alike(places, y) > 0.95
    assert places.min() == 0
    assert places.max() == 1
    np.testing.assert_array_equal(places, layout(groups.astype(np.float16)))
    many = np.repeat(np.arange(16), 15)
    hidden = (rng.normal(0, 1, (16, 64))[many] + rng.normal(0, 0.3, (240, 64))).astype(np.float16)
    assert neighbours_alike(layout(hidden), many) > 0.95 > neighbours_alike(main_directions(hidden), many)
    noise = layout(rng.normal(0, 1, (120, 64)).astype(np.float16))
    assert neighbours_alike(noise, y) < 0.5  # chance is a quarter


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_the_map_takes_few_and_equal_pictures(n: int) -> None:
    for x in (np.ones((n, 8)), np.eye(n, 8)):
        found = layout(x.astype(np.float16))
        assert found.shape == (n, 2)
        assert np.isfinite(found).all()


# From files to the page, and from two models to their difference


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.parted(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def folder(parted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "first-model"
    train(parted, out=out)
    return out


def facts(page: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Seen(page).facts)
    return found


def test_a_report_made_anew_tells_the_answers_of_the_model(folder: Path, parted: Path) -> None:
    model = load(folder)
    page = remake(folder, parted).page
    told = facts(page)
    assert told["classes"] == list(model.classes)
    judged = {one["f"]: one for one in told["pics"] if "a" in one}
    tested = [part for part in model.manifest if part.part == "test"]
    assert judged.keys() == {part.path for part in tested}
    answers = model.predict([parted / part.path for part in tested])
    for part, answer in zip(tested, answers, strict=True):
        label, thousandth = judged[part.path]["a"][0]
        assert model.classes[label] == answer.label
        assert thousandth == round(1000 * answer.probability)
        assert model.classes[judged[part.path]["t"]] == part.label
        assert len(judged[part.path]["g"]) == 5
    assert page == remake(folder, parted).page


def test_of_equal_files_in_two_parts_each_keeps_its_own(parted: Path, tmp_path: Path) -> None:
    """A copy of a training picture in the test part counts nowhere, nor does the training picture."""
    pictures = tmp_path / "copied"
    shutil.copytree(parted, pictures)
    shutil.copy(pictures / "train" / "blue" / "0000.png", pictures / "test" / "blue" / "copy.png")
    model = train(pictures, out=tmp_path / "copied-model")
    report, trust = model.report, model.report["trust"]
    assert (report["leaked"], report["test"]["n"], report["test_without_leaks"]["n"]) == (1, 19, 18)
    assert sum(one["n"] for one in trust["reliability"]) == trust["abstain"][0]["n"] == 18
    assert trust["sets"]["n"] == trust["unknown"]["n"] == 18
    for page in (
        (tmp_path / "copied-model" / "report.html").read_bytes(),
        remake(tmp_path / "copied-model", pictures).page,
    ):
        told = {one["f"]: one for one in facts(page)["pics"]}
        assert told["test/blue/copy.png"]["k"] == "test"
        assert told["train/blue/0000.png"]["k"] == "train"
        assert sum("a" in one for one in told.values()) == 18
        cells = re.findall(r'data-cell="(\d),(\d)" data-n="(\d+)" aria-label', page.decode())
        found = np.zeros((3, 3), int)
        for truth, said, n in cells:
            found[int(truth), int(said)] = int(n)
        assert found.tolist() == report["test_without_leaks"]["confusion"]
        assert page.count(b"1 test picture with a twin in the training part left out.") >= 4


def test_moved_and_renamed_pictures_keep_their_parts(parted: Path, tmp_path: Path) -> None:
    """Also where one content lies in both parts, and the parts are named in other words."""
    learn, judge = tmp_path / "learn", tmp_path / "judge"
    shutil.copytree(parted / "train", learn)
    shutil.copytree(parted / "test", judge)
    shutil.copy(learn / "blue" / "0000.png", judge / "blue" / "copy.png")
    shutil.copy(learn / "red" / "0000.png", learn / "red" / "again.png")
    out = tmp_path / "moved-model"
    train(learn, test=judge, out=out)
    before = {one["f"]: one["a"] for one in facts(remake(out, learn, test=judge).page)["pics"] if "a" in one}
    assert len(before) == 18, "but for the copy"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    learn.rename(elsewhere / "a")
    judge.rename(elsewhere / "b")
    copied = elsewhere / "b" / "blue" / "0000.png"  # now it is called as its twin was
    (elsewhere / "a" / "blue" / "0000.png").rename(elsewhere / "a" / "blue" / "renamed.png")
    (elsewhere / "b" / "blue" / "copy.png").rename(copied)
    shutil.copy(elsewhere / "a" / "red" / "0000.png", elsewhere / "a" / "red" / "third.png")  # takes no part
    anew = remake(out, elsewhere / "a", test=elsewhere / "b")
    after = {one["f"]: one["a"] for one in facts(anew.page)["pics"] if "a" in one}
    assert after.keys() == {str(file) for file in (elsewhere / "b").rglob("*.*")} - {str(copied)}
    assert sorted(map(str, after.values())) == sorted(map(str, before.values()))
    assert anew.notes == ()
    seen = anew.page.decode()
    assert f"<code>{learn}" not in seen, "findings name today's places"
    assert f"<code>{copied}" in seen

    page = out / "report.html"
    good = page.read_bytes()
    with pytest.raises(Misuse, match=r"holds 0 of the 19 pictures that are the test part .*--test DATA"):
        group.main(["report", str(out), "--data", str(elsewhere / "a")], standalone_mode=False)
    with pytest.raises(Misuse, match=r"holds \d of the 37 pictures that are the train part .*the same data"):
        remake(out, elsewhere / "b")
    assert page.read_bytes() == good

    copied.unlink()
    (elsewhere / "a" / "green" / "0000.png").write_bytes(b"no picture")
    told = run("report", out, "--data", elsewhere / "a", "--test", elsewhere / "b", "--json")
    assert told.exit_code == 0, told.output
    (said,) = json.loads(told.stdout)["notes"]
    assert said.startswith("2 of the 56 pictures")
    assert said.split(":")[0] in told.stderr.replace("\n", " ")
    assert said.encode() in page.read_bytes()


def test_what_a_report_names_is_named_as_of_now() -> None:
    findings = [{"kind": "leak", "path": "a", "others": ["b", "c"]}, {"kind": "imbalance", "path": "x"}]
    trust = {"suspects": {"estimated": 1, "rows": [{"path": "a"}]}, "weak": [{"paths": ["c", "b"]}]}
    report = {"data": {"files": 3, "findings": findings}, "trust": trust}
    told = _as_of_now(report, {"a": "A", "b": "B"}, [Finding("ignored", "data", "lacks one", "note")])
    noted, leak, other = told["data"]["findings"]
    assert (noted["message"], leak["path"], leak["others"], other) == (
        "lacks one",
        "A",
        ["B", "c"],
        findings[1],
    )
    assert told["trust"]["suspects"] == {"estimated": 1, "rows": [{"path": "A"}]}
    assert told["trust"]["weak"] == [{"paths": ["c", "B"]}]
    assert (report["data"]["findings"], report["trust"]) == (findings, trust)


def test_out_of_fold_answers_are_told_where_no_test_part_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each picture is answered by a fit without it, so a mislabelled one is not called by its label."""
    pictures = make.folder(tmp_path / "few", dict.fromkeys(("blue", "red"), 14), jitter=6)
    (pictures / "blue" / "0000.png").rename(pictures / "red" / "was-blue.png")
    out = tmp_path / "few-model"
    model = train(pictures, out=out)
    assert model.report["cv"]
    told = facts(remake(out, pictures).page)
    judged = {one["f"]: one for one in told["pics"] if "a" in one}
    assert len(judged) == 28
    planted = judged["red/was-blue.png"]
    assert told["classes"][planted["a"][0][0]] == "blue"
    monkeypatch.setattr("headstart.report.anew.is_trained", lambda _: True)
    trained = remake(out, pictures)
    assert not [one for one in facts(trained.page)["pics"] if "a" in one]
    (said,) = trained.notes
    assert "are left out: the network was trained on all of these pictures" in said
    assert said.encode() in trained.page


def test_the_report_of_an_earlier_build_is_not_made_anew(parted: Path, tmp_path: Path) -> None:
    out = tmp_path / "early"
    train(parted, out=out, head="lda")
    page = (out / "report.html").read_bytes()
    document = json.loads((out / "model.json").read_bytes())
    del document["report"]["command"], document["digest"]
    document["digest"] = _digest(document)
    (out / "model.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(Misuse, match=r"made by an earlier build.*Train it again"):
        remake(out, parted)
    assert (out / "report.html").read_bytes() == page
    with pytest.raises(OutputExists):
        train(parted, out=out, head="lda")


def test_the_command_to_repeat_makes_the_same_model(
    parted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(parted / "train", tmp_path / "my photos")
    shutil.copytree(parted / "test", tmp_path / "its test")
    monkeypatch.chdir(tmp_path)
    made = train("my photos", out="one", test="its test", head="ridge", seed=3, limit_px=10**6)
    page = (tmp_path / "one" / "report.html").read_text("utf-8")
    said = html.unescape(page.partition("<code>headstart train")[2].partition("</code>")[0])
    words = shlex.split(f"train{said}")
    assert words == made.report["command"][1:]
    assert words[:4] == ["train", "my photos", "--test", "its test"]
    done = run(*words, "--out", "two", "--no-report")
    assert done.exit_code == 0, done.output
    one, two = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two
    again = load(tmp_path / "two").report["command"]
    assert [word for word in again if word != "--no-report"] == made.report["command"]


def test_every_argument_is_in_the_command_and_means_the_same_there() -> None:
    given: dict[str, Any] = {
        "test": Path("t t"), "split": Path("s.csv"), "fix": Path("f.csv"), "backbone": "fast",
        "weights": Path("w.pth"), "head": "lda", "tune": "2", "freeze_to": "stage1", "augment": "light",
        "epochs": 7, "budget_s": 90.5, "seed": 4, "device": "torch", "report": False, "limit_px": 5000,
    }  # fmt: skip
    assert given.keys() == train.__kwdefaults__.keys() - set(recipe.BESIDE)
    words = recipe._command(Path("a b"), given)
    parsed = train_command.make_context("train", words[2:]).params
    assert {name: parsed["budget" if name == "budget_s" else name] for name in given} == given
    assert recipe._command(Path("a"), train.__kwdefaults__) == ["headstart", "train", "a"]
    assert "But for the time" in section_of(render(reporting.material()), "made")


def test_a_network_that_was_trained_is_shown_with_its_words_from_before(folder: Path, parted: Path) -> None:
    seen, model = look(parted), load(folder)
    lite0 = model.backbone
    model = replace(model, backbone=replace(lite0, weights=replace(lite0.weights, source="trained")))
    split = Split(tuple(part or "train" for part in seen.examples.parts), dealt=False)
    rows, k = split.rows("test"), len(model.classes)
    other = np.roll(seen.features.last(), 1, axis=0)  # not what the model sees
    for source_of, silent in ((None, True), ((lite0, other), False)):
        found = Answered(rows, np.eye(k)[seen.features.y[rows]], source_of)
        made = gathering.gather(model, seen.features, seen.examples, split, found, libraries={})
        assert bool(made.silence) == silent == (not any(one.guesses for one in made.judged))
    wanted = source.guesses(lite0, other[rows])
    assert wanted is not None
    best = [wanted.names[int(at)] for at in wanted.probabilities.argmax(1)]
    assert [one.guesses[0][0] for one in made.judged] == best


def test_the_ladder_of_compare_is_shown_to_the_same_pictures_only(
    folder: Path, parted: Path, tmp_path: Path
) -> None:
    done = run("compare", parted, "--rungs", "majority,nearest", "--backbone", backbones.DEFAULT, "--json")
    assert done.exit_code == 0, done.output
    rungs = json.loads(done.stdout)["rungs"]
    moved = shutil.copytree(parted, tmp_path / "moved")
    said = section_of(remake(folder, moved).page, "ladder")
    for one in rungs:
        assert one["title"] in said
        assert percent(one["accuracy"]) in said
    (own,) = [
        file
        for file in (cache_folder() / "compared").iterdir()
        if json.loads(file.read_bytes())["rungs"] == rungs
    ]
    good = own.read_bytes()
    for bad in (b"[]", b"{}", b"{", json.dumps({"rungs": rungs}).encode()):
        own.write_bytes(bad)
        assert "ladder" not in Seen(remake(folder, moved).page).ids(), bad
    own.write_bytes(good)
    left_out = {"name": "all", "reason": "<it> has no stages."}
    shown = replace(reporting.material(), ladder=json.loads(done.stdout) | {"left_out": [left_out]})
    assert "Left out: all, &lt;it&gt; has no stages." in section_of(render(shown), "ladder")
    nothing = replace(shown, ladder={**(shown.ladder or {}), "rungs": []})
    assert "ladder" not in Seen(render(nothing)).ids()
    train(parted / "test", out=tmp_path / "other", head="lda")
    assert "ladder" not in Seen((tmp_path / "other" / "report.html").read_bytes()).ids()


def run(*words: object) -> Any:
    return CliRunner().invoke(group, [str(word) for word in words])


def test_the_command_makes_and_finds_the_report(folder: Path, parted: Path) -> None:
    assert "trust" in load(folder).report
    by_train = (folder / "report.html").read_bytes()
    assert b"Sets that hold the truth" in by_train
    (folder / "report.html").unlink()
    with pytest.raises(Misuse, match=r"has no report\.html.*headstart report .* --data DATA"):
        group.main(["report", str(folder)], standalone_mode=False)
    made = run("report", folder, "--data", parted, "--json")
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert Path(told["path"]) == folder / "report.html"
    assert told["bytes"] == (folder / "report.html").stat().st_size
    found = run("report", folder)
    assert found.stdout.strip() == str(folder / "report.html")
    load(folder)  # a report beside it changes nothing
    with pytest.raises(Misuse, match="holds 0 of the 36 pictures that are the train part"):
        remake(folder, make.folder(folder.parent / "others", {"blue": 3, "green": 3, "red": 3}, first=500))
    (folder / "report.html").unlink()
    weights = (folder / "weights.safetensors").stat().st_mtime_ns
    train(parted, out=folder)
    assert (folder / "report.html").read_bytes() == remake(folder, parted).page, "a known model gets it again"
    assert (folder / "weights.safetensors").stat().st_mtime_ns == weights
    (folder / "report.html").write_bytes(by_train)


def test_a_model_differs_from_itself_in_nothing(folder: Path, parted: Path) -> None:
    kept = json.loads(run("diff", folder, folder, "--json").stdout)
    assert (kept["n"], kept["p"], kept["gain"], kept["changes"]) == (18, 1.0, 0.0, [])
    assert kept["gain_ci95"][0] < 0 < kept["gain_ci95"][1]
    assert "cannot be told apart" in kept["verdict"]
    named = json.loads(run("diff", folder, folder, parted, "--json").stdout)
    assert named["n"] == 18
    assert named["left_out"] == 36
    assert named["left_out_why"] == {"that one of them has learnt from": 36}
    assert named["a"]["accuracy"] == kept["a"]["accuracy"] == load(folder).report["test"]["accuracy"]


def test_a_model_of_swapped_labels_is_worse_and_the_pictures_are_named(
    folder: Path, parted: Path, tmp_path: Path
) -> None:
    swapped = tmp_path / "swapped"
    shutil.copytree(parted, swapped)
    blue, red = swapped / "train" / "blue", swapped / "train" / "red"
    blue.rename(swapped / "train" / "was")
    red.rename(swapped / "train" / "blue")
    (swapped / "train" / "was").rename(red)
    other = tmp_path / "swapped-model"
    train(swapped, out=other)
    html = tmp_path / "diff.html"
    told = json.loads(run("diff", folder, other, parted, "--html", html, "--json").stdout)
    assert "is worse than" in told["verdict"]
    assert told["p"] < 0.01
    by_class = {one["class"]: one for one in told["per_class"]}
    for name in ("blue", "red"):
        assert by_class[name]["b"] < by_class[name]["a"]
    a, b = load(folder), load(other)
    for one in told["changes"]:
        before, after = (model.predict(parted / one["path"])[0].label for model in (a, b))
        assert (before == one["truth"]) != (after == one["truth"]) == one["won"]
        assert (before, after) == (one["a"], one["b"])
    lost = sum(not one["won"] for one in told["changes"])
    assert round((told["a"]["accuracy"] - told["b"]["accuracy"]) * told["n"]) == 2 * lost - len(
        told["changes"]
    )
    seen = Seen(html.read_bytes())
    assert "lost" in seen.ids()
    assert b"background-image:url(data:image/jpeg" in html.read_bytes()
    shown = run("diff", folder, other)
    assert shown.exit_code == 0, shown.output
    assert "\\x" not in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_frames_of_one_video_are_not_many_pictures_to_a_difference(
    folder: Path, parted: Path, tmp_path: Path
) -> None:
    """Swapped labels, judged on new pictures: with few groups less is certain than with many."""
    swapped = tmp_path / "swapped"
    shutil.copytree(parted, swapped)
    (swapped / "train" / "blue").rename(swapped / "train" / "was")
    (swapped / "train" / "red").rename(swapped / "train" / "blue")
    (swapped / "train" / "was").rename(swapped / "train" / "red")
    train(swapped, out=tmp_path / "other")
    new = make.folder(tmp_path / "new", {"blue": 8, "green": 8, "red": 8}, first=300, jitter=30)
    files = sorted(new.rglob("*.*"))
    told = []
    for frames in (1, 8):
        rows = [
            f"new/{own.relative_to(new)},{own.parent.name},g{at // frames}" for at, own in enumerate(files)
        ]
        listed = tmp_path / f"by-{frames}.csv"
        listed.write_text("path,label,group\n" + "\n".join(rows) + "\n", encoding="utf-8")
        told.append(json.loads(run("diff", folder, tmp_path / "other", listed, "--json").stdout))
    alone, grouped = told
    assert alone["n"] == grouped["n"] == 24
    assert alone["gain"] == grouped["gain"]
    widths = [np.ptp(one["gain_ci95"]) for one in told]
    assert widths[1] > 2 * widths[0]
    assert alone["p"] < 0.01
    assert grouped["p"] >= 0.5  # two videos were lost: two tosses


def test_models_of_other_classes_are_compared_on_the_common_ones(folder: Path, tmp_path: Path) -> None:
    made = make.folder(tmp_path / "two" / "train", {"blue": 12, "red": 12}, jitter=30).parent
    make.folder(made / "test", {"blue": 6, "red": 6}, first=12, jitter=30)
    train(made, out=tmp_path / "two-model")
    told = json.loads(run("diff", folder, tmp_path / "two-model", "--json").stdout)
    assert told["classes"] == ["blue", "red"]
    assert told["a"]["only"] == ["green"]
    assert told["n"] == 12
    one = make.folder(tmp_path / "none", {"x": 12, "y": 12})
    train(one, out=tmp_path / "none-model")
    with pytest.raises(Misuse, match="0 classes in common"):
        group.main(["diff", str(folder), str(tmp_path / "none-model")], standalone_mode=False)


def test_pictures_that_are_not_judged_are_counted_by_reason(
    folder: Path, parted: Path, tmp_path: Path
) -> None:
    """Also a test picture of both that one of them had a copy of in its training part."""
    copied = tmp_path / "copied"
    shutil.copytree(parted, copied)
    shutil.copy(copied / "test" / "blue" / "0012.png", copied / "train" / "blue" / "copy.png")
    train(copied, out=tmp_path / "copied-model", report=False)
    make.folder(copied / "test", {"violet": 2})
    make.folder(copied / "train", {"violet": 3})
    (copied / "test" / "red" / "broken.png").write_bytes(b"no picture")
    (copied / "test" / "beside.txt").write_bytes(b"no picture")
    (copied / "test" / "beside.png").write_bytes((copied / "test" / "red" / "0012.png").read_bytes())
    models = folder, tmp_path / "copied-model"
    kept = json.loads(run("diff", *models, "--json").stdout)
    named = json.loads(run("diff", *models, copied, "--json").stdout)
    assert kept["n"] == named["n"] == 17
    assert kept["left_out_why"] == {"that one of them has learnt from": 1}
    assert named["left_out_why"] == {
        "that one of them has learnt from": 36 + 2,
        "of classes that not both know": 5,
        "that cannot be read": 1,
        "passed over in the data": 1,
    }
    assert named["left_out"] == 45
    shown = run("diff", *models, copied)
    assert "45 pictures left out: 38 that one of them has learnt from, 5 of classes" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


# In a real browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("HEADSTART_BROWSER") == "required":
            pytest.fail("HEADSTART_BROWSER=required, and no chromium is installed: apt-get install chromium")
        pytest.skip("no chromium is installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page in a browser that is offline, and all that it complained of or asked for."""

    def __init__(self, browser: Any, file: Path, *, width: int = 1280, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            offline=True,
            reduced_motion="reduce",
        )
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", self._asked)
        self.file = file
        self.page.goto(file.as_uri())

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("data:", "blob:")) and request.url != self.file.as_uri():
            self.troubles.append(f"asked for {request.url}")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_bytes(render(reporting.material(HOSTILE)))
    return file


@pytest.fixture
def visit(chromium: Any, written: Path) -> Iterator[Visit]:
    found = Visit(chromium, written)
    yield found
    assert found.troubles == []
    assert found.page.evaluate("window.hacked") is None
    found.context.close()


def test_a_cell_shows_its_pictures(visit: Visit) -> None:
    page = visit.page
    page.click('[data-cell="0,1"]')
    panel = page.locator("#cell")
    wanted = sum(1 for one in material_of().judged if (one.truth, one.answers[0][0]) == (0, 1))
    assert panel.locator(".pic").count() == wanted == 3
    assert panel.locator("h3").inner_text() == f"{HOSTILE[0]} called {HOSTILE[1]}: {wanted}"
    page.focus('[data-cell="1,1"]')
    page.keyboard.press("Enter")
    assert HOSTILE[1] in panel.locator("h3").inner_text()


def test_a_cell_says_how_many_of_its_pictures_are_shown(chromium: Any, tmp_path: Path) -> None:
    """The matrix counts all; the page knows some by name."""
    of = reporting.material()
    more = of.confusion.copy()
    more[0, 1] += 40
    file = tmp_path / "report.html"
    file.write_bytes(render(replace(of, confusion=more)))
    found = Visit(chromium, file)
    found.page.click('[data-cell="0,1"]')
    panel = found.page.locator("#cell")
    assert panel.locator("h3").inner_text() == "ants called bees: 43"
    assert "3 of 43 are shown." in panel.inner_text()
    assert found.troubles == []
    found.context.close()


def material_of() -> Material:
    return reporting.material(HOSTILE)


def test_a_picture_opens_its_card_and_escape_closes_it(visit: Visit) -> None:
    page = visit.page
    page.locator("#mistakes button.pic").first.click()
    card = page.locator("#card")
    assert card.is_visible()
    worst = max((one for one in material_of().judged if not one.is_right), key=lambda one: one.answers[0][1])
    assert card.locator("h2").inner_text() == worst.path.rpartition("/")[2]
    assert HOSTILE[worst.answers[0][0]] in card.inner_text()
    assert "bee" in card.inner_text()
    assert card.locator("[role=img]").evaluate("one => getComputedStyle(one).backgroundImage").startswith(
        'url("data:image/jpeg'
    )  # fmt: skip
    page.keyboard.press("Escape")
    assert not card.is_visible()


def test_the_map_opens_pictures_by_mouse_and_by_keys(visit: Visit) -> None:
    page = visit.page
    page.locator("#atlas .dot").nth(5).click(force=True)
    assert page.locator("#card").is_visible()
    page.click("#card .close")
    page.focus("#atlas .dot[tabindex='0']")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#card h2").inner_text() == material_of().judged[2].path.rpartition("/")[2]
    page.keyboard.press("Escape")
    page.select_option("#map-class", "1")
    assert page.locator("#atlas .dot:not(.away)").count() == reporting.PER_CLASS


def test_a_heading_sorts_its_table_both_ways(visit: Visit) -> None:
    page = visit.page
    column = "#classes tbody tr td:nth-child(4)"

    def values() -> list[float]:
        return [
            float(one) for one in page.eval_on_selector_all(column, "all => all.map(a => a.dataset.order)")
        ]

    button = page.locator("#classes thead button").nth(3)
    button.click()
    assert values() == sorted(values())
    assert len(set(values())) > 1
    assert page.locator("#classes th[aria-sort=ascending]").count() == 1
    button.press("Enter")
    assert values() == sorted(values(), reverse=True)


def test_the_theme_changes_and_details_open_by_keyboard(visit: Visit) -> None:
    page = visit.page
    paper = "getComputedStyle(document.querySelector('section')).backgroundColor"
    before = page.evaluate(paper)
    page.focus("#theme")
    page.keyboard.press("Enter")
    assert page.evaluate(paper) != before
    page.click("#theme")
    assert page.evaluate(paper) == before
    summary = page.locator("#verdict summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('#verdict details').open") is True


def test_every_thing_to_click_can_be_reached_by_tab(visit: Visit) -> None:
    unreachable = visit.page.evaluate(
        """() => [...document.querySelectorAll('[data-pic],[data-cell],[data-sort],summary,a')]
        .filter(one => !one.closest('#atlas') && one.tabIndex < 0).length"""
    )
    assert unreachable == 0
    assert visit.page.locator("#atlas [tabindex='0']").count() == 1


@pytest.mark.parametrize(
    "classes", [HOSTILE, tuple(f"{'long' * 12} {n}" for n in range(20))], ids=["few", "many"]
)
def test_a_phone_never_scrolls_sideways(chromium: Any, tmp_path: Path, classes: tuple[str, ...]) -> None:
    file = tmp_path / "report.html"
    file.write_bytes(render(reporting.material(classes, per_class=5)))
    found = Visit(chromium, file, width=360)
    found.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    found.page.click('[data-cell="0,1"]')
    assert found.page.evaluate("document.documentElement.scrollWidth") <= 360
    found.page.locator("#mistakes button.pic").first.click()
    assert found.page.evaluate("document.querySelector('#card').getBoundingClientRect().right") <= 360
    assert found.troubles == []
    found.context.close()


CONTRAST = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = (c) => .2126 * linear(c[0]) + .7152 * linear(c[1]) + .0722 * linear(c[2]);
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const c = parse(getComputedStyle(one).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  document.querySelectorAll('details').forEach(one => { one.open = true; });
  const bad = [];
  let seen = 0;
  for (const one of document.querySelectorAll('body *')) {
    const says = [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!says || !one.getClientRects().length) continue;
    const style = getComputedStyle(one);
    const ink = parse(one instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink.slice(0, 3)), light(ground(one).slice(0, 3))].sort((x, y) => y - x);
    seen += 1;
    if ((a + .05) / (b + .05) < 4.5) bad.push(one.className + ': ' + one.textContent.slice(0, 30));
  }
  return [seen, bad];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(chromium: Any, written: Path, scheme: str) -> None:
    found = Visit(chromium, written, scheme=scheme)
    found.page.click('[data-cell="0,1"]')
    seen, bad = found.page.evaluate(CONTRAST)
    assert seen > 200
    assert bad == []
    found.context.close()


def test_paper_is_white_whatever_the_screen(chromium: Any, written: Path) -> None:
    found = Visit(chromium, written, scheme="dark")
    found.page.click("#theme")
    found.page.click("#theme")
    found.page.emulate_media(media="print", color_scheme="dark")
    seen = "getComputedStyle(document.querySelector('section')).backgroundColor"
    assert found.page.evaluate(seen) == "rgb(255, 255, 255)"
    found.context.close()


def test_it_prints_with_its_pictures(chromium: Any, written: Path) -> None:
    found = Visit(chromium, written)
    paper = found.page.pdf(format="A4", print_background=False)
    assert paper.startswith(b"%PDF")
    assert paper.count(b"/DCTDecode") > 20  # the pictures, although backgrounds are not asked for
    found.context.close()


def test_an_injected_script_would_not_run(chromium: Any, tmp_path: Path) -> None:
    """Were the escaping to fail, the page's policy would still stop it."""
    file = tmp_path / "report.html"
    page = render(reporting.material())
    file.write_bytes(
        page.replace(b"<main>", b"<main><script>window.hacked = 1</script><img src=http://x.invalid/a>")
    )
    found = Visit(chromium, file)
    assert found.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in one for one in found.troubles)
    found.context.close()
