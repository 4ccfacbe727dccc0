"""The shape of the package: imports point down, heavy ones stay lazy, parts are found by their files."""

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import headstart
from headstart import errors, heads, values

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "headstart"
MODULES = sorted(SRC.rglob("*.py"))

LEVELS = """
version
errors
values
files
download evaluate
modalities
data backbones
engines
features
heads
finetune
model
look kept
race
explain trust
report
ladder recipe
diff tour export
serve
studio
cli
"""
LEVEL = {name: depth for depth, line in enumerate(LEVELS.split("\n")) for name in line.split()}
HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "openvino",
    "sklearn",
    "scipy",
    "pyarrow",
    "tensorboard",
    "mlflow",
    "tqdm",
    "pi_heif",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "fastapi",
    "starlette",
    "uvicorn",
    "prometheus_client",
)
SERVERS = {"fastapi", "starlette", "prometheus_client"}  # their annotations are read when the routes are made


def imports_of(path: Path) -> set[str]:
    """Parts of the package that a module imports, lazily or not; `from headstart import x` counts as x."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            parts = node.module.split(".")
            if parts[0] == "headstart":
                found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("headstart.")}
    return found


@pytest.mark.parametrize("path", [path for path in MODULES if path != SRC / "__init__.py"], ids=str)
def test_imports_point_down(path: Path) -> None:
    home = path.relative_to(SRC).parts[0].removesuffix(".py")
    wrong = [name for name in imports_of(path) if name != home and LEVEL[name] >= LEVEL[home]]
    assert not wrong, f"{path} imports {wrong}, which do not lie below {home}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    tops = [
        node
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {
        name.split(".")[0]
        for node in tops
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    torch = {
        name: {"torch"}
        for name in (
            "network.py",
            "_network.py",
            "chain.py",
            "libraries.py",
            "torch.py",
            "thawed.py",
            "loop.py",
            "tune.py",
            "promise.py",
            "pace.py",
        )
    }
    allowed = torch | {"_problem.py": {"scipy"}}
    home = path.relative_to(SRC).parts[0]
    servers = SERVERS if home in {"serve", "studio"} else set()
    assert names & set(HEAVY) <= allowed.get(path.name, set()) | servers


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("command", ["--help", "train --help", "predict --help", "backbones --help"])
def test_help_imports_nothing_heavy(command: str) -> None:
    loaded = fresh(
        f"import sys; sys.argv = ['headstart', *{command.split()!r}]\n"
        "from headstart.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('LOADED', sorted(set(sys.modules) & set({('numpy', 'PIL', *HEAVY)!r})))"
    )
    assert loaded.endswith("LOADED []")


def test_importing_the_package_changes_nothing_around_it() -> None:
    state = "(dict(os.environ), logging.root.handlers, warnings.filters, random.getstate())"
    code = (
        f"import os, logging, warnings, random\nbefore = {state}\nimport headstart\nprint(before == {state})"
    )
    assert fresh(code) == "True"


def test_public_names_are_those_that_the_readme_lists() -> None:
    for name in headstart.__all__:
        assert getattr(headstart, name) is not None
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"headstart\.([A-Za-z_]+)\b(?!\.)", readme)) - {"errors", "org", "egg"}
    assert named <= set(headstart.__all__), f"README names {named - set(headstart.__all__)}"
    for name in ("train", "load", "check"):
        assert name in named
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = headstart.trian


def test_every_value_is_frozen() -> None:
    for name, kind in inspect.getmembers(values, inspect.isclass):
        if kind.__module__ == values.__name__:
            assert dataclasses.is_dataclass(kind), name
            assert kind.__dataclass_params__.frozen, name


def test_every_error_is_of_the_family_and_in_its_tree() -> None:
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if kind.__module__ == errors.__name__:
            assert issubclass(kind, errors.HeadstartError), name
            assert name in (errors.__doc__ or ""), f"{name} is missing from the tree in errors.py"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_pickle_no_catch_all_parameters_no_network_library(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.args.kwarg is None, (
                f"{path}: {node.name} takes **{node.args.kwarg and node.args.kwarg.arg}"
            )
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(import|from) (pickle|joblib|requests)\b", text, re.M)
    if "urllib.request" in text:
        assert path.name == "download.py"


def test_a_head_is_the_file_of_its_name() -> None:
    assert heads.names() == ["lda", "logistic", "prototypes", "ridge"]
    for name in heads.names():
        assert heads.get(name).name == name


def test_the_version_is_the_changelogs_first() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## (\S+)", changelog, re.M)
    assert first
    assert first[1] == headstart.__version__
