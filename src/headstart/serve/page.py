"""The pages /docs and /drift, in the report's style. They load nothing from elsewhere."""

import json
from collections.abc import Sequence
from typing import Any

from headstart.report import markup
from headstart.report.page import whole
from headstart.serve.drift import Drift

METHODS = ("get", "post")
ENOUGH = 100  # answers, below which nothing is judged
MUCH = 2  # times the difference that chance gives, above which it is pointed at


def docs(openapi: dict[str, Any]) -> bytes:
    """Every route with its options, bodies and answers, then every kind of value."""
    schemas = openapi.get("components", {}).get("schemas", {})
    info = openapi["info"]
    head = markup.section(
        "about",
        info["title"],
        markup.text(info.get("description", "")),
        markup.paragraph('The same for programs: <a href="openapi.json">openapi.json</a>.'),
    )
    routes = [
        _route(at, method, path, operation)
        for at, (path, method, operation) in enumerate(
            (path, method, own[method])
            for path, own in openapi["paths"].items()
            for method in METHODS
            if method in own
        )
    ]
    values = markup.section("values", "Values", "What stands in the answers.", *map(_schema, schemas.items()))
    shown = [("about", "About", head), *routes, ("values", "Values", values)]
    return whole(info["title"], shown, css="th { white-space: nowrap; }", data={"classes": [], "pics": []})


def _route(at: int, method: str, path: str, operation: dict[str, Any]) -> tuple[str, str, str]:
    name = f"{method.upper()} {path}"
    rows = [
        [
            markup.words(one["name"]),
            markup.words(one["in"]),
            markup.words(_type(one["schema"])),
            markup.words(one.get("description", "") or one["schema"].get("description", "")),
        ]
        for one in operation.get("parameters", [])
    ]
    parts = [markup.table("Options", ["Name", "Where", "What", "Meaning"], rows)] if rows else []
    bodies = operation.get("requestBody", {}).get("content", {})
    if bodies:
        kinds = ", ".join(f"<code>{markup.text(kind)}</code>" for kind in bodies)
        parts.append(markup.paragraph(f"Body: {kinds}."))
    answers = [
        [markup.words(code), markup.words(one["description"]), markup.words(_answer(one))]
        for code, one in sorted(operation["responses"].items())
    ]
    parts.append(markup.table("Answers", ["Status", "When", "What"], answers))
    anchor = f"route-{at}"
    return anchor, name, markup.section(anchor, name, markup.text(operation.get("description", "")), *parts)


def _schema(named: tuple[str, dict[str, Any]]) -> str:
    name, schema = named
    rows = [
        [markup.words(key), markup.words(_type(own)), markup.words(own.get("description", ""))]
        for key, own in schema.get("properties", {}).items()
    ]
    said = markup.paragraph(markup.text(schema.get("description", "")))
    return f"<h3>{markup.text(name)}</h3>{said}{markup.table(name, ['Name', 'What', 'Meaning'], rows)}"


def _answer(response: dict[str, Any]) -> str:
    kinds = response.get("content", {})
    return ", ".join(
        _type(one.get("schema", {})) if kind == "application/json" else kind for kind, one in kinds.items()
    )


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    signs = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    default = [f"default {json.dumps(schema['default'])}"] if schema.get("default") is not None else []
    return ", ".join([kind, *bounds, *default])


def drift(found: Sequence[Drift]) -> bytes:
    """A page about every model, in the report's style."""
    shown = [(f"model-{at}", one.model, _model(at, one)) for at, one in enumerate(found)]
    return whole(
        "Drift: what comes, against what was learnt", shown, css="", data={"classes": [], "pics": []}
    )


def _model(at: int, one: Drift) -> str:
    n, ends, distance, chance = one.counts.n, one.unknown_ci95, one.distance, one.by_chance
    lead = (
        f"{markup.count(n, 'picture')} answered since this model was read. "
        "Reload the page for newer counts; alerts belong on the figures of /metrics."
    )
    if ends is None or distance is None or chance is None:
        return markup.section(f"model-{at}", one.model, lead)
    share = one.counts.unknown / n
    unknown = (
        f"{markup.percent(share)} unknown (95 % sure: {markup.between(ends)}); "
        f"{markup.percent(one.expected)} of known pictures may be."
    )
    mix = (
        f"The classes answered differ from those learnt from by {markup.percent(distance)} of the pictures; "
        f"{markup.percent(chance)} would be chance."
    )
    if n < ENOUGH:
        said = [markup.paragraph(unknown), markup.paragraph(mix)]
        said.append(markup.paragraph(f"Fewer than {ENOUGH} answers: too few to judge by.", "small"))
    else:
        said = [
            markup.note(unknown, "warn" if ends[0] > one.expected else "good"),
            markup.note(mix, "warn" if distance > MUCH * chance else "good"),
        ]
    document = one.to_json()["classes"]
    rows = [
        [
            markup.words(name),
            markup.share(own["training"]),
            markup.share(own["answered"]),
            markup.cell(own["n"]),
            markup.Cell(_points(own["answered"] - own["training"]), own["answered"] - own["training"]),
        ]
        for name, own in document.items()
    ]
    head = ["Class", "Learnt from", "Answered", "Pictures", "Difference"]
    table = markup.table(f"Classes of {one.model}", head, rows, can_sort=True)
    return markup.section(f"model-{at}", one.model, lead, *said, table)


def _points(gap: float) -> str:
    """A difference of shares, with its sign."""
    return f"{'+' if gap > 0 else ''}{markup.percent(gap).removesuffix('%')}points"
