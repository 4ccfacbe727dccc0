"""What is written is run: every block of every page, or it says why not; every command has its place."""

import json
import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import click
import pytest
import site_pages
import written
import yaml
from click.testing import CliRunner

from headstart.cli import group

ROOT = Path(__file__).parents[1]
MOST_UNRUN = 1 / 3  # of the blocks that could be run
TEST = re.compile(r"tests/\w+\.py")
ALL = [block for page in written.pages() for block in written.blocks(page)]
CODE = [block for block in ALL if block.language not in written.DATA]
OTHERS: set[str] = set()  # options of other programs that pages speak of


# -- every block is run, or says why not -------------------------------------------------------------------


def test_every_block_is_run_or_says_why_not() -> None:
    for block in CODE:
        assert block.language != written.INDENTED, (
            f"{block}: write a fence with a language, ```bash or ```text"
        )
        assert block.language, f"{block}: name the language, such as ```bash, ```python or ```text"
        reason = f"{block}: no test runs {block.language}; write above it <!-- not run: REASON -->"
        assert block.is_run or block.unrun or block.elsewhere, reason
        assert block.unrun is None or len(block.unrun.split()) >= 3, f"{block}: {block.unrun!r} is no reason"


def test_blocks_that_another_test_runs_are_known_to_it() -> None:
    for block in CODE:
        if block.elsewhere:
            test = ROOT / block.elsewhere
            assert test.is_file(), f"{block}: there is no {block.elsewhere}"
            assert Path(block.page).name in test.read_text(encoding="utf-8"), (
                f"{block}: {test.name} is silent"
            )


def test_a_reason_that_names_a_test_names_one_that_is_there() -> None:
    for block in CODE:
        for name in TEST.findall(block.unrun or ""):
            assert (ROOT / name).is_file(), f"{block}: there is no {name}"


def test_few_blocks_are_not_run() -> None:
    """Neither here nor, in its own way, by a test that the reason names."""
    unrun = [block for block in CODE if block.unrun and not TEST.search(block.unrun)]
    assert len(unrun) <= MOST_UNRUN * len(CODE), "\n".join(f"{block}: {block.unrun}" for block in unrun)


@pytest.mark.parametrize("block", [one for one in ALL if one.language in written.DATA], ids=str)
def test_data_are_what_they_are_called(block: written.Block) -> None:
    read = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load, "text": str}[block.language]
    assert read(block.code)


@pytest.fixture(scope="module")
def belongings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written.belongings(tmp_path_factory.mktemp("reader"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch tells of itself what is nothing to readers
@pytest.mark.parametrize("page", sorted({block.page for block in CODE if block.is_run}))
def test_a_page_runs_from_top_to_bottom(page: str, belongings: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(belongings, folder)
    for block in written.blocks(page):
        if block.is_run:
            written.run(block, folder)


@pytest.mark.parametrize("block", [one for one in CODE if one.language in written.SHELL], ids=str)
def test_every_command_that_is_shown_is_one(block: written.Block) -> None:
    for arguments in written.headstarts(block):
        written.parse(arguments)


def test_a_wrong_option_a_wrong_value_and_a_wrong_name_are_seen() -> None:
    written.parse(["train", "photos/", "--tune", "last", "--budget", "10m"])
    written.parse(["predict", "--help"])
    written.parse(["--version"])
    for wrong in (
        ["train", "photos/", "--tuned", "last"],
        ["train", "photos/", "--budget", "soon"],
        ["trian", "photos/"],
        ["predict", "model"],
        ["train", "photos/", "[--weights", "FILE]"],
    ):
        with pytest.raises(click.UsageError):
            written.parse(wrong)


PAGE = """\
Words.

    indented --code

- an item

    its second paragraph

```bash
headstart train photos/ --seed 1   # a remark
.venv/bin/headstart next m "a b" > there | sort
```

<!-- not run: needs a camera -->
```python
import camera
```

1. In a list
   ```console
   $ headstart check photos/
   fine
   ```

<!-- run by tests/test_cli.py -->
```python
import server
```

~~~
what is it?
~~~
"""


def test_blocks_are_found_with_their_kinds_and_reasons() -> None:
    found = written.blocks("page.md", PAGE)
    assert [(one.line, one.language, one.unrun, one.is_run) for one in found] == [
        (3, "indented", None, False),
        (10, "bash", None, True),
        (16, "python", "needs a camera", False),
        (21, "console", None, True),
        (27, "python", None, False),
        (31, "", None, False),
    ]
    assert [one.elsewhere for one in found] == [None, None, None, None, "tests/test_cli.py", None]
    assert list(written.headstarts(found[1])) == [["train", "photos/", "--seed", "1"], ["next", "m", "a b"]]
    assert list(written.headstarts(found[3])) == [["check", "photos/"]]
    spread = "curl x \\\n  -d '{\n}' | headstart check 'a\nb'\n"
    assert list(written.headstarts(replace(found[1], code=spread))) == [["check", "a\nb"]]
    with pytest.raises(ValueError, match=r"page\.md:1: the block is not closed"):
        written.blocks("page.md", "```bash\nheadstart")


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("bash", "headstart train nowhere/"),
        ("bash", "headstart check nowhere/ > there"),
        ("console", "$ false\nall is well"),
        ("python", "assert 1 == 2"),
    ],
)
def test_a_block_that_fails_is_seen(language: str, code: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, Exception)) as found:
        written.run(written.Block("page.md", 7, language, code), tmp_path)
    assert "page.md:7" in str(found.value.__notes__)


# -- names and links ---------------------------------------------------------------------------------------


def test_every_command_and_option_has_help_and_every_command_a_place_in_the_docs() -> None:
    text = "".join(written.read(page) for page in written.pages() if "/decisions/" not in page)
    context = group.make_context("headstart", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        assert command.help, name
        assert f"headstart {name}" in text, f"headstart {name} is in no document"
        for option in command.params:
            if option.param_type_name == "option":
                assert getattr(option, "help", None), f"{name} {option.name} has no help"


def test_every_option_that_is_named_exists() -> None:
    context = group.make_context("headstart", [], resilient_parsing=True)
    known = {"--help", "--version"} | OTHERS
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        known |= {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    for page in written.pages():
        for quoted in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", written.read(page), flags=re.S)):
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", quoted):
                assert option in known, f"{page} speaks of {option} in `{quoted}`"


def test_the_keys_of_the_model_folder_are_all_explained() -> None:
    from headstart.model.folder import _KEYS, FILES

    text = written.read("docs/model.md")
    for name in (*FILES, *_KEYS):
        assert re.search(rf"^\|[^|]*`{re.escape(name)}`[^|]*\|", text, re.M), f"docs/model.md: {name}"


def test_help_fits_a_terminal() -> None:
    context = group.make_context("headstart", [], resilient_parsing=True)
    for name in ["", *group.list_commands(context)]:
        shown = CliRunner().invoke(group, [*([name] if name else []), "--help"], terminal_width=80)
        assert shown.exit_code == 0
        assert max(len(line) for line in shown.output.splitlines()) <= 80
        assert "..." not in shown.output.split("Commands:")[-1] or name, "a command's summary is cut"


def test_the_readmes_commands_are_those_of_ci() -> None:
    commands = [line for block in written.blocks("README.md") for line in block.code.splitlines()]
    test_command = next(line for line in commands if "pytest" in line)
    assert test_command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_readmes_python_is_short() -> None:
    python = [block.code for block in written.blocks("README.md") if block.language == "python"]
    assert len(python) == 1
    assert len([line for line in python[0].splitlines() if line.strip()]) <= 8


def test_links_lead_somewhere() -> None:
    generated = {ROOT / "docs" / name for name in site_pages.pages()}
    for page in written.pages():
        here = (ROOT / page).parent
        for target in re.findall(r"\]\(([^)#]+)\)", written.read(page)):
            if "://" not in target:
                assert (here / target).exists() or here / target in generated, f"{page} links to {target}"
