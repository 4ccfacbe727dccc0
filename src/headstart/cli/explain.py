"""`headstart explain`."""

import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headstart.cli import _options, _show

if TYPE_CHECKING:
    from headstart.explain import Explanation


@click.command("explain")
@click.argument("model", type=_options.PATH)
@click.argument("pictures", nargs=-1, required=True, type=_options.PATH)
@click.option("--class", "label", metavar="NAME", help="Why not this class? Instead of the runner-up.")
@click.option(
    "--data", type=_options.PATH, help="The training data, a folder or a table: shows the nearest pictures."
)
@click.option("--out", type=_options.PATH, help="Folder for the page. Default: NAME-explained.")
@click.option("--open", "look", is_flag=True, help="Open the page in the browser.")
@_options.device
@_options.limit_px
@_options.as_json
def command(
    model: Path,
    pictures: tuple[Path, ...],
    label: str | None,
    data: Path | None,
    out: Path | None,
    look: bool,
    device: str,
    limit_px: int,
    json: bool,
) -> None:
    """Show why MODEL says what it says of PICTURES.

    Writes a page for each: where the network looked, checked by blurring what
    it looked at; what its layers give, from edges to parts; the arithmetic
    from logits to probabilities; the nearest training pictures.

    Several pictures get a folder each, inside --out where that is given.
    """
    from headstart.data.scan import scan
    from headstart.errors import UnreadablePicture
    from headstart.explain.page import save
    from headstart.explain.study import explain_with, open_tools
    from headstart.model.folder import load

    trained_on = scan(data).examples.files() if data is not None else None
    tools = open_tools(load(model), device=device)
    kept: list[dict[str, Any]] = []
    taken: set[Path] = set()
    for picture in pictures:
        try:
            found = explain_with(tools, picture, label=label, limit_px=limit_px)
        except UnreadablePicture as error:
            kept.append({"path": str(picture), "error": str(error)})
            click.echo(f"headstart: {_show.safe(str(error))}", err=True)
            continue
        if label == found.label:
            said = f"{_show.safe(found.path)}: {_show.safe(found.label)} is the model's answer"
            click.echo(f"headstart: {said}; beside it stands the runner-up.", err=True)
        target = _target(picture, out, len(pictures) > 1, taken)
        files = save(found, target, pictures=trained_on)
        kept.append(found.to_json() | {"folder": str(target), "files": files})
        if not json:
            _print(found, target / files[0])
        if look:
            webbrowser.open((target / files[0]).resolve().as_uri())
    if json:
        _show.as_json({"explained": kept})
    if any("error" in one for one in kept):
        sys.stdout.flush()
        sys.exit(1)


def _target(picture: Path, out: Path | None, several: bool, taken: set[Path]) -> Path:
    """A folder of its own for each picture, also for two of the same name."""
    name = f"{picture.stem}-explained"
    target = (out or Path()) / name if several or out is None else out
    number = 1
    while target in taken:
        number += 1
        target = target.with_name(f"{name}-{number}")
    taken.add(target)
    return target


def _print(found: "Explanation", page: Path) -> None:
    unknown = " (unknown?)" if found.unknown else ""
    click.echo(_show.cut(f"{_show.safe(found.path)}"))
    click.echo(f"  {_show.safe(found.label)}{unknown} {found.probabilities.max():.3f}")
    heat = found.heats[0]
    other = _show.safe(heat.against) if heat.against else "the other classes' average"
    click.echo(_show.cut(f"  against {other}: {heat.logit:+.2f}, of which"))
    for name, value in (("start", heat.constant), *heat.depths):
        click.echo(f"    {_show.safe(name):<10} {value:+8.2f}")
    click.echo("  probability left as the warmest (random) parts are blurred")
    own_line, random_line = found.checks[0].curve.deletion, found.checks[0].random.deletion
    for quarter in range(4):
        step = quarter * (len(own_line) - 1) // 4
        own, chance = own_line[step], random_line[step]
        click.echo(f"    {25 * quarter:>3} %  {own:.3f}  ({chance:.3f})")
    click.echo(f"  {_show.safe(str(page))}\n")
