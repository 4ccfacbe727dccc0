"""`headstart evaluate`."""

from pathlib import Path

import click

from headstart.cli import _options, _show
from headstart.cli.train import leaks


@click.command("evaluate")
@click.argument("model", type=_options.PATH)
@click.argument("data", type=_options.PATH)
@_options.device
@_options.limit_px
@_options.as_json
def command(model: Path, data: Path, device: str, limit_px: int, json: bool) -> None:
    """Judge MODEL on other labelled DATA.

    Where DATA has a test part, that part alone counts. Pictures that the
    model was trained on are left out.
    """
    from headstart.engines import open_engine
    from headstart.model.folder import load
    from headstart.model.measure import measure

    loaded = load(model)
    with _show.progress("encoding") as step:
        engine = open_engine(loaded.backbone, device)
        report = measure(loaded, data, engine, limit_px=limit_px, on_step=step)
    if json:
        _show.as_json(report)
        return
    _show.score(report["test"], "of this data")
    leaks(report)
    if report["worst"]:
        click.echo("\n  surest mistakes")
        for one in report["worst"][:5]:
            said = f"{_show.safe(one['label'])} {one['probability']:.2f}, is {_show.safe(one['truth'])}"
            click.echo(f"    {_show.cut(said, _show.WIDTH - 4)}")
            click.echo(f"      {_show.safe(one['path'])}")
    click.echo(f"\n  {report['unknown']:.1%} of the pictures look unlike anything in the training part")
    if not report["same_engine"]:
        click.echo("  note: the features come from another engine or precision than at training time")
    _show.findings(report, "")
