"""The benchmarks' harness: what is kept is valid and names no machine, the table is fresh, scripts answer."""

import importlib
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
README = BENCHMARKS.parent / "README.md"
OTHER_DOORS = {"table"}  # not called as the others are
OWN_PICTURES = {  # or asked for later, or none
    "halved", "startup", "memory", "environment", "against_fastai", "choices", "best", "samples",
    "studio_kills",
}  # fmt: skip
SCRIPTS = sorted(p.stem for p in BENCHMARKS.glob("*.py") if p.stem[0] != "_" and p.stem not in OTHER_DOORS)


@pytest.fixture(autouse=True)
def _as_scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules of that folder can be imported by their bare names, as when a script there is run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(BENCHMARKS)):
            del sys.modules[name]


@pytest.fixture
def harness() -> Any:
    return importlib.import_module("_harness")


@pytest.fixture
def table() -> Any:
    return importlib.import_module("table")


@pytest.fixture
def line(harness: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A result as the harness makes it."""
    monkeypatch.setattr(
        sys, "argv", ["/somewhere/benchmarks/pace.py", "--data", "/secret/place", "--runs", "3"]
    )
    asked = harness.options("Pace.", ("--runs", {"type": int}))
    result = harness.Result(
        "pace, a | b", 12.3456, "times", harness.Bound(">=", 8), 1313, 3, (11.0, 13.5), {"x": 1.23456}
    )
    found: dict[str, Any] = harness.to_line(result, asked)
    return found


def test_what_was_kept_is_valid(harness: Any) -> None:
    harness.read()


def test_a_result_is_kept_as_it_was_made_and_told_without_folders(
    harness: Any, line: Any, tmp_path: Path
) -> None:
    file = tmp_path / "results.jsonl"
    harness.keep(line, file)
    harness.keep(line | {"value": 2}, file)
    assert harness.read(file) == [line, line | {"value": 2}]
    assert line["command"] == "python benchmarks/pace.py --runs 3"
    assert (line["value"], line["met"], line["detail"]) == (12.35, True, {"x": 1.235})
    assert "secret" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        {"value": float("nan")},
        {"value": "fast"},
        {"date": "yesterday"},
        {"detail": {"file": "/home/somebody/x.jpg"}},
        {"detail": {"/srv/x": 1}},
        {"detail": ["read from ~/pictures"]},
        {"command": "python C:\\Users\\x.py"},
        {"host": "here"},
    ],
    ids=str,
)
def test_a_line_that_is_wrong_or_names_a_folder_is_refused(
    harness: Any, line: Any, change: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"."):
        harness.keep(line | change, tmp_path / "results.jsonl")
    assert not (tmp_path / "results.jsonl").exists()
    (tmp_path / "results.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(line | change) + "\n")
    with pytest.raises(ValueError, match="line 2"):
        harness.read(tmp_path / "results.jsonl")


def test_the_name_of_this_machine_is_refused(
    harness: Any, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.node", lambda: "tower-of-ann.lan")
    harness.check_line(line)
    with pytest.raises(ValueError, match="name of this machine"):
        harness.check_line(line | {"detail": {"on": "tower-of-ann"}})


@pytest.mark.parametrize(
    ("sign", "value", "holds"),
    [(">=", 8, True), (">", 8, False), ("<", 8, False), ("<=", 8, True), ("==", 8, True), ("==", 7.9, False)],
)
def test_a_bound_is_what_it_says(harness: Any, sign: str, value: float, holds: bool) -> None:
    assert harness.Bound(sign, 8).holds(value) is holds


def test_steps_take_turns(harness: Any) -> None:
    order: list[str] = []
    steps = [lambda name=name: order.append(name) or float(len(order)) for name in "abc"]
    found = harness.rounds(2, *steps)
    assert "".join(order) == "abcabc"
    assert found == [[1, 4], [2, 5], [3, 6]]
    assert harness.ratios([6.0, 4.0, 9.0], [2.0, 4.0, 1.0]) == (3.0, (1.0, 9.0))


def test_memory_and_exit_code_are_the_commands_own(harness: Any) -> None:
    """Also when whoever asks holds much more: a child would inherit that peak."""
    ours = bytearray(200_000_000)
    ours[::4096] = b"x" * len(ours[::4096])
    small = harness.run(harness.python("-c", "import sys; print('out'); sys.exit(3)"))
    large = harness.run(harness.python("-c", "b = bytearray(90_000_000); b[::4096] = b'x' * len(b[::4096])"))
    assert (small.code, small.out, large.code) == (3, "out\n", 0)
    assert small.rss < 60e6
    assert 90e6 < large.rss < 160e6
    with pytest.raises(RuntimeError, match="exit code 3"):
        harness.ok(small)


def test_the_table_shows_the_newest_line_of_each_claim(table: Any, line: Any) -> None:
    old = line | {"date": "2020-01-01T00:00:00Z", "value": 99.5}
    line |= {"benchmark": "memory"}
    old |= {"benchmark": "memory"}
    other = line | {"claim": "another", "wanted": None, "met": None, "interval": None}
    missed = line | {"claim": "missed", "benchmark": "against_plain", "met": False}
    beside = line | {"claim": "for the docs", "benchmark": "elsewhere"}
    for lines in ([old, line, other, missed, beside], [beside, missed, other, line, old]):
        rows = table.table(lines).splitlines()
        assert [row.split("|")[1].strip() for row in rows[2:5]] == ["missed", "another", "pace, a \\"]
        assert "99.5" not in "\n".join(rows)
        assert "for the docs" not in "\n".join(rows)
    assert "pace, a \\| b | **12.3\N{MULTIPLICATION SIGN}** (11 to 13.5, n = 1,313, 3 runs) | ≥ 8" in rows[4]
    assert "(missed)" in rows[2]
    assert "(missed)" not in rows[4]


def test_only_what_stands_between_the_marks_is_replaced(table: Any) -> None:
    page = f"# Head\n\n{table.BEGIN}\nold\n{table.END}\n\nrest\n"
    fresh = table.placed(page, "new")
    assert fresh == f"# Head\n\n{table.BEGIN}\nnew\n{table.END}\n\nrest\n"
    assert table.placed(fresh, "new") == fresh
    for wrong in ("no marks", table.BEGIN, f"{table.END}{table.BEGIN}", page + table.BEGIN):
        with pytest.raises(table.NoPlace):
            table.placed(wrong, "new")


def test_check_tells_a_stale_page_and_changes_nothing(
    harness: Any, table: Any, line: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, every, results = (tmp_path / name for name in ("README.md", "measured.md", "results.jsonl"))
    for file in (page, every):
        file.write_text(f"{table.BEGIN}\n{table.END}\n", encoding="utf-8")
    harness.keep(line | {"benchmark": "memory", "claim": "killed train: runs that fail"}, results)
    harness.keep(line | {"benchmark": "memory", "claim": "a detail"}, results)
    words = ["table.py", "--readme", str(page), "--measured", str(every), "--results", str(results)]
    codes = []
    for more in (["--check"], [], ["--check"]):
        monkeypatch.setattr(sys, "argv", [*words, *more])
        before = page.read_bytes()
        codes.append(table.main())
        assert (page.read_bytes() == before) is bool(more)
    assert codes == [1, 0, 0]
    assert ("killed" in page.read_text(), "detail" in page.read_text()) == (True, False)
    assert ("killed" in every.read_text(), "detail" in every.read_text()) == (True, True)
    page.write_text("no marks", encoding="utf-8")
    assert table.main() == 2


def test_the_readme_has_the_newest_results(harness: Any, table: Any) -> None:
    for file, begins, scripts in (
        (README, table.HEADLINES, "benchmarks"),
        (table.MEASURED, ("",), "../benchmarks"),
    ):
        page = file.read_text(encoding="utf-8")
        fresh = table.placed(page, table.table(harness.read(), begins, scripts))
        assert fresh == page, "run: python benchmarks/table.py"


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_can_be_run_small(name: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    told = capsys.readouterr().out
    assert done.value.code == 0
    assert "--quick" in told
    assert "--data" in told


@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - OWN_PICTURES))
def test_a_script_without_its_pictures_says_so(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path, harness: Any
) -> None:
    monkeypatch.setattr(
        sys, "argv", [f"{name}.py", "--data", str(tmp_path), "--results", str(tmp_path / "r")]
    )
    monkeypatch.setattr(harness, "with_network", lambda cache: cache)
    runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().err.startswith("skipped: there is no ")
    assert not (tmp_path / "r").exists()
