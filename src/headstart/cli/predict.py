"""`headstart predict`."""

import csv
import glob
import io
import json as json_module
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headstart.cli import _options, _show

if TYPE_CHECKING:
    from headstart.model.predict import Prediction

MARGIN = " " * 13  # before the classes in the table


@click.command("predict")
@click.argument("model", type=_options.PATH)
@click.argument("paths", nargs=-1, required=True)
@click.option(
    "--format",
    "form",
    default="table",
    show_default=True,
    type=click.Choice(["table", "csv", "jsonl"]),
    help="How the answers are written.",
)
@click.option(
    "--top",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Classes per picture in the table and CSV; JSON has all.",
)
@click.option(
    "--sets",
    type=float,
    show_default="0.95",
    help="How often the set of classes is to hold the truth, 0 to 1. Shows it in the table.",
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    help="Mark answers that are less sure: they are for a person.",
)
@click.option(
    "--nearest",
    default=0,
    type=click.IntRange(0),
    metavar="K",
    help="Name the K training pictures that are most like each.",
)
@_options.device
@_options.limit_px
@_options.as_json
def command(
    model: Path,
    paths: tuple[str, ...],
    form: str,
    top: int,
    sets: float | None,
    min_confidence: float | None,
    nearest: int,
    device: str,
    limit_px: int,
    json: bool,
) -> None:
    """Classify picture files.

    PATHS are files, folders or patterns, or - for paths on stdin.

    The order is kept. A file that cannot be read is named and the exit code
    is then 1, after all others were answered.
    """
    from headstart.engines import open_engine
    from headstart.errors import Misuse
    from headstart.model.folder import load
    from headstart.model.model import COVERAGE
    from headstart.model.predict import predict

    if json and form == "csv":
        raise click.UsageError("--json and --format csv are two forms: choose one")
    coverage = COVERAGE if sets is None else sets
    if not 0 < coverage <= 1:
        raise Misuse(f"--sets must be above 0 and at most 1, for example 0.95; got {sets}.")
    loaded = load(model)
    engine = open_engine(loaded.backbone, device)
    found = predict(
        loaded,
        _files(paths),
        engine,
        coverage=coverage,
        min_confidence=min_confidence,
        nearest=nearest,
        limit_px=limit_px,
    )
    failed = asked = 0
    kept = []
    forms: dict[str, Callable[[Prediction, int, bool], None]] = {
        "table": partial(_table, sets=sets is not None),
        "csv": partial(_csv, nearest=nearest > 0),
        "jsonl": _jsonl,
    }
    write = forms[form]
    with closing(found):  # whatever happens: a thread left in the engine would abort the process at its end
        for one in found:
            asked += 1
            failed += one.error is not None
            if json:
                kept.append(one.to_json())
            else:
                write(one, top, asked == 1)
                sys.stdout.flush()  # somebody may wait for it before he asks for the next
    if json:
        _show.as_json({"predictions": kept})
    if not asked:
        raise Misuse(f"no pictures at {', '.join(paths)}.")
    if failed:
        sys.stdout.flush()
        click.echo(f"headstart: {failed} of {asked} files could not be read", err=True)
        sys.exit(1)


def _files(paths: tuple[str, ...]) -> Iterator[str]:
    """Each path, the pictures of each folder in order, the matches of each pattern, the lines of stdin."""
    from headstart.data.walk import pictures_in

    for path in paths:
        if path == "-":
            for line in sys.stdin:
                if line.rstrip("\r\n"):
                    yield line.rstrip("\r\n")
        elif os.path.isdir(path):  # noqa: PTH112  never raises
            yield from pictures_in(Path(path))
        elif not os.path.exists(path) and glob.has_magic(path):  # noqa: PTH110
            yield from sorted(glob.glob(path, recursive=True))  # noqa: PTH207  Path.glob refuses absolute patterns
        else:
            yield path


def _table(one: "Prediction", top: int, first: bool, *, sets: bool) -> None:
    if first:
        click.echo(f"{'probability':>11}  {'class':<24}  picture")
    path = _show.safe(one.path)
    if one.error is not None:
        click.echo(f"{'-':>11}  {'cannot be read':<24}  {path}: {one.error}")
        return
    ranked = sorted(one.probabilities.items(), key=lambda item: -item[1])[:top]
    for rank, (label, probability) in enumerate(ranked):
        name = _show.safe(label) + (_doubts(one) if rank == 0 else "")
        click.echo(f"{probability:11.3f}  {name:<24}  {path if rank == 0 else ''}".rstrip())
    if sets:
        names = f"set: {', '.join(_show.safe(name) for name in one.set)}"
        lines = textwrap.wrap(names, _show.WIDTH - len(MARGIN), break_on_hyphens=False)
        click.echo("\n".join(MARGIN + line for line in lines))
    for like in one.nearest or ():
        name = f"like: {_show.safe(like.label)}"
        click.echo(f"{like.distance:11.3f}  {name:<24}  {_show.safe(like.path)}")


def _doubts(one: "Prediction") -> str:
    """Marks behind a label."""
    return (" (unknown?)" if one.unknown else "") + (" (unsure)" if one.confident is False else "")


def _csv(one: "Prediction", top: int, first: bool, *, nearest: bool) -> None:
    ranked = sorted(one.probabilities.items(), key=lambda item: -item[1])[1:top]
    if first:
        others = [f"{word}{rank}" for rank in range(2, top + 1) for word in ("label", "probability")]
        like = ["nearest"] * nearest
        usual = ["path", "label", "probability", "unknown", "unknown_score", "set", "confident", "error"]
        _row([*usual, *like, *others])
    more = [cell for label, probability in ranked for cell in (label, f"{probability:.6g}")]
    known = one.error is None
    more += [""] * (2 * (top - 1) - len(more))
    row = [
        one.path,
        one.label,
        f"{one.probability:.6g}" if known else "",
        str(one.unknown).lower() if known else "",
    ]
    row += [f"{one.unknown_score:.6g}" if known else "", _joined(one.set)]
    row += ["" if one.confident is None else str(one.confident).lower(), one.error or ""]
    row += [_joined([like.path for like in one.nearest or ()])] * nearest
    _row(row + more)


def _joined(names: Sequence[str]) -> str:
    """Names with | between them; a | or backslash in a name has a backslash before it."""
    return "|".join(name.replace("\\", "\\\\").replace("|", "\\|") for name in names)


def _row(cells: list[str]) -> None:
    """One line of CSV in the letters that stdout knows; what it does not know is escaped."""
    line = io.StringIO(newline="")
    # Python before 3.13 does not quote a lone carriage return by itself
    odd = any("\r" in cell for cell in cells)
    csv.writer(line, lineterminator="\n", quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL).writerow(cells)
    letters = sys.stdout.encoding or "utf-8"
    sys.stdout.write(line.getvalue().encode(letters, "backslashreplace").decode(letters))


def _jsonl(one: "Prediction", top: int, first: bool) -> None:
    del top, first  # every class is in each line
    sys.stdout.write(json_module.dumps(one.to_json()) + "\n")
