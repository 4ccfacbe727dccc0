"""Laws of `headstart.data.scan`: from what the user points at to labelled files."""

import json
import os
import socket
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.scan import Scan, scan
from headstart.data.walk import SHOWN, Notes, walk
from headstart.errors import MissingExtra, Misuse, NoData
from headstart.values import ClassInfo, Finding

DATA = Path(os.environ.get("HEADSTART_DATA", Path(__file__).parents[2] / "shared" / "data"))
links = pytest.mark.skipif(sys.platform == "win32", reason="symbolic links and special files need a Unix")


def touch(root: Path, *paths: str) -> None:
    """Empty files: scanning does not decode, so the suffix is enough."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def labelled(found: Scan) -> list[tuple[str, str, str]]:
    """(path, class, part) of every example."""
    examples = found.examples
    names = [examples.classes[label] for label in examples.labels]
    return list(zip(examples.paths, names, examples.parts, strict=True))


def findings(found: Scan, kind: str) -> dict[str, Finding]:
    """The findings of one kind, by path."""
    return {one.path: one for one in found.findings if one.kind == kind}


def table(folder: Path, text: str, name: str = "table.csv", *, encoding: str = "utf-8") -> Path:
    file = folder / name
    file.write_text(text, encoding=encoding)
    return file


# --------------------------------------------------------------------------------------------- class folders


def test_class_folders(tmp_path: Path) -> None:
    touch(tmp_path, "bees/2.jpg", "bees/1.PNG", "ants/deep/deeper/x.webp", "ants/y.tiff")
    found = scan(tmp_path)
    assert labelled(found) == [
        ("ants/deep/deeper/x.webp", "ants", ""),
        ("ants/y.tiff", "ants", ""),
        ("bees/1.PNG", "bees", ""),
        ("bees/2.jpg", "bees", ""),
    ]
    assert found.examples.classes == ("ants", "bees")
    assert found.examples.root == tmp_path
    assert found.examples.digests == found.examples.groups == ("",) * 4
    assert found.examples.labels.dtype == np.int64
    assert (found.files, found.findings) == (4, ())
    assert all(file.is_file() for file in found.examples.files())


def test_what_is_no_picture_is_left_out_and_said(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "a/.ipynb_checkpoints/1.jpg", "a/.DS_Store", "__MACOSX/a/1.jpg")
    touch(tmp_path, "b/Thumbs.db", "b/desktop.ini", "b/notes.txt", "stray.jpg", "README.md")
    found = scan(tmp_path)
    assert [path for path, _, _ in labelled(found)] == ["a/1.jpg", "b/1.jpg"]
    ignored = findings(found, "ignored")
    assert set(ignored) == {
        "a/.ipynb_checkpoints", "a/.DS_Store", "__MACOSX", "b/Thumbs.db", "b/desktop.ini", "b/notes.txt",
        "stray.jpg", "README.md",
    }  # fmt: skip
    assert {one.severity for one in ignored.values()} == {"note"}
    assert len(ignored) == len(found.findings)
    assert ignored["b/notes.txt"].message == "not a picture"
    assert "no label" in ignored["stray.jpg"].message
    assert found.files == 3  # the stray picture was seen


def test_many_of_one_sort_are_told_once_with_their_number(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg", *(f"a/{i:03d}.txt" for i in range(SHOWN + 1)))
    touch(tmp_path, *(f"b/{i:03d}.txt" for i in range(SHOWN)))
    found = scan(tmp_path)
    by_folder = Counter(one.path.partition("/")[0] for one in found.findings)
    assert by_folder == {"a": 1, "b": SHOWN}
    (told,) = (one for one in found.findings if one.path == "a")
    assert told.message.startswith(f"{SHOWN + 1} files that are not pictures, the first: a/000.txt")
    assert told.others == tuple(f"a/{i:03d}.txt" for i in range(SHOWN + 1))


def test_content_decides_for_files_without_a_pictures_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "b/1.jpg", "a/broken.jpg")
    Image.new("RGB", (4, 4)).save(tmp_path / "a" / "photo", "PNG")
    Image.new("RGB", (4, 4)).save(tmp_path / "a" / "photo.txt", "JPEG")
    (tmp_path / "a" / "text").write_text("no picture")
    found = scan(tmp_path)
    assert [path for path, name, _ in labelled(found) if name == "a"] == [
        "a/broken.jpg",
        "a/photo",
        "a/photo.txt",
    ]
    assert set(findings(found, "ignored")) == {"a/text"}


def test_an_empty_class_is_left_out_with_a_warning(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "c/.hidden.jpg")
    (tmp_path / "d").mkdir()
    found = scan(tmp_path)
    assert found.examples.classes == ("a", "b")
    assert {path: one.severity for path, one in findings(found, "tiny-class").items()} == {
        "c": "warning",
        "d": "warning",
    }


def test_the_order_does_not_depend_on_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, *(f"{name}/{i}.jpg" for name in ("z", "ä", "B", "a") for i in (10, 9, 1)))
    plain = labelled(scan(tmp_path))
    scandir = os.scandir

    class Backwards:
        def __init__(self, path: str) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Backwards)
    assert labelled(scan(tmp_path)) == plain
    assert [path for path, _, _ in plain] == sorted(path for path, _, _ in plain)


def test_a_walk_gives_each_folders_files_by_path(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a/z.jpg", "a/b/c.jpg", "c/d.jpg")
    notes = Notes()
    assert walk(tmp_path, [""], notes, set()) == {"": ["a/b/c.jpg", "a/z.jpg", "b.jpg", "c/d.jpg"]}
    assert walk(tmp_path, ["a", "c"], notes, set()) == {"a": ["a/b/c.jpg", "a/z.jpg"], "c": ["c/d.jpg"]}
    assert notes.findings() == ()


def test_one_class_is_a_scan_like_any_other(tmp_path: Path) -> None:
    touch(tmp_path, "only/1.jpg", "only/more/2.jpg")
    assert scan(tmp_path).examples.classes == ("only",)


# --------------------------------------------------------------------------- names and odd entries


def test_names_that_differ_by_unicode_composition_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD"))
    touch(tmp_path, f"{composed}/1.jpg", f"{decomposed}/2.jpg", "犬/1.jpg")
    found = scan(tmp_path)
    assert found.examples.classes == ("Käfer", "犬")
    assert Counter(name for _, name, _ in labelled(found)) == {"Käfer": 2, "犬": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are not Unicode")
def test_names_that_are_not_unicode_harm_nothing(tmp_path: Path) -> None:
    os.makedirs(os.fsencode(tmp_path) + b"/caf\xe9")  # noqa: PTH103
    for name in (b"/caf\xe9/\xff.jpg", b"/caf\xe9/\xfe.txt"):
        with open(os.fsencode(tmp_path) + name, "wb"):  # noqa: PTH123
            pass
    touch(tmp_path, "b/1.jpg")
    found = scan(tmp_path)
    assert all(file.is_file() for file in found.examples.files())
    told = json.dumps(
        [one.to_json() for one in found.findings] + list(found.examples.classes), ensure_ascii=False
    )
    told.encode("utf-8")
    assert len(findings(found, "ignored")) == 1


@links
def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    touch(
        tmp_path, "data/a/1.jpg", "data/a/deep/2.jpg", "data/b/3.jpg", "elsewhere/c/4.jpg", "elsewhere/5.jpg"
    )
    data = tmp_path / "data"
    (data / "a" / "loop").symlink_to(data)
    (data / "a" / "deep" / "up").symlink_to("..")
    (data / "c").symlink_to(tmp_path / "elsewhere" / "c")
    (data / "b" / "5.jpg").symlink_to(tmp_path / "elsewhere" / "5.jpg")
    found = scan(data)
    assert [path for path, _, _ in labelled(found)] == [
        "a/1.jpg", "a/deep/2.jpg", "b/3.jpg", "b/5.jpg", "c/4.jpg",
    ]  # fmt: skip
    assert set(findings(found, "ignored")) == {"a/loop", "a/deep/up"}


@links
def test_the_direct_way_to_a_folder_counts(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "z/deep/2.jpg", "z/3.jpg")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "z" / "deep")
    found = scan(tmp_path)
    assert labelled(found) == [("a/1.jpg", "a", ""), ("z/3.jpg", "z", ""), ("z/deep/2.jpg", "z", "")]
    assert set(findings(found, "ignored")) == {"a/link"}


@links
def test_broken_links_are_told_and_special_files_never_opened(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "a" / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "a" / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(tmp_path / "b" / "pipe.jpg")  # opening it would wait for ever
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(tmp_path / "b")  # the path of a socket must be short
        try:
            made.bind("socket.jpg")
        finally:
            os.chdir(here)
    found = scan(tmp_path)
    assert {one.message for one in findings(found, "corrupt").values()} == {"broken link"}
    assert {one.severity for one in findings(found, "corrupt").values()} == {"error"}
    assert set(findings(found, "corrupt")) == {"a/gone.jpg", "a/self.jpg"}
    assert set(findings(found, "ignored")) == {"b/pipe.jpg", "b/socket.jpg"}
    assert len(found.examples) == 2


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/1.jpg", "a/locked/2.jpg", "b/3.jpg")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # as root, permissions would not hold
    found = scan(tmp_path)
    assert len(found.examples) == 2
    assert findings(found, "corrupt")["a/locked"].message == "cannot read this folder: Permission denied"


# ----------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ("train val test", {"train": "train", "val": "val", "test": "test"}),
        ("train val", {"train": "train", "val": "test"}),
        ("train valid", {"train": "train", "valid": "test"}),
        ("train validation", {"train": "train", "validation": "test"}),
        ("train test", {"train": "train", "test": "test"}),
        ("Train VALID Test", {"Train": "train", "VALID": "val", "Test": "test"}),
        ("train", {"train": ""}),
    ],
)
def test_parts(tmp_path: Path, folders: str, expected: dict[str, str]) -> None:
    for folder in folders.split():
        touch(tmp_path, f"{folder}/bees/1.jpg", f"{folder}/ants/deep/2.jpg")
    found = scan(tmp_path)
    assert {path.partition("/")[0]: part for path, _, part in labelled(found)} == expected
    assert found.examples.classes == ("ants", "bees")
    assert all(path.split("/")[1] == name for path, name, _ in labelled(found))


def test_folders_named_as_parts_that_hold_pictures_are_classes(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "test/2.jpg", "plane/3.jpg")
    assert scan(tmp_path).examples.classes == ("plane", "test", "train")


def test_a_class_named_train_may_hold_folders_beside_its_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "train/old/2.jpg", "plane/3.jpg")
    assert Counter(name for _, name, _ in labelled(scan(tmp_path))) == {"train": 2, "plane": 1}


def test_train_with_folders_beside_a_folder_of_pictures_could_be_either(tmp_path: Path) -> None:
    touch(tmp_path, "train/ants/1.jpg", "plane/3.jpg")
    with pytest.raises(Misuse, match="part or a class"):
        scan(tmp_path)


def test_what_lies_beside_the_parts_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "train/stray.jpg", "test/3.jpg", "docs/notes.txt")
    found = scan(tmp_path)
    assert set(findings(found, "ignored")) == {"train/stray.jpg", "test", "docs"}
    assert "no class folders" in findings(found, "ignored")["test"].message
    assert {part for _, _, part in labelled(found)} == {""}  # no test is left: train is divided later


def test_a_class_that_training_does_not_have_is_left_out_with_a_warning(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg", "test/new/4.jpg", "test/new/5.jpg")
    (tmp_path / "train" / "new").mkdir()
    found = scan(tmp_path)
    assert found.examples.classes == ("a", "b")
    assert [path for path, _, _ in labelled(found)] == ["test/a/3.jpg", "train/a/1.jpg", "train/b/2.jpg"]
    warned = findings(found, "tiny-class")
    assert set(warned) == {"new", "train/new"}
    assert warned["new"].message == "2 pictures left out: the training part has none of this class"
    assert found.files == 5


def test_two_folders_for_one_part(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "val/a/2.jpg", "validation/a/3.jpg")
    with pytest.raises(Misuse, match="more than one folder for the part val: val, validation"):
        scan(tmp_path)


# --------------------------------------------------------------------------------------------------- nothing


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NoData, match=r"there is nothing at .*nowhere.* understands"):
        scan(tmp_path / "nowhere")
    with pytest.raises(NoData, match="neither folders nor pictures"):
        scan(tmp_path)


def test_pictures_without_class_folders(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", "2.jpg")
    with pytest.raises(NoData, match="2 pictures and no class folders"):
        scan(tmp_path)


def test_class_folders_without_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.txt", "b/2.wav")
    with pytest.raises(NoData, match=r"no pictures in the class folders.*a/1.txt: not a picture"):
        scan(tmp_path)


def test_a_training_part_without_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.txt", "test/a/1.jpg")
    with pytest.raises(NoData, match=r"no pictures in the class folders .*\(train/a\)"):
        scan(tmp_path)


def test_one_level_too_high_gives_the_way_down(tmp_path: Path) -> None:
    touch(tmp_path, "photos/ants/1.jpg", "photos/bees/2.jpg")
    with pytest.raises(NoData, match=r"one level deeper: .*photos"):
        scan(tmp_path)


def test_parts_without_train(tmp_path: Path) -> None:
    touch(tmp_path, "test/ants/1.jpg", "val/bees/2.jpg")
    with pytest.raises(NoData, match="no train"):
        scan(tmp_path)


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg")
    with pytest.raises(NoData, match="neither a folder nor a table"):
        scan(tmp_path / "1.jpg")


# ----------------------------------------------------------------------------------------------- classes.csv


def test_classes_are_described(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    table(tmp_path, "title,name,url\nAnts,a,https://example.org/a\nWasps,w,\n", "classes.csv")
    found = scan(tmp_path)
    assert found.examples.infos == (("a", ClassInfo("Ants", "https://example.org/a")),)
    assert [one.message for one in found.findings] == ["describes the class 'w', which has no pictures"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,title\na,Ants\n", "columns name,title,url; it has 'name', 'title'"),
        ("", "it has no header"),
        ("name,title,url\na,Ants\n", "row 2 has 2 fields"),
        ("name,title,url\na,x,y\na,x,y\n", "row 3 describes the class 'a' a second time"),
    ],
)
def test_wrong_descriptions_are_misuse(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    table(tmp_path, text, "classes.csv")
    with pytest.raises(Misuse, match=message):
        scan(tmp_path)


# ---------------------------------------------------------------------------------------------------- tables


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    touch(tmp_path, "a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg", "ä ö.jpg")
    return tmp_path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table(pictures: Path, encoding: str) -> None:
    absolute = (pictures / "b" / "4.jpg").as_posix()
    text = f'label,path\n01,b/3.jpg\n1,./a/1.jpg\n" Käfer",ä ö.jpg\n"a, b",{absolute}\n\n'
    found = scan(table(pictures, text, encoding=encoding))
    assert sorted(labelled(found)) == sorted(
        [("b/3.jpg", "01", ""), ("a/1.jpg", "1", ""), ("ä ö.jpg", "Käfer", ""), (absolute, "a, b", "")]
    )
    assert found.examples.classes == ("01", "1", "Käfer", "a, b")
    assert found.examples.root == pictures
    assert all(file.is_file() for file in found.examples.files())
    assert (found.files, found.findings) == (4, ())


def test_labels_that_differ_by_unicode_composition_are_one_class(pictures: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD"))
    found = scan(table(pictures, f"path,label\na/1.jpg,{composed}\na/2.jpg,{decomposed}\n"))
    assert found.examples.classes == ("Käfer",)


def test_groups_stay_with_their_rows(pictures: Path) -> None:
    found = scan(table(pictures, "group,path,label\np1,b/3.jpg,y\n,a/1.jpg,x\np1 ,a/2.jpg,x\n"))
    assert dict(zip(found.examples.paths, found.examples.groups, strict=True)) == {
        "a/1.jpg": "",
        "a/2.jpg": "p1",
        "b/3.jpg": "p1",
    }


def test_the_order_of_rows_and_columns_does_not_matter(pictures: Path) -> None:
    rows = ["a/1.jpg,x,g1", "b/3.jpg,y,g2", "a/2.jpg,x,"]
    one = scan(table(pictures, "path,label,group\n" + "\n".join(rows)))
    other = scan(table(pictures, "path,label,group\n" + "\n".join(reversed(rows))))
    assert labelled(one) == labelled(other)
    assert one.examples.groups == other.examples.groups == ("g1", "", "g2")


def test_tabs_separate_a_tsv(pictures: Path) -> None:
    found = scan(table(pictures, "path\tlabel\na/1.jpg\tx, y\nb/3.jpg\tz\n", "t.tsv"))
    assert found.examples.classes == ("x, y", "z")


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ("train val test", "train val test"),
        ("train Valid TEST", "train val test"),
        ("train validation train", "train test train"),
        ("train test test", "train test test"),
        ("train train train", ""),
        ("test test test", "test test test"),
        (",", ""),
    ],
)
def test_splits(pictures: Path, splits: str, expected: str) -> None:
    given = ["", "", ""] if splits == "," else splits.split()
    rows = zip(("a/1.jpg", "a/2.jpg", "b/3.jpg"), given, strict=True)
    text = "path,label,split\n" + "".join(f"{path},x,{split}\n" for path, split in rows)
    assert list(scan(table(pictures, text)).examples.parts) == (expected.split() or ["", "", ""])


def test_a_class_only_in_the_test_rows_is_left_out(pictures: Path) -> None:
    text = "path,label,split\na/1.jpg,x,train\nb/3.jpg,y,train\na/2.jpg,x,test\nb/4.jpg,z,test\n"
    found = scan(table(pictures, text))
    assert found.examples.classes == ("x", "y")
    assert len(found.examples) == 3
    assert list(findings(found, "tiny-class")) == ["z"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na/1.jpg,x\n", "no column path. Wanted: path,label.* Found: 'file', 'label'"),
        ("file;class\n", "no column path and no column label"),
        ("", "Found: no header"),
        ("path,label,label\na/1.jpg,x,y\n", "the column label 2 times"),
        ("path,label,split\na/1.jpg,x,train\na/2.jpg,x,holdout\n", "row 3 has the split 'holdout'"),
        ("path,label,split\na/1.jpg,x,train\na/2.jpg,x,\n", "given in row 2 and empty in row 3"),
    ],
)
def test_a_wrong_table_is_misuse(pictures: Path, text: str, message: str) -> None:
    with pytest.raises(Misuse, match=message):
        scan(table(pictures, text))


def test_a_table_that_is_not_utf8_is_misuse(pictures: Path) -> None:
    for encoding in ("latin-1", "utf-16"):
        with pytest.raises(Misuse, match="is not UTF-8"):
            scan(table(pictures, "path,label\nä ö.jpg,x\n", encoding=encoding))


def test_rows_that_lack_something_are_left_out_and_said(pictures: Path) -> None:
    text = "path,label,note\na/1.jpg,x\n,x\na/2.jpg, \ngone.jpg,x\na,x\nb/3.jpg,y,z,more\nb/4.jpg,y,\n"
    found = scan(table(pictures, text))
    assert [path for path, _, _ in labelled(found)] == ["a/1.jpg", "b/4.jpg"]
    assert found.files == 7
    assert sorted(one.message for one in found.findings if one.kind == "corrupt") == [
        "file not found (row 5)",
        "file not found (row 6)",
        "row 3 has no path",
        "row 4 has no label",
        "row 7 has 4 fields, the header 3: a separator needs quotes",
    ]
    assert findings(found, "ignored")["table.csv"].message == "the column 'note' is not used"


def test_many_missing_files_are_told_once(pictures: Path) -> None:
    rows = "".join(f"gone/{i}.jpg,x\n" for i in range(SHOWN + 5))
    found = scan(table(pictures, f"path,label\na/1.jpg,x\nb/3.jpg,y\n{rows}"))
    (told,) = found.findings
    assert (told.kind, told.path, told.severity) == ("corrupt", "table.csv", "error")
    assert told.message.startswith(
        f"{SHOWN + 5} rows whose file was not found, the first: gone/0.jpg, gone/1"
    )


def test_a_repeated_row_counts_once_and_two_labels_are_a_conflict(pictures: Path) -> None:
    found = scan(table(pictures, "path,label\na/1.jpg,x\na/1.jpg,x\nb/3.jpg,y\nb/3.jpg,x\n./a/1.jpg,x\n"))
    assert labelled(found) == [("a/1.jpg", "x", ""), ("b/3.jpg", "x", ""), ("b/3.jpg", "y", "")]
    assert [(one.kind, one.severity, one.message) for one in found.findings] == [
        ("duplicate", "note", "row 3 repeats row 2"),
        ("duplicate", "note", "row 6 repeats row 2"),
        ("label-conflict", "warning", "labelled 'y' and, in row 5, 'x'"),
    ]


def test_a_row_in_two_parts_stays_in_both(pictures: Path) -> None:
    text = "path,label,split\na/1.jpg,x,train\na/1.jpg,x,test\nb/3.jpg,y,train\n"
    assert list(scan(table(pictures, text)).examples.parts) == ["test", "train", "train"]


def test_a_table_without_usable_rows(pictures: Path) -> None:
    with pytest.raises(NoData, match=r"none of the 1 rows .* gone.jpg: file not found"):
        scan(table(pictures, "path,label\ngone.jpg,x\n"))
    with pytest.raises(NoData, match="none of the 0 rows"):
        scan(table(pictures, "path,label\n"))


def test_classes_beside_a_table_are_described(pictures: Path) -> None:
    table(pictures, "name,title,url\nx,Ex,u\n", "classes.csv")
    found = scan(table(pictures, "path,label\na/1.jpg,x\nb/3.jpg,y\n"))
    assert found.examples.infos == (("x", ClassInfo("Ex", "u")),)


def test_parquet_gives_what_the_same_csv_gives(pictures: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "size": pa.array([[1], [2], [3], [4]]),
        "label": pa.array([1, 1, 7, None], pa.int16()),
        "path": pa.array(["a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"]).dictionary_encode(),
        "group": ["p", None, "q", "q"],
    }
    parquet.write_table(pa.table(columns), pictures / "t.parquet")
    text = "size,label,path,group\n,1,a/1.jpg,p\n,1,a/2.jpg,\n,7,b/3.jpg,q\n,,b/4.jpg,q\n"
    one, other = scan(pictures / "t.parquet"), scan(table(pictures, text))
    assert labelled(one) == labelled(other)
    assert one.examples.groups == other.examples.groups
    assert (
        [one.kind for one in one.findings] == [one.kind for one in other.findings] == ["corrupt", "ignored"]
    )


def test_a_broken_parquet_file_is_misuse(pictures: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(Misuse, match="cannot be read as Parquet"):
        scan(table(pictures, "no parquet", "t.parquet"))


def test_parquet_without_pyarrow_says_what_to_install(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"headstart\[tables\]"):
        scan(table(pictures, "", "t.parquet"))


@pytest.mark.slow
def test_a_million_rows_take_seconds(pictures: Path) -> None:
    rows = "".join(
        f"gone/{i}.jpg,{i % 7}\n" if i % 2 else f"a/{i % 4 // 2 + 1}.jpg,x\n" for i in range(1_000_000)
    )
    file = table(pictures, f"path,label\n{rows}")
    start = os.times()
    found = scan(file)
    took = os.times()
    assert found.files == 1_000_000
    assert len(found.examples) == 2
    assert len(found.findings) == 2
    assert took.user + took.system - start.user - start.system < 30


# ------------------------------------------------------------------------------------ real folders


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "classes", "train", "test"),
    [
        ("hymenoptera", 2, 245, 153),  # with the GIF of the original
        ("flowers12", 12, 720, 240),
        ("alien_predator", 2, 694, 200),
        ("caltech101_small", 101, 808, 505),
        ("cifar10_small", 10, 2000, 1000),
    ],
)
def test_real_folders(name: str, classes: int, train: int, test: int) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"{DATA / name} is not there")
    found = scan(DATA / name)
    assert len(found.examples.classes) == classes
    assert Counter(found.examples.parts) == {"train": train, "test": test}
    assert found.findings == ()
