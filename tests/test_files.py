"""Files and folders are whole or absent, and the cache is where the user wants it."""

import errno
import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart import files
from headstart.errors import OutputError, OutputExists, StoreError, UnreadablePicture

TOKEN = "0123456789abcdef"  # noqa: S105


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def aged(path: Path, seconds: float) -> Path:
    then = time.time() - seconds
    for each in (path, *path.rglob("*")):
        os.utime(each, (then, then))
    return path


def kill_at_random(script: str, folder: Path, *, seed: int) -> None:
    """Run `script` and kill it a moment after it said that it is at work."""
    pause = random.Random(seed).uniform(0, 0.03)  # noqa: S311
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(pause)
        child.kill()


# The cache folder


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No variable names a cache; the home directory is the one returned."""
    for variable in ("HEADSTART_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("platform", "place"),
    [
        ("linux", ".cache/headstart"),
        ("darwin", "Library/Caches/headstart"),
        ("win32", "AppData/Local/headstart"),
    ],
)
def test_each_platform_has_its_place(
    platform: str, place: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert files.cache_folder() == bare / place
    assert names(bare) == []  # nothing is made by asking


def test_variables_go_before_the_home(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert files.cache_folder() == bare / ".cache" / "headstart"
    monkeypatch.setenv("XDG_CACHE_HOME", str(bare / "xdg"))
    assert files.cache_folder() == bare / "xdg" / "headstart"
    monkeypatch.setenv("HEADSTART_CACHE", "")
    assert files.cache_folder() == bare / "xdg" / "headstart"
    monkeypatch.setenv("HEADSTART_CACHE", str(bare / "mine"))
    assert files.cache_folder() == bare / "mine"
    monkeypatch.setenv("HEADSTART_CACHE", "~/mine")
    assert files.cache_folder() == bare / "mine"
    monkeypatch.chdir(bare)
    monkeypatch.setenv("HEADSTART_CACHE", "here")
    assert files.cache_folder() == bare / "here"


@pytest.mark.parametrize("home", ["", "/no/such/home"])
def test_without_a_home_the_variable_is_asked_for(
    home: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", home)
    with pytest.raises(StoreError, match=r"no home directory.*HEADSTART_CACHE"):
        files.cache_folder()
    monkeypatch.setenv("HEADSTART_CACHE", str(bare))
    assert files.cache_folder() == bare


@pytest.mark.usefixtures("bare")
def test_a_home_that_nobody_knows_is_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(StoreError, match="HEADSTART_CACHE"):
        files.cache_folder()


def test_the_cache_is_made_when_it_is_needed(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(bare / "a" / "b"))
    assert files.make_cache_folder("features", "x").is_dir()
    assert files.make_cache_folder("features", "x") == bare / "a" / "b" / "features" / "x"


def test_a_cache_that_cannot_be_made_or_written_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "file").write_text("in the way")
    monkeypatch.setenv("HEADSTART_CACHE", str(bare / "file" / "cache"))
    with pytest.raises(StoreError, match=r"file/cache.*HEADSTART_CACHE"):
        files.make_cache_folder("features")
    monkeypatch.setenv("HEADSTART_CACHE", str(bare / "cache"))
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere, so it has to be said
    with pytest.raises(StoreError, match=r"cannot write.*HEADSTART_CACHE"):
        files.make_cache_folder("features")


# Digests


def test_digests_are_sha256(tmp_path: Path) -> None:
    data = random.Random(0).randbytes(3_000_000)  # noqa: S311
    (tmp_path / "file").write_bytes(data)
    assert (
        files.digest_bytes(data) == files.digest_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()
    )
    assert files.digest_bytes(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


# Whole files


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    for data in (b"first", b"", b"third" * 100_000):
        files.write_whole(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
        assert names(tmp_path) == ["file"]
    long = tmp_path / ("ü" * 120)  # 240 bytes; a name has 255
    files.write_whole(long, b"long")
    assert long.read_bytes() == b"long"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_whole(tmp_path / "file", b"old")
    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), full)
    with pytest.raises(
        OutputError, match=r"file cannot be written: No space left on device\. Free some space"
    ):
        files.write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"absent/file cannot be written: No such file or directory\. Make"):
        files.write_whole(tmp_path / "absent" / "file", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits there")
def test_a_file_over_the_limit_of_the_system_is_an_error(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from headstart import errors, files
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    files.write_whole(Path(sys.argv[1]) / "file", bytes(1_000_000))
except errors.OutputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "file cannot be written: File too large" in done.stdout
    assert names(tmp_path) == []


def test_a_killed_writer_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from headstart.files import write_whole
write_whole(Path(sys.argv[1]) / "file", b"a" * 2_000_000)
print("ready", flush=True)
while True:
    for letter in (b"b", b"a"):
        write_whole(Path(sys.argv[1]) / "file", letter * 2_000_000)
"""
    seen = set()
    for seed in range(8):
        kill_at_random(script, tmp_path, seed=seed)
        data = (tmp_path / "file").read_bytes()
        assert len(data) == 2_000_000
        seen.add(data[:1])
        assert len(set(data)) == 1
    assert seen <= {b"a", b"b"}
    for leftover in tmp_path.glob(".file.part-*"):
        aged(leftover, 7200)
    files.write_whole(tmp_path / "file", b"c")
    assert names(tmp_path) == ["file"]


# Whole folders


def test_a_file_that_a_library_writes_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "network.bin"
    with files.file_whole(target) as part:
        assert part.name == "network.bin"
        part.write_bytes(b"half")
        assert not target.exists()
        part.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert names(target.parent) == ["network.bin"]
    with pytest.raises(OutputExists, match="there already"), files.file_whole(target):
        pass
    with pytest.raises(ValueError, match="mine"), files.file_whole(target, replace=True) as part:
        raise ValueError(f"mine, after {part.write_bytes(b'other')} bytes")
    assert target.read_bytes() == b"whole"
    with files.file_whole(target, replace=True) as part:
        part.write_bytes(b"other")
    assert target.read_bytes() == b"other"
    with pytest.raises(OutputError, match="cannot be written"), files.file_whole(target, replace=True):
        pass  # nothing was written
    with pytest.raises(UnreadablePicture, match=r"^why$"), files.file_whole(target, replace=True):
        raise UnreadablePicture("why")
    with pytest.raises(OutputExists), files.file_whole(tmp_path / "new", replace=True):
        pass
    stale = target.parent / f".network.bin.part-{TOKEN}"
    stale.mkdir()
    aged(stale, 2 * files.STALE_S)
    with files.file_whole(target, replace=True) as part:
        part.write_bytes(b"later")
    assert names(target.parent) == ["network.bin"]


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "above" / "target"
    with files.folder_whole(target) as part:
        (part / "one").write_text("1")
        assert not target.exists()
        assert part.parent == target.parent
    assert names(target) == ["one"]
    assert names(target.parent) == ["target"]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), UnreadablePicture("a picture")])
def test_a_folder_that_fails_vanishes(error: BaseException, tmp_path: Path) -> None:
    def fail() -> None:
        with files.folder_whole(tmp_path / "target") as part:
            (part / "one").write_text("1")
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert names(tmp_path) == []


def test_what_the_disk_refuses_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(
            OutputError, match=r"target cannot be written: No space left on device\. Free some space"
        ),
        files.folder_whole(tmp_path / "target"),
    ):
        full()
    assert names(tmp_path) == []
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match=r"file/target cannot be written: .*A file stands where"),
        files.folder_whole(tmp_path / "file" / "target"),
    ):
        pytest.fail("must not begin")
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: full_as(errno.EROFS))
    with (
        pytest.raises(OutputError, match=r"Read-only file system\. Choose a place where you may write"),
        files.folder_whole(tmp_path / "target"),
    ):
        pytest.fail("must not begin")


def full_as(number: int) -> None:
    raise OSError(number, os.strerror(number))


def test_what_stands_there_is_kept_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with files.folder_whole(target) as part:  # empty: nobody loses anything
        (part / "old").write_text("")
    with pytest.raises(OutputExists, match="target is there already"), files.folder_whole(target):
        pytest.fail("must not begin")
    with files.folder_whole(target, replace=True) as part:
        (part / "new").write_text("")
        assert names(target) == ["old"]
    assert names(target) == ["new"]
    assert names(tmp_path) == ["target"]
    with pytest.raises(ValueError, match="mine"), files.folder_whole(target, replace=True):
        raise ValueError("mine")
    assert names(target) == ["new"]


def test_files_and_folders_around_us_are_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OutputExists, match="file is not a folder"):
        files.check_free(tmp_path / "file", replace=True)
    (tmp_path / "above" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "above" / "here")
    for around in (Path(), Path(".."), tmp_path / "above"):
        with pytest.raises(OutputExists, match="the folder you are in"):
            files.check_free(around, replace=True)
    assert files.check_free(tmp_path / "above" / "here" / "new") == tmp_path / "above" / "here" / "new"


def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="new cannot be written"):
        files.check_free(tmp_path / "file" / "new")
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != tmp_path)  # root may write anywhere
    with pytest.raises(OutputError, match="Permission denied"):
        files.check_free(tmp_path / "not yet" / "new")


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "real")
    with files.folder_whole(tmp_path / "link") as part:
        (part / "one").write_text("")
    assert names(tmp_path / "disk" / "real") == ["one"]
    assert (tmp_path / "link").is_symlink()


def test_a_second_run_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "target"

    def both_write() -> None:
        with files.folder_whole(target) as part:
            (part / "ours").write_text("")
            target.mkdir()
            (target / "theirs").write_text("")

    with pytest.raises(OutputError, match="not empty"):
        both_write()
    assert names(target) == ["theirs"]
    assert names(tmp_path) == ["target"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    with files.folder_whole(target) as part:
        (part / "old").write_text("")
    rename = Path.rename

    def refuse(path: Path, to: Path) -> Path:
        if ".part-" in path.name:
            full()
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match="No space"), files.folder_whole(target, replace=True) as part:
        (part / "new").write_text("")
    assert names(target) == ["old"]
    assert names(tmp_path) == ["target"]


def test_only_old_leftovers_of_the_same_target_are_removed(tmp_path: Path) -> None:
    for name in (
        f".target.part-{TOKEN}",
        f".target.old-{TOKEN}",
        f".other.part-{TOKEN}",
        ".target.part-mine",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("")
        aged(tmp_path / name, 7200)
    young = tmp_path / ".target.part-fedcba9876543210"
    young.mkdir()
    busy = tmp_path / ".target.part-fedcba9876543211"
    (busy / "deep").mkdir(parents=True)
    aged(busy, 7200)
    (busy / "deep" / "file").write_text("just now")
    kept = {f".target.old-{TOKEN}", f".other.part-{TOKEN}", ".target.part-mine", young.name, busy.name}
    files.remove_stale(tmp_path / "target")
    assert set(names(tmp_path)) == kept  # the old folder is all there is of the target: it stays
    (tmp_path / "target").mkdir()
    files.remove_stale(tmp_path / "target")
    assert set(names(tmp_path)) == kept - {f".target.old-{TOKEN}"} | {"target"}


def test_a_killed_run_leaves_an_old_a_new_or_no_folder(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from headstart.files import folder_whole
number = 0
while True:
    with folder_whole(Path(sys.argv[1]) / "target", replace=True) as part:
        for name in "abcdefgh":
            (part / name).write_text(str(number))
    number += 1
    if number == 2:
        print("ready", flush=True)
"""
    for seed in range(12):
        kill_at_random(script, tmp_path, seed=seed)
        target = tmp_path / "target"
        if target.exists():
            assert names(target) == list("abcdefgh")
            assert len({path.read_text() for path in target.iterdir()}) == 1
        for leftover in tmp_path.glob(".target.old-*"):
            assert names(leftover) == list("abcdefgh")
    with files.folder_whole(tmp_path / "target", replace=True) as part:
        (part / "last").write_text("")
    assert names(tmp_path / "target") == ["last"]


# Folders of the cache


def test_the_first_to_publish_wins_and_the_others_leave_nothing(tmp_path: Path) -> None:
    final = tmp_path / "final"
    won = []
    for number in range(3):
        temp = files.sibling(final, "part")
        temp.mkdir()
        (temp / "file").write_text(str(number))
        won.append(files.publish_folder(temp, final))
    assert won == [True, False, False]
    assert (final / "file").read_text() == "0"
    assert names(tmp_path) == ["final"]


def test_what_cannot_be_published_is_an_error(tmp_path: Path) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    (tmp_path / "final").write_text("a file in the way")
    with pytest.raises(StoreError, match=r"final cannot be written: Not a directory\. Set HEADSTART_CACHE"):
        files.publish_folder(temp, tmp_path / "final")
    assert names(tmp_path) == ["final"]


def test_many_processes_publish_one_folder(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from headstart.files import publish_folder, sibling
final = Path(sys.argv[1]) / "final"
temp = sibling(final, "part")
temp.mkdir()
for name in "abcdefgh":
    (temp / name).write_text(sys.argv[2])
sys.stdin.read()
print(publish_folder(temp, final))
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    answers = [child.communicate()[0] for child in children]
    assert sorted(answers) == ["False\n"] * 3 + ["True\n"]
    assert {path.read_text() for path in (tmp_path / "final").iterdir()} == {str(answers.index("True\n"))}
    assert names(tmp_path) == ["final"]


def test_discard_removes_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for name in ("file", "folder", "absent"):
        files.discard(tmp_path / name)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_removed_at_once_still_goes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # killed before it removed anything
    files.discard(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
