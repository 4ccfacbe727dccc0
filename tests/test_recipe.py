"""The whole road: the same data give the same bits, and the score is what unseen pictures would give."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import make
import numpy as np
import pytest
from PIL import Image

from headstart import look, recipe
from headstart.errors import Misuse, NoData, OutputExists, TooFewExamples, UnknownName
from headstart.model.folder import load
from headstart.model.model import Model
from headstart.recipe import train

WEIGHTS, SPLIT = "weights.safetensors", "split.csv"


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.getbasetemp() / "toys"
    place.mkdir(exist_ok=True)
    return place


@pytest.fixture(scope="session")
def photos(base: Path) -> Path:
    return make.photos(base)


@pytest.fixture(scope="session")
def album(base: Path) -> Path:
    return make.album(base)


@pytest.fixture(scope="session")
def parted(base: Path) -> Path:
    return make.parted(base)


@pytest.fixture(scope="session")
def photos_model(base: Path, photos: Path) -> Model:
    make.once(base / "photos-model", lambda out: train(photos, out=out, head="lda"))
    return load(base / "photos-model")


@pytest.fixture(scope="session")
def album_model(base: Path, album: Path) -> Model:
    make.once(base / "album-model", lambda out: train(album, out=out, head="lda"))
    return load(base / "album-model")


def parts(model: Model) -> dict[str, str]:
    return {part.path: part.part for part in model.manifest}


def bits(folder: Path) -> bytes:
    return (folder / WEIGHTS).read_bytes()


# -- the same bits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["auto", "lda"])
def test_same_pictures_same_bits_wherever_they_lie(
    photos: Path, parted: Path, tmp_path: Path, head: str
) -> None:
    data = parted if head == "auto" else photos
    first = train(data, out=tmp_path / "one", head=head)
    shutil.copytree(data, tmp_path / "deep" / "moved", copy_function=shutil.copyfile)
    again = train(tmp_path / "deep" / "moved", out=tmp_path / "two", head=head)
    assert again.report["encoded"] == 0
    assert again.report["images_per_second"] == 0
    assert bits(tmp_path / "one") == bits(tmp_path / "two")
    assert (tmp_path / "one" / SPLIT).read_bytes() == (tmp_path / "two" / SPLIT).read_bytes()
    for name in ("test", "cv", "choice", "head", "classes"):
        assert first.report[name] == again.report[name]


def test_the_model_that_comes_back_is_the_one_on_the_disk(parted: Path, tmp_path: Path) -> None:
    made, read = train(parted, out=tmp_path / "m", head="lda"), load(tmp_path / "m")
    assert json.loads(json.dumps(made.report)) == read.report
    assert made.manifest == read.manifest
    file = parted / "test" / "red" / "0012.png"
    assert made.predict(file) == read.predict(file)


def test_another_seed_deals_other_parts(album: Path, album_model: Model, tmp_path: Path) -> None:
    other = train(album, out=tmp_path / "other", head="lda", seed=1)
    mine, others = ({path for path, part in parts(m).items() if part == "test"} for m in (album_model, other))
    assert mine != others
    assert len(mine & others) < len(mine) / 2
    assert len(mine) == len(others)


def test_unreadable_files_are_named_and_change_nothing(parted: Path, tmp_path: Path) -> None:
    shutil.copytree(parted, tmp_path / "mixed")
    (tmp_path / "mixed" / "train" / "red" / "0003a.jpg").write_bytes(
        b"\xff\xd8\xff\xe0 not much of a picture"
    )
    (tmp_path / "mixed" / "train" / "blue" / "empty.png").write_bytes(b"")
    (tmp_path / "mixed" / "train" / "blue" / "notes.txt").write_text("no picture")
    plain = train(parted, out=tmp_path / "plain", head="lda")
    mixed = train(tmp_path / "mixed", out=tmp_path / "out", head="lda")
    assert bits(tmp_path / "plain") == bits(tmp_path / "out")
    assert mixed.report["test"] == plain.report["test"]
    named = {(one["kind"], one["path"], one["severity"]) for one in mixed.report["data"]["findings"]}
    assert ("corrupt", "train/red/0003a.jpg", "error") in named
    assert ("corrupt", "train/blue/empty.png", "error") in named
    assert {"files": 56, "used": 54}.items() <= mixed.report["data"].items()


# -- parts ------------------------------------------------------------------------------------------------


def test_few_pictures_are_cross_validated_and_all_of_them_learnt_from(photos_model: Model) -> None:
    report = photos_model.report
    assert report["test"] is None
    assert report["split"] == "cross-validation"
    assert report["cv"]["n"] == 72
    assert set(parts(photos_model).values()) == {"train"}
    assert 0.6 < report["cv"]["accuracy"] < 1


def test_many_pictures_give_a_fifth_to_the_test(album_model: Model) -> None:
    report = album_model.report
    assert report["cv"] is None
    assert report["split"] == "dealt"
    found = Counter((part.label, part.part) for part in album_model.manifest)
    assert found == {(name, part): n for name in make.TINTS for part, n in (("train", 136), ("test", 34))}
    assert report["test"]["n"] == report["data"]["test"] == 102
    assert 0.6 < report["test"]["accuracy"] < 1


def test_from_five_hundred_on_there_is_a_test_part(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recipe.ENOUGH == 500
    for enough, kind in ((73, "cross-validation"), (72, "dealt")):
        monkeypatch.setattr(recipe, "ENOUGH", enough)
        assert train(photos, out=tmp_path / kind, head="prototypes").report["split"] == kind


def test_parts_of_the_user_are_kept(album: Path, tmp_path: Path) -> None:
    for part, numbers in (("train", range(12)), ("val", range(12, 16)), ("test", range(16, 24))):
        for name in make.TINTS:
            (tmp_path / "own" / part / name).mkdir(parents=True)
            for number in numbers:
                (file,) = (album / name).glob(f"{number:04d}.*")
                shutil.copy(file, tmp_path / "own" / part / name)
    model = train(tmp_path / "own", out=tmp_path / "m", head="lda")
    assert all(path.startswith(part) for path, part in parts(model).items())
    assert {"train": 36, "val": 12, "test": 24}.items() <= model.report["data"].items()
    assert model.report["split"] == "given"
    assert model.report["val"]["n"] == 12
    assert model.report["test"]["n"] == 24


def test_a_test_part_from_elsewhere_goes_by_names(photos: Path, tmp_path: Path) -> None:
    """The classes there are fewer, one is unknown, and so their positions differ."""
    make.folder(tmp_path / "other", {"violet": 2, "green": 9, "red": 9}, first=40, jitter=30)
    model = train(photos, out=tmp_path / "m", test=tmp_path / "other", head="lda")
    assert model.classes == ("blue", "green", "red")
    assert [one["n"] for one in model.report["test"]["per_class"].values()] == [0, 9, 9]
    assert model.report["test"]["accuracy"] > 0.6
    assert model.report["data"]["train"] == 72
    assert any(one["path"] == "violet" for one in model.report["data"]["findings"])
    make.folder(tmp_path / "strange", {"violet": 2})
    with pytest.raises(NoData, match="none of the classes"):
        train(photos, out=tmp_path / "n", test=tmp_path / "strange")


def test_a_table_of_parts_gives_the_same_model_again(base: Path, album: Path, tmp_path: Path) -> None:
    first = load(base / "album-model")
    again = train(album, out=tmp_path / "again", head="lda", split=base / "album-model" / SPLIT)
    assert parts(again) == parts(first)
    assert again.report["test"] == first.report["test"]
    assert bits(tmp_path / "again") == bits(base / "album-model")
    assert again.report["split"] == "given"


def test_twins_never_straddle(album: Path, tmp_path: Path) -> None:
    """A third of the pictures once more, recompressed, under other names."""
    shutil.copytree(album, tmp_path / "twins")
    for name in make.TINTS:
        for file in sorted((album / name).iterdir())[:56]:
            with Image.open(file) as image:
                image.save(tmp_path / "twins" / name / f"{file.stem}-copy.jpg", quality=60)
    model = train(tmp_path / "twins", out=tmp_path / "m", head="prototypes")
    found = {part.path.removesuffix(".png").removesuffix(".jpg"): part for part in model.manifest}
    pairs = [(one, found[f"{name}-copy"]) for name, one in found.items() if f"{name}-copy" in found]
    assert len(pairs) == 168
    joined = [one.group == other.group for one, other in pairs]
    assert np.mean(joined) > 0.95
    assert all(one.part == other.part for one, other in pairs if one.group == other.group)
    assert model.report["leaked"] == 0
    apart = Counter(part.group for part in model.manifest)
    assert max(apart.values()) < 10  # the copies were found, and not everything was called a copy


def test_groups_of_the_user_never_straddle(album: Path, tmp_path: Path) -> None:
    files = sorted(album.rglob("*.*"))
    rows = [(file, file.parent.name, f"patient {int(file.stem) // 5}") for file in files]
    model = train(
        make.table(tmp_path / "t.csv", rows, "path,label,group"), out=tmp_path / "m", head="prototypes"
    )
    of_patient: dict[int, set[str]] = {}
    for part in model.manifest:
        of_patient.setdefault(int(Path(part.path).stem) // 5, set()).add(part.part)
    assert {len(found) for found in of_patient.values()} == {1}
    assert {part.part for part in model.manifest} == {"train", "test"}


# -- honesty ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [72, 510])
def test_shuffled_labels_give_chance(photos: Path, album: Path, tmp_path: Path, count: int) -> None:
    files = sorted((photos if count == 72 else album).rglob("*.*"))
    labels = np.random.default_rng(0).permutation([file.parent.name for file in files])
    data = make.table(tmp_path / "shuffled.csv", zip(files, labels, strict=True))
    report = train(data, out=tmp_path / "m").report
    score = report["test"] or report["cv"]
    assert 0.15 < score["accuracy"] < 0.52
    assert score["nll"] < 1.3  # log 3 is 1.1: it does not claim to know either


def test_leaks_are_counted_and_taken_out(photos: Path, tmp_path: Path) -> None:
    test = make.folder(tmp_path / "test", dict.fromkeys(make.TINTS, 8), first=60, jitter=30)
    clean = train(photos, out=tmp_path / "clean", test=test, head="lda").report
    for name in make.TINTS:
        for number in (1, 3, 5):
            shutil.copy(photos / name / f"{number:04d}.jpg", test / name)
    report = train(photos, out=tmp_path / "m", test=test, head="lda").report
    assert clean["leaked"] == 0
    assert clean["test_without_leaks"] is None
    assert report["leaked"] == 9
    assert report["test"]["n"] == 33
    assert report["test_without_leaks"] == clean["test"]
    honest = f"{clean['test']['accuracy']:.3f}"
    assert f"9 have a twin in training, without them {honest} on 24" in load(tmp_path / "m").summary()
    assert f"**{honest}**" in (tmp_path / "m" / "README.md").read_text()
    assert "twin" not in load(tmp_path / "clean").summary()


def test_a_test_part_of_leaks_alone_is_no_test(photos: Path, tmp_path: Path) -> None:
    model = train(photos, out=tmp_path / "m", test=photos, head="lda")
    assert model.report["leaked"] == model.report["data"]["test"] == 72
    assert model.report["test_without_leaks"] is None
    assert "72 have a twin in training, as all of them have" in model.summary()
    assert "every test picture has a twin" in (tmp_path / "m" / "README.md").read_text()
    trust = model.report["trust"]
    assert trust["abstain"][0]["accuracy"] == pytest.approx(model.report["choice"]["trials"][0]["accuracy"])
    assert trust["unknown"]["n"] == 0
    page = (tmp_path / "m" / "report.html").read_text("utf-8")
    assert "Every test picture has a twin in the training part. Instead, these are training pictures" in page


def test_a_class_without_a_readable_picture_is_no_class(parted: Path, tmp_path: Path) -> None:
    shutil.copytree(parted, tmp_path / "data")
    (tmp_path / "data" / "train" / "amber").mkdir()
    (tmp_path / "data" / "train" / "amber" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    model = train(tmp_path / "data", out=tmp_path / "m", head="lda")
    assert model.classes == ("blue", "green", "red")
    assert any(one["path"] == "amber" for one in model.report["data"]["findings"])


def test_one_judged_class_is_no_judgement(tmp_path: Path) -> None:
    """A single picture cannot be held out, and right on all the others is what a constant answer gets."""
    make.folder(tmp_path / "data", {"red": 1, "blue": 12})
    with pytest.raises(TooFewExamples):
        train(tmp_path / "data", out=tmp_path / "m", head="lda")


# -- the document -----------------------------------------------------------------------------------------

KEYS = {
    "model", "classes", "data", "backbone", "head", "tune", "test", "cv", "seconds", "images_per_second",
    "version",
}  # fmt: skip
SCORE = {
    "n", "accuracy", "accuracy_ci95", "macro_f1", "nll", "ece", "brier", "per_class", "confusion",
}  # fmt: skip


@pytest.mark.parametrize("name", ["photos_model", "album_model"])
def test_the_document_has_the_keys_of_the_contract(name: str, request: pytest.FixtureRequest) -> None:
    report = request.getfixturevalue(name).report
    json.dumps(report, allow_nan=False)
    assert report.keys() >= KEYS
    assert report["data"].keys() == {"files", "used", "train", "val", "test", "findings"}
    assert report["seconds"].keys() >= {"scan", "extract", "head", "tune", "evaluate", "total"}
    score = report["test"] or report["cv"]
    assert score.keys() == SCORE
    assert list(score["per_class"]) == report["classes"]
    low, high = score["accuracy_ci95"]
    assert 0 <= low <= score["accuracy"] <= high <= 1
    assert np.sum(score["confusion"]) == pytest.approx(score["n"], abs=1)
    assert sum(one["n"] for one in score["per_class"].values()) == score["n"]
    assert all(
        one.keys() == {"precision", "recall", "recall_ci95", "f1", "n"} for one in score["per_class"].values()
    )
    assert report["seconds"]["total"] >= report["seconds"]["head"] >= 0


def test_progress_ends_at_the_number_of_files(parted: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    train(
        parted, out=tmp_path / "m", head="prototypes", on_step=lambda done, total: steps.append((done, total))
    )
    assert steps == [(done, 54) for done in range(1, 55)]


def test_check_says_what_train_would(photos: Path) -> None:
    seen = look.look(photos)
    assert seen.to_json()["data"].items() >= {"files": 72, "used": 72}.items()
    assert len(seen.features) == len(seen.examples) == 72


# -- the place of the model -------------------------------------------------------------------------------


def test_the_default_place_bears_the_name_of_the_data(
    photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = make.table(tmp_path / "list.v2.csv", [])
    monkeypatch.chdir(photos)
    for data, name in ((photos, "photos-model"), (Path(), "photos-model"), (table, "list.v2-model")):
        assert recipe.default_out(data) == Path(name)


def test_what_stands_there_is_not_overwritten(parted: Path, tmp_path: Path) -> None:
    train(parted, out=tmp_path / "m", head="lda")
    before = bits(tmp_path / "m")
    with pytest.raises(OutputExists, match="not empty"):
        train(parted, out=tmp_path / "m", head="prototypes")
    assert bits(tmp_path / "m") == before
    train(parted, out=tmp_path / "m", head="prototypes", force=True)
    assert load(tmp_path / "m").head.name == "prototypes"


def test_force_replaces_models_only(parted: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputExists, match="not a model folder"):
        train(parted, out=precious, force=True)
    assert (precious / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", ["data", "test", "split", "thesis"])
def test_force_never_takes_away_what_is_not_the_models(parted: Path, tmp_path: Path, name: str) -> None:
    """People put things into folders, also into those of models."""
    out = tmp_path / "m"
    train(parted, out=out, head="prototypes")
    options: dict[str, Path] = {}
    if name in ("data", "test"):
        shutil.copytree(parted, out / "pictures")
        options = {"test": out / "pictures" / "test"} if name == "test" else {}
    elif name == "split":
        shutil.copy(out / SPLIT, out / "mine.csv")
        options = {"split": out / "mine.csv"}
    else:
        (out / "thesis.txt").write_text("years of work")
    data = {"data": out / "pictures", "test": parted / "train"}.get(name, parted)
    files = {file for file in out.rglob("*") if file.name in ("thesis.txt", "mine.csv") or file.parent != out}
    with pytest.raises(OutputExists):
        train(data, out=out, head="lda", force=True, **options)
    assert all(file.exists() for file in files)


def test_the_same_command_again_gives_the_same_model(parted: Path, tmp_path: Path) -> None:
    train(parted, out=tmp_path / "m", head="lda")
    stamp = (tmp_path / "m" / "model.json").stat().st_mtime_ns
    again = train(parted, out=tmp_path / "m", head="lda")
    assert (tmp_path / "m" / "model.json").stat().st_mtime_ns == stamp
    assert again.report["head"] == "lda"


@pytest.mark.parametrize("change", ["group", "split", "repaired", "title", "absent split file"])
def test_a_command_whose_answer_would_differ_is_not_taken_for_the_same(
    parted: Path, tmp_path: Path, change: str
) -> None:
    """What stands there is another model's: to answer with it would be wrong."""
    files = sorted(parted.rglob("*.*"))
    odd = tmp_path / "odd.png"
    odd.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    rows = [[file, file.parent.name, "", file.parts[-3]] for file in files] + [[odd, "red", "", "train"]]
    header, options = "path,label,group,split", {}
    data = make.table(tmp_path / "t.csv", rows, header)
    train(data, out=tmp_path / "m", head="prototypes")
    if change == "group":
        make.table(data, [[*row[:2], f"g{at % 9}", row[3]] for at, row in enumerate(rows)], header)
    elif change == "split":
        make.table(
            data, [[*row[:3], "test" if at % 4 == 0 else "train"] for at, row in enumerate(rows)], header
        )
    elif change == "repaired":
        make.picture((160, 100, 90), 999).save(odd)
    elif change == "title":
        make.table(tmp_path / "classes.csv", [("red", "Red", "https://example.org")], "name,title,url")
    else:
        options = {"split": tmp_path / "nowhere.csv"}
    with pytest.raises(Misuse):
        train(data, out=tmp_path / "m", head="prototypes", **options)


def test_the_data_may_not_be_the_place(parted: Path, tmp_path: Path) -> None:
    shutil.copytree(parted, tmp_path / "data")
    for force in (False, True):
        with pytest.raises(OutputExists):
            train(tmp_path / "data", out=tmp_path / "data", force=force)
    assert len(list((tmp_path / "data").rglob("*.*"))) == 54


def test_through_a_link_the_model_lands_where_it_points(parted: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    train(parted, out=tmp_path / "link", head="prototypes")
    assert (tmp_path / "link").is_symlink()
    assert load(tmp_path / "disk").classes == load(tmp_path / "link").classes


# -- wrong use --------------------------------------------------------------------------------------------


def test_one_class_is_refused(tmp_path: Path) -> None:
    make.folder(tmp_path / "one", {"red": 5})
    with pytest.raises(TooFewExamples, match="at least two classes"):
        train(tmp_path / "one", out=tmp_path / "m")


def test_a_picture_per_class_is_refused(tmp_path: Path) -> None:
    make.folder(tmp_path / "few", {"red": 1, "green": 1, "blue": 1})
    with pytest.raises(TooFewExamples, match="Add pictures"):
        train(tmp_path / "few", out=tmp_path / "m")


def test_copies_of_one_picture_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(5):
            make.picture((0, 0, 0), 1).save(tmp_path / "data" / name / f"{number}.png")
    with pytest.raises(TooFewExamples):
        train(tmp_path / "data", out=tmp_path / "m")


@pytest.mark.parametrize("side", [1, 60])
def test_black_pictures_are_learnt_without_complaint(tmp_path: Path, side: int) -> None:
    for name, more in (("a", 0), ("b", 20)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (side + number + more, side)).save(tmp_path / "data" / name / f"{number}.png")
    report = train(tmp_path / "data", out=tmp_path / "m").report
    assert report["cv"]["accuracy"] <= 0.75
    assert report["cv"]["nll"] < 1.5


def test_only_unreadable_files_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "x.jpg").write_bytes(b"\xff\xd8\xff" + name.encode())
    with pytest.raises(NoData, match=r"none of the 2 files can be read.*a/x\.jpg"):
        train(tmp_path / "data", out=tmp_path / "m")


def test_a_table_of_parts_without_training_pictures_is_refused(
    album: Path, base: Path, tmp_path: Path
) -> None:
    with (base / "album-model" / SPLIT).open(newline="") as lines:
        rows = [(row["digest"], "test") for row in csv.DictReader(lines)]
    split = make.table(tmp_path / "s.csv", rows, "digest,part")
    with pytest.raises(TooFewExamples):
        train(album, out=tmp_path / "m", split=split)


@pytest.mark.parametrize("option", ["head", "backbone", "device", "split", "test"])
def test_a_wrong_name_is_said_before_any_picture_is_encoded(tmp_path: Path, option: str) -> None:
    make.folder(tmp_path / "data", {"red": 2, "green": 2}, first=7000)
    steps: list[int] = []
    options: dict[str, str] = {option: str(tmp_path / "nowhere")}
    with pytest.raises(Misuse):
        train(tmp_path / "data", out=tmp_path / "m", on_step=lambda done, _: steps.append(done), **options)
    assert steps == []
    assert not (tmp_path / "m").exists()


def test_a_name_with_a_typo_is_explained(parted: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'logistic'"):
        train(parted, out=tmp_path / "m", head="logstic")


@pytest.mark.slow
def test_hundreds_of_classes_of_two(tmp_path: Path) -> None:
    make.folder(tmp_path / "data", {f"class {number:04d}": 2 for number in range(300)}, jitter=60)
    report = train(tmp_path / "data", out=tmp_path / "m").report
    assert report["cv"]["n"] > 550
