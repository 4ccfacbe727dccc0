"""`headstart check`."""

from pathlib import Path

import click

from headstart.cli import _options, _show


@click.command("check")
@click.argument("data", type=_options.PATH)
@_options.backbone
@_options.weights
@_options.device
@_options.limit_px
@_options.as_json
def command(data: Path, backbone: str, weights: Path | None, device: str, limit_px: int, json: bool) -> None:
    """Audit DATA.

    Unreadable files, twins, leaks, label conflicts, balance.
    """
    from headstart.look import look

    with _show.progress("encoding") as step:
        seen = look(data, backbone=backbone, weights=weights, device=device, limit_px=limit_px, on_step=step)
    report = seen.to_json()
    if json:
        _show.as_json(report)
        return
    for one in report["findings"]:
        others = f" (and {len(one['others'])} more)" if "others" in one else ""
        click.echo(f"{one['severity']:<8} {one['kind']:<15} {_show.safe(one['path'])}{others}")
        click.echo(f"{'':24} {_show.safe(one['message'])}")
    parts = report["data"]
    click.echo(
        f"\n{parts['used']} of {parts['files']} files can be used, in {len(report['classes'])} classes"
    )
    _show.findings(report, "")
