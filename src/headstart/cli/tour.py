"""`headstart tour`."""

import shlex
import sys
from pathlib import Path

import click

from headstart.cli import _options, _show


@click.command("tour")
@click.option(
    "--out", default="headstart-tour", show_default=True, type=_options.PATH, help="Folder for the page."
)
@click.option("--data", type=_options.PATH, help="A folder of class folders; else embedded digits.")
@click.option("--quick", is_flag=True, help="The same chapters with fewer steps.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same numbers.")
@click.option("--open", "open_it", is_flag=True, help="Show the page in the browser.")
@_options.as_json
def command(out: Path, data: Path | None, quick: bool, seed: int, open_it: bool, json: bool) -> None:
    """Transfer learning made visible, as a page.

    Convolution step by step, counting parameters, gradients, freezing, from
    scratch or fine-tuned, forgetting, what the layers see: each chapter is run
    now, on four classes of your pictures or of embedded digits, and takes
    minutes in all. The page needs no network and can be shown in class.
    """
    from headstart.tour import walk

    def told(what: str) -> None:
        sys.stderr.write(f"{what} …\n")

    found = walk.tour(out, data=data, quick=quick, seed=seed, on_chapter=told)
    if json:
        _show.as_json(found.to_json())
    else:
        click.echo(f"The tour is at {shlex.quote(_show.safe(str(found.page)))}")
        click.echo(f"  {found.seconds['total']:.0f} seconds; open it in any browser")
    if open_it:
        click.launch(str(found.page.resolve()))
