"""`headstart compare`."""

import math
import os
import shlex
import textwrap
from pathlib import Path
from typing import Any

import click

from headstart.cli import _options, _show

NAME = 20  # columns


@click.command("compare")
@click.argument("data", type=_options.PATH)
@click.option("--backbone", "names", multiple=True, metavar="NAME", help="One to compare; give several.")
@click.option(
    "--rungs", default="quick", show_default=True, metavar="LIST", help="every, quick, none, or names."
)
@click.option("--budget", type=_options.DURATION, default=math.inf, help="Time for each trained rung: 10m.")
@click.option("--test", type=_options.PATH, help="A test part that lies elsewhere.")
@click.option("--seed", default=0, show_default=True, help="Deals out the parts and folds.")
@_options.device
@_options.limit_px
@click.option("--plot", type=_options.PATH, metavar="FILE.svg", help="Draw accuracy against time.")
@_options.as_json
def command(
    data: Path,
    names: tuple[str, ...],
    rungs: str,
    budget: float,
    test: Path | None,
    seed: int,
    device: str,
    limit_px: int,
    plot: Path | None,
    json: bool,
) -> None:
    """Find out which backbone and training pay on DATA.

    Backbones race on a growing sample of the pictures that train would learn
    from; the test part takes no part. Without --backbone: those of the
    catalogue that are on this machine.

    Then the ladder, with the winner, judged on the test part: majority,
    source (its own guesses), nearest, linear; and, which takes minutes, last
    and all (stages trained) and scratch. Each is compared with the one below.
    """
    from headstart import ladder

    if plot is not None and plot.suffix.lower() != ".svg":
        raise click.UsageError(f"--plot writes SVG: name the file {plot.stem}.svg")
    if plot is not None and not os.path.isdir(plot.parent):  # noqa: PTH112  never raises, whatever the name
        raise click.UsageError(f"there is no folder {plot.parent} for the plot")
    asked = ladder.rungs_of(rungs)
    with _show.progress("encoding") as step, _show.epochs() as epoch:
        found = ladder.compare(
            data, test=test, names=names, rungs=asked, budget_s=budget, seed=seed, device=device,
            limit_px=limit_px, on_step=step, on_epoch=epoch,
        )  # fmt: skip
    if plot is not None:
        from headstart.cli._scatter import drawn
        from headstart.files import write_whole

        write_whole(plot, drawn(found.candidates, data.resolve().name).encode())
    document = found.to_json()
    if json:
        _show.as_json(document)
    else:
        backbones(document)
        if asked:
            ladder_of(document)
        name = shlex.quote(_show.safe(document["chosen"]))
        click.echo(f"\n  headstart train {shlex.quote(_show.safe(str(data)))} --backbone {name}")


def ladder_of(document: dict[str, Any]) -> None:
    """A table of the rungs, from the lowest up, and what is not in it."""
    click.echo(_show.cut(f"\nThe ladder with {_show.safe(document['chosen'])}"))
    if document["rungs"]:
        _rungs(
            document["rungs"],
            "test pictures" if document["data"]["test"] else "pictures, each by fits without it",
        )
    if document["leaked"]:
        click.secho(f"\n  LEAK: {document['leaked']} test pictures judge no rung:", bold=True)
        click.echo("  they have a twin among those learnt from, or the network has learnt from them.")
    for one in document["left_out"]:
        told = f"not judged: {one['name']}. {_show.safe(one['reason'])}"
        click.echo(textwrap.fill(told, _show.WIDTH, initial_indent="  ", subsequent_indent="    "))


def _rungs(rungs: list[dict[str, Any]], kind: str) -> None:
    click.echo(f"on {rungs[0]['n']} {kind}\n")
    click.echo(f"{'':<35}  {'accuracy (95 %)':<22}  log-loss  seconds")
    for one in rungs:
        low, high = one["accuracy_ci95"]
        click.echo(
            f"{one['title']:<35}  {one['accuracy']:.3f} ({low:.3f} to {high:.3f})  {one['nll']:8.3f}  "
            f"{one['seconds']:7.1f}"
        )
        click.secho(f"  {one['verdict']}", bold=one["verdict"].startswith("better"))


def backbones(document: dict[str, Any]) -> None:
    """A table of the candidates, best first."""
    click.echo(
        f"Judged on training pictures ({document['data']['train']}), each by a head that had not seen it\n"
    )
    click.echo(f"{'backbone':<{NAME}}  {'accuracy (95 %)':<22}  log-loss  ms each   GMAC  pictures")
    for one in document["backbones"]:
        name, (low, high) = _show.safe(one["name"]), one["accuracy_ci95"]
        if len(name) > NAME:
            click.echo(_show.cut(name))
            name = ""
        click.secho(
            f"{name:<{NAME}}  {one['accuracy']:.3f} ({low:.3f} to {high:.3f})  {one['nll']:8.3f}  "
            f"{one['ms_per_picture']:7.1f}  {one['gmac']:5.{0 if one['gmac'] >= 100 else 2}f}  "
            f"{one['heats'][-1]['n']:8d}"
        )
        click.secho(_show.cut(f"  {one['verdict']}"), bold=one["verdict"] == "chosen")
    if len(document["backbones"]) == 1:
        click.echo(
            "\nOne backbone is no comparison. Name others with --backbone NAME, several times"
            "\n(headstart backbones lists them), or install more:"
            "\n  pip install 'headstart[backbones]'"
        )
