"""The studio without a browser: names, archives, undoing, kills, two tabs, and who may talk to it."""

import errno
import io
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import webbrowser
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import make
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from headstart.errors import MissingExtra, Misuse, OutputError
from headstart.studio import folders, intake, journal, names, projects, refused, server, unzip
from headstart.studio.app import ASSETS, Studio, create
from headstart.studio.guard import Guard
from headstart.studio.projects import Sent
from headstart.studio.refused import Refused

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "src" / "headstart" / "studio" / "assets"


def picture_bytes(number: int = 0, tint: str = "red") -> bytes:
    out = io.BytesIO()
    make.picture(make.TINTS[tint], number, side=40).save(out, "PNG")
    return out.getvalue()


def tree(root: Path) -> dict[str, bytes]:
    """Every file and empty folder that the user can see, with its bytes."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if any(part[0] == "." for part in name.split("/")):
            continue
        if path.is_file():
            found[name] = path.read_bytes()
        elif path.is_dir():
            found[name + "/"] = b""
    return found


def contents(root: Path) -> list[bytes]:
    """The bytes of every picture below `root`, hidden places too."""
    return sorted(path.read_bytes() for path in root.rglob("*.png"))


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    root = tmp_path / "root"
    root.mkdir()
    found = Studio(root, None)
    yield found
    found.close()


def filled(studio: Studio, name: str = "fruit") -> Path:
    """A project with two classes of three pictures."""
    studio.projects.create(name)
    for label, tint in (("ripe", "red"), ("raw", "green")):
        studio.projects.add_class(name, label)
        for number in range(3):
            put(studio, name, label, f"{number}.png", picture_bytes(number, tint))
    return studio.projects.root / name


def put(
    studio: Studio, project: str, label: str, name: str, data: bytes, sent: Sent = projects.UNNAMED
) -> str:
    place = studio.projects.incoming(project)
    (place / "0").write_bytes(data)
    (made,) = studio.projects.add(project, [(place / "0", label, name)], sent)
    return made


# -- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "name-empty"), ("   ", "name-empty"), ("a/b", "name-signs"), ("a\\b", "name-signs"),
        ("C:", "name-signs"), ("a\0b", "name-signs"), ("a\nb", "name-signs"), ("\u202egnp", "name-signs"),
        ("..", "name-dot"), (".hidden", "name-dot"), ("dot.", "name-dot"), ("CON", "name-reserved"),
        ("nul.txt", "name-reserved"), ("Com1", "name-reserved"), ("lpt\u00b2", "name-reserved"),
        ("Thumbs.db", "name-reserved"), ("__MACOSX", "name-reserved"), ("x" * 121, "name-long"),
        ("ä" * 61, "name-long"), ("a\ud800", "name-signs"),
    ],
)  # fmt: skip
def test_a_name_that_no_folder_should_have_is_refused(name: str, code: str) -> None:
    with pytest.raises(Refused) as error:
        names.checked(name)
    assert error.value.code == code
    assert str(error.value)


LATER = (
    "\u05e9\u05dc\u05d5\u05dd\u200f",
    "\u061cabc\u200e",
    "a \U0001fae8",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
)  # fmt: skip  marks of direction, a sign of a later Unicode than this Python's may be, the flag of England


@pytest.mark.parametrize(
    "name", ["\u202eabc", "a\u2066b", "a\ue000b", "a\ufffe", "a\ufdd0", "\U0010ffff", "a\u200b"]
)
def test_signs_that_hide_or_turn_a_name_are_refused(name: str) -> None:
    with pytest.raises(Refused) as error:
        names.checked(name)
    assert error.value.code == "name-signs"


def test_names_of_all_scripts_are_taken_and_composed() -> None:
    for name in ("ripe", "Äpfel und Birnen", "苹果", "सेब", "cats & dogs", "100 %", "a.b", "می‌خواهم", *LATER):
        assert names.checked(name) == name
    assert names.checked(" A\u0308pfel ") == "Äpfel"


@given(st.text(max_size=300))
def test_a_cleaned_name_is_one_that_is_taken(name: str) -> None:
    clean = names.cleaned(name, "class")
    assert names.checked(clean) == clean


@given(st.text(max_size=300))
def test_the_name_of_a_picture_is_one_part_and_says_picture(name: str) -> None:
    found = names.of_picture(name, "PNG")
    assert names.parts_of(found) == [found]
    assert len(found.encode()) < 140
    assert intake.has_picture_suffix(found)


def test_free_names_count_before_the_suffix() -> None:
    taken = {"a.jpg", "a (2).jpg"}
    assert names.free("a.jpg", taken.__contains__) == "a (3).jpg"
    assert names.free("b.jpg", taken.__contains__) == "b.jpg"


# -- archives ----------------------------------------------------------------------------------------------


def zipped(place: Path, entries: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    file = place / "in.zip"
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file


def unpacked(archive: Path, tmp_path: Path, **limits: int) -> tuple[dict[str, bytes], dict[str, int]]:
    place = tmp_path / "out"
    place.mkdir()
    found, skipped = unzip.unzip(archive, place, **({"most": 100, "limit_bytes": 1 << 20} | limits))
    assert {path.name for path in place.iterdir()} == {one.file.name for one in found}, (
        "nothing else is written"
    )
    return {one.path: one.file.read_bytes() for one in found}, skipped


def test_pictures_of_an_archive_come_out_as_they_went_in(tmp_path: Path) -> None:
    held = {f"pets/cats/{n}.png": picture_bytes(n) for n in range(3)}
    assert unpacked(zipped(tmp_path, held | {"pets/read.me": b"hi"}), tmp_path) == (held, {"no picture": 1})


def test_names_that_lead_elsewhere_are_passed_over(tmp_path: Path) -> None:
    tricks = [
        "../up.png",
        "a/../../up.png",
        "/root.png",
        "C:/win.png",
        "..\\up.png",
        "a\\..\\..\\up.png",
        "c:\\x.png",
    ]
    hidden = [".ssh/key.png", "__MACOSX/x.png", "a/.b.png"]
    archive = zipped(tmp_path, dict.fromkeys([*tricks, *hidden], picture_bytes()) | {"ok/a.png": b"1"})
    found, skipped = unpacked(archive, tmp_path)
    assert list(found) == ["ok/a.png"]
    assert skipped == {"path": len(tricks), "hidden": len(hidden)}
    assert not list(tmp_path.parent.glob("up.png"))


def test_links_and_archives_in_archives_are_passed_over(tmp_path: Path) -> None:
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as out:
        link = zipfile.ZipInfo("passwd.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(link, "/etc/passwd")
        device = zipfile.ZipInfo("zero.png")
        device.external_attr = (stat.S_IFCHR | 0o666) << 16
        out.writestr(device, b"")
        out.writestr("inner.zip", b"PK")
    assert unpacked(archive, tmp_path) == ({}, {"link": 2, "zip in zip": 1})


def test_a_bomb_is_refused_before_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unzip, "FREE", 1 << 20)
    archive = zipped(tmp_path, {f"{n}.png": bytes(1 << 20) for n in range(12)})
    (tmp_path / "out").mkdir()
    with pytest.raises(Refused) as error:
        unzip.unzip(archive, tmp_path / "out", most=100, limit_bytes=1 << 30)
    assert error.value.code == "zip-bomb"
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) < 3 << 20


def test_what_comes_out_counts_and_not_what_is_promised(tmp_path: Path) -> None:
    archive = zipped(tmp_path, {"a.png": b"x" * 5000}, zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (10).to_bytes(4, "little")  # a lie about the size
    archive.write_bytes(data)
    place = tmp_path / "out"
    place.mkdir()
    with pytest.raises(Refused) as error:
        unzip.unzip(archive, place, most=10, limit_bytes=1 << 20)
    assert error.value.code == "zip-damaged"


def test_too_many_and_too_large(tmp_path: Path) -> None:
    archive = zipped(tmp_path, {f"{n}.png": b"x" * (n + 1) for n in range(5)})
    found, skipped = unpacked(archive, tmp_path, limit_bytes=3)
    assert len(found) == 3
    assert skipped == {"large": 2}
    (tmp_path / "more").mkdir()
    with pytest.raises(Refused, match="more than 4"):
        unzip.unzip(archive, tmp_path / "more", most=4, limit_bytes=100)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not really", b"\x1f\x8b gzip"])
def test_what_is_no_archive_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "in.zip").write_bytes(data)
    with pytest.raises(Refused) as error:
        unzip.unzip(tmp_path / "in.zip", tmp_path, most=1, limit_bytes=1)
    assert error.value.code == "zip-damaged"


@pytest.mark.parametrize(
    "how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED]
)
def test_a_damaged_member_is_damage_however_it_was_packed(how: int, tmp_path: Path) -> None:
    archive = zipped(tmp_path, {"a.png": bytes(range(256)) * 40}, how)
    data = bytearray(archive.read_bytes())
    at = 30 + len("a.png")
    for place in range(at + 9, min(at + 60, data.index(b"PK\x01\x02"))):
        data[place] ^= 0x5A
    archive.write_bytes(data)
    (tmp_path / "out").mkdir()
    with pytest.raises(Refused) as error:
        unzip.unzip(archive, tmp_path / "out", most=10, limit_bytes=1 << 20)
    assert error.value.code == "zip-damaged"


def test_a_list_of_files_that_is_too_long_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped(tmp_path, {f"{n}.png": b"x" for n in range(200)})
    monkeypatch.setattr(unzip, "LISTING", 5_000)
    monkeypatch.setattr(zipfile, "ZipInfo", None)  # none is made
    with pytest.raises(Refused) as error:
        unzip.unzip(archive, tmp_path, most=1_000, limit_bytes=1 << 20)
    assert (error.value.code, error.value.status) == ("zip-entries", 413)
    assert "100,000" in str(error.value)


def test_names_with_spaces_and_joiners_of_all_kinds_are_good(tmp_path: Path) -> None:
    good = ["shot 9.41\u202fAM.png", "a\u00a0b.png", "می\u200cخو.png", "\U0001f469\u200d\U0001f373.png"]
    bad = ["a\x07b.png", "a\u2028b.png"]
    found, skipped = unpacked(zipped(tmp_path, dict.fromkeys([*good, *bad], picture_bytes())), tmp_path)
    assert list(found) == good
    assert skipped == {"path": len(bad)}


def test_a_locked_archive_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path, {"a.png": b"secret"})
    data = bytearray(archive.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    archive.write_bytes(data)
    (tmp_path / "out").mkdir()
    with pytest.raises(Refused) as error:
        unzip.unzip(archive, tmp_path / "out", most=1, limit_bytes=1)
    assert error.value.code == "zip-odd"


def test_an_archive_becomes_classes_in_one_step_that_can_be_undone(studio: Studio, tmp_path: Path) -> None:
    studio.projects.create("pets")
    held = {f"pets/{label}/12:{n}.png": picture_bytes(n) for label in ("cats", "a:b") for n in range(2)}
    held |= {"pets/fake/not.png": b"text", "loose.png": picture_bytes(9)}
    added, skipped = intake.from_zip(studio.projects, "pets", zipped(tmp_path, held), None)
    assert (added, skipped) == (5, {"no picture": 1})
    assert studio.projects.classes("pets") == ["cats", "a_b"]
    assert (studio.projects.root / "pets" / "pictures" / "a_b" / "12_1.png").read_bytes() == picture_bytes(1)
    assert (studio.projects.root / "pets" / "unlabelled" / "loose.png").read_bytes() == picture_bytes(9)
    (change,) = [one for one in studio.projects.changes("pets") if one["kind"] == "pictures-added"]
    studio.projects.undo(change["id"])
    assert set(tree(studio.projects.root / "pets")) == {"pictures/", "unlabelled/"}


# -- changes -----------------------------------------------------------------------------------------------


def test_every_change_is_undone_to_the_byte(studio: Studio) -> None:
    base = filled(studio)
    do = studio.projects
    known = 99

    def last() -> int:
        return int(do.changes("fruit")[0]["id"])

    before = tree(base)
    for act in (
        lambda: do.rename_class("fruit", "ripe", "Red things", known),
        lambda: do.merge_class("fruit", "ripe", "raw", known),
        lambda: do.delete_class("fruit", "ripe", known),
        lambda: do.move("fruit", [("ripe", "0.png"), ("ripe", "2.png")], "raw"),
        lambda: do.move("fruit", [("ripe", "0.png"), ("raw", "0.png")], None),
        lambda: do.move("fruit", [("ripe", "0.png"), ("raw", "0.png")], ""),
        lambda: do.add_class("fruit", "more"),
        lambda: put(studio, "fruit", "raw", "new.png", picture_bytes(7)),
    ):
        held, order = contents(base), do.classes("fruit")
        act()
        assert tree(base) != before
        do.undo(last())
        found = tree(base)
        found.pop("unlabelled/", None)
        assert found == before
        assert do.classes("fruit") == order
        assert len(contents(base)) >= len(held)


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["rename", "merge", "delete", "move", "drop", "add", "class"]),
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    max_size=8,
)


def acted(studio: Studio, acts: list[tuple[str, int, int]]) -> int:
    """Do these, as far as they can be done. How many pictures came in."""
    do, base, made = studio.projects, studio.projects.root / "fruit", 0
    for number, (act, i, j) in enumerate(acts):
        labels = do.classes("fruit") or [do.add_class("fruit", f"again {number}")]
        one, two = labels[i % len(labels)], labels[j % len(labels)]
        own = [(one, p.name) for p in (base / "pictures" / one).iterdir()]
        try:
            match act:
                case "rename":
                    do.rename_class("fruit", one, f"name {i}", 999)
                case "merge":
                    do.merge_class("fruit", one, two, 999)
                case "delete":
                    do.delete_class("fruit", one, 999)
                case "move":
                    do.move("fruit", own[: j + 1], two)
                case "drop":
                    do.move("fruit", own[: j + 1], None)
                case "add":
                    put(studio, "fruit", one, "new.png", picture_bytes(50 + number))
                    made += 1
                case "class":
                    do.add_class("fruit", f"name {j}")
        except Refused:
            continue
    return made


@settings(max_examples=20)
@given(acts=ACTS)
def test_whatever_is_done_no_picture_is_lost_and_all_is_undone_backwards(
    acts: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("acts")
    studio = Studio(root, None)
    base = filled(studio)
    do, before, held = studio.projects, tree(base), contents(base)
    first = int(do.changes("fruit")[0]["id"])
    made = acted(studio, acts)
    assert len(contents(base)) == len(held) + made, "a picture is lost"
    for change in do.changes("fruit"):
        if change["id"] > first and change["state"] == "done":
            do.undo(change["id"])
    assert tree(base) == before
    studio.close()


@settings(max_examples=12)
@given(acts=ACTS, order=st.permutations(range(8)))
def test_undoing_in_any_order_loses_nothing_and_makes_no_class_of_its_own(
    acts: list[tuple[str, int, int]], order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    studio = Studio(tmp_path_factory.mktemp("acts"), None)
    base = filled(studio)
    do = studio.projects
    first = int(do.changes("fruit")[0]["id"])
    acted(studio, acts)
    held = contents(base)
    made = [one for one in do.changes("fruit") if one["id"] > first]
    for at in order:
        if at >= len(made):
            continue
        before = set(do.classes("fruit"))
        try:
            do.undo(made[at]["id"])
        except Refused:
            assert set(do.classes("fruit")) == before
        else:
            change = made[at]["said"]
            allowed = {change[key] for key in ("from", "name") if key in change}
            new = {name.partition(" (")[0] for name in set(do.classes("fruit")) - before}
            assert new <= allowed if made[at]["kind"].startswith("class-") else not new
        assert contents(base) == held
    studio.close()


@pytest.mark.parametrize("killed", range(9))
def test_a_kill_between_any_two_renames_leaves_nothing_half_done(
    killed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    studio = Studio(root, None)
    base = filled(studio)
    held = contents(base)
    rename, count = projects._rename, 0

    def dies(src: Path, dst: Path) -> None:
        nonlocal count
        if count == killed:
            raise KeyboardInterrupt
        count += 1
        rename(src, dst)

    monkeypatch.setattr(projects, "_rename", dies)
    try:
        studio.projects.merge_class("fruit", "ripe", "raw", 99)
        studio.projects.undo(studio.projects.changes("fruit")[0]["id"])
    except KeyboardInterrupt:
        pass
    studio.journal.close()
    monkeypatch.setattr(projects, "_rename", rename)
    again = Studio(root, None)
    assert contents(base) == held
    whole = [len(list((base / "pictures" / label).glob("*"))) for label in again.projects.classes("fruit")]
    assert whole in ([6], [3, 3])
    again.close()


@pytest.mark.parametrize("act", ["rename", "delete"])
def test_a_kill_before_a_project_has_moved_is_made_good(
    act: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = Studio(tmp_path, None)
    filled(studio)
    put(studio, "fruit", "ripe", "last.png", picture_bytes(3))
    log = studio.projects.changes("fruit")

    def dies(*_: Path) -> None:
        raise KeyboardInterrupt

    do = studio.projects
    with monkeypatch.context() as patch:
        patch.setattr(projects, "_rename", dies)
        with pytest.raises(KeyboardInterrupt):
            do.rename("fruit", "Obst") if act == "rename" else do.delete("fruit")
    studio.journal.close()
    again = Studio(tmp_path, None)
    if act == "rename":
        assert again.projects.names() == ["Obst"]
        assert again.projects.changes("Obst") == log
        again.projects.undo(log[0]["id"])
        assert not (tmp_path / "Obst" / "pictures" / "ripe" / "last.png").exists()
    else:
        assert again.projects.names() == []
        again.projects.undo(again.projects.changes("")[0]["id"])
        assert again.projects.changes("fruit") == log
    assert len(contents(tmp_path)) == 7
    again.close()


def test_what_was_on_its_way_in_at_a_kill_is_in_or_gone(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    studio = Studio(root, None)
    base = filled(studio)
    place = studio.projects.incoming("fruit")
    (place / "0").write_bytes(b"half a pict")
    studio.journal.close()
    again = Studio(root, None)
    assert not (base / ".incoming").exists()
    assert len(contents(base)) == 6
    again.close()


def test_undoing_is_refused_where_something_builds_on_it(studio: Studio) -> None:
    filled(studio)
    do = studio.projects
    do.rename_class("fruit", "ripe", "red", 99)
    renamed = do.changes("fruit")[0]["id"]
    put(studio, "fruit", "red", "new.png", picture_bytes(5))
    with pytest.raises(Refused) as error:
        do.undo(renamed)
    assert error.value.code == "undo-later"
    do.undo(do.changes("fruit")[0]["id"])
    do.undo(renamed)
    with pytest.raises(Refused) as error:
        do.undo(renamed)
    assert error.value.code == "undo-done"


@pytest.mark.parametrize("failing", range(4))
def test_where_one_move_fails_the_others_are_taken_back(
    failing: int, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = filled(studio)
    do = studio.projects
    before, log = tree(base), do.changes("fruit")
    rename, count = projects._rename, 0

    def refuses(src: Path, dst: Path) -> None:
        nonlocal count
        count += 1
        if count == failing + 1:
            raise PermissionError(13, "Permission denied", str(src))
        rename(src, dst)

    for act in (
        lambda: do.merge_class("fruit", "ripe", "raw", 99),
        lambda: do.move("fruit", [(one, f"{n}.png") for one in ("ripe", "raw") for n in range(2)], ""),
    ):
        count = 0
        with monkeypatch.context() as patch:
            patch.setattr(projects, "_rename", refuses)
            with pytest.raises(Refused) as error:
                act()
        assert error.value.code == "not-moved"
        found = tree(base)
        found.pop("unlabelled/", None)
        assert found == before
        assert do.changes("fruit") == log
        assert not studio.journal.rows("SELECT * FROM moves WHERE state IN ('planned', 'reverting')")
        # and an undoing that fails leaves the change done
        change = act()
        after, count = tree(base), 0
        with monkeypatch.context() as patch:
            patch.setattr(projects, "_rename", refuses)
            with pytest.raises(Refused):
                do.undo(change)
        assert tree(base) == after
        assert do.changes("fruit")[0]["state"] == "done"
        do.undo(change)
        assert {name: data for name, data in tree(base).items() if data} == {
            name: data for name, data in before.items() if data
        }
        log = do.changes("fruit")


def test_what_cannot_be_taken_back_can_be_undone_later(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = filled(studio)
    do, before, rename, moved = studio.projects, tree(base), projects._rename, 0

    def breaks(src: Path, dst: Path) -> None:
        nonlocal moved
        if moved == 2:
            raise OSError(errno.EIO, "Input/output error", str(src))
        moved += 1
        rename(src, dst)

    with monkeypatch.context() as patch:
        patch.setattr(projects, "_rename", breaks)
        with pytest.raises(Refused) as error:
            do.merge_class("fruit", "ripe", "raw", 99)
    assert error.value.code == "half-moved"
    assert (base / "pictures" / "ripe" / "2.png").is_file(), "not in the bin"
    do.undo(do.changes("fruit")[0]["id"])
    assert tree(base) == before


@pytest.mark.parametrize("killed", range(6))
def test_a_kill_while_moves_are_taken_back_is_made_good(
    killed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = Studio(tmp_path, None)
    base = filled(studio)
    before, rename, count = tree(base), projects._rename, 0

    def refuses_and_dies(src: Path, dst: Path) -> None:
        nonlocal count
        if count == killed:
            raise KeyboardInterrupt
        count += 1
        if src.name == "2.png":
            raise PermissionError(13, "Permission denied", str(src))
        rename(src, dst)

    monkeypatch.setattr(projects, "_rename", refuses_and_dies)
    with pytest.raises((KeyboardInterrupt, Refused)):
        studio.projects.merge_class("fruit", "ripe", "raw", 99)
    studio.journal.close()
    count = -99
    again = Studio(tmp_path, None)
    assert tree(base) == before
    again.close()


def test_undoing_brings_back_no_class_that_was_renamed_or_deleted_since(studio: Studio) -> None:
    base = filled(studio)
    do = studio.projects
    removed = do.move("fruit", [("ripe", "0.png")], None)
    moved = do.move("fruit", [("ripe", "1.png")], "raw")
    for act in (
        lambda: do.rename_class("fruit", "ripe", "red", 99),
        lambda: do.delete_class("fruit", "ripe", 99),
        lambda: do.merge_class("fruit", "ripe", "raw", 99),
        lambda: do.rename_class("fruit", "raw", "green", 99),
    ):
        act()
        held = tree(base)
        for change in (moved, removed):
            if change == removed and "ripe" in do.classes("fruit"):
                continue
            with pytest.raises(Refused) as error:
                do.undo(change)
            assert error.value.code == "undo-later"
        assert tree(base) == held
        do.undo(do.changes("fruit")[0]["id"])
    do.undo(removed)
    do.undo(moved)
    assert len(list((base / "pictures" / "ripe").iterdir())) == 3


def test_nothing_is_ever_written_over(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name, encoding="utf-8")
    with pytest.raises(FileExistsError):
        projects._rename(tmp_path / "a", tmp_path / "b")
    assert tree(tmp_path) == {"a": b"a", "b": b"b"}


@pytest.fixture
def one_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that finds a name in other capitals, too, as those of Windows and macOS do."""
    lexists, lstat = os.path.lexists, Path.lstat

    def real(path: Path) -> Path:
        there = list(path.parent.iterdir()) if path.parent.is_dir() else []
        twins = [one for one in there if one.name.casefold() == path.name.casefold()]
        return path if path in there or not twins else twins[0]

    monkeypatch.setattr(os.path, "lexists", lambda path: lexists(real(Path(path))))
    monkeypatch.setattr(Path, "lstat", lambda path: lstat(real(path)))


@pytest.mark.usefixtures("one_case")
def test_capitals_of_a_name_can_be_changed_where_they_make_no_other(studio: Studio) -> None:
    base = filled(studio)
    do = studio.projects
    before = tree(base)
    do.rename_class("fruit", "ripe", "Ripe", 99)
    assert do.classes("fruit") == ["Ripe", "raw"]
    do.undo(do.changes("fruit")[0]["id"])
    assert tree(base) == before
    do.rename("fruit", "Fruit")
    assert do.names() == ["Fruit"]
    (base.parent / "Fruit" / "pictures" / "a").mkdir()
    with pytest.raises(FileExistsError):
        projects._rename(base.parent / "Fruit" / "pictures" / "a", base.parent / "Fruit" / "pictures" / "Raw")


@pytest.mark.usefixtures("one_case")
def test_pictures_whose_names_differ_in_capitals_meet_in_one_class(studio: Studio) -> None:
    base = filled(studio)
    do = studio.projects
    do.add_class("fruit", "all")
    put(studio, "fruit", "ripe", "x.png", picture_bytes(7))
    put(studio, "fruit", "raw", "X.PNG", picture_bytes(8))
    before = tree(base)
    change = do.move("fruit", [("ripe", "x.png"), ("raw", "X.PNG")], "all")
    assert sorted(one.name for one in (base / "pictures" / "all").iterdir()) == ["X (2).PNG", "x.png"]
    do.undo(change)
    assert tree(base) == before


def test_a_class_called_unlabelled_has_a_bin_of_its_own(studio: Studio) -> None:
    base = filled(studio)
    do = studio.projects
    do.add_class("fruit", "unlabelled")
    for label, number in (("unlabelled", 7), ("", 8)):
        put(studio, "fruit", label, "x.png", picture_bytes(number))
    before = tree(base)
    change = do.move("fruit", [("unlabelled", "x.png"), ("", "x.png")], None)
    assert len(contents(base / ".bin")) == 2
    do.undo(change)
    assert tree(base) == before


def test_the_bin_holds_what_was_deleted_until_it_is_emptied(studio: Studio) -> None:
    base = filled(studio)
    do = studio.projects
    change = do.delete_class("fruit", "ripe", 99)
    assert len(contents(base / ".bin")) == 3
    assert do.empty_bin("fruit") > 0
    with pytest.raises(Refused) as error:
        do.undo(change)
    assert error.value.code == "undo-gone"
    assert len(contents(base)) == 3


def test_a_batch_is_one_step_with_the_classes_it_made_whatever_came_between(studio: Studio) -> None:
    base = filled(studio)
    do, before = studio.projects, tree(base)
    for number in range(6):
        put(studio, "fruit", ("cats", "dogs")[number % 2], "x.png", picture_bytes(20 + number), Sent("drop"))
        if number < 3:
            put(studio, "fruit", "raw", f"other {number}.png", picture_bytes(40 + number))
    (drop,) = [one for one in do.changes("fruit") if "cats" in one["said"].get("classes", ())]
    assert drop["said"] == {"n": 6, "classes": ["cats", "dogs"]}
    do.undo(drop["id"])
    others = {f"pictures/raw/other {n}.png": picture_bytes(40 + n) for n in range(3)}
    assert tree(base) == before | others
    # what came later into such a class keeps it
    put(studio, "fruit", "birds", "x.png", picture_bytes(30), Sent("second"))
    drop = do.changes("fruit")[0]
    put(studio, "fruit", "birds", "y.png", picture_bytes(31))
    do.undo(drop["id"])
    assert [path.name for path in (base / "pictures" / "birds").iterdir()] == ["y.png"]
    # and so does a class out of which something was moved later: undoing that must not make it anew
    put(studio, "fruit", "fish", "x.png", picture_bytes(34), Sent("fourth"))
    drop = do.changes("fruit")[0]
    put(studio, "fruit", "fish", "y.png", picture_bytes(35))
    moved = do.move("fruit", [("fish", "y.png")], "raw")
    do.undo(drop["id"])
    assert "fish" in do.classes("fruit")
    do.undo(moved)
    # across a removal it does not go on: neither could be undone
    put(studio, "fruit", "raw", "z.png", picture_bytes(32), Sent("third"))
    do.move("fruit", [("raw", "z.png")], None)
    put(studio, "fruit", "raw", "z.png", picture_bytes(33), Sent("third"))
    for _ in range(3):
        do.undo(next(one["id"] for one in do.changes("fruit") if one["state"] == "done"))
    assert not list((base / "pictures" / "raw").glob("z*"))


def test_a_class_that_was_renamed_while_a_drop_went_on_does_not_come_back(studio: Studio) -> None:
    filled(studio)
    put(studio, "fruit", "cats", "x.png", picture_bytes(20), Sent("drop"))
    studio.projects.rename_class("fruit", "cats", "kittens", 99)
    with pytest.raises(Refused) as error:
        put(studio, "fruit", "cats", "y.png", picture_bytes(21), Sent("drop"))
    assert error.value.code == "class-gone"
    assert studio.projects.classes("fruit") == ["ripe", "raw", "kittens"]


def test_a_batch_has_a_limit(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(studio)
    monkeypatch.setattr(projects, "MOST", 2)
    for number in range(2):
        put(studio, "fruit", "raw", "x.png", picture_bytes(20 + number), Sent("drop"))
    with pytest.raises(Refused) as error:
        put(studio, "fruit", "raw", "x.png", picture_bytes(22), Sent("drop"))
    assert (error.value.code, error.value.status) == ("too-many", 413)
    put(studio, "fruit", "raw", "x.png", picture_bytes(22), Sent("another"))


@pytest.mark.parametrize("renamed", [False, True])
def test_what_is_sent_again_comes_in_once(*, renamed: bool, open_page: TestClient, studio: Studio) -> None:
    base = filled(studio)
    asked = {"label": "ripe", "name": "x.png", "batch": "drop", "key": "1"}
    first = open_page.post("/api/projects/fruit/pictures", params=asked, content=picture_bytes(9))
    if renamed:
        studio.projects.rename_class("fruit", "ripe", "red", 99)
    again = open_page.post("/api/projects/fruit/pictures", params=asked, content=picture_bytes(9))
    assert first.json() == again.json() == {"name": "x.png"}
    assert contents(base).count(picture_bytes(9)) == 1
    other = open_page.post(
        "/api/projects/fruit/pictures", params=asked | {"label": "raw", "key": "2"}, content=picture_bytes(9)
    )
    assert other.status_code == 200
    assert contents(base).count(picture_bytes(9)) == 2


def test_an_archive_that_is_sent_again_comes_in_once(
    open_page: TestClient, studio: Studio, tmp_path: Path
) -> None:
    base = filled(studio)
    data = zipped(tmp_path, {f"cats/{n}.png": picture_bytes(20 + n) for n in range(3)}).read_bytes()
    for _ in range(2):
        answer = open_page.post("/api/projects/fruit/zip", params={"key": "z"}, content=data)
        assert answer.json()["added"] == 3
    assert len(contents(base)) == 9


def test_what_failed_is_not_taken_for_received(
    open_page: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = filled(studio)

    def refuses(src: Path, _dst: Path) -> None:
        raise PermissionError(13, "Permission denied", str(src))

    asked = {"label": "ripe", "name": "x.png", "key": "1"}
    with monkeypatch.context() as patch:
        patch.setattr(projects, "_rename", refuses)
        answer = open_page.post("/api/projects/fruit/pictures", params=asked, content=picture_bytes(9))
    assert said(answer) == (507, "not-moved")
    answer = open_page.post("/api/projects/fruit/pictures", params=asked, content=picture_bytes(9))
    assert answer.status_code == 200
    assert (base / "pictures" / "ripe" / "x.png").is_file()


def test_a_journal_of_the_first_kind_is_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(journal, "MIGRATIONS", journal.MIGRATIONS[:1])
        journal.Journal(tmp_path).close()
    studio = Studio(tmp_path, None)
    filled(studio)
    assert studio.projects.classes("fruit") == ["ripe", "raw"]
    studio.close()


def test_a_batch_is_one_step(studio: Studio) -> None:
    base = filled(studio)
    for number in range(4):
        put(studio, "fruit", "raw", "new.png", picture_bytes(20 + number), Sent("batch"))
    assert sorted(path.name for path in (base / "pictures" / "raw").iterdir()) == [
        "0.png", "1.png", "2.png", "new (2).png", "new (3).png", "new (4).png", "new.png",
    ]  # fmt: skip
    change = studio.projects.changes("fruit")[0]
    assert change["said"]["n"] == 4
    studio.projects.undo(change["id"])
    assert len(list((base / "pictures" / "raw").iterdir())) == 3


def test_a_project_is_deleted_and_comes_back_with_all_that_is_known_of_it(studio: Studio) -> None:
    base = filled(studio)
    do = studio.projects
    studio.projects.move("fruit", [("ripe", "0.png")], None)
    before, order, log = tree(base), do.classes("fruit"), do.changes("fruit")
    change = do.delete("fruit")
    assert do.names() == []
    with pytest.raises(Refused):
        do.base("fruit")
    do.create("fruit")
    assert do.changes("fruit") == []
    do.undo(change)
    assert sorted(do.names()) == ["fruit", "fruit (2)"]
    assert tree(do.root / "fruit (2)") == before
    assert (do.classes("fruit (2)"), do.changes("fruit (2)")) == (order, log)
    do.undo(log[0]["id"])
    assert (do.root / "fruit (2)" / "pictures" / "ripe" / "0.png").is_file()


def test_renaming_a_project_keeps_its_history(studio: Studio) -> None:
    filled(studio)
    change = studio.projects.move("fruit", [("ripe", "0.png")], None)
    assert studio.projects.rename("fruit", "Obst") == "Obst"
    assert studio.projects.undo(change) == "Obst"
    with pytest.raises(Refused, match="already"):
        studio.projects.create("OBST")


def test_capitals_make_no_second_class(studio: Studio) -> None:
    filled(studio)
    with pytest.raises(Refused) as error:
        studio.projects.add_class("fruit", "Ripe")
    assert error.value.code == "class-there"


def test_pictures_stay_where_they_are_while_a_run_reads_them(studio: Studio) -> None:
    filled(studio)
    studio.projects.is_busy = lambda project: project == "fruit"
    with pytest.raises(Refused) as error:
        studio.projects.move("fruit", [("ripe", "0.png")], None)
    assert error.value.code == "busy"
    put(studio, "fruit", "ripe", "more.png", picture_bytes(8))


def test_a_project_that_a_run_reads_does_not_get_its_old_name_back(studio: Studio) -> None:
    filled(studio)
    studio.projects.rename("fruit", "Obst")
    change = studio.projects.changes("")[0]["id"]
    studio.projects.is_used = lambda project, _run: project == "Obst"
    with pytest.raises(Refused) as error:
        studio.projects.undo(change)
    assert error.value.code == "in-use"
    assert studio.projects.names() == ["Obst"]
    studio.projects.is_used = lambda project, _run: project == "another"
    studio.projects.undo(change)
    assert studio.projects.names() == ["fruit"]


def test_what_a_job_uses_is_neither_removed_nor_renamed(studio: Studio) -> None:
    base = filled(studio)
    for run in ("1-model", "2-model"):
        (base / "runs" / run).mkdir(parents=True)
    do = studio.projects
    studio.jobs._now = {"id": 1, "project": "fruit", "kind": "next", "run": "1-model"}
    for act in (
        lambda: do.delete_run("fruit", "1-model"),
        lambda: do.rename("fruit", "Obst"),
        lambda: do.delete("fruit"),
    ):
        with pytest.raises(Refused) as error:
            act()
        assert error.value.code == "in-use"
    do.delete_run("fruit", "2-model")
    do.move("fruit", [("ripe", "0.png")], None)
    studio.jobs._now = None
    do.delete_run("fruit", "1-model")


def test_one_folder_has_one_studio(studio: Studio) -> None:
    with pytest.raises(Misuse, match="already"):
        Studio(studio.projects.root, None)


def test_a_folder_of_pictures_is_no_folder_of_projects(tmp_path: Path) -> None:
    photos = make.folder(tmp_path / "photos", {"red": 1})
    before = tree(tmp_path)
    with pytest.raises(Misuse, match="--data"):
        server.run(photos, data=None, browser=False, on_ready=print)
    assert tree(tmp_path) == before
    assert not (photos / ".studio.sqlite").exists()


def test_without_its_libraries_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtra, match=r"headstart\[serve\]"):
        server.run(tmp_path / "root", data=None, browser=False, on_ready=print)


def test_a_run_goes_and_comes_back_with_what_was_exported_of_it(studio: Studio) -> None:
    base = filled(studio)
    for place in (
        "runs/1-model/model.json",
        "exports/1-model.onnx",
        "exports/11-model.onnx",
        "exports/1-model-web/a",
    ):
        (base / place).parent.mkdir(parents=True, exist_ok=True)
        (base / place).write_text("x", encoding="utf-8")
    before = tree(base)
    change = studio.projects.delete_run("fruit", "1-model")
    assert [path.name for path in (base / "exports").iterdir()] == ["11-model.onnx"]
    studio.projects.undo(change)
    assert tree(base) == before


def test_a_journal_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".studio.sqlite").write_bytes(b"this is no database at all, but a text" * 100)
    with pytest.raises(OutputError, match="damaged"):
        Studio(tmp_path, None)


def test_what_could_not_be_kept_holds_up_nothing_later(studio: Studio) -> None:
    kept = studio.journal
    kept.run("PRAGMA foreign_keys = ON")
    kept.run("CREATE TABLE a (id INTEGER PRIMARY KEY)")
    kept.run("CREATE TABLE b (a REFERENCES a DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(sqlite3.IntegrityError), kept.write():  # found at the end, as a full disk is
        kept.run("INSERT INTO b VALUES (1)")
    studio.projects.create("fruit")
    assert studio.projects.names() == ["fruit"]
    assert not kept.rows("SELECT * FROM b")


# -- over HTTP ---------------------------------------------------------------------------------------------


@pytest.fixture
def open_page(studio: Studio) -> Iterator[TestClient]:
    app = Guard(create(studio), token=studio.journal.token, host="127.0.0.1", port=8765)
    with TestClient(app, base_url="http://127.0.0.1:8765", raise_server_exceptions=False) as client:
        assert client.get("/?token=" + studio.journal.token).status_code == 200
        yield client


def said(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_nothing_is_answered_without_the_token(studio: Studio) -> None:
    app = Guard(create(studio), token=studio.journal.token, host="127.0.0.1", port=8765)
    client = TestClient(app, base_url="http://127.0.0.1:8765")
    for path in ("/", "/?token=wrong", "/api/state", "/assets/app.js", "/thumb", "/api/events"):
        assert client.get(path).status_code == 403, path
    assert client.post("/api/projects", json={"name": "x"}).status_code == 403
    assert studio.projects.names() == []
    client.cookies.set("headstart-studio-8765", studio.journal.token)
    assert client.get("/api/state").status_code == 200


@pytest.mark.parametrize(
    "other", ['foo={"a":1}', "flag", "a=b c", "path=/x", "name=J\xfcrgen", "$Version=1", "="]
)
def test_odd_cookies_of_other_programs_lock_nobody_out(other: str, studio: Studio) -> None:
    app = Guard(create(studio), token=studio.journal.token, host="127.0.0.1", port=8765)
    client = TestClient(app, base_url="http://127.0.0.1:8765")
    ours = f"headstart-studio-8765={studio.journal.token}"
    for cookie in (f"{other}; {ours}", f"{ours}; {other}"):
        assert client.get("/api/state", headers={b"cookie": cookie.encode("latin-1")}).status_code == 200
    wrong = f"{other}; headstart-studio-8765=wrong"
    assert client.get("/api/state", headers={b"cookie": wrong.encode("latin-1")}).status_code == 403


def test_the_link_that_a_browser_is_started_with_opens_the_page_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import uvicorn

    printed: list[str] = []
    opened: list[str] = []
    started = threading.Event()

    def serve(self: uvicorn.Server, **_more: Any) -> None:
        self.started = True
        assert started.wait(20)
        site, _, query = opened[0].partition("/?")
        app: Any = self.config.app
        first, second, third = (TestClient(app, base_url=site) for _ in range(3))
        assert first.get(f"/?{query}").status_code == 200
        assert first.get("/api/state").status_code == 200
        assert first.get(f"/?{query}").status_code == 200, "a reload"
        assert second.get(f"/?{query}").status_code == 403
        assert third.get("/?" + printed[0].partition("/?")[2]).status_code == 200

    def start(link: str) -> bool:
        opened.append(link)
        started.set()
        return True

    monkeypatch.setattr(uvicorn.Server, "run", serve)
    monkeypatch.setattr(webbrowser, "open", start)
    server.run(tmp_path / "root", data=None, on_ready=printed.append)
    assert opened != printed


def test_nobody_else_may_read_the_token_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect, modes = sqlite3.connect, []

    def looks(file: Path, **more: Any) -> Any:
        modes.append(stat.S_IMODE(file.stat().st_mode))
        return connect(file, **more)

    monkeypatch.setattr(sqlite3, "connect", looks)
    Studio(tmp_path, None).close()
    assert modes == [0o600] or os.name == "nt"
    (tmp_path / "other" / ".studio.sqlite").mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot be used"):
        Studio(tmp_path / "other", None)


def test_the_cookie_is_for_this_site_alone(studio: Studio) -> None:
    app = Guard(create(studio), token=studio.journal.token, host="127.0.0.1", port=8765)
    answer = TestClient(app, base_url="http://127.0.0.1:8765").get("/?token=" + studio.journal.token)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Max-Age" not in cookie
    assert "Expires" not in cookie
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "host",
    ["evil.example:8765", "127.0.0.1.evil.example:8765", "127.0.0.1:1", "127.0.0.1", "", "a@127.0.0.1:8765"],
)
def test_a_rebound_name_is_refused(host: str, open_page: TestClient) -> None:
    assert open_page.get("/api/state", headers={"host": host}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:9999"},
        {"origin": "https://127.0.0.1:8765"}, {"sec-fetch-site": "cross-site"},
    ],
)  # fmt: skip
def test_another_site_cannot_write(headers: dict[str, str], open_page: TestClient) -> None:
    answer = open_page.post("/api/projects", json={"name": "x"}, headers=headers)
    assert answer.status_code == 403
    ours = {"origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin"}
    assert open_page.post("/api/projects", json={"name": "x"}, headers=ours).status_code == 200


def test_localhost_and_addresses_are_ours(open_page: TestClient, studio: Studio) -> None:
    for host in ("localhost:8765", "[::1]:8765", "192.168.1.7:8765"):
        cookie = {"cookie": f"headstart-studio-8765={studio.journal.token}"}
        assert open_page.get("/api/state", headers={"host": host} | cookie).status_code == 200


def test_pictures_come_in_and_go_out_and_come_back(open_page: TestClient, studio: Studio) -> None:
    open_page.post("/api/projects", json={"name": "p % #&"})
    base = "/api/projects/p%20%25%20%23%26"
    assert open_page.post(f"{base}/classes", json={"name": "a&b"}).json() == {"name": "a&b"}
    sent = open_page.post(
        f"{base}/pictures", params={"label": "a&b", "name": "../../x.gif"}, content=picture_bytes()
    )
    assert sent.json() == {"name": "x.gif"}
    found = open_page.get(base).json()
    ((name, version),) = found["classes"][0]["pictures"]
    assert (studio.projects.root / "p % #&" / "pictures" / "a&b" / name).read_bytes() == picture_bytes()
    shown = open_page.get("/thumb", params={"project": "p % #&", "label": "a&b", "name": name, "v": version})
    assert shown.headers["content-type"] == "image/jpeg"
    gone = open_page.post(f"{base}/move", json={"pictures": [["a&b", name]], "to": None}).json()
    assert open_page.get(base).json()["classes"][0]["pictures"] == []
    assert open_page.post(f"/api/changes/{gone['change']}/undo").status_code == 200
    assert open_page.get(base).json()["classes"][0]["pictures"] == [[name, version]]


@pytest.mark.parametrize(
    "name", ["../secret.png", "..", "a/../../secret.png", ".hidden.png", "C:x.png", "a\0b", ""]
)
def test_no_path_leads_out_of_a_class(name: str, open_page: TestClient, studio: Studio) -> None:
    filled(studio)
    (studio.projects.root / "fruit" / "secret.png").write_bytes(picture_bytes())
    answer = open_page.get("/thumb", params={"project": "fruit", "label": "ripe", "name": name})
    assert answer.status_code == 404
    for label in ("..", ".", ".bin", "a/b"):
        answer = open_page.get("/thumb", params={"project": "fruit", "label": label, "name": "secret.png"})
        assert answer.status_code == 404
    assert open_page.get("/thumb", params={"project": "..", "label": "", "name": "x"}).status_code == 404
    moved = open_page.post("/api/projects/fruit/move", json={"pictures": [["ripe", name]], "to": None})
    assert moved.status_code == 404


def test_a_folder_that_is_dropped_names_a_class_and_the_server_cleans_it(
    open_page: TestClient, studio: Studio
) -> None:
    base = filled(studio)
    path = "/api/projects/fruit/pictures"
    for number, folder in enumerate(("Ripe", "a/b: c?", "...", LATER[0], "con")):
        asked = {"folder": folder, "name": "12:30.jpg", "batch": "drop"}
        answer = open_page.post(path, params=asked, content=picture_bytes(20 + number))
        assert answer.status_code == 200, answer.text
    assert studio.projects.classes("fruit") == ["ripe", "raw", "a_b_ c_", "class", LATER[0], "_con"]
    assert (base / "pictures" / "ripe" / "12_30.jpg").is_file()
    assert said(open_page.post(path, params={"name": "x.png"}, content=picture_bytes())) == (422, "invalid")


def test_a_link_that_training_would_follow_is_told_of_before_it(
    open_page: TestClient, studio: Studio, tmp_path: Path
) -> None:
    base = filled(studio)
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "secret.png").write_bytes(picture_bytes())
    (base / "unlabelled").mkdir()
    (base / "pictures" / "ripe" / "list.txt").symlink_to(PAGE / "api.js")  # no job reads it
    begun: list[str] = []
    studio.jobs.begin = lambda _project, kind, _spec: begun.append(kind) or 1  # type: ignore[method-assign,func-returns-value]
    open_page.post("/api/projects/fruit/train", json={})
    open_page.post("/api/projects/fruit/check")
    assert begun == ["train", "check"]
    odd = [(base / "pictures" / "away", tmp_path / "away")]
    odd += [(base / "pictures" / "ripe" / "x.png", tmp_path / "away" / "secret.png")]
    for link, goal in odd:
        link.symlink_to(goal)
        for what in ("train", "check"):
            answer = open_page.post(f"/api/projects/fruit/{what}", json={} if what == "train" else None)
            assert said(answer) == (409, "not-shown")
            assert link.name in answer.json()["error"]["message"]
        link.unlink()
    if os.name != "nt":
        (base / "pictures" / "ripe" / "a\\b.png").write_bytes(picture_bytes())
        assert said(open_page.post("/api/projects/fruit/train", json={})) == (409, "not-shown")
    assert begun == ["train", "check"]


def test_a_picture_that_this_installation_cannot_read_is_not_taken(
    open_page: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = filled(studio)
    heic = b"\0\0\0\x18ftypheic" + bytes(60)
    asked = {"label": "ripe", "name": "x.heic"}
    monkeypatch.setattr(intake, "find_spec", lambda _name: None)
    answer = open_page.post("/api/projects/fruit/pictures", params=asked, content=heic)
    assert said(answer) == (415, "no-heif")
    assert "headstart[heif]" in answer.json()["error"]["message"]
    archive = zipped(tmp_path, {"x.heic": heic, "y.png": picture_bytes(9)})
    assert intake.from_zip(studio.projects, "fruit", archive, "raw") == (1, {"no heif": 1})
    monkeypatch.setattr(intake, "find_spec", lambda _name: True)
    assert open_page.post("/api/projects/fruit/pictures", params=asked, content=heic).status_code == 200
    assert (base / "pictures" / "ripe" / "x.heic").is_file()


def test_too_many_are_refused_before_anything_is_copied(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make.folder(tmp_path / "data", {"red": 3})
    studio.projects.create("p")
    monkeypatch.setattr(intake, "MOST", 2)
    monkeypatch.setattr(shutil, "copyfile", None)
    with pytest.raises(Refused) as error:
        intake.from_folder(studio.projects, "p", source, None)
    assert error.value.code == "too-many"


def test_messages_for_the_page_name_no_options_of_the_command() -> None:
    from headstart.errors import ExportRefused

    said = refused.plain(ExportRefused("None is there (such as a.jpg). Name the folder: --data DATA"))
    assert said == "None is there (such as a.jpg)."
    assert refused.plain(ExportRefused("--data is missing")) == "--data is missing"


def test_the_first_page_lists_the_bin_and_history_goes_back_as_far_as_asked(
    open_page: TestClient, studio: Studio
) -> None:
    for name in ("one", "two"):
        filled(studio, name)
        open_page.post(f"/api/projects/{name}/delete")
    found = open_page.get("/api/state").json()
    assert [one["name"] for one in found["deleted"]] == ["two", "one"]
    assert found["bin"] > 0
    open_page.post(f"/api/changes/{found['deleted'][1]['id']}/undo")
    assert [one["name"] for one in open_page.get("/api/state").json()["deleted"]] == ["two"]
    assert open_page.post("/api/bin/empty").json()["freed"] > 0
    found = open_page.get("/api/state").json()
    assert (found["deleted"], found["bin"]) == ([], 0)
    assert studio.projects.names() == ["one"]
    shown = open_page.get("/api/projects/one?changes=3").json()
    assert (len(shown["changes"]), shown["earlier"]) == (3, True)
    shown = open_page.get("/api/projects/one?changes=8").json()
    assert (len(shown["changes"]), shown["earlier"]) == (8, False)


def test_links_are_not_followed(open_page: TestClient, studio: Studio, tmp_path: Path) -> None:
    base = filled(studio)
    (tmp_path / "secret.png").write_bytes(picture_bytes())
    (base / "pictures" / "ripe" / "link.png").symlink_to(tmp_path / "secret.png")
    (base / "pictures" / "away").symlink_to(tmp_path)
    found = open_page.get("/api/projects/fruit").json()
    assert [one["name"] for one in found["classes"]] == ["ripe", "raw"]
    assert len(found["classes"][0]["pictures"]) == 3
    for label, name in (("ripe", "link.png"), ("away", "secret.png")):
        answer = open_page.get("/thumb", params={"project": "fruit", "label": label, "name": name})
        assert answer.status_code == 404


def test_what_is_no_picture_or_too_large_gets_no_place(
    open_page: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = filled(studio)
    before, inside = tree(base), set((base / ".incoming").iterdir())
    path, asked = "/api/projects/fruit/pictures", {"label": "ripe", "name": "x.png"}
    assert said(open_page.post(path, params=asked, content=b"<svg onload=alert(1)>")) == (
        415,
        "not-a-picture",
    )
    assert said(open_page.post(path, params=asked, content=b"")) == (415, "not-a-picture")
    monkeypatch.setattr(intake, "LIMIT_BYTES", 100)
    assert said(open_page.post(path, params=asked, content=picture_bytes())) == (413, "too-large")
    asked = {"label": "none", "name": "x.png"}
    assert said(open_page.post(path, params=asked, content=b"x")) == (404, "class-gone")
    assert tree(base) == before
    assert set((base / ".incoming").iterdir()) == inside


def test_wrong_requests_are_refused_in_words(open_page: TestClient, studio: Studio) -> None:
    filled(studio)
    assert said(open_page.post("/api/projects", json={"nome": "x"})) == (422, "invalid")
    assert said(open_page.post("/api/projects", json={"name": "a/b"})) == (400, "name-signs")
    assert said(open_page.get("/api/projects/none")) == (404, "project-gone")
    assert said(open_page.get("/assets/../app.py")) == (404, "no-route")
    assert said(open_page.get("/api/folders")) == (404, "no-folders")
    assert said(open_page.get("/runs/fruit/1-model/report.html")) == (404, "run-gone")
    assert said(open_page.post("/api/jobs/7/cancel")) == (409, "job-gone")
    large = open_page.post("/api/projects", content=b"x" * (9 << 20))
    assert large.status_code == 413


def test_two_tabs_do_not_destroy_each_others_work(open_page: TestClient, studio: Studio) -> None:
    base = filled(studio)
    known = open_page.get("/api/projects/fruit").json()["revision"]
    # one tab adds a picture; the other still shows the class without it
    put(studio, "fruit", "ripe", "new.png", picture_bytes(9))
    for what in ("delete", "rename", "merge"):
        body = {"name": "ripe", "to": "raw" if what == "merge" else "other", "revision": known}
        assert said(open_page.post(f"/api/projects/fruit/classes/{what}", json=body)) == (
            409, "changed-elsewhere",
        )  # fmt: skip
    assert (base / "pictures" / "ripe" / "new.png").is_file()
    # the class that nobody touched can be renamed with what is known, and by name the other may go on
    body = {"name": "raw", "to": "green", "revision": known}
    assert open_page.post("/api/projects/fruit/classes/rename", json=body).status_code == 200
    asked = {"label": "raw", "name": "x.png"}
    answer = open_page.post("/api/projects/fruit/pictures", params=asked, content=picture_bytes(4))
    assert said(answer) == (404, "class-gone")
    gone = {"pictures": [["ripe", "new.png"]], "to": None}
    assert open_page.post("/api/projects/fruit/move", json=gone).status_code == 200
    assert said(open_page.post("/api/projects/fruit/move", json=gone)) == (404, "picture-gone")


@pytest.mark.parametrize("way", ["picture", "zip"])
def test_a_class_that_was_renamed_meanwhile_does_not_come_back(
    way: str, open_page: TestClient, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(studio)
    do = studio.projects
    add = do.add
    other = threading.Thread(target=do.rename_class, args=("fruit", "ripe", "red", 99))

    def another_tab_renames(*what: Any) -> list[str]:
        other.start()
        other.join(0.5)
        return add(*what)

    monkeypatch.setattr(do, "add", another_tab_renames)
    asked = {"label": "ripe", "name": "x.png"}
    if way == "picture":
        open_page.post("/api/projects/fruit/pictures", params=asked, content=picture_bytes(9))
    else:
        data = zipped(tmp_path, {"x.png": picture_bytes(9)}).read_bytes()
        open_page.post("/api/projects/fruit/zip", params=asked, content=data)
    other.join()
    assert do.classes("fruit") == ["red", "raw"]


def test_classes_of_an_archive_meet_those_made_meanwhile(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.projects.create("pets")
    check = intake.checked_picture

    def another_tab_makes_it(file: Path, name: str) -> str:
        studio.projects.add_class("pets", "Cats", may_exist=True)
        return check(file, name)

    monkeypatch.setattr(intake, "checked_picture", another_tab_makes_it)
    intake.from_zip(studio.projects, "pets", zipped(tmp_path, {"cats/a.png": picture_bytes()}), None)
    assert studio.projects.classes("pets") == ["Cats"]


def test_a_file_that_goes_while_it_is_listed_takes_no_other_along(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = filled(studio)
    gone: list[str] = []

    def another_program_removes_the_first(path: str) -> bool:
        if not gone:
            gone.append(Path(path).name)
            Path(path).unlink()
        return True

    monkeypatch.setattr(folders, "may_be_picture", another_program_removes_the_first)
    found = [one.name for one in folders.pictures(base / "pictures" / "ripe")]
    assert found == sorted({"0.png", "1.png", "2.png"} - {*gone})


def test_a_closed_folder_hides_itself_alone_and_is_not_merged(
    open_page: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = filled(studio)
    filled(studio, "other")
    closed = base / "pictures" / "ripe" / "closed"
    closed.mkdir()
    scan = os.scandir

    def opens(folder: Any = ".") -> Any:
        if str(folder) in (str(closed), str(studio.projects.root / "other" / "pictures")):
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", opens)
    cards = {one["name"]: one["pictures"] for one in open_page.get("/api/state").json()["projects"]}
    assert cards == {"fruit": 6, "other": 0}
    assert len(open_page.get("/api/projects/fruit").json()["classes"][0]["pictures"]) == 3
    assert said(open_page.get("/api/projects/other")) == (507, "disk")
    body = {"name": "ripe", "to": "raw", "revision": 99}
    assert said(open_page.post("/api/projects/fruit/classes/merge", json=body)) == (507, "disk")
    assert closed.is_dir()


def test_pictures_of_one_name_from_many_sides_are_all_kept(studio: Studio) -> None:
    base = filled(studio)

    def send(number: int) -> None:
        put(studio, "fruit", "raw", "same.png", picture_bytes(100 + number))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own = [path.read_bytes() for path in (base / "pictures" / "raw").iterdir()]
    assert len(own) == 15
    assert {picture_bytes(100 + number) for number in range(12)} <= set(own)


def test_other_tabs_are_told(studio: Studio) -> None:
    told: list[dict[str, Any]] = []
    studio.projects.tell = told.append
    filled(studio)
    assert told[0] == {"type": "projects"}
    assert {one["project"] for one in told[1:]} == {"fruit"}
    assert told[-1]["revision"] == studio.journal.revision("fruit")


def test_the_picker_looks_below_its_root_and_copies(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    source = make.folder(tmp_path / "data" / "pets", {"red": 3, "green": 2})
    (tmp_path / "data" / "out").symlink_to(tmp_path)
    before = tree(tmp_path / "data")
    studio = Studio(tmp_path / "root", tmp_path / "data")
    assert studio.picker is not None
    assert studio.picker.look("")["folders"] == [{"name": "pets", "pictures": 5}]
    for path in ("..", "out", "pets/../..", "/etc", ".", "pets//red"):
        with pytest.raises(Refused):
            studio.picker.look(path)
    studio.projects.create("p")
    assert intake.from_folder(studio.projects, "p", source, None) == (5, {})
    assert sorted(studio.projects.classes("p")) == ["green", "red"]
    assert tree(tmp_path / "data") == before
    copied = {name.split("/", 1)[1]: data for name, data in tree(tmp_path / "root" / "p").items()}
    assert {name: data for name, data in copied.items() if data} == tree_files(source)
    studio.close()


@pytest.mark.parametrize("why", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_is_no_unreadable_picture(
    why: int, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make.folder(tmp_path / "data", {"red": 1})
    studio.projects.create("p")

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(why, os.strerror(why))

    monkeypatch.setattr(shutil, "copyfile", fails)
    if why == errno.EIO:
        assert intake.from_folder(studio.projects, "p", source, None) == (0, {"unreadable": 1})
    else:
        with pytest.raises(OSError, match=os.strerror(why)):
            intake.from_folder(studio.projects, "p", source, None)
    assert not list((studio.projects.root / "p" / ".incoming").iterdir())


def tree_files(root: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(root).items() if data}


# -- work --------------------------------------------------------------------------------------------------


def wait(is_so: Any, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)


def test_a_child_ends_when_its_studio_is_gone(tmp_path: Path) -> None:
    photos = make.folder(tmp_path, {"red": 3, "green": 3})
    child = subprocess.Popen(
        [sys.executable, "-m", "headstart.studio.work"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = child.communicate(json.dumps({"kind": "check", "data": str(photos)}) + "\n", timeout=60)
    assert child.returncode == 130
    assert "done" not in out


def test_a_job_that_a_killed_studio_left_is_known_as_interrupted(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    studio = Studio(root, None)
    filled(studio)
    for run in ("1-model", "2-model"):
        studio.journal.run(
            "INSERT INTO jobs (project, kind, spec, state, message, document, begun) "
            "VALUES ('fruit', 'train', ?, 'running', '', '{}', 0)",
            json.dumps({"run": run}),
        )
    made = root / "fruit" / "runs" / "1-model"
    made.mkdir(parents=True)
    (made / "model.json").write_text("{}", encoding="utf-8")
    studio.journal.close()
    again = Studio(root, None)
    rows = again.journal.rows("SELECT state FROM jobs ORDER BY id")
    assert [row["state"] for row in rows] == ["done", "interrupted"]
    assert again.jobs.now() is None
    assert again.runs.next_name("fruit") == "3-model"
    again.close()


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets the studio start a script of the test's in place of its work."""
    popen = subprocess.Popen

    def use(script: str) -> None:
        def start(_line: list[str], **more: Any) -> "subprocess.Popen[str]":
            return popen([sys.executable, "-S", "-c", script], **more)

        monkeypatch.setattr(subprocess, "Popen", start)

    return use


def test_a_job_and_a_change_do_not_wait_for_each_other(tmp_path: Path, child: Callable[[str], None]) -> None:
    studio = Studio(tmp_path, None)
    filled(studio)
    child("input()")
    begins = threading.Thread(target=studio.jobs.begin, args=("fruit", "check", {}), daemon=True)

    def change() -> None:
        with studio.journal.lock:
            begins.start()
            time.sleep(0.2)  # it has come to where it waits for the journal
            assert studio.jobs.now() is None
            studio.projects.rename_class("fruit", "ripe", "red", 99)

    changes = threading.Thread(target=change, daemon=True)
    changes.start()
    changes.join(20)
    assert not changes.is_alive(), "each waits for the other"
    begins.join(20)
    assert studio.projects.classes("fruit") == ["red", "raw"]
    wait(lambda: studio.jobs.now() is None)
    studio.close()


def test_whatever_a_library_prints_a_job_is_followed_to_its_end(
    studio: Studio, child: Callable[[str], None]
) -> None:
    filled(studio)
    child(
        'import sys; sys.stdout.buffer.write(b\'{"phase": "look"}\\n7\\n"word"\\n[]\\nnull\\n\\xff\\xfe\\n\''
        'b\'{"done": {"a": 1}}\\n12\\n\')'
    )
    studio.jobs.begin("fruit", "check", {})
    wait(lambda: studio.jobs.now() is None)
    assert (studio.jobs.document("fruit", "check") or {})["a"] == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_job_whose_end_cannot_be_written_down_holds_up_no_other(
    studio: Studio, child: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(studio)
    child("print('{\"done\": {}}')")
    with monkeypatch.context() as patch:

        def full(*_: Any) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        patch.setattr(studio.jobs, "_ended", full)
        studio.jobs.begin("fruit", "check", {})
        wait(lambda: studio.jobs.now() is None)
    studio.jobs.begin("fruit", "check", {})
    wait(lambda: studio.jobs.now() is None)
    assert (studio.jobs.last("fruit", "check") or {})["state"] == "done"


def test_a_job_that_cannot_be_started_holds_up_no_other(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(studio)

    def none_left(*_: Any, **__: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", none_left)
    with pytest.raises(BlockingIOError):
        studio.jobs.begin("fruit", "check", {})
    assert studio.jobs.now() is None
    assert not studio.jobs.is_reading("fruit")


def test_work_runs_no_code_of_the_folder_where_the_studio_was_started(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(studio)
    (tmp_path / "here").mkdir()
    for name in ("json.py", "headstart.py", "traceback.py"):
        (tmp_path / "here" / name).write_text("open('ran', 'w').close()\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "here")
    studio.jobs.begin("fruit", "no such kind", {})
    wait(lambda: studio.jobs.now() is None)
    assert not (tmp_path / "here" / "ran").exists()
    assert "KeyError" in (studio.jobs.last("fruit", "no such kind") or {})["message"]


# -- the page ----------------------------------------------------------------------------------------------


def test_every_text_has_its_place_and_every_place_its_text() -> None:
    texts = refused.texts()
    code = "\n".join(file.read_text(encoding="utf-8") for file in sorted(PAGE.glob("*.js")))
    used = set(re.findall(r'\bt\((?:[^()]*\? )?"([\w.-]+)"', code)) | set(
        re.findall(r'"([\w-]+\.[\w.-]+)"', code)
    )
    stems = set(re.findall(r"\bt\(`([\w.-]+)\$", code)) | {"home."}
    page = set(texts["page"]) - {"language"}
    unknown = {name for name in re.findall(r'\bt\("([\w.-]+)"', code) if name not in page}
    assert not unknown
    spoken = set(re.findall(r'"([\w.-]+)"', code))
    left = {name for name in page if name not in used | spoken and not name.startswith(tuple(stems))}
    assert not left, "texts that nothing says"
    python = "\n".join(file.read_text("utf-8") for file in (ROOT / "src/headstart/studio").glob("*.py"))
    codes = set(re.findall(r'Refused\(\s*"([\w-]+)"', python)) | set(
        re.findall(r'"(wrong-\w+|no-token)"', python)
    )
    codes |= {"project-there", "class-there"}
    assert codes == set(texts["errors"])


def test_kinds_of_changes_and_findings_have_texts() -> None:
    from typing import get_args

    from headstart.values import Kind

    page = refused.texts()["page"]
    python = (ROOT / "src/headstart/studio/projects.py").read_text(encoding="utf-8")
    for kind in set(re.findall(r'"((?:project|class|pictures|run)-(?:\w+ed))"', python)):
        assert f"change.{kind}" in page
    for kind in get_args(Kind):
        assert f"finding.{kind}" in page


def test_the_page_asks_nobody_else_and_writes_no_html() -> None:
    for file in sorted(PAGE.iterdir()):
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        if file.suffix != ".json":
            assert not re.search(r"https?://|//cdn|@import", text), file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), (
            file.name
        )
    assert {file.name for file in PAGE.iterdir()} == ASSETS | {"index.html"}


def test_a_cancelled_training_makes_no_half_model() -> None:
    """On the command line an interrupt leaves the best so far; in the studio nobody waits for it."""
    from headstart.finetune.wish import Halt
    from headstart.studio.work import _epoch

    with pytest.raises(KeyboardInterrupt):
        _epoch(Halt(), 0)
