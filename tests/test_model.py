"""The model folder holds every bit, shows every damage, and answers the same by every way in."""

import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import make
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from headstart.engines import Engine, open_engine
from headstart.errors import DamagedModel, HeadstartError, Misuse, NoData, OutputError, OutputExists
from headstart.evaluate import judge
from headstart.features.extract import extract
from headstart.model import folder as model_folder
from headstart.model.folder import JSON, SPLIT, WEIGHTS, load, save
from headstart.model.model import Model
from headstart.recipe import train
from headstart.trust.unknown import told as told_of_unknown

FILES = {JSON, WEIGHTS, SPLIT, "README.md"}


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.getbasetemp() / "toys"
    place.mkdir(exist_ok=True)
    return place


@pytest.fixture(scope="session")
def album(base: Path) -> Path:
    return make.album(base)


@pytest.fixture(scope="session")
def parted(base: Path) -> Path:
    return make.parted(base)


@pytest.fixture(scope="session")
def album_folder(base: Path, album: Path) -> Path:
    return make.once(base / "album-model", lambda out: train(album, out=out, head="lda"))


@pytest.fixture(scope="session")
def album_model(album_folder: Path) -> Model:
    return load(album_folder)


@pytest.fixture(scope="session")
def parted_folder(base: Path, parted: Path) -> Path:
    return make.once(base / "parted-model", lambda out: train(parted, out=out, head="lda"))


@pytest.fixture
def copy(parted_folder: Path, tmp_path: Path) -> Path:
    """A model that may be spoilt."""
    return Path(shutil.copytree(parted_folder, tmp_path / "copy"))


@pytest.fixture(scope="session")
def engine(album_model: Model) -> Engine:
    return open_engine(album_model.backbone)


@pytest.fixture(scope="session")
def some(album: Path) -> list[Path]:
    return sorted(album.rglob("*.*"))[::40]


# -- every bit --------------------------------------------------------------------------------------------


def test_save_and_load_keep_every_bit(album_folder: Path, album_model: Model, tmp_path: Path) -> None:
    save(album_model, tmp_path / "again", replace=False)
    assert {file.name for file in (tmp_path / "again").iterdir()} == FILES
    assert {file.name for file in album_folder.iterdir()} == FILES | {"report.html", "suspects.csv"}
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (album_folder / name).read_bytes(), name


def test_a_moved_and_renamed_folder_answers_the_same(
    parted_folder: Path, copy: Path, some: list[Path], tmp_path: Path
) -> None:
    copy.rename(tmp_path / "other name")
    assert load(tmp_path / "other name").predict(some[:3]) == load(parted_folder).predict(some[:3])


def test_the_files_are_what_the_contract_says(album_folder: Path, album_model: Model) -> None:
    document = json.loads((album_folder / JSON).read_text(encoding="utf-8"))
    assert document["format"] == model_folder.FORMAT
    assert document["classes"] == list(album_model.classes)
    assert document["files"] == {
        name: hashlib.sha256((album_folder / name).read_bytes()).hexdigest() for name in (WEIGHTS, SPLIT)
    }
    lines = (album_folder / SPLIT).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "path,digest,label,group,part"
    assert len(lines) == 511
    card = (album_folder / "README.md").read_text(encoding="utf-8")
    assert f"{album_model.report['test']['accuracy']:.3f}" in card
    assert all(name in card for name in album_model.classes)


ODD = [
    b"new\nline.png", b"return\rhere.png", b"raw\xff.png", "line\u2028separator.png".encode(),
    b"feed\x0c.png", "next\u0085line.png".encode(), b'comma,"quote".png', "\U0001f98b.png".encode(),
    b"-dash.png", b" blank .png",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_any_file_name_survives(parted: Path, tmp_path: Path, name: bytes) -> None:
    shutil.copytree(parted, tmp_path / "data")
    place = bytes(tmp_path / "data" / "train" / "red") + b"/" + name
    try:
        with open(place, "wb") as file:  # noqa: PTH123  bytes
            make.picture((165, 105, 95), 5555).save(file, "PNG")
    except OSError:
        pytest.skip("this file system has no such names")
    made = train(tmp_path / "data", out=tmp_path / "m", head="prototypes")
    assert load(tmp_path / "m").manifest == made.manifest
    assert any(part.path.encode("utf-8", "surrogateescape").endswith(b"/" + name) for part in made.manifest)
    train(tmp_path / "data", out=tmp_path / "n", head="prototypes", split=tmp_path / "m" / SPLIT)


def test_odd_class_names_survive(tmp_path: Path) -> None:
    names = ['quote"comma,', "Ünïcode \U0001f98b", "a/b", "pipe|star*", "line\nbreak"]
    make.folder(tmp_path / "data", {f"{at}": 4 for at in range(len(names))}, jitter=60)
    rows = [
        (f"data/{at}/{n:04d}.{('png', 'jpg')[n % 2]}", name)
        for at, name in enumerate(names)
        for n in range(4)
    ]
    data = make.table(tmp_path / "t.csv", rows)
    made = train(data, out=tmp_path / "m", head="prototypes")
    assert load(tmp_path / "m").classes == made.classes == tuple(sorted(names))
    assert [part.label for part in load(tmp_path / "m").manifest] == [part.label for part in made.manifest]


def test_titles_and_links_travel(parted: Path, tmp_path: Path) -> None:
    shutil.copytree(parted, tmp_path / "data")
    make.table(
        tmp_path / "data" / "classes.csv", [("red", "Rotes", "https://example.org/r")], "name,title,url"
    )
    train(tmp_path / "data", out=tmp_path / "m", head="lda")
    model = load(tmp_path / "m")
    answers = {
        one.label: one.to_json() for one in model.predict(sorted((tmp_path / "data" / "test").rglob("*.*")))
    }
    assert answers["red"]["title"] == "Rotes"
    assert answers["red"]["url"] == "https://example.org/r"
    assert "title" not in answers["blue"]


# -- every damage -----------------------------------------------------------------------------------------


def change(folder: Path, how: Callable[[dict[str, Any]], object]) -> None:
    """Change model.json and sign it anew, as somebody who means it would."""
    document = json.loads((folder / JSON).read_text())
    how(document)
    document.pop("digest", None)
    document["digest"] = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    (folder / JSON).write_text(json.dumps(document))


def resign(folder: Path) -> None:
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (WEIGHTS, SPLIT)}
    change(folder, lambda document: document.update(files=digests))


@pytest.mark.parametrize("name", [WEIGHTS, SPLIT])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(DamagedModel, match=f"{name} cannot be read"):
        load(copy)


def test_no_model_there_is_misuse(tmp_path: Path, copy: Path) -> None:
    (copy / JSON).unlink()
    for place in (tmp_path / "nothing", tmp_path, copy, copy / WEIGHTS, Path("x" * 300)):
        with pytest.raises(Misuse, match="is not a model folder"):
            load(place)


@pytest.mark.parametrize("name", [JSON, WEIGHTS, SPLIT])
@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_an_error(copy: Path, name: str, share: float) -> None:
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: int(share * len(data))])
    with pytest.raises(DamagedModel, match=name):
        load(copy)


@pytest.mark.parametrize("name", [JSON, WEIGHTS, SPLIT])
def test_a_changed_byte_never_gives_another_answer(copy: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    data = (copy / name).read_bytes()
    before = load(copy)
    for at in rng.integers(0, len(data), 60):
        spoilt = bytearray(data)
        spoilt[at] ^= int(rng.integers(1, 256))
        (copy / name).write_bytes(spoilt)
        try:
            found = load(copy)
        except DamagedModel as error:
            assert str(copy) in str(error)  # noqa: PT017  several outcomes are right
        else:  # a blank of the JSON became another
            assert (found.report, found.manifest) == (before.report, before.manifest)
            assert name == JSON


def test_weights_of_another_model_are_refused(copy: Path, album_folder: Path) -> None:
    shutil.copy(album_folder / WEIGHTS, copy / WEIGHTS)
    with pytest.raises(DamagedModel, match=r"SHA-256 [0-9a-f]{64}, model\.json wants [0-9a-f]{64}"):
        load(copy)


def test_a_later_format_is_named(copy: Path) -> None:
    change(copy, lambda document: document.update(format=99))
    with pytest.raises(DamagedModel, match=r"format 99.*reads format 2"):
        load(copy)


SENSELESS: dict[str, Callable[[dict[str, Any]], object]] = {
    "unknown key": lambda d: d.update(more=1),
    "missing key": lambda d: d.pop("thresholds"),
    "fewer classes": lambda d: d.update(classes=d["classes"][:-1]),
    "classes of one name": lambda d: d.update(classes=["red"] * 3),
    "classes are text": lambda d: d.update(classes="red"),
    "classes are numbers": lambda d: d.update(classes=[1, 2, 3]),
    "files are a list": lambda d: d.update(files=[]),
    "files are none": lambda d: d.update(files={}),
    "head is a list": lambda d: d.update(head=[]),
    "head without place": lambda d: d.update(head={"name": "lda"}),
    "head unknown": lambda d: d["head"].update(name="nope"),
    "head from elsewhere": lambda d: d["head"].update(name="../evil"),
    "head of another kind": lambda d: d["head"].update(name="prototypes"),
    "start below nothing": lambda d: d["head"].update(
        start=-5, stop=d["head"]["stop"] - d["head"]["start"] - 5
    ),
    "start is text": lambda d: d["head"].update(start="0"),
    "backbone lacks a fact": lambda d: d["backbone"].pop("dim"),
    "backbone of another width": lambda d: d["backbone"].update(dim=7),
    "no backbone": lambda d: d.update(backbone=None),
    "temperature is text": lambda d: d["calibration"].update(temperature="warm"),
    "temperature is nothing": lambda d: d["calibration"].update(temperature=0),
    "temperature is no number": lambda d: d["calibration"].update(temperature=float("nan")),
    "no threshold": lambda d: d["thresholds"].update(unknown=None),
    "no method for the unknown": lambda d: d["thresholds"]["unknown"].update(method="guess"),
    "a method with arrays of another": lambda d: d["thresholds"]["unknown"].update(method="nearest"),
    "no variance": lambda d: d["thresholds"]["unknown"].update(variance={}),
    "variance is nothing": lambda d: d["thresholds"]["unknown"]["variance"].update(within=0.0),
    "half of the known are unknown": lambda d: d["thresholds"]["unknown"].update(false_rejection="half"),
    "one more key": lambda d: d["thresholds"]["unknown"].update(more=1),
    "tried is text": lambda d: d["thresholds"]["unknown"].update(tried="all"),
    "titles are a list": lambda d: d.update(infos=[1]),
    "no report": lambda d: d.update(report=None),
    "empty report": lambda d: d.update(report={}),
}


@pytest.mark.parametrize("what", SENSELESS)
def test_a_document_that_makes_no_sense_is_refused_when_loaded(copy: Path, what: str) -> None:
    change(copy, SENSELESS[what])
    with pytest.raises(DamagedModel, match=JSON):
        load(copy)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, '{"format": 1}', "\xff"])
def test_a_document_of_another_kind_is_refused(copy: Path, text: str) -> None:
    (copy / JSON).write_bytes(text.encode("latin-1"))
    with pytest.raises(DamagedModel, match=JSON):
        load(copy)


UNFIT: dict[str, Callable[[dict[str, Any]], object]] = {
    "no bias": lambda a: a.pop("head.bias"),
    "no mean": lambda a: a.pop("inputs.mean"),
    "short bias": lambda a: a.update({"head.bias": a["head.bias"][:-1]}),
    "weights lying down": lambda a: a.update({"head.weight": a["head.weight"].T.copy()}),
    "short scale": lambda a: a.update({"inputs.scale": a["inputs.scale"][1:]}),
    "one array more": lambda a: a.update({"head.extra": a["head.bias"]}),
    "sets of two dimensions": lambda a: a.update({"sets.scores": a["sets.scores"][None]}),
    "narrow references": lambda a: a.update({"unknown.references": a["unknown.references"][:, 1:]}),
    "references of others": lambda a: a.update({"unknown.rows": a["unknown.rows"] + 10**6}),
    "a reference lost": lambda a: a.update({"unknown.rows": a["unknown.rows"][1:]}),
    "disorder": lambda a: a.update({"unknown.scores": a["unknown.scores"][::-1].copy()}),
    "no slopes": lambda a: a.pop("unknown.within.slopes"),
    "narrow directions": lambda a: a.update(
        {"unknown.within.directions": a["unknown.within.directions"][1:]}
    ),
    "endless offsets": lambda a: a.update(
        {"unknown.within.offsets": a["unknown.within.offsets"] * np.float32("inf")}
    ),
    "a cloud more": lambda a: a.update({"unknown.overall.offsets": a["unknown.within.offsets"]}),
    "whole numbers": lambda a: a.update({"head.weight": a["head.weight"].astype(np.int32)}),
    "no numbers": lambda a: a.update({"head.weight": a["head.weight"] * np.float32("nan")}),
}


@pytest.mark.parametrize("what", UNFIT)
def test_arrays_that_do_not_fit_are_refused_when_loaded(copy: Path, what: str) -> None:
    arrays = load_file(copy / WEIGHTS)
    UNFIT[what](arrays)
    save_file(arrays, copy / WEIGHTS)
    resign(copy)
    with pytest.raises(DamagedModel):
        load(copy)


def test_a_pickle_is_not_read(copy: Path) -> None:
    (copy / WEIGHTS).write_bytes(b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.")
    resign(copy)
    with pytest.raises(DamagedModel, match=WEIGHTS):
        load(copy)


@pytest.mark.parametrize("text", ["", "path,label\n", "path,digest,label,group,part\na,b\n", "\xff"])
def test_a_manifest_of_another_kind_is_refused(copy: Path, text: str) -> None:
    (copy / SPLIT).write_bytes(text.encode("latin-1"))
    resign(copy)
    with pytest.raises(DamagedModel):
        load(copy)


# -- whole or not at all ----------------------------------------------------------------------------------


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("after", range(4))
def test_a_full_disk_leaves_what_was_there(
    album_model: Model, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool, after: int
) -> None:
    target = copy if replace else tmp_path / "new"
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    written = []
    own = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if "w" in mode or "x" in mode:
            written.append(self)
            if len(written) > after:
                raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return own(self, mode, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(OutputError, match="No space left"):
            save(album_model, target, replace=replace)
    assert len(written) == after + 1
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert {entry.name for entry in tmp_path.iterdir()} == {"copy"}


def test_what_is_there_is_not_overwritten(album_model: Model, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (copy, tmp_path / "file"):
        with pytest.raises(OutputExists):
            save(album_model, place, replace=False)
    assert load(copy).head.name == "lda"


def test_a_folder_inside_a_file_is_an_error(album_model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="A file stands where a folder is needed"):
        save(album_model, tmp_path / "file" / "m", replace=False)


# -- evaluate ---------------------------------------------------------------------------------------------


def test_evaluate_on_the_training_folder_gives_what_train_printed(
    album: Path, album_model: Model, tmp_path: Path
) -> None:
    found = album_model.evaluate(album)
    assert found["test"] == json.loads(json.dumps(album_model.report["test"]))
    assert found["data"]["test"] == found["data"]["used"] == 102
    assert any(one["kind"] == "leak" and "408" in one["message"] for one in found["data"]["findings"])
    moved = shutil.copytree(album, tmp_path / "moved", copy_function=shutil.copyfile)
    for at, file in enumerate(sorted(Path(moved).rglob("*.*"))):
        file.rename(file.with_name(f"renamed {510 - at}"))
    again = album_model.evaluate(moved)["test"]  # in another order, so the sums may differ in the last digit
    assert again["confusion"] == found["test"]["confusion"]
    assert again["accuracy_ci95"] == pytest.approx(found["test"]["accuracy_ci95"], abs=1e-12)


def test_evaluate_on_given_parts_gives_what_train_printed(parted: Path, parted_folder: Path) -> None:
    model = load(parted_folder)
    for place in (parted, parted / "test"):
        assert model.evaluate(place)["test"] == model.report["test"]


def test_evaluate_judges_the_test_part_where_a_table_gave_val_too(parted: Path, tmp_path: Path) -> None:
    """What was held out for validation is not the test."""
    files = sorted((parted / "train").rglob("*.*"))
    flat = make.table(tmp_path / "flat.csv", [(file, file.parent.name) for file in files])
    rows = [(file, ("train", "train", "val", "test")[at % 4]) for at, file in enumerate(files)]
    model = train(
        flat, out=tmp_path / "m", head="lda", split=make.table(tmp_path / "s.csv", rows, "path,part")
    )
    assert model.report["test"]["n"] == model.report["val"]["n"] == 9
    assert model.evaluate(flat)["test"] == model.report["test"]


def test_nothing_left_to_judge_is_said(parted: Path, parted_folder: Path) -> None:
    with pytest.raises(NoData, match="trained on every picture"):
        load(parted_folder).evaluate(parted / "train")


def test_classes_go_by_name(album_model: Model, tmp_path: Path) -> None:
    make.folder(tmp_path / "data", {"violet": 3, "green": 12, "red": 12}, first=300, jitter=30)
    found = album_model.evaluate(tmp_path / "data")
    assert found["classes"] == ["blue", "green", "red"]
    assert [one["n"] for one in found["test"]["per_class"].values()] == [0, 12, 12]
    assert found["test"]["accuracy"] > 0.6
    assert [one["path"] for one in found["data"]["findings"] if one["kind"] == "ignored"] == ["violet"]
    make.folder(tmp_path / "strange", {"violet": 3})
    with pytest.raises(NoData, match="none of the model's classes: blue, green, red"):
        album_model.evaluate(tmp_path / "strange")


def test_swapped_names_are_wrong_answers(album_model: Model, tmp_path: Path) -> None:
    """The negative control of the one above."""
    right = make.folder(tmp_path / "right", {"green": 12, "red": 12}, first=300, jitter=30)
    (right / "red").rename(right / "x")
    (right / "green").rename(right / "red")
    (right / "x").rename(right / "green")
    assert album_model.evaluate(right)["test"]["accuracy"] < 0.4


def test_unreadable_files_are_named_and_left_out(album_model: Model, tmp_path: Path) -> None:
    make.folder(tmp_path / "data", {"green": 6, "red": 6}, first=300, jitter=30)
    plain = album_model.evaluate(tmp_path / "data")
    (tmp_path / "data" / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    found = album_model.evaluate(tmp_path / "data")
    assert found["test"] == plain["test"]
    assert [one["path"] for one in found["data"]["findings"]] == ["red/broken.jpg"]


def test_only_unreadable_files_say_so(album_model: Model, tmp_path: Path) -> None:
    (tmp_path / "data" / "red").mkdir(parents=True)
    (tmp_path / "data" / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(NoData, match=r"none of the \d+ files can be read.*broken\.jpg"):
        album_model.evaluate(tmp_path / "data")


def test_the_document_has_the_keys_of_the_contract(parted: Path, parted_folder: Path) -> None:
    found = load(parted_folder).evaluate(parted)
    json.dumps(found, allow_nan=False)
    wanted = {
        "model",
        "classes",
        "data",
        "backbone",
        "head",
        "tune",
        "test",
        "seconds",
        "images_per_second",
        "version",
    }
    assert found.keys() >= wanted
    assert found["data"].keys() == {"files", "used", "train", "val", "test", "findings"}


# -- predict ----------------------------------------------------------------------------------------------


def test_one_file_a_list_and_evaluate_agree_to_the_last_bit(
    album_model: Model, engine: Engine, some: list[Path]
) -> None:
    together = album_model.predict(some)
    alone = [album_model.predict(str(file))[0] for file in some]
    backwards = album_model.predict(reversed(some))[::-1]
    assert together == alone == backwards
    read = extract(some, album_model.backbone, engine)
    answers = album_model.answer(read.x)
    assert [list(one.probabilities.values()) for one in together] == answers.probabilities.tolist()
    assert [one.unknown_score for one in together] == answers.unknown_score.tolist()
    assert [one.unknown for one in together] == list(answers.unknown)


def test_evaluate_judges_the_answers_of_predict(album_model: Model, album: Path) -> None:
    tested = sorted((part.path, part.label) for part in album_model.manifest if part.part == "test")
    answers = album_model.predict([album / path for path, _ in tested])
    probabilities = np.array([list(one.probabilities.values()) for one in answers])
    truth = np.array([album_model.classes.index(label) for _, label in tested])
    found = judge(truth, probabilities, album_model.classes).to_json()
    printed = album_model.report["test"]
    assert {key: found[key] for key in ("accuracy", "nll", "brier", "ece", "confusion")} == {
        key: printed[key] for key in ("accuracy", "nll", "brier", "ece", "confusion")
    }


def test_the_order_is_kept_and_the_unreadable_are_named(
    album_model: Model, some: list[Path], tmp_path: Path
) -> None:
    asked = [some[0], tmp_path / "absent.jpg", some[1], tmp_path, some[0]]
    found = album_model.predict(asked)
    assert [one.path for one in found] == [str(path) for path in asked]
    assert [one.error is None for one in found] == [True, False, True, False, True]
    assert found[1].to_json().keys() == {"path", "error"}
    assert found[0].to_json().keys() == {
        "path", "label", "probability", "probabilities", "unknown", "unknown_score", "set",
    }  # fmt: skip
    assert album_model.predict([]) == []


def test_probabilities_are_some(album_model: Model, some: list[Path]) -> None:
    for one in album_model.predict(some):
        assert sum(one.probabilities.values()) == pytest.approx(1)
        assert one.probability == max(one.probabilities.values()) == one.probabilities[one.label]
        assert one.label in one.set
        assert list(one.set) == sorted(one.set, key=lambda name: -one.probabilities[name])
        assert one.unknown == (one.unknown_score > 1)
        assert one.nearest is None


def test_sets_hold_the_truth_as_often_as_asked(album_model: Model, album: Path, engine: Engine) -> None:
    tested = [part for part in album_model.manifest if part.part == "test"]
    read = extract([album / part.path for part in tested], album_model.backbone, engine)
    probabilities = album_model.answer(read.x).probabilities
    sizes = []
    for coverage in (0.5, 0.9, 1.0):
        sets = album_model.sets(probabilities, coverage)
        held = np.mean([part.label in one for part, one in zip(tested, sets, strict=True)])
        assert held >= coverage - 0.1
        sizes.append(np.mean([len(one) for one in sets]))
    assert sizes[0] <= sizes[1] <= sizes[2] == 3
    for wrong in (0, -1, 1.5, float("nan")):
        with pytest.raises(Misuse):
            album_model.predict([album / tested[0].path], coverage=wrong)


def test_strangers_are_stranger(album_model: Model, album: Path, tmp_path: Path) -> None:
    known = [album / part.path for part in album_model.manifest if part.part == "test"][::3]
    strange = []
    for number in range(8):
        grid = np.indices((64, 64)).sum(0)[..., None] // (number + 2) % 2 * np.array([255, 0, 30 * number])
        Image.fromarray(grid.astype(np.uint8)).save(tmp_path / f"{number}.png")
        strange.append(tmp_path / f"{number}.png")
    found = album_model.predict(known)
    assert np.mean([one.unknown for one in found]) < 0.15
    assert np.mean([one.unknown for one in album_model.predict(strange)]) > 0.7
    learnt = [album / part.path for part in album_model.manifest if part.part == "train"][:20]
    answers = [album_model.predict(learnt), found, album_model.predict(strange)]
    means = [np.mean([one.unknown_score for one in ones]) for ones in answers]
    assert means[0] < means[1] < means[2]


def test_the_report_is_told_how_often_known_pictures_were_unknown(
    album_model: Model, album: Path, engine: Engine
) -> None:
    tested = [album / part.path for part in album_model.manifest if part.part == "test"]
    x = extract(tested, album_model.backbone, engine).x
    found = told_of_unknown(album_model, x, np.arange(len(x)))
    answers = album_model.predict(tested)
    assert found["n"] == len(tested)
    assert found["rejected"] == pytest.approx(np.mean([one.unknown for one in answers]), abs=1e-4)
    assert found["rejected"] < 0.15
    assert [one["method"] for one in found["tried"]] == [one.method for one in album_model.familiar.tried]
    low, high = found["rejected_ci95"]
    assert low <= found["rejected"] <= high
    assert found["false_rejection"] == album_model.report["unknown_false_rejection"]
    json.dumps(found, allow_nan=False)
    nobody = told_of_unknown(album_model, x[:0], np.zeros(0, np.int64))
    assert (nobody["rejected"], nobody["n"]) == (None, 0)  # the pictures behind the threshold prove nothing


def test_the_nearest_training_pictures_are_named(album_model: Model, album: Path, some: list[Path]) -> None:
    learnt = [part for part in album_model.manifest if part.part == "train"]
    asked = [album / part.path for part in learnt[:3]] + some[:3]
    found = album_model.predict(asked, nearest=4)
    plain = album_model.predict(asked)
    for part, one in zip(learnt, found[:3], strict=False):
        assert one.nearest is not None
        assert (one.nearest[0].path, one.nearest[0].label) == (part.path, part.label)
        assert one.nearest[0].distance == pytest.approx(0, abs=1e-3)
    known = {(part.path, part.label) for part in learnt}
    for one, without in zip(found, plain, strict=True):
        assert one.nearest is not None
        assert len(one.nearest) == 4
        assert {(like.path, like.label) for like in one.nearest} <= known
        assert [like.distance for like in one.nearest] == sorted(like.distance for like in one.nearest)
        assert replace(one, nearest=None) == without
        assert one.to_json()["nearest"] == [like.to_json() for like in one.nearest]
        assert one.to_json()["nearest"][0].keys() == {"path", "label", "distance"}
    everything = album_model.predict(asked[:1], nearest=10**6)[0].nearest
    assert everything is not None
    assert len(everything) == len(learnt)
    with pytest.raises(Misuse, match="nearest must be 0 or more"):
        album_model.predict(asked, nearest=-1)


def test_an_error_is_one_of_ours(copy: Path) -> None:
    (copy / JSON).write_text("{")
    with pytest.raises(HeadstartError) as caught:
        load(copy)
    assert caught.value.exit_code == 1
    assert isinstance(caught.value, ValueError)
