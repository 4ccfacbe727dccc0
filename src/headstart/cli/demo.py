"""`headstart demo`."""

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headstart.cli import _options, _show
from headstart.cli.train import told

if TYPE_CHECKING:
    from headstart.model.model import Model
    from headstart.model.predict import Prediction

REPORT = "report.html"


@click.command("demo")
@click.option(
    "--dir", "folder", default="headstart-demo", show_default=True, type=_options.PATH, help="Folder for it."
)
@click.option("--open", "show", is_flag=True, help="Open the report in a browser at the end.")
@_options.as_json
def command(folder: Path, show: bool, json: bool) -> None:
    """The whole road on an embedded sample: five drawn things."""
    from headstart.data import samples
    from headstart.recipe import train

    pictures, out = folder / "objects", folder / "objects-model"
    if not pictures.is_dir():
        click.echo("1. Drawing 1,000 pictures of five things, one folder per class …", err=json)
        with _show.progress("drawing") as step:
            samples.write("objects", pictures, progress=lambda _what, done, total: step(done, total))
    else:
        click.echo(f"1. The pictures are there: {_show.safe(str(pictures))}", err=json)
    click.echo("2. Encoding each picture once, and fitting a head …", err=json)
    with _show.progress("encoding") as step:
        model = train(pictures, out=out, force=out.is_dir(), on_step=step)
    answers = model.predict([pictures / path for path in one_each(model)])
    if json:
        _show.as_json(model.report | {"predictions": [one.to_json() for one in answers]})
    else:
        told(model.report, pictures, out)
        _told_answers(model, answers)
        _told_next(out)
    if show and (out / REPORT).is_file():
        webbrowser.open((out / REPORT).resolve().as_uri())


def one_each(model: "Model") -> list[str]:
    """A picture of each class: the first by name that the model has not learnt from, if there is one."""
    return [
        min((one.part != "test", one.path) for one in model.manifest if one.label == name)[1]
        for name in model.classes
    ]


def _told_answers(model: "Model", answers: list["Prediction"]) -> None:
    unseen = " that it has never seen" if model.report["test"] else ""
    click.echo(f"\n3. Asking it about a picture of each kind{unseen}:\n")
    for one in answers:
        where = "/".join(Path(one.path).parts[-2:])
        click.echo(_show.cut(f"  {_show.safe(where):<16} {_show.safe(one.label)} {one.probability:.2f}"))


def _told_next(out: Path) -> None:
    report = out / REPORT
    if report.is_file():
        click.secho(f"\nReport: {_show.safe(str(report))}", bold=True)
        click.echo("  headstart demo --open   shows it in a browser")
    click.echo("\nYour own pictures, one folder per class:")
    click.echo("  headstart check photos/")
    click.echo("  headstart train photos/")
    click.echo("  headstart predict photos-model new/*.jpg")
