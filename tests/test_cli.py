"""What the commands print, where, and how they end."""

import csv
import functools
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import make
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headstart.cli import main
from headstart.cli.demo import on_screen
from headstart.cli.predict import _joined, _table
from headstart.files import cache_folder
from headstart.model.folder import load
from headstart.model.predict import Prediction
from headstart.recipe import train

WIDTH = 80
HEADSTART = [sys.executable, "-c", "from headstart.cli import main; main()"]


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def call(capfd: pytest.CaptureFixture[str], *arguments: object, stdin: str | None = None) -> Said:
    """The command in this process."""
    capfd.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["headstart", *map(str, arguments)])
        if stdin is not None:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(os.fsencode(stdin)), encoding="utf-8"))
        with pytest.raises(SystemExit) as end:
            main()
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return Said(int(end.value.code or 0), out, err)


def spawn(*arguments: object, **options: Any) -> "subprocess.Popen[bytes]":
    """The command in a process of its own."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([*HEADSTART, *map(os.fspath, map(_text, arguments))], **pipes)


def run(*arguments: object, **options: Any) -> Said:
    """The same, until it ends."""
    process = spawn(*arguments, **options)
    out, err = process.communicate(timeout=120)
    found = Said(process.returncode, os.fsdecode(out or b""), os.fsdecode(err or b""))
    assert "Traceback" not in found.err, found.err
    assert found.code >= 0, found.err
    return found


def _text(argument: object) -> str | bytes:
    return argument if isinstance(argument, bytes) else str(argument)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.getbasetemp() / "toys"
    place.mkdir(exist_ok=True)
    return place


@pytest.fixture(scope="session")
def parted(base: Path) -> Path:
    return make.parted(base)


@pytest.fixture(scope="session")
def model(base: Path, parted: Path) -> Path:
    return make.once(base / "parted-model", lambda out: train(parted, out=out, head="lda"))


@pytest.fixture(scope="session")
def some(parted: Path) -> list[str]:
    return [str(file) for file in sorted((parted / "test").rglob("*.*"))[::3]]


@pytest.fixture
def bad(tmp_path: Path) -> str:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return str(tmp_path / "bad.jpg")


# -- one document, and nothing else -----------------------------------------------------------------------


def test_train_json_is_the_report_of_the_model(
    capfd: pytest.CaptureFixture[str], parted: Path, tmp_path: Path
) -> None:
    said = call(capfd, "train", parted, "--out", tmp_path / "m", "--head", "lda", "--json")
    assert (said.code, said.err) == (0, "")
    assert said.json() == load(tmp_path / "m").report


def test_evaluate_json_is_what_train_printed(
    capfd: pytest.CaptureFixture[str], parted: Path, model: Path
) -> None:
    said = call(capfd, "evaluate", model, parted, "--json")
    assert (said.code, said.err) == (0, "")
    assert said.json()["test"] == load(model).report["test"]


@pytest.mark.parametrize("command", ["backbones", "cache", "check", "predict"])
def test_json_is_one_document(
    capfd: pytest.CaptureFixture[str], parted: Path, model: Path, some: list[str], command: str
) -> None:
    more = {"check": [parted], "predict": [model, *some]}.get(command, [])
    said = call(capfd, command, *more, "--json")
    assert (said.code, said.err) == (0, "")
    assert isinstance(said.json(), dict)
    if command == "check":
        assert said.json().keys() >= {"data", "findings"}


def test_the_same_numbers_in_words(
    capfd: pytest.CaptureFixture[str], parted: Path, model: Path, tmp_path: Path
) -> None:
    report = load(model).report
    said = call(capfd, "train", parted, "--out", tmp_path / "m", "--head", "lda")
    assert (said.code, said.err) == (0, "")
    assert f"accuracy {report['test']['accuracy']:.3f}" in said.out
    assert all(name in said.out for name in report["classes"])
    assert str(tmp_path / "m") in said.out
    assert f"accuracy {report['test']['accuracy']:.3f}" in call(capfd, "evaluate", model, parted).out


# -- predict ----------------------------------------------------------------------------------------------


def answers(model: Path, paths: list[str]) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(one.to_json())) for one in load(model).predict(paths)]


def test_jsonl_is_one_object_per_picture_in_the_order_asked(
    capfd: pytest.CaptureFixture[str], model: Path, some: list[str], bad: str
) -> None:
    asked = [some[3], bad, some[0], some[3]]
    said = call(capfd, "predict", model, *asked, "--format", "jsonl")
    found = [json.loads(line) for line in said.out.splitlines()]
    assert found == answers(model, asked)
    assert found[1].keys() == {"path", "error"}
    assert said.code == 1
    assert "1 of 4" in said.err


def test_csv_parses_back(capfd: pytest.CaptureFixture[str], model: Path, some: list[str], bad: str) -> None:
    said = call(capfd, "predict", model, some[0], bad, some[1], "--format", "csv", "--top", "3")
    rows = list(csv.reader(io.StringIO(said.out, newline="")))
    assert {len(row) for row in rows} == {len(rows[0])}
    by_name = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    for row, answer in zip(by_name, answers(model, [some[0], bad, some[1]]), strict=True):
        assert row["path"] == answer["path"]
        assert row["error"] == answer.get("error", "")
        if not row["error"]:
            assert row["label"] == answer["label"]
            assert float(row["probability"]) == pytest.approx(answer["probability"], rel=1e-5)
            assert float(row["probability3"]) == pytest.approx(
                min(answer["probabilities"].values()), rel=1e-5
            )
            assert row["unknown"] == str(answer["unknown"]).lower()
            assert row["set"].split("|") == answer["set"]
    assert said.code == 1


def test_the_nearest_are_shown_where_asked(
    capfd: pytest.CaptureFixture[str], model: Path, some: list[str], bad: str
) -> None:
    (wanted,) = load(model).predict(some[0], nearest=2)
    assert wanted.nearest is not None
    asked = ("predict", model, some[0], bad, "--nearest", "2")
    first = json.loads(call(capfd, *asked, "--format", "jsonl").out.splitlines()[0])
    assert first["nearest"] == [like.to_json() for like in wanted.nearest]
    header, row, failed = csv.reader(io.StringIO(call(capfd, *asked, "--format", "csv").out, newline=""))
    assert row[header.index("nearest")] == _joined([like.path for like in wanted.nearest])
    assert failed[header.index("nearest")] == ""
    table = call(capfd, *asked).out
    assert all(like.path in table for like in wanted.nearest)


@given(st.lists(st.text(alphabet="a|\\", min_size=1), min_size=1).map(tuple))
def test_a_set_in_a_cell_can_be_read_back(names: tuple[str, ...]) -> None:
    cells, escaped = [""], False
    for letter in _joined(names):
        if letter == "|" and not escaped:
            cells.append("")
        elif letter != "\\" or escaped:
            cells[-1] += letter
        escaped = letter == "\\" and not escaped
    assert tuple(cells) == names


def test_the_table_names_each_picture(
    capfd: pytest.CaptureFixture[str], model: Path, some: list[str], bad: str
) -> None:
    said = call(capfd, "predict", model, *some, bad, "--top", "2")
    lines = said.out.splitlines()
    assert len(lines) == 1 + 2 * len(some) + 1
    assert [line.split()[-1] for line in lines[1:-1:2]] == some
    assert "cannot be read" in lines[-1]


def test_sets_grow_with_what_is_asked(
    capfd: pytest.CaptureFixture[str], model: Path, some: list[str]
) -> None:
    sizes = []
    for share in ("0.3", "1"):
        said = call(capfd, "predict", model, *some, "--json", "--sets", share)
        sizes.append(sum(len(one["set"]) for one in said.json()["predictions"]))
    assert sizes[0] < sizes[1] == 3 * len(some)


def test_the_table_shows_the_sets_that_were_asked_for(
    capfd: pytest.CaptureFixture[str], model: Path, some: list[str]
) -> None:
    assert "set:" not in call(capfd, "predict", model, *some).out
    for share in ("0.3", "1"):
        wanted = call(capfd, "predict", model, *some, "--json", "--sets", share).json()["predictions"]
        lines = call(capfd, "predict", model, *some, "--sets", share).out.splitlines()
        sets = [line.strip().removeprefix("set: ").split(", ") for line in lines if "set: " in line]
        assert sets == [one["set"] for one in wanted]


def test_a_set_of_many_classes_stays_within_the_width(capfd: pytest.CaptureFixture[str]) -> None:
    names = tuple(f"a-class with a name {at}" for at in range(40))
    shares = dict.fromkeys(names, 0.025)
    one = Prediction("one.jpg", None, names[0], 0.025, shares, unknown=False, unknown_score=0.0, set=names,
                     title="", url="")  # fmt: skip
    _table(one, 1, first=False, sets=True)
    lines = capfd.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(line.strip() for line in lines[1:]) == f"set: {', '.join(names)}"


def test_folders_patterns_and_stdin_give_the_same(
    capfd: pytest.CaptureFixture[str], parted: Path, model: Path
) -> None:
    place = parted / "test" / "red"
    (place / "notes.txt").write_text("no picture")
    (place / ".hidden.png").write_bytes(b"")
    files = sorted(str(file) for file in place.glob("0*.*"))
    wanted = call(capfd, "predict", model, *files, "--format", "jsonl").out
    ways: list[tuple[list[str], str | None]] = [
        ([str(place)], None), ([f"{place}/0*.*"], None), ([f"{parted}/**/red/001[2-7].*"], None),
        (["-"], "\n".join(files)), (["-"], "\r\n".join(files) + "\r\n\r\n"),
        ([files[0], "-"], "\n".join(files[1:])),
    ]  # fmt: skip
    for paths, stdin in ways:
        said = call(capfd, "predict", model, *paths, "--format", "jsonl", stdin=stdin)
        assert (said.code, said.err) == (0, "")
        assert said.out == wanted, paths
    (place / "notes.txt").unlink()
    (place / ".hidden.png").unlink()


def test_a_file_named_like_a_pattern_is_that_file(
    capfd: pytest.CaptureFixture[str], model: Path, some: list[str], tmp_path: Path
) -> None:
    shutil.copy(some[0], tmp_path / "a[1].png")
    said = call(capfd, "predict", model, tmp_path / "a[1].png", "--json")
    assert said.code == 0
    assert said.json()["predictions"][0]["path"] == str(tmp_path / "a[1].png")


ODD = [
    b"new\nline.png", b"return\rhere.png", b"raw\xff.png", "line\u2028end.png".encode(), b'comma,"quote".png',
    "\U0001f98b.png".encode(), b"-dash.png", b" blank .png", b"tab\there.png", b"\x1b[31mred.png",
]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not have these names")
def test_odd_names_come_back_in_every_format(model: Path, some: list[str], tmp_path: Path) -> None:
    place = os.fsencode(tmp_path)
    for name in ODD:
        shutil.copy(some[0], os.path.join(place, name))  # noqa: PTH118  bytes
    said = run("predict", model, "--format", "jsonl", "--", *ODD, cwd=tmp_path)
    assert (said.code, said.err) == (0, "")
    assert [os.fsencode(json.loads(line)["path"]) for line in said.out.splitlines()] == ODD
    said = run("predict", model, "--format", "csv", "--", *ODD, cwd=tmp_path)
    rows = list(csv.reader(io.StringIO(said.out, newline="")))[1:]
    assert [row[0] for row in rows] == [
        os.fsdecode(name).encode(errors="backslashreplace").decode() for name in ODD
    ]
    said = run("predict", model, "--", *ODD, cwd=tmp_path)
    assert len(said.out.splitlines()) == 1 + len(
        ODD
    )  # a name never makes a line of its own, nor colours the screen
    assert "\x1b" not in said.out
    plain = [name for name in ODD if b"\n" not in name and b"\r" not in name]
    (tmp_path / "list").write_bytes(b"\n".join(plain))
    for environment in (
        {},
        {"LC_ALL": "C.UTF-8"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ):
        with (tmp_path / "list").open("rb") as stdin:
            said = run(
                "predict",
                model,
                "-",
                "--format",
                "jsonl",
                cwd=tmp_path,
                stdin=stdin,
                env=os.environ | environment,
            )
        assert said.code == 0
        assert len(said.out.splitlines()) == len(plain)


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
def test_a_terminal_that_knows_few_letters_gets_the_rest_escaped(
    model: Path, some: list[str], tmp_path: Path, form: str
) -> None:
    shutil.copy(some[0], tmp_path / "\U0001f98b.png")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    said = run("predict", model, tmp_path / "\U0001f98b.png", "--format", form, env=environment)
    assert said.code == 0
    assert "1f98b" in said.out or "ud83e" in said.out


def test_a_program_that_asks_again_after_each_answer_is_answered(model: Path, some: list[str]) -> None:
    with spawn("predict", model, "-", "--format", "jsonl", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        killer = threading.Timer(10, process.kill)
        killer.start()
        said = []
        for path in some[:3]:
            with suppress(BrokenPipeError):
                process.stdin.write(path.encode() + b"\n")
                process.stdin.flush()
            said.append(json.loads(process.stdout.readline() or b"{}").get("path"))
        process.communicate()
        killer.cancel()
    assert said == some[:3]
    assert process.returncode == 0


# -- wrong use, and how it ends ---------------------------------------------------------------------------

WRONG = {
    "nothing there": (["train", "nowhere"], 2, "there is nothing at nowhere"),
    "a name too long": (["train", "x" * 300], 2, "xxx"),
    "an empty folder": (["train", "EMPTY"], 2, "neither folders nor pictures"),
    "a picture": (["train", "PICTURE"], 2, "neither a folder nor a table"),
    "no such option": (["train", "DATA", "--heads", "lda"], 2, "No such option"),
    "no such head": (["train", "DATA", "--head", "rigde"], 2, "Did you mean 'ridge'"),
    "no such backbone": (["train", "DATA", "--backbone", "efficientnet_lite9"], 2, "Did you mean"),
    "no such device": (["train", "DATA", "--device", "tpu"], 2, "Known: cpu"),
    "a seed in words": (["train", "DATA", "--seed", "one"], 2, "not a valid integer"),
    "a taken place": (["train", "DATA", "--out", "DATA"], 2, "not empty"),
    "a file as place": (["train", "DATA", "--out", "PICTURE"], 2, "is not a folder"),
    "a place inside a file": (["train", "DATA", "--out", "PICTURE/m"], 1, "A file stands where"),
    "a long place": (["train", "DATA", "--out", "x" * 300], 1, "shorter name"),
    "a test part too many": (["train", "DATA", "--test", "DATA"], 2, "has a test part already"),
    "no table of parts": (["train", "DATA", "--split", "nowhere.csv"], 2, "nowhere.csv"),
    "no model": (["predict", "DATA", "PICTURE"], 2, "is not a model folder"),
    "a long model": (["predict", "x" * 300, "PICTURE"], 2, "is not a model folder"),
    "no picture": (["predict", "MODEL"], 2, "Missing argument"),
    "no match": (["predict", "MODEL", "*.nothing"], 2, "no pictures at *.nothing"),
    "an empty folder to predict": (["predict", "MODEL", "EMPTY"], 2, "no pictures at"),
    "an absent picture": (["predict", "MODEL", "nowhere.jpg"], 1, "1 of 1"),
    "a long picture": (["predict", "MODEL", "x" * 300], 1, "1 of 1"),
    "sets beyond all": (["predict", "MODEL", "PICTURE", "--sets", "2"], 2, "--sets must be above 0"),
    "sets that are none": (["predict", "MODEL", "PICTURE", "--sets", "nan"], 2, "--sets must be above 0"),
    "no format": (["predict", "MODEL", "PICTURE", "--format", "xml"], 2, "is not one of"),
    "nobody on the list": (["predict", "MODEL", "PICTURE", "--top", "0"], 2, "not in the range"),
    "nothing to judge": (["evaluate", "MODEL", "nowhere"], 2, "there is nothing at nowhere"),
    "no sample": (["sample", "flours", "new"], 2, "Did you mean 'flowers'"),
    "no command": (["trian", "DATA"], 2, "No such command"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_use_is_explained_and_leaves_nothing(
    capfd: pytest.CaptureFixture[str],
    parted: Path,
    model: Path,
    some: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    arguments, code, message = WRONG[what]
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    names = {"DATA": str(parted), "MODEL": str(model), "PICTURE": some[0], "EMPTY": "empty"}
    said = call(
        capfd, *[f"{names.get(first := one.split('/')[0], first)}{one[len(first) :]}" for one in arguments]
    )
    assert said.code == code, said.err
    assert message in said.err
    assert message not in said.out
    assert [entry.name for entry in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("where", ["a file", "below a file"])
def test_a_cache_that_is_no_folder_is_said(
    capfd: pytest.CaptureFixture[str],
    model: Path,
    parted: Path,
    some: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file" / ("" if where == "a file" else "cache")))
    for arguments in (
        ["predict", model, some[0]],
        ["train", parted, "--out", tmp_path / "m"],
        ["check", parted],
    ):
        said = call(capfd, *arguments)
        assert said.code == 1
        assert "HEADSTART_CACHE" in said.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", ["backbones", "predict table", "predict csv", "predict json"])
def test_a_full_disk_under_the_output_is_an_error_and_not_a_crash(
    model: Path, some: list[str], command: str
) -> None:
    name, _, form = command.partition(" ")
    more = {"table": [], "csv": ["--format", "csv"], "json": ["--json"]}.get(form, [])
    with Path("/dev/full").open("w") as full:
        said = run(name, *([model, *some, *more] if form else []), stdout=full)
    assert said.code == 1
    assert "No space left" in said.err


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
def test_a_reader_that_goes_away_ends_it_quietly(model: Path, parted: Path, form: str) -> None:
    with spawn("predict", model, *[parted] * 20, "--format", form) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (1, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="other signals there")
@pytest.mark.parametrize("what", ["predict", "waiting", "train"])
def test_an_interrupt_ends_it_at_once(model: Path, parted: Path, tmp_path: Path, what: str) -> None:
    arguments: dict[str, list[object]] = {
        "predict": ["predict", model, *[parted] * 400, "--format", "csv"],
        "waiting": ["predict", model, "-", "--format", "jsonl"],
        "train": ["train", tmp_path / "data", "--out", tmp_path / "m"],
    }
    if what == "train":
        for number in range(16):  # each takes a while to decode, so that it cannot be over too soon
            place = tmp_path / "data" / "ab"[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8000, 6000 + number), number).save(place / f"{number}.png", compress_level=1)
    heard = functools.partial(
        signal.signal, signal.SIGINT, signal.SIG_DFL
    )  # a shell's background job ignores it
    with spawn(*arguments[what], stdin=subprocess.PIPE, preexec_fn=heard) as process:
        assert process.stdout is not None
        if what == "predict":
            process.stdout.readline()
        else:
            time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        killer = threading.Timer(10, process.kill)
        killer.start()
        code = process.wait()  # with its stdin open
        killer.cancel()
        out, err = process.communicate()
    assert code == 130, err
    assert b"interrupted" in err
    assert b"Traceback" not in out + err
    assert not (tmp_path / "m").exists()


def test_an_interrupt_that_knows_what_stands_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from headstart import cli, recipe

    class Ended(Exception):
        pass

    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(cli.os, "_exit", end)
    monkeypatch.setattr(sys, "argv", ["headstart", "train", "photos"])
    for said, told in (
        (["m holds the frozen model."], "m holds the frozen model."),
        ([], "what was encoded is kept"),
    ):

        def train(*_: object, said: list[str] = said, **__: object) -> None:
            raise KeyboardInterrupt(*said)

        monkeypatch.setattr(recipe, "train", train)
        with pytest.raises(Ended, match="130"):
            cli.main()
        assert f"headstart: interrupted: {told}" in capsys.readouterr().err


# -- what is printed fits ---------------------------------------------------------------------------------


def test_the_face_fits_into_eighty_columns(
    capfd: pytest.CaptureFixture[str], parted: Path, tmp_path: Path
) -> None:
    rows = [
        (file, f"{file.parent.name} {'of a rather long name, ' * 6}\U0001f98b", part)
        for part in ("train", "test")
        for file in sorted((parted / part).rglob("*.*"))
    ]
    data = make.table(tmp_path / "t.csv", rows, "path,label,split")
    for arguments in (
        ["train", data, "--out", tmp_path / "m", "--head", "lda"],
        ["evaluate", tmp_path / "m", data],
        ["train", parted / "train", "--out", tmp_path / "n", "--head", "lda"],
        ["backbones"],
    ):
        said = call(capfd, *arguments)
        assert said.code == 0
        own = [line for line in said.out.splitlines() if "/" not in line]  # a path is never cut
        assert max(map(len, own)) <= WIDTH, max(own, key=len)


def test_many_classes_stay_a_short_table(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = make.folder(tmp_path / "data", {f"class {number:03d}": 3 for number in range(101)}, jitter=60)
    rows = [
        (file, file.parent.name, "test" if "0002" in file.name else "train")
        for file in sorted(data.rglob("*.*"))
    ]
    table = make.table(tmp_path / "t.csv", rows, "path,label,split")
    said = call(capfd, "train", table, "--out", tmp_path / "m", "--head", "prototypes")
    assert said.code == 0
    assert len(said.out.splitlines()) < 45
    assert "the other 95 classes" in said.out
    assert max(len(line) for line in said.out.splitlines() if "/" not in line) <= WIDTH


def test_a_leak_is_said_beside_the_score(
    capfd: pytest.CaptureFixture[str], parted: Path, tmp_path: Path
) -> None:
    for name, test in (("some", parted / "test"), ("all", parted / "train")):
        shutil.copytree(test, tmp_path / name)
        shutil.copy(parted / "train" / "red" / "0000.png", tmp_path / name / "red" / "copy.png")
        said = call(
            capfd,
            "train",
            parted / "train",
            "--test",
            tmp_path / name,
            "--out",
            tmp_path / f"{name}-m",
            "--head",
            "lda",
        )
        assert said.code == 0
        assert "LEAK" in said.out, name


def test_help_is_for_people(capfd: pytest.CaptureFixture[str]) -> None:
    said = call(capfd, "--help")
    assert "\\b" not in said.out  # a mark for click, not for people
    assert (said.code, said.err) == (0, "")
    for name in ("demo", "train", "predict", "evaluate", "check", "backbones", "cache", "sample"):
        assert name in said.out
        own = call(capfd, name, "--help")
        assert own.code == 0
        assert "--json" in own.out
        assert max(map(len, own.out.splitlines())) <= WIDTH
    assert call(capfd, "--version").out.startswith("headstart")


# -- light, and several at once ---------------------------------------------------------------------------

HEAVY = (
    "import sys; from headstart.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
)


@pytest.mark.parametrize("command", ["--help", "predict", "train", "evaluate"])
def test_torch_stays_out(model: Path, parted: Path, some: list[str], tmp_path: Path, command: str) -> None:
    more: dict[str, list[object]] = {
        "predict": [model, some[0]],
        "train": [parted, "--out", tmp_path / "m", "--head", "lda"],
        "evaluate": [model, parted],
    }
    run_it = [sys.executable, "-c", HEAVY, command, *map(str, more.get(command, []))]
    done = subprocess.run(run_it, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    wrong = {"torch", "timm", "torchvision", "matplotlib"}
    wrong |= {"sklearn", "scipy"} if command in ("predict", "--help") else set()
    wrong |= {"numpy", "PIL"} if command == "--help" else set()
    assert not loaded & wrong


def test_two_at_once_into_one_place_leave_one_whole_model(parted: Path, tmp_path: Path) -> None:
    for force in ([], ["--force"]):
        runs = [
            spawn("train", parted, "--out", tmp_path / "m", "--head", head, *force)
            for head in ("lda", "ridge")
        ]
        said = [one.communicate(timeout=120) for one in runs]
        codes = sorted(one.returncode for one in runs)
        assert codes[0] == 0
        assert codes[1] in (0, 1, 2), said
        assert not any(b"Traceback" in err for _, err in said)
        assert load(tmp_path / "m").head.name in ("lda", "ridge")
        assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


@pytest.mark.slow
def test_two_at_once_with_a_cold_cache_both_succeed(parted: Path, tmp_path: Path) -> None:
    cold = os.environ | {"HEADSTART_CACHE": str(tmp_path / "cache")}
    runs = [
        spawn("train", parted, "--out", tmp_path / f"m{at}", "--head", "lda", env=cold) for at in range(2)
    ]
    said = [one.communicate(timeout=300) for one in runs]
    assert [one.returncode for one in runs] == [0, 0], said
    weights = [(tmp_path / f"m{at}" / "weights.safetensors").read_bytes() for at in range(2)]
    assert weights[0] == weights[1]


def test_cache_shows_and_clears(
    capfd: pytest.CaptureFixture[str], parted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(cache_folder() / "networks", tmp_path / "cache" / "networks")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    call(capfd, "check", parted / "test")
    kept = call(capfd, "cache", "--json").json()
    assert kept["folder"] == str(tmp_path / "cache")
    assert {one["kind"]: one["pictures"] for one in kept["kept"]} == {
        "features": 18,
        "networks": 0,
        "twins": 0,
    }
    freed = call(capfd, "cache", "--clear", "--json").json()["freed"]
    assert freed == sum(one["bytes"] for one in kept["kept"]) > 10_000_000
    assert call(capfd, "cache", "--json").json()["kept"] == []
    assert "nothing is kept yet" in call(capfd, "cache").out
    assert not any(file.is_file() for file in (tmp_path / "cache").rglob("*"))


def test_clearing_leaves_weights_that_somebody_brought(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained here can be trained again, and models carry it; one's own file may be the last."""
    import numpy as np
    from safetensors.numpy import save_file

    from headstart import backbones
    from headstart.backbones.weights import LEARNT, TRAINED, weights_file, with_bytes, with_file

    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    plain, own = backbones.spec("scratch:small-cnn?width=4"), tmp_path / "own" / TRAINED  # a likely name
    own.parent.mkdir()
    save_file({"weight": np.zeros(3, np.float32)}, own)
    kept = weights_file(with_file(plain, own))
    save_file({"weight": np.ones(3, np.float32), LEARNT: np.zeros((1, 32), np.uint8)}, tmp_path / "ours")
    ours = weights_file(with_bytes(plain, (tmp_path / "ours").read_bytes()))
    found = call(capfd, "cache", "--json").json()["kept"]
    names = {(one["kind"], one["name"]) for one in found if one["bytes"]}
    assert names >= {("weights", f"{file.parent.name}/{TRAINED}") for file in (kept, ours)}
    assert any(one["kind"] == "facts" for one in found)
    assert f"left, because the original may be gone:\n  {kept}\n" in call(capfd, "cache", "--clear").out
    assert call(capfd, "cache", "--json").json()["left"] == [str(kept)]
    assert [file for file in (tmp_path / "cache").rglob("*") if file.is_file()] == [kept]


@pytest.mark.slow
def test_the_demo_runs_the_whole_road(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = call(capfd, "demo", "--dir", tmp_path / "demo")
    assert (said.code, said.err) == (0, "")
    model = load(tmp_path / "demo" / "objects-model")
    assert model.report["test"]["accuracy"] > 0.9
    assert all(f"headstart {name} " in said.out for name in ("check", "train", "predict"))
    assert max(len(line) for line in said.out.splitlines() if str(tmp_path) not in line) <= 80
    again = call(capfd, "demo", "--dir", tmp_path / "demo", "--json")
    assert again.code == 0
    answers = again.json()["predictions"]
    names = [Path(one["path"]).relative_to(tmp_path / "demo" / "objects").as_posix() for one in answers]
    assert [name.partition("/")[0] for name in names] == ["Card", "Cube", "Hat", "Screw", "Torch"]
    parts = {one.path: one.part for one in model.manifest}
    assert {parts[name] for name in names} == {"test"}
    for one in answers:  # the source network knows a thousand other words, and is less sure
        assert one["source"]["label"] not in model.classes
        assert 0 < one["source"]["probability"] <= 1
        assert f"{one['source']['label']} {one['source']['probability']:.0%}" in said.out
        assert f"{one['label']} {one['probability']:.2f}" in said.out


def test_the_demo_ends_with_its_report_and_leaves_other_models_alone(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On pictures that are there already; too few for a test part, so nothing is said to be unseen."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("click.launch", opened.append)
    here = tmp_path / "my demo"
    make.folder(here / "objects", {"pale": 6, "red": 6})
    out = here / "objects-model"
    said = call(capfd, "demo", "--dir", here)
    assert (said.code, said.err, opened) == (0, "", [])
    assert "a picture of each kind:" in said.out
    assert "the source network guesses" in said.out
    wanted = [(out / "report.html").as_uri()]
    program, *words = shlex.split(said.out.splitlines()[-1])
    assert program == "headstart"
    assert call(capfd, *words).code == 0
    assert opened == wanted, "the last line is a command that works as it is"

    made = (out / "model.json").read_bytes()
    (out / "report.html").unlink()
    assert call(capfd, "demo", "--dir", here, "--open").code == 0
    assert opened == wanted * 2
    assert (out / "report.html").is_file()
    assert (out / "model.json").read_bytes() == made, "it was there already"

    train(here / "objects", out=out, seed=1, force=True, report=False)
    other = (out / "model.json").read_bytes()
    said = call(capfd, "demo", "--dir", here)
    assert said.code == 2
    assert "holds something else than what this demo makes" in said.err
    assert (out / "model.json").read_bytes() == other


def test_a_browser_opens_by_itself_only_before_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert not on_screen(), "it would take the terminal itself"
    monkeypatch.setenv("DISPLAY", ":0")
    assert on_screen()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert not on_screen()
