"""`headstart diff`."""

from pathlib import Path
from typing import Any

import click

from headstart.cli import _options, _show

FEW = 8  # changes that are printed of either kind


@click.command("diff")
@click.argument("model_a", type=_options.PATH)
@click.argument("model_b", type=_options.PATH)
@click.argument("data", type=_options.PATH, required=False)
@click.option("--test", type=_options.PATH, help="A part of DATA that lies elsewhere.")
@click.option(
    "--html", type=_options.PATH, metavar="FILE", help="Write a page with the pictures that changed."
)
@_options.device
@_options.limit_px
@_options.as_json
def command(
    model_a: Path,
    model_b: Path,
    data: Path | None,
    test: Path | None,
    html: Path | None,
    device: str,
    limit_px: int,
    json: bool,
) -> None:
    """Say whether MODEL_B is better than MODEL_A, and where.

    Both answer the same pictures: those in the test parts of both, or, with
    labelled DATA, all of its pictures that neither has learnt from.
    """
    from headstart.diff import diff
    from headstart.errors import Misuse
    from headstart.files import write_whole
    from headstart.model.folder import load
    from headstart.report.compared import compared, in_words, passed_over
    from headstart.report.markup import SPACE
    from headstart.report.thumbs import thumbs

    if test is not None and data is None:
        raise Misuse("--test goes with DATA: name both.")
    a, b = load(model_a), load(model_b)
    with _show.progress("encoding") as step:
        found = diff(a, b, data, test=test, device=device, limit_px=limit_px, on_step=step)
    document = found.to_json()
    if html is not None:
        changed = [one.path for one in found.changes]
        pictures = thumbs(changed, found.files, a.backbone.preprocess, limit_px=limit_px)
        write_whole(html, compared(document, pictures))
    if json:
        _show.as_json(document)
        return
    click.secho(f"{_show.safe(document['verdict'])}", bold=True)
    click.echo(click.wrap_text(_show.safe(in_words(document).replace(SPACE, " ")), _show.WIDTH))
    for side in (document["a"], document["b"]):
        if side["only"]:
            names = ", ".join(_show.safe(name) for name in side["only"])
            click.echo(_show.cut(f"  {_show.safe(side['model'])} alone knows: {names} (left out)"))
    if document["left_out"]:
        said = passed_over(document).replace(SPACE, " ")
        click.echo(click.wrap_text(said, _show.WIDTH, initial_indent="  ", subsequent_indent="    "))
    for won, title in ((True, "Won: wrong before, right after"), (False, "Lost: right before, wrong after")):
        _changes([one for one in document["changes"] if one["won"] == won], title)
    if html is not None:
        click.echo(f"\n  {_show.safe(str(html))}")


def _changes(rows: list[dict[str, Any]], title: str) -> None:
    if not rows:
        return
    click.echo(f"\n{title} ({len(rows)})")
    for one in rows[:FEW]:
        before, after = (f"{one[side]} {one[f'{side}_probability']:.2f}" for side in "ab")
        said = f"{one['truth']}: {before}, now {after}"
        click.echo(_show.cut(f"  {_show.safe(said)}"))
        click.echo(f"    {_show.safe(one['path'])}")
    if len(rows) > FEW:
        click.echo(f"  and {len(rows) - FEW} more: --json or --html lists them")
