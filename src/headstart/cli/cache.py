"""`headstart cache`."""

import click

from headstart.cli import _options, _show


@click.command("cache")
@click.option("--clear", is_flag=True, help="Delete what is kept. It costs only time to make it again.")
@_options.as_json
def command(clear: bool, json: bool) -> None:
    """Show or clear what is kept between runs."""
    from headstart import kept

    rows = kept.usage()
    freed = kept.clear() if clear else 0
    if json:
        listed = [
            {"kind": one.kind, "name": one.name, "pictures": one.pictures, "bytes": one.bytes} for one in rows
        ]
        _show.as_json({"folder": str(kept.folder()), "kept": listed, "freed": freed})
        return
    click.echo(f"{kept.folder()}")
    for one in rows:
        count = f"{one.pictures} pictures" if one.kind == "features" else ""
        click.echo(f"  {one.kind:<9} {one.name:<40} {one.bytes / 1e6:8.1f} MB  {count}".rstrip())
    if clear:
        click.echo(f"freed {freed / 1e6:.1f} MB")
    elif not rows:
        click.echo("  nothing is kept yet")
