"""`headstart studio`."""

import sys
from pathlib import Path

import click

from headstart.cli import INTERRUPTED, _options, _show


@click.command("studio")
@click.argument("folder", default="headstart-studio", type=_options.PATH)
@click.option("--data", type=_options.PATH, help="Pictures may be brought from here.  [default: this folder]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 is any.  [default: from 8765 on]")
@click.option("--browser/--no-browser", default=True, help="Open the page in the browser (the default).")
@_options.as_json
def command(folder: Path, data: Path | None, host: str, port: int | None, browser: bool, json: bool) -> None:
    """Open a page to make classifiers on, without programming.

    FOLDER holds the projects, in ordinary folders [headstart-studio]. Ctrl-C
    ends the studio; everything made is kept.
    """
    from headstart.studio.server import run

    def ready(link: str) -> None:
        if json:
            _show.as_json({"url": link, "folder": str(folder.resolve())})
            sys.stdout.flush()
            return
        click.secho(f"The studio is open: {link}", bold=True)
        click.echo(f"  projects in {_show.safe(str(folder.resolve()))}")
        click.echo("  Ctrl-C ends it; everything made is kept")

    try:
        run(folder, data=data or Path(), host=host, port=port, browser=browser, on_ready=ready)
    except KeyboardInterrupt:
        click.echo("The studio has ended; everything made is kept.", err=True)
        sys.exit(INTERRUPTED)
