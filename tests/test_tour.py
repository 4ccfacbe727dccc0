"""The tour: its arithmetic against torch's, its counts by hand, and what its runs must show."""

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import make
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.nn import functional as F

from headstart.cli import group
from headstart.errors import OutputExists, TooFewExamples
from headstart.tour import convolution, counting, draw, forgetting, gradients, learn, pictures, section, walk
from headstart.tour.section import Effort

TINY = Effort("tiny", (3, 6), 5, tuned_steps=3, scratch_steps=4, task=6, task_steps=16, depth=5, steps=4)
HOSTILE = "<i>&\"pear'"  # a class may be called anything


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("tour") / "four"
    return make.folder(at, dict.fromkeys((HOSTILE, "blue", "green", "red"), 14))


@pytest.fixture(scope="module")
def material(folder: Path) -> pictures.Material:
    with learn.one_thread():
        return pictures.gather(folder, TINY)


@pytest.fixture(scope="module")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> walk.Tour:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "QUICK", TINY)
        return walk.tour(tmp_path_factory.mktemp("page") / "out", data=folder, quick=True)


# -- chapter 1 --------------------------------------------------------------------------------------------


def as_table(array: np.ndarray) -> convolution.Table:
    return tuple(tuple(map(float, row)) for row in array)


@pytest.mark.parametrize(
    ("side", "stride", "padding"), [(3, 1, 0), (3, 2, 0), (3, 1, 1), (2, 2, 1), (5, 3, 2)]
)
def test_a_slide_is_torchs_convolution(side: int, stride: int, padding: int) -> None:
    rng = np.random.default_rng([side, stride, padding])
    x, kernel = rng.normal(size=(7, 9)), rng.normal(size=(side, side))
    found = convolution.slide(as_table(x), as_table(kernel), stride=stride, padding=padding)
    wanted = F.conv2d(
        torch.from_numpy(x)[None, None], torch.from_numpy(kernel)[None, None], stride=stride, padding=padding
    )[0, 0]
    np.testing.assert_allclose(found.result, wanted.numpy(), rtol=1e-12)
    assert [own.value for own in found.steps] == [value for row in found.result for value in row]


@pytest.mark.parametrize(("side", "stride"), [(2, 2), (3, 1), (3, 2)])
def test_pooling_is_torchs(side: int, stride: int) -> None:
    x = np.random.default_rng(side).normal(size=(7, 8))
    for does, torchs in (("max", F.max_pool2d), ("mean", F.avg_pool2d)):
        found = convolution.pool(as_table(x), side=side, stride=stride, does=does)
        wanted = torchs(torch.from_numpy(x)[None, None], side, stride)[0, 0]
        np.testing.assert_allclose(found.result, wanted.numpy(), rtol=1e-12)


def test_one_cell_of_the_published_table_is_not_what_the_arithmetic_gives() -> None:
    """By hand: 0.2 + 0 + 0 + 0 + 0.9 + 0 + 0.3 + 0 + 0.7 = 2.1 in the second row's first cell, not 1.9."""
    found = convolution.compared(
        convolution.slide(convolution.EXAMPLE, convolution.KERNEL), convolution.PUBLISHED
    )
    wrong = [cell for cell in found if not cell.agrees]
    assert len(found) == 16
    assert [(own.row, own.column, own.published) for own in wrong] == [(1, 0, 1.9)]
    assert wrong[0].computed == pytest.approx(2.1)
    assert wrong[0].missing == (0.2,)  # leave that product out, and the published number comes out
    # a control: what is wrong elsewhere is found, too
    changed = ((1.0, 1.2, 1.1, 0.8), *convolution.PUBLISHED[1:])
    again = convolution.compared(convolution.slide(convolution.EXAMPLE, convolution.KERNEL), changed)
    assert [(own.row, own.column) for own in again if not own.agrees] == [(0, 3), (1, 0)]


# -- chapter 2 --------------------------------------------------------------------------------------------


def test_counts_are_the_formulas() -> None:
    found = counting.measured()
    assert [own.parameters for own in found.layers] == [
        100 * 100 * 10_000 + 10_000, 3 * 3 + 1, 9 * 10_000 + 10_000, 5 * 5 + 1, 25 * 10_000 + 10_000,
    ]  # fmt: skip
    assert [own.outputs for own in found.layers[:3]] == [10_000, 10_000, 10_000 * 10_000]
    assert found.dense == tuple(side**4 + side**2 for side in found.sides)
    assert set(found.convolution) == {10} == {found.real}


# -- chapter 3 --------------------------------------------------------------------------------------------


def batch(n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(3).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8), np.arange(n) % 3


@pytest.mark.parametrize("residual", [False, True])
def test_a_norm_is_the_steepest_slope(residual: bool) -> None:
    """One step along a layer's gradient changes the loss by as much as the norm says."""
    x, y = batch()
    setting = gradients.Setting("own", 5, "tanh", "xavier", residual=residual)
    found = gradients.norms(setting, x, y)
    network = gradients.deep(setting, 3).train()
    layers = [own for own in network.modules() if isinstance(own, nn.Conv2d)]
    assert len(found.norms) == len(layers) == 5
    inputs = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).double()
    inputs = (inputs - inputs.mean()) / inputs.std()

    def loss() -> torch.Tensor:
        return F.cross_entropy(network(inputs), torch.from_numpy(y))

    for layer, norm in zip(layers, found.norms, strict=True):
        (slope,) = torch.autograd.grad(loss(), [layer.weight])
        ends = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                layer.weight += step * slope / slope.norm()
                ends.append(loss().item())
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(norm, rel=1e-4)
        with torch.no_grad():
            layer.weight += 1e-5 * slope / slope.norm()


def test_sigmoids_vanish_with_depth_and_residual_connections_let_gradients_through() -> None:
    x, y = batch()
    plain = [
        gradients.norms(gradients.Setting("s", depth, "sigmoid", "xavier"), x, y) for depth in (4, 8, 16)
    ]
    assert plain[0].ratio > 10 * plain[1].ratio > 100 * plain[2].ratio
    assert plain[2].verdict == "vanishes"
    kept = gradients.norms(gradients.Setting("r", 16, "sigmoid", "xavier", residual=True), x, y)
    assert kept.ratio > 1e4 * plain[2].ratio
    large = gradients.norms(gradients.Setting("l", 16, times=8.0), x, y)
    assert large.norms[0] > 1e6 * gradients.norms(gradients.Setting("h", 16), x, y).norms[0]


# -- chapters 4 and 5 -------------------------------------------------------------------------------------


def test_what_is_frozen_does_not_move_at_all_and_what_is_trained_does(material: pictures.Material) -> None:
    with learn.one_thread():
        runs = {
            "frozen": learn.frozen(material, 6, seed=0)[0],
            "last": learn.tuned(material, 6, "last", TINY, seed=0),
            "all": learn.tuned(material, 6, "all", TINY, seed=0),
            "scratch": learn.scratch(material, 6, TINY, seed=0),
        }
    for run in runs.values():
        for own in run.moved:
            assert (own.change > 0) == own.is_trained, f"{run.way} {own}"
            assert own.is_equal != own.is_trained, "a frozen stage's statistics stay, too"
    stages = [own.name for own in material.spec.stages]
    trained = {way: [own.piece for own in run.moved if own.is_trained] for way, run in runs.items()}
    assert trained["frozen"] == []
    assert trained["all"] == [*stages, "last"]
    assert trained["last"] == [*stages[5:], "last"]
    assert len(trained["scratch"]) == len(runs["scratch"].moved)


def test_the_same_seed_gives_the_same_numbers(material: pictures.Material) -> None:
    for way in (
        lambda seed: learn.scratch(material, 3, TINY, seed=seed),
        lambda seed: learn.tuned(material, 3, "all", TINY, seed=seed),
    ):
        with learn.one_thread():
            first, again, other = (replace(way(seed), seconds=0.0) for seed in (0, 0, 1))
        assert first == again
        assert first.losses != other.losses


def test_nothing_learns_from_judged_pictures_or_their_twins(material: pictures.Material) -> None:
    groups = material.features.groups
    assert not set(groups[material.judged]) & set(groups[material.order])
    few, many = (set(material.first(size).tolist()) for size in (3, 6))
    assert few < many, "more pictures are more of the same"


def test_shuffled_labels_are_not_learnt(material: pictures.Material) -> None:
    """A control: the same code must fail where there is nothing to be learnt."""
    y = np.random.default_rng(0).permutation(material.features.y)
    shuffled = replace(material, features=replace(material.features, y=y))
    assert learn.frozen(material, 6, seed=0)[0].accuracy > 0.8
    assert learn.frozen(shuffled, 6, seed=0)[0].accuracy < 0.6


# -- chapter 6 --------------------------------------------------------------------------------------------


def test_a_trained_network_forgets_and_a_frozen_one_does_not(written: walk.Tour) -> None:
    found = written.chapters["forgetting"]
    assert found.naive.before.accuracy > 0.8
    assert found.naive.after.accuracy < found.naive.before.accuracy - 0.3
    assert found.features_equal
    assert found.frozen.between == found.frozen.before, "A's rows of the head stay as they are"
    assert found.frozen.after.right >= found.frozen.before.right - found.called_b


def test_a_new_class_is_a_new_row_and_no_other_row_moves(material: pictures.Material) -> None:
    x, y = material.features.last(), material.features.y
    two = forgetting.means(x, y, material.first(4, (0, 1)))
    four = forgetting.means(x, y, material.first(4))
    assert np.array_equal(four[:2], two)
    np.testing.assert_allclose(np.linalg.norm(four, axis=1), 1, rtol=1e-6)


# -- the page ---------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """What a page asks for and holds."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_small_whole_and_asks_for_nothing(written: walk.Tour) -> None:
    text = written.page.read_text(encoding="utf-8")
    assert len(text.encode()) < 4_000_000
    assert [own.name for own in written.page.parent.iterdir()] == ["index.html"]
    reader = Reader()
    reader.feed(text)
    for tag, attributes in reader.tags:
        assert tag not in ("link", "iframe", "object") or attributes.get("href") == "data:,", tag
        for name in ("src", "href", "action"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:", "#")), address
        if tag == "img":
            assert attributes.get("alt"), "a picture without words"
        if tag == "svg" and attributes.get("aria-hidden") != "true":
            assert attributes.get("aria-label")
    assert "url(" not in text
    assert sum(tag == "section" for tag, _ in reader.tags) == 7
    ids = [own["id"] for _, own in reader.tags if own.get("id")]
    assert len(ids) == len(set(ids))
    assert not [tag for tag, _ in reader.tags if tag == "i"], "the name of a class became HTML"
    assert draw.text(HOSTILE) in text
    assert "Quick tour" in text


def test_every_number_of_the_page_is_in_the_document(written: walk.Tour) -> None:
    document = json.loads(json.dumps(written.to_json()))
    assert list(document["chapters"]) == [
        "convolution", "counting", "gradients", "freezing", "starts", "forgetting", "layers",
    ]  # fmt: skip
    text = written.page.read_text(encoding="utf-8")
    for run in document["chapters"]["starts"]["runs"]:
        assert draw.share(run["accuracy"]) in text
    after = document["chapters"]["forgetting"]["naive"]["after"]
    assert f"{after['right']} of {after['n']}" in text
    assert document["chapters"]["starts"]["runs"][0]["accuracy_ci95"][0] >= 0
    assert document["pictures"]["sizes"] == [3, 6]


def test_the_command_prints_one_document_and_never_writes_over_anything(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: walk.Tour
) -> None:
    monkeypatch.setattr(walk, "tour", lambda *_, **__: written)
    done = CliRunner().invoke(
        group, ["tour", "--json", "--out", str(tmp_path / "new"), "--data", str(folder)]
    )
    assert done.exit_code == 0
    assert json.loads(done.stdout)["page"] == str(written.page)
    monkeypatch.undo()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputExists):
        walk.tour(tmp_path, data=folder)
    assert [own.name for own in tmp_path.iterdir()] == ["mine.txt"]


def test_too_few_pictures_are_named(tmp_path: Path) -> None:
    make.folder(tmp_path / "one", {"blue": 6, "red": 2})
    with pytest.raises(TooFewExamples, match="'red' 2"):
        pictures.gather(tmp_path / "one", TINY)


def test_a_class_that_nothing_could_judge_is_named(tmp_path: Path) -> None:
    """One group is on one side of the split: with it its task would have no picture to judge by."""
    folder = make.folder(tmp_path / "four", dict.fromkeys([*make.TINTS][:3], 9))
    rows = []
    for at, file in enumerate(sorted(folder.rglob("*.*"))):
        label = file.parent.name
        rows.append(f"four/{file.relative_to(folder)},{label},{label if label == 'blue' else at}")
    listed = tmp_path / "table.csv"
    listed.write_text("path,label,group\n" + "\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(TooFewExamples, match="0 of one to judge with"):
        pictures.gather(listed, TINY)


def test_three_classes_have_no_second_task(tmp_path: Path) -> None:
    make.folder(tmp_path / "three", dict.fromkeys(make.TINTS, 9))
    three = pictures.gather(tmp_path / "three", TINY)
    assert forgetting.measured(three, TINY) is None
    assert "needs four classes" in forgetting.rendered(None).body


@pytest.mark.slow
def test_the_lines_of_every_chapter_run(
    written: walk.Tour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(section, "QUICK", replace(TINY, sizes=(5,)))
    text = written.page.read_text(encoding="utf-8")
    codes = re.findall(r"<pre><code>(.*?)</code></pre>", text, re.S)
    assert len(codes) == 7
    for code in codes:
        for escaped, plain in (
            ("&quot;", '"'),
            ("&#x27;", "'"),
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&amp;", "&"),
        ):
            code = code.replace(escaped, plain)
        exec(compile(code, "page", "exec"), {})  # noqa: S102  what the page tells a reader to run
        assert capsys.readouterr().out


# -- in a browser -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    required = os.environ.get("HEADSTART_BROWSER") == "required"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        if required:
            raise
        pytest.skip("no playwright is installed: pip install playwright")
    chromium = next(
        (at for at in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(at).exists()), None
    )
    if chromium is None and not required:
        pytest.skip("no chromium at /usr/bin: apt install chromium")
    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="chromium is looked for at /usr/bin")
def test_stepping_works_by_click_and_key_and_no_request_leaves(browser: Any, written: walk.Tour) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740}, reduced_motion="reduce")
    wrong, asked = [], []
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda one: asked.append(one.url))
    page.goto(written.page.resolve().as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, "wider than a phone"
    box, total = page.locator(".stepper"), page.locator(".stepper .sum b")
    assert "step 1 of 16" in box.inner_text()
    box.get_by_label("Next step").click()
    assert (total.inner_text(), page.locator(".count").inner_text()) == ("1.2", "step 2 of 16")
    box.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert total.inner_text() == "2.1"  # the cell where the published table differs
    assert page.locator(".stepper .in td.on").count() == 9
    assert page.locator(".stepper .out td.todo").count() == 11
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    assert page.locator(".count").inner_text() == "step 16 of 16"
    box.locator("select").select_option(value="3")
    assert total.inner_text() == "0.8"
    assert not page.locator(".stepper .kernel").is_visible()
    box.locator("select").blur()
    now = (
        "new Promise(done => setTimeout(() => done(document.querySelector('nav a[aria-current]').hash), 500))"
    )
    page.keyboard.press("3")
    assert page.evaluate(now) == "#gradients"
    page.keyboard.press("n")
    assert page.evaluate(now) == "#freezing"
    page.close()
    assert wrong == []
    assert [own for own in asked if not own.startswith(("file:", "data:"))] == []
