"""The page at /docs: what the server says of itself in OpenAPI, as HTML that loads nothing from elsewhere."""

from typing import Any

from headstart.report import markup
from headstart.report.page import whole

METHODS = ("get", "post")


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
    return whole(info["title"], shown, css="", data={"classes": [], "pics": []})


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
        for code, one in operation["responses"].items()
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
    signs = {"minimum": ">=", "maximum": "<=", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    default = [f"default {schema['default']}"] if schema.get("default") is not None else []
    return ", ".join([kind, *bounds, *default])
