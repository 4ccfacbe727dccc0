"""For the reference: what stands behind a field of a dataclass as a comment is its description."""

import io
import tokenize
from functools import cache
from pathlib import Path
from typing import Any

from griffe import Attribute, Docstring, Extension


class Comments(Extension):
    """Gives fields their comments, where they have no docstring."""

    def on_attribute_instance(self, *, attr: Attribute, **_: Any) -> None:
        """Called for each field that is found."""
        if attr.docstring is None and attr.lineno is not None and isinstance(attr.filepath, Path):
            comment = comments(attr.filepath).get(attr.endlineno or attr.lineno)
            if comment and attr.parent is not None and attr.parent.is_class:
                attr.docstring = Docstring(comment, lineno=attr.lineno, parent=attr)


@cache
def comments(file: Path) -> dict[int, str]:
    """What comments behind code say, by the number of their line."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(file.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT and token.line[: token.start[1]].strip():
            text = token.string.lstrip("# ").partition("# noqa")[0].strip()
            if text and not text.startswith(("noqa", "type:", "fmt:")):
                found[token.start[0]] = text[0].upper() + text[1:]
    return found
