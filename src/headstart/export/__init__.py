"""A model as one file for other programs: written, opened in its own runtime, compared, and only then kept.

from headstart.export import export

done = export("photos-model", to="onnx")
print(done.path, done.parity.agreement)

The folder is the registry: a format is the file of its name.
"""

import importlib
import importlib.util
import pkgutil
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from headstart.errors import MissingExtra, Misuse, OutputExists, UnknownName
from headstart.files import check_free, check_writable, file_whole, folder_whole

if TYPE_CHECKING:
    from headstart.export._parity import Parity
    from headstart.export._pictures import Progress
    from headstart.model.model import Model
    from headstart.values import Bytes, Floats

OUTPUTS = ("probabilities", "logits", "features", "unknown_score")  # of every format, in this order
INPUT = "pixels"
MAX_LOSS = 0.02  # of accuracy that a format of lower precision may cost, unless asked otherwise

Runner = Callable[["Bytes"], "dict[str, Floats]"]  # pictures [b, s, s, 3] in, OUTPUTS by name out


def ignore(_done: int, _total: int) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True, eq=False)
class Source:
    """What a format is written from."""

    model: "Model"
    training: Callable[[], "Bytes"]  # pixels [m, s, s, 3] of training pictures, for formats that calibrate
    runtime: Path | None = None  # the package that a format with a runtime takes it from


class Format(ABC):
    """A way of writing a whole model down. Subclasses are final and born converted."""

    name: ClassVar[str]
    ending: ClassVar[str]  # of its file or folder, behind the name of the model
    is_folder: ClassVar[bool] = False
    holds: ClassVar[tuple[str, ...]] = ()  # the files of such a folder: no other is ever replaced
    is_exact: ClassVar[bool] = True  # held to the probabilities; else to the accuracy
    needs: ClassVar[tuple[str, ...]] = ()  # packages of the extra `export`
    brings_runtime: ClassVar[bool] = False  # whether what runs it is part of it

    @classmethod
    @abstractmethod
    def convert(cls, source: Source) -> Self:
        """The model in this format, in memory."""

    @abstractmethod
    def save(self, place: Path, document: dict[str, Any]) -> None:
        """Write it to `place` with `document` inside. Nothing stands there; its folder exists."""

    @classmethod
    @abstractmethod
    def open(cls, place: Path) -> Runner:
        """What was written, in the runtime that it is for."""

    def gains(self, run: Runner, pixels: "Bytes") -> dict[str, Any]:  # noqa: ARG002  most have nothing to tell
        """What it gains for what it costs, measured now: for `parity` in `export --json`."""
        return {}


@dataclass(frozen=True)
class Exported:
    """What was written, and how well it agrees."""

    path: Path
    format: str
    bytes: int
    parity: "Parity"
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As in `export --json`."""
        return {
            "path": str(self.path),
            "format": self.format,
            "bytes": self.bytes,
            "parity": self.parity.to_json(),
            "seconds": round(self.seconds, 2),
        }


def names() -> list[str]:
    """Names of the formats, sorted. Imports none of them."""
    modules = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(name for name in modules if not name.startswith("_"))


def get(name: str) -> type[Format]:
    """The format called `name`, imported now and not before.

    Raises:
        UnknownName: there is none.
    """
    if name not in names():
        raise UnknownName("format", name, names())
    found: type[Format] = importlib.import_module(f"headstart.export.{name}").PART
    return found


def export(  # noqa: PLR0913  each is an option of the command
    model: str | Path,
    *,
    to: str,
    out: str | Path | None = None,
    data: str | Path | None = None,
    max_loss: float | None = None,
    runtime: str | Path | None = None,
    force: bool = False,
    on_step: "Progress" = ignore,
) -> Exported:
    """Write the model in the folder `model` as `to`, unless it answers otherwise than the model does.

    The default place is beside the model, with its name. The file is compared on at most 200 pictures of the
    test part (else of the training part), found by the paths in split.csv, or else by their content, in
    `data`, the folder or table that the model was trained on; without it, where that usually lies. `force`
    replaces what was exported before. `max_loss` (0.02) is the accuracy that int8 may cost. `runtime` is the
    package that the web page runs on, a folder or .tgz; it is fetched where none is given. `on_step` is told
    how many of the pictures have been compared.

    Raises:
        UnknownName, Misuse, MissingExtra, OutputExists: asked wrongly, see the message.
        ExportRefused: it answers otherwise; nothing was written. Or too few pictures are found to compare on.
        DamagedModel, WeightsError, OutputError, StoreError, DownloadError: see the messages.
    """
    begin = time.perf_counter()
    form, folder = get(to), Path(model)
    if max_loss is not None and form.is_exact:
        raise Misuse(f"{to} is held to the probabilities: --max-loss is for formats of lower precision.")
    if max_loss is not None and not 0 <= max_loss <= 1:
        raise Misuse(f"--max-loss is a share of pictures, 0 to 1; got {max_loss:g}.")
    if runtime is not None and not form.brings_runtime:
        raise Misuse(f"{to} brings no runtime: --runtime is for --to web.")
    for package in form.needs:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(f"export to {to}", "export")
    from headstart.export._document import document
    from headstart.export._parity import compare, judge, same_again
    from headstart.export._pictures import gathered
    from headstart.model.folder import load

    own = load(folder)
    target = Path(out) if out is not None else _beside(folder, form.ending)
    _check_place(form, target, force=force)
    pictures = gathered(own, folder, Path(data) if data is not None else None)
    converted = form.convert(Source(own, pictures.training, Path(runtime) if runtime is not None else None))
    with _place(form, target, force=force) as place:
        converted.save(place, document(own, folder, None))
        run = form.open(place)
        compared = compare(own, pictures, run, on_step)
        gains = converted.gains(run, pictures.pixels)
        parity = judge(own, compared, form, MAX_LOSS if max_loss is None else max_loss, gains)
        del run  # some systems do not let a file go that is open
        _remove(place)
        converted.save(place, document(own, folder, parity.to_json()))
        same_again(compared, form.open(place), pictures.pixels)
        files = place.rglob("*") if form.is_folder else [place]
        size = sum(file.stat().st_size for file in files if file.is_file())
    return Exported(target, to, size, parity, time.perf_counter() - begin)


def _beside(folder: Path, ending: str) -> Path:
    real = folder.resolve()
    return (folder if folder.name == real.name else real).with_name(f"{real.name}{ending}")


def _check_place(form: type[Format], target: Path, *, force: bool) -> None:
    """Whether it may be written there, before any work is done."""
    try:
        str(target).encode()
    except UnicodeEncodeError as error:  # the runtimes cannot open it
        raise Misuse(f"{target} is no name in UTF-8. Choose another --out.") from error
    if form.is_folder:
        real = check_free(target, replace=force)
        inside = {path.relative_to(real).as_posix() for path in real.rglob("*") if not path.is_dir()}
        if inside and inside != set(form.holds):
            more = ", ".join(sorted(inside - set(form.holds))[:5])
            raise OutputExists(
                f"{target} is not such an export{f' (it holds {more})' if more else ''}, so --force will not "
                "replace it. Choose another --out."
            )
    elif target.is_dir():
        raise OutputExists(f"{target} is a folder, and a file was to be written there. Choose another --out.")
    elif target.exists() and not force:
        raise OutputExists(f"{target} is there already. Replace it with --force, or choose another --out.")
    else:
        check_writable(target)


@contextmanager
def _place(form: type[Format], target: Path, *, force: bool) -> Iterator[Path]:
    """Where to write, beside the target: it is moved there when the block ends well, and else vanishes."""
    if form.is_folder:
        with folder_whole(target, replace=force) as part:
            yield part
    else:
        with file_whole(target, replace=force) as part:
            yield part


def _remove(place: Path) -> None:
    """What was written for the comparison."""
    for entry in place.iterdir() if place.is_dir() else [place]:
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
