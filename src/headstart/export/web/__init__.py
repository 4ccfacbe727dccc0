"""A folder for any static web host: the model answers in the browser, and no picture leaves the device."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

from headstart.export import Format, Runner, Source
from headstart.export.onnx import Onnx, session
from headstart.export.web import _page
from headstart.export.web._runtime import runtime


@final
@dataclass(frozen=True, eq=False)
class Web(Format):
    """The ONNX file, the runtime for browsers, and one page."""

    name = "web"
    ending = "-web"
    is_folder = True
    holds = _page.HOLDS
    needs = Onnx.needs
    brings_runtime = True

    network: Onnx
    runtime: Mapping[str, bytes]  # its files by name
    title: str

    @classmethod
    def convert(cls, source: Source) -> Self:
        """As ONNX; the runtime is the user's, or fetched once, and that is said on stderr.

        Raises:
            Misuse, DownloadError, StoreError: the runtime is not there; the message says where to put it.
            ExportRefused: torch cannot write this network down.
        """
        brought = runtime(source.runtime)  # before the long work
        return cls(Onnx.convert(source), brought, str(source.model.report.get("model", "Picture classifier")))

    def save(self, place: Path, document: dict[str, Any]) -> None:
        """The folder, complete."""
        place.mkdir(exist_ok=True)
        self.network.save(place / _page.MODEL, document)
        _page.write(place, document, self.title, self.runtime)

    @classmethod
    def open(cls, place: Path) -> Runner:
        """In ONNX Runtime on the CPU: the one for browsers is the same project's, and reads the same file."""
        return session(place / _page.MODEL)


PART = Web
