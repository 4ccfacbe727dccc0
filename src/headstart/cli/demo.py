"""`headstart demo`."""

from pathlib import Path

import click

from headstart.cli import _options, _show
from headstart.cli.train import told


@click.command("demo")
@click.option(
    "--dir", "folder", default="headstart-demo", show_default=True, type=_options.PATH, help="Folder for it."
)
@_options.as_json
def command(folder: Path, json: bool) -> None:
    """The whole road on an embedded sample of scanned digits."""
    from headstart.data import samples
    from headstart.recipe import train

    pictures, out = folder / "digits", folder / "digits-model"
    if not pictures.is_dir():
        click.echo("1. Writing 1,797 scanned digits, one folder per class …", err=json)
        samples.write("digits", pictures)
    click.echo("2. Encoding each picture once and fitting a head …", err=json)
    with _show.progress("encoding") as step:
        model = train(pictures, out=out, force=out.is_dir(), on_step=step)
    some = [next((pictures / name).glob("*.png")) for name in ("3", "7")]
    answers = model.predict(sorted(some))
    if json:
        _show.as_json(model.report | {"predictions": [one.to_json() for one in answers]})
        return
    told(model.report, pictures, out)
    click.echo("\n3. Asking it about two of the pictures:")
    for one in answers:
        click.echo(f"  {one.label} with probability {one.probability:.3f}   {_show.safe(one.path)}")
    click.echo("\nYour own pictures, one folder per class:")
    click.echo("  headstart check photos/")
    click.echo("  headstart train photos/")
    click.echo("  headstart predict photos-model new/*.jpg")
