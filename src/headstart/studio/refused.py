"""What the studio will not do, said in the words of `assets/texts.en.json`, where all texts stand."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from headstart.errors import HeadstartError


class Refused(HeadstartError):
    """A request that is not carried out. `code` names the sentence, `values` fill it, `status` is HTTP's."""

    def __init__(self, code: str, status: int = 400, values: dict[str, Any] | None = None) -> None:
        super().__init__(code, status, values)
        self.code, self.status, self.values = code, status, values or {}

    def __str__(self) -> str:
        said: str = texts()["errors"][self.code]
        return said.format_map(self.values)


def plain(error: HeadstartError) -> str:
    """What an error says, without the sentences that name options of the command: a page has none."""
    said = re.split(r"(?<=[.!?:]) +(?=[A-Z])", str(error))
    return " ".join(one for one in said if not re.search(r"(^|[\s`(])--\w", one)) or str(error)


@cache
def texts() -> dict[str, Any]:
    """All texts of the page and of its refusals."""
    found: dict[str, Any] = json.loads(asset("texts.en.json"))
    return found


def asset(name: str) -> bytes:
    """A file of the page."""
    return files("headstart.studio").joinpath("assets", name).read_bytes()
