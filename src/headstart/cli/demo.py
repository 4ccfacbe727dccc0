"""`headstart demo`."""

import os
import shlex
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from headstart.cli import _options, _show
from headstart.cli.train import told

if TYPE_CHECKING:
    from headstart.model.model import Model
    from headstart.model.predict import Prediction

REPORT = "report.html"


class Guess(TypedDict):
    """The source network's first choice."""

    label: str
    probability: float


@click.command("demo")
@click.option(
    "--dir", "folder", default="headstart-demo", show_default=True, type=_options.PATH, help="Folder for it."
)
@click.option(
    "--open/--no-open",
    "show",
    default=None,
    help="Whether to open the report in a browser at the end. Unless told: on a terminal with a screen.",
)
@_options.as_json
def command(folder: Path, show: bool | None, json: bool) -> None:
    """The whole road on an embedded sample: five drawn things."""
    from headstart.data import samples
    from headstart.errors import OutputExists
    from headstart.recipe import train

    pictures, out = folder / "objects", folder / "objects-model"
    if not pictures.is_dir():
        click.echo("1. Drawing 1,000 pictures of five things, one folder per class …", err=json)
        with _show.progress("drawing") as step:
            samples.write("objects", pictures, progress=lambda _what, done, total: step(done, total))
    else:
        click.echo(f"1. The pictures are there: {_show.safe(str(pictures))}", err=json)
    click.echo("2. Encoding each picture once, and fitting a head …", err=json)
    try:
        with _show.progress("encoding") as step:
            model = train(pictures, out=out, on_step=step)
    except OutputExists as error:
        raise OutputExists(
            f"{out} holds something else than what this demo makes, and is left alone. Move it away, or "
            "choose another place: headstart demo --dir PLACE"
        ) from error
    some = [pictures / path for path in one_each(model)]
    before, answers = guessed(model, some), model.predict(some)
    if json:
        rows = zip(answers, before, strict=True)
        _show.as_json(model.report | {"predictions": [one.to_json() | {"source": was} for one, was in rows]})
    else:
        told(model.report, pictures, out)
        _told_answers(model, answers, before)
        _told_next(out)
    if on_screen() and not json if show is None else show:
        webbrowser.open((out / REPORT).resolve().as_uri())


def on_screen() -> bool:
    """Whether somebody sits at a terminal, and a browser has a window: else it might take the terminal."""
    screens = {"DISPLAY", "WAYLAND_DISPLAY"}
    has_windows = sys.platform in ("win32", "darwin") or not screens.isdisjoint(os.environ)
    return sys.stdout.isatty() and has_windows


def one_each(model: "Model") -> list[str]:
    """A picture of each class: the first by name that the model has not learnt from, if there is one."""
    return [
        min((one.part != "test", one.path) for one in model.manifest if one.label == name)[1]
        for name in model.classes
    ]


def guessed(model: "Model", files: list[Path]) -> list[Guess | None]:
    """What the source network takes these pictures for, from kept features; None where it has no words."""
    from headstart.backbones.source import guesses
    from headstart.engines import open_engine
    from headstart.features.extract import extract

    spec = model.backbone
    read = extract(files, spec, open_engine(spec))
    depth = spec.depths[-1]
    found = guesses(spec, read.x[:, depth.start : depth.stop])
    if found is None:
        return [None] * len(files)
    best = found.probabilities.argmax(1).tolist()
    return [
        {"label": found.names[choice], "probability": float(row[choice])}
        for row, choice in zip(found.probabilities, best, strict=True)
    ]


def _told_answers(model: "Model", answers: list["Prediction"], before: list[Guess | None]) -> None:
    unseen = " that it has never seen" if model.report["test"] else ""
    click.echo(f"\n3. Asking about a picture of each kind{unseen}:\n")
    click.echo(f"  {'picture':<16}{'the source network guesses':<34}the new head says")
    for one, was in zip(answers, before, strict=True):
        where = _show.cut(_show.safe("/".join(Path(one.path).parts[-2:])), 15)
        guess = f"{_show.cut(was['label'], 26)} {was['probability']:.0%}" if was else "nothing"
        answer = _show.cut(_show.safe(one.label), 22)
        click.echo(f"  {where:<16}{guess:<34}{answer} {one.probability:.2f}")


def _told_next(out: Path) -> None:
    click.echo("\nYour own pictures, one folder per class:")
    click.echo("  headstart check photos/")
    click.echo("  headstart train photos/")
    click.echo("  headstart predict photos-model new/*.jpg")
    click.secho("\nThe report of this demo, in a browser:", bold=True)
    click.echo(f"  headstart report {shlex.quote(_show.safe(str(out)))} --open")
