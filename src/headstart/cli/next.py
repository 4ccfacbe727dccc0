"""`headstart next`."""

from pathlib import Path

import click

from headstart.cli import _options, _show


@click.command("next")
@click.argument("model", type=_options.PATH)
@click.argument("folder", type=_options.PATH)
@click.option("--n", default=20, show_default=True, type=click.IntRange(1), help="How many to ask for.")
@_options.device
@_options.limit_px
@_options.as_json
def command(model: Path, folder: Path, n: int, device: str, limit_px: int, json: bool) -> None:
    """Say which pictures to label next.

    MODEL looks at the unlabelled pictures in FOLDER and asks for those from
    which it would learn most: unsure ones, unlike one another.
    """
    from headstart.engines import open_engine
    from headstart.model.folder import load
    from headstart.trust.next import to_label_next

    loaded = load(model)
    engine = open_engine(loaded.backbone, device)
    with _show.progress("encoding") as step:
        found = to_label_next(loaded, folder, engine, n=n, limit_px=limit_px, on_step=step)
    if json:
        _show.as_json(found.to_json())
        return
    click.echo(f"{'probability':>11}  {'perhaps':<18}  {'or':<18}  picture")
    for one in found.picks:
        label, second = _show.cut(_show.safe(one.label), 18), _show.cut(_show.safe(one.second), 18)
        click.echo(f"{one.probability:11.3f}  {label:<18}  {second:<18}  {_show.safe(one.path)}")
    click.echo(
        f"\n{len(found.picks)} of {found.pictures} pictures; left out: {found.known} known to the model, "
        f"{found.twins} twins"
    )
    if found.unreadable:
        click.echo(f"{found.unreadable} more cannot be read")
    if found.not_kept:
        click.echo(
            f"{found.not_kept} training pictures are not kept on this machine: their twins are not told"
        )
