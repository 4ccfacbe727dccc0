"""torch.export: one .pt2 file that PyTorch opens without any code of ours, timm's or torchvision's.

Reading it with `torch.export.load` needs no pickle: weights are plain bytes, all else JSON. torch would read
pickles from a .pt2 that holds some, so a file from strangers is to be trusted like a program; ours hold none.
"""

import io
import pickletools
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

from headstart.errors import ExportRefused
from headstart.export import OUTPUTS, Format, Runner, Source
from headstart.export._document import KEY, text
from headstart.values import Bytes, Floats

NOTE = f"{KEY}.json"  # the document's name inside the file


@final
@dataclass(frozen=True, eq=False)
class TorchExport(Format):
    """The exported program."""

    name = "torch_export"
    ending = ".pt2"

    program: Any  # torch.export.ExportedProgram

    @classmethod
    def convert(cls, source: Source) -> Self:
        """By torch, for any number of pictures at a time."""
        from headstart.export._network import program

        found = program(source.model)
        found.example_inputs = None  # they would be pickled
        for node in found.graph.nodes:
            node.meta.pop("stack_trace", None)  # it tells in which file of this machine a node arose
        return cls(found)

    def save(self, place: Path, document: dict[str, Any]) -> None:
        """One file.

        Raises:
            ExportRefused: this torch writes pickles.
        """
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what it itself uses and will change
            held = io.BytesIO()  # on a full disk torch's own writer would end the process
            torch.export.save(self.program, held, extra_files={NOTE: text(document)})
        if found := pickles(held):
            raise ExportRefused(
                f"nothing was written: torch {torch.__version__} pickles {found[0]} into such files. A later "
                "torch does not: pip install -U torch"
            )
        place.write_bytes(held.getvalue())

    @classmethod
    def open(cls, place: Path) -> Runner:
        """In PyTorch on the CPU."""
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.export.load(io.BytesIO(place.read_bytes())).module()

        def run(pixels: Bytes) -> dict[str, Floats]:
            with torch.inference_mode():
                found = module(torch.from_numpy(pixels))
            return {name: one.numpy() for name, one in zip(OUTPUTS, found, strict=True)}

        return run


def pickles(archive: Path | io.BytesIO) -> list[str]:
    """Names of the parts of a .pt2 file that a reader would have to unpickle."""
    with zipfile.ZipFile(archive) as file:
        return [name for name in file.namelist() if _is_pickle(file.read(name))]


def _is_pickle(data: bytes) -> bool:
    """Whether these are a pickle, or an archive such as torch.save writes. Weights may begin like one."""
    if data.startswith(b"PK\x03\x04"):
        return zipfile.is_zipfile(io.BytesIO(data))
    if not data.startswith(b"\x80"):
        return False
    try:
        *_, (last, _, _) = pickletools.genops(data)
    except Exception:  # noqa: BLE001  it raises whatever its parts raise on bytes that are none
        return False
    return last.name == "STOP"


PART = TorchExport
