"""For the reference: the fields of a dataclass, with what their comments say, below its docstring."""

import io
import tokenize
from functools import cache
from pathlib import Path
from typing import Any

from griffe import Class, Extension


class Fields(Extension):
    """Adds a list of the fields to the docstrings of dataclasses."""

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """Called for each class, with its members."""
        if "dataclass" not in cls.labels or cls.docstring is None or not isinstance(cls.filepath, Path):
            return
        said = comments(cls.filepath)
        fields = [
            f"    {name}: {said.get(field.endlineno or 0, '')}"
            for name, field in cls.attributes.items()
            if "instance-attribute" in field.labels and "property" not in field.labels
        ]
        if fields:
            cls.docstring.value = "\n".join([cls.docstring.value, "", "Attributes:", *fields])


@cache
def comments(file: Path) -> dict[int, str]:
    """What comments behind code say, by the number of their line."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(file.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT and token.line[: token.start[1]].strip():
            text = token.string.lstrip("# ")
            if not text.startswith(("noqa", "type:", "fmt:")):
                found[token.start[0]] = text.partition("  # noqa")[0].replace("[", "\\[")
    return found
