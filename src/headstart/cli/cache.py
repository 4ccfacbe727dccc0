"""`headstart cache`."""

import click

from headstart.cli import _options, _show


@click.command("cache")
@click.option("--clear", is_flag=True, help="Delete what can be made or fetched again; --weights files stay.")
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
        left = [str(file) for file in kept.left()]
        _show.as_json({"folder": str(kept.folder()), "kept": listed, "freed": freed, "left": left})
        return
    click.echo(f"{kept.folder()}")
    for one in rows:
        count = f"{one.pictures} pictures" if one.kind == "features" else ""
        click.echo(f"  {one.kind:<9} {_show.safe(one.name):<40} {one.bytes / 1e6:8.1f} MB  {count}".rstrip())
    if clear:
        click.echo(f"freed {freed / 1e6:.1f} MB")
        for file in kept.left():
            click.echo(f"left, because the original may be gone:\n  {_show.safe(str(file))}")
    elif not rows:
        click.echo("  nothing is kept yet")
