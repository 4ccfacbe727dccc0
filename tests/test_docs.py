"""What is written is run: the tutorial top to bottom, the README's Python; every command has its place."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from headstart.cli import group

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.M | re.S)


def blocks(file: str) -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / file).read_text(encoding="utf-8"))


def run(language: str, code: str, where: Path) -> None:
    command = ["bash", "-ec", code] if language == "bash" else [sys.executable, "-c", code]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=where, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_the_tutorial_runs_from_top_to_bottom(tmp_path: Path) -> None:
    found = blocks("docs/tutorial.md")
    assert len(found) > 5
    for language, code in found:
        run(language, code, tmp_path)


def test_the_readmes_python_runs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [
        "new/one.png",
        "new/two.png",
        *(f"photos/{c}/{i}.png" for c in ("calm", "wild") for i in range(6)),
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cell = 32 if "calm" in name else 4
        rough = rng.integers(0, 256, (64 // cell, 64 // cell, 3), dtype=np.uint8)
        Image.fromarray(np.kron(rough, np.ones((cell, cell, 1), np.uint8))).save(tmp_path / name)
    python = [code for language, code in blocks("README.md") if language == "python"]
    assert len(python) == 1
    assert len([line for line in python[0].splitlines() if line.strip()]) <= 8
    run("python", python[0], tmp_path)


def test_every_command_and_option_has_help_and_every_command_a_place_in_the_docs() -> None:
    written = "".join(
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("README.md", "docs/tutorial.md", "docs/data.md")
    )
    context = group.make_context("headstart", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        assert command.help, name
        if name != "backbones":
            assert f"headstart {name}" in written, f"headstart {name} is in no document"
        for option in command.params:
            if option.param_type_name == "option":
                assert getattr(option, "help", None), f"{name} {option.name} has no help"


def test_help_fits_a_terminal() -> None:
    context = group.make_context("headstart", [], resilient_parsing=True)
    for name in ["", *group.list_commands(context)]:
        shown = CliRunner().invoke(group, [*([name] if name else []), "--help"], terminal_width=80)
        assert shown.exit_code == 0
        assert max(len(line) for line in shown.output.splitlines()) <= 80
        assert "..." not in shown.output.split("Commands:")[-1] or name, "a command's summary is cut"


def test_the_readmes_commands_are_those_of_ci() -> None:
    commands = [
        line for language, code in blocks("README.md") if language == "bash" for line in code.splitlines()
    ]
    test_command = next(line for line in commands if "pytest" in line)
    assert test_command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
