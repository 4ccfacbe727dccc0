"""`headstart export`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headstart.cli import _options, _show
from headstart.export import names

if TYPE_CHECKING:
    from headstart.export import Exported


@click.command("export")
@click.argument("model", type=_options.PATH)
@click.option("--to", "to", required=True, metavar="FORMAT", help=f"One of {', '.join(names())}.")
@click.option("--out", type=_options.PATH, help="Where to write. Default: beside MODEL, with its name.")
@click.option("--data", type=_options.PATH, help="The data of MODEL, where they are not beside it.")
@click.option("--max-loss", type=float, help="Accuracy that int8 may cost.  [default: 0.02]")
@click.option("--runtime", type=_options.PATH, help="onnxruntime-web for --to web, instead of fetching it.")
@click.option("--force", is_flag=True, help="Replace what was exported before.")
@_options.as_json
def command(
    model: Path,
    to: str,
    out: Path | None,
    data: Path | None,
    max_loss: float | None,
    runtime: Path | None,
    force: bool,
    json: bool,
) -> None:
    """Write MODEL as one file for other programs.

    The file holds everything from pixels to calibrated probabilities, with
    class names, links and licence. It is compared with MODEL on its test
    pictures first: where the answers differ, nothing is written.
    """
    from headstart.export import export

    with _show.progress("comparing") as step:
        done = export(
            model, to=to, out=out, data=data, max_loss=max_loss, runtime=runtime, force=force, on_step=step
        )
    if json:
        _show.as_json(done.to_json())
    else:
        _print(done)


def _print(done: "Exported") -> None:
    found = done.parity
    click.secho(f"{_show.safe(str(done.path))}", bold=True, nl=False)
    click.echo(f"  {done.bytes / 1e6:.1f} MB")
    same = round(found.agreement * found.n)
    click.echo(f"  the same label as the model on {same} of {found.n} {found.part} pictures")
    allowed = f" (allowed: {found.tolerance:g})" if found.tolerance is not None else ""
    click.echo(f"  probabilities differ by {found.max_probability_gap:.2g} at most{allowed}")
    delta, (low, high) = found.accuracy_delta, found.accuracy_delta_ci95
    click.echo(
        f"  accuracy {found.accuracy:.3f}, the model's {found.accuracy - delta:.3f}: "
        f"{delta:+.3f} (95 % between {low:+.3f} and {high:+.3f})"
    )
    if found.unknown_agreement < 1 or found.max_turned is not None:
        least = "" if found.max_turned is None else f" (at least {1 - found.max_turned:.0%})"
        verdicts = round(found.unknown_agreement * found.n)
        click.echo(f"  known or unknown: the same on {verdicts} of {found.n}{least}")
    if found.max_loss is not None:
        click.echo(f"  log-loss {found.nll:.3f}, the model's {found.nll - found.nll_delta:.3f}")
    if found.gains:
        smaller = found.gains["int8_bytes"] / found.gains["float_bytes"]
        least, most = found.gains["speed_ratio_range"]
        click.echo(
            f"  {found.gains['speed_ratio']:.1f} times as fast as in float32 here "
            f"({least:.1f} to {most:.1f}), {smaller:.2f} of the size"
        )
    if found.missing:
        click.echo(f"  {found.missing} pictures were not where they were, and not compared")
    if found.own_engine is not None:
        own = found.own_engine
        click.echo(
            f"  predict computes in {own.precision} on this machine, and differs from float32\n"
            f"  by {own.max_probability_gap:.2g} at most (expected: up to {own.tolerance:g})"
        )
