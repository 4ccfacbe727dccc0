"""`headstart sample`."""

from pathlib import Path

import click

from headstart.cli import _options, _show


@click.command("sample")
@click.argument("name")
@click.argument("folder", metavar="DIR", type=_options.PATH)
@_options.as_json
def command(name: str, folder: Path, json: bool) -> None:
    """Write a sample data set NAME (digits, flowers, objects) to DIR."""
    from headstart.data import samples

    with _show.progress(name) as step:
        count = samples.write(name, folder, progress=lambda _what, done, total: step(done, total))
    if json:
        _show.as_json({"name": name, "path": str(folder), "pictures": count})
    else:
        click.echo(
            f"{count} pictures in {_show.safe(str(folder))}. Next: headstart train {_show.safe(str(folder))}"
        )
