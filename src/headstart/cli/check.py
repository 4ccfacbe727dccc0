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
@click.option("--sheet", type=_options.PATH, metavar="FILE.png", help="Draw views as training makes them.")
@click.option("--augment", type=click.Choice(["none", "light", "strong"]), help="Which views --sheet draws.")
@_options.as_json
def command(
    data: Path,
    backbone: str,
    weights: Path | None,
    device: str,
    limit_px: int,
    sheet: Path | None,
    augment: str | None,
    json: bool,
) -> None:
    """Audit DATA.

    Unreadable files, twins, leaks, suspicious labels, balance, shortcuts.
    """
    from headstart.finetune.wish import POLICIES
    from headstart.look import chosen
    from headstart.trust import check

    if augment is not None and sheet is None:
        raise click.UsageError("--augment says what --sheet draws: name its FILE.png")
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise click.UsageError(f"--sheet writes PNG: name the file {sheet.stem}.png")
    with _show.progress("encoding") as step:
        seen = check(data, backbone=backbone, weights=weights, device=device, limit_px=limit_px, on_step=step)
    if sheet is not None:
        from headstart.files import write_whole
        from headstart.finetune.augment import usual
        from headstart.finetune.sheet import drawn

        policy = next((own for own in POLICIES if own == augment), None)
        policy = policy or usual(len(seen.examples), len(seen.examples.classes))
        how, files = chosen(backbone, weights).preprocess, seen.examples.files()
        write_whole(sheet, drawn(files, seen.examples.digests, how, policy, mirror=True, limit_px=limit_px))
        click.echo(
            f"{_show.safe(str(sheet))}: views of --augment {policy}, mirrored ones among them.\n"
            "  train mirrors only where mirrored pictures are still recognised, and unless\n"
            "  --augment is said, it goes by the pictures of its training part.",
            err=True,
        )
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
