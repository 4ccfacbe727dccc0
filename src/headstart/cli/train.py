"""`headstart train`."""

import shlex
import sys
import textwrap
from pathlib import Path
from typing import Any

import click

from headstart.cli import _options, _show
from headstart.errors import Misuse

BEST = 11.5  # times the default's time per picture is what `best` takes, by benchmarks/best.py
GOOD = 0.99  # accuracy that sending unsure pictures to a person is to reach
LINEAR = ("lda", "ridge", "logistic")  # heads that training goes on from
CONVERTED = 2.0  # seconds to open a network that show that it was not kept from before


@click.command("train")
@click.argument("data", type=_options.PATH)
@click.option("--out", type=_options.PATH, help="Folder for the model.  [default: DATA's name + -model]")
@_options.backbone
@_options.weights
@click.option("--head", default="auto", show_default=True, help="auto, lda, ridge, logistic or prototypes.")
@_options.tuning
@click.option("--test", type=_options.PATH, help="A test part that lies elsewhere.")
@click.option("--split", type=_options.PATH, help="A table of parts, such as a model's split.csv.")
@click.option("--fix", type=_options.PATH, help="Decisions on labels: an edited suspects.csv.")
@click.option("--report/--no-report", default=True, help="Look into labels, shortcuts, limits (the default).")
@click.option("--seed", default=0, show_default=True, help="Deals out the parts and folds.")
@_options.device
@_options.limit_px
@click.option("--force", is_flag=True, help="Replace the model that is there.")
@_options.as_json
def command(
    data: Path,
    out: Path | None,
    backbone: str,
    weights: Path | None,
    head: str,
    tune: str | None,
    freeze_to: str | None,
    augment: str | None,
    epochs: int | None,
    budget: float,
    watch: str | None,
    test: Path | None,
    split: Path | None,
    fix: Path | None,
    report: bool,
    seed: int,
    device: str,
    limit_px: int,
    force: bool,
    json: bool,
) -> None:
    """Learn a classifier from DATA and judge it honestly.

    DATA is a folder of class folders; a folder with train/ and val/ or test/;
    or a CSV, TSV or Parquet file with the columns path,label[,group,split].
    """
    from headstart.finetune.watch import watch as watched
    from headstart.recipe import default_out, train

    if watch is not None and not _trains(backbone, weights, tune, freeze_to):
        raise Misuse("--watch is for training stages: say --tune as well.")
    with _show.progress("encoding") as step, _show.epochs() as shown, watched(watch, shown) as epoch:
        model = train(
            data,
            out=out,
            test=test,
            split=split,
            fix=fix,
            report=report,
            backbone=backbone,
            weights=weights,
            head=head,
            tune=tune,
            freeze_to=freeze_to,
            augment=augment,
            epochs=epochs,
            budget_s=budget,
            seed=seed,
            device=device,
            force=force,
            limit_px=limit_px,
            on_step=step,
            on_epoch=epoch,
        )
    if json:
        _show.as_json(model.report)
    else:
        told(model.report, data, out or default_out(data))


def _trains(backbone: str, weights: Path | None, tune: str | None, freeze_to: str | None) -> bool:
    """Whether stages are to be trained: all of a network from scratch, unless told otherwise."""
    from headstart.finetune.wish import NEVER

    scratch = weights is None and backbone.startswith("scratch:")
    return freeze_to is not None or (tune != NEVER if tune is not None else scratch)


def told(report: dict[str, Any], data: Path, out: Path) -> None:
    """The face of the product: how good, how sure, what to look at, what to do next."""
    from headstart import backbones

    parts = report["data"]
    if report["test"]:
        how = "that it has never seen"
        _show.score(report["test"], how)
        leaks(report)
    else:
        _show.score(report["cv"], "in cross-validation")
    if report["fixed"] and report["fixed"]["judges"]:
        said = (
            f"{report['fixed']['judges']} of your decisions are, or may be, on pictures that judge it. Where "
            "a model's doubt led to them, the score flatters a little."
        )
        click.echo(_indented(said))
    _show.findings(report, _all_findings(report, data, out))
    trust(report, out)
    seconds = report["seconds"]
    click.echo(
        f"\n{parts['used']} of {parts['files']} files used: {parts['train']} train, {parts['val']} val, "
        f"{parts['test']} test"
    )
    click.echo(
        f"{_show.safe(report['backbone'])}, {_trained(report)}, with head {report['head']} "
        f"on depths {report['choice']['depths']}"
    )
    tuning(report)
    speed = f" ({report['images_per_second']:.0f} pictures/s)" if report["encoded"] else ""
    click.echo(
        f"{seconds['total']:.1f} s: {seconds['extract']:.1f} encoding {report['encoded']} new pictures"
        f"{speed}, "
        f"{seconds['head'] + seconds['evaluate']:.1f} head and judging"
    )
    if report["trust"]:
        click.echo(f"     and {seconds['trust']:.1f} on how far to trust it")
    if report["tuning"]:
        click.echo(f"     and {seconds['tune']:.1f} tuning")
    if seconds["network"] > CONVERTED:
        click.echo(f"     and {seconds['network']:.1f} to convert the network, once on this machine")
    if report["backbone"] == backbones.DEFAULT and report["images_per_second"]:
        click.echo(_better_tier(parts["used"] * BEST / report["images_per_second"]))
    click.secho(f"\nModel: {_show.safe(str(out))}", bold=True)
    click.echo(f"  headstart predict {shlex.quote(_show.safe(str(out)))} PICTURE…")
    if report["trust"]:
        click.echo(f"  headstart report {shlex.quote(_show.safe(str(out)))} --open")
    sys.stdout.flush()


def _all_findings(report: dict[str, Any], data: Path, out: Path) -> str:
    """Where the rest of them is to be read: `check` knows of no other parts and no decisions."""
    if {"--test", "--split", "--fix", "--backbone", "--weights"} & set(report["command"]):
        return f"{_show.safe(str(out / 'model.json'))} (report, data)"
    return f"headstart check {shlex.quote(_show.safe(str(data)))}"


def trust(report: dict[str, Any], out: Path) -> None:
    """What the answers are worth beyond the score, in a few lines."""
    found = report["trust"]
    if found is None:
        return
    click.echo("\nHow far to trust it")
    for one in report["data"]["findings"]:
        if one["kind"] == "shortcut" and one["severity"] == "warning":
            click.secho(_indented(f"SHORTCUT: {_show.safe(one['message'])}"), bold=True)
    suspects = len(found["suspects"]["rows"])
    if suspects:
        words = "label" if suspects == 1 else "labels"
        click.echo(f"  {suspects} {words} to check, the most suspicious first:")
        click.echo(f"    {_show.safe(str(out / 'suspects.csv'))}")
    everything = found["abstain"][0] if found["abstain"] else None
    row = next((one for one in found["abstain"] if one["reaches"] == GOOD), None)
    if row and everything and row["n"] < everything["n"]:
        share, right = 100 * (1 - row["kept"]), 100 * row["accuracy"]
        low, high = (100 * end for end in row["accuracy_ci95"])
        click.echo(
            f"  Send {share:.{0 if share > 1 else 1}f} % to a person, and the rest is {right:.0f} % right "
            f"({low:.0f} to {high:.0f}):\n    headstart predict --min-confidence {row['min_confidence']}"
        )
    for spot in (found["weak"] or [])[:2]:
        click.echo(
            _show.cut(
                f"  Weak: {_show.safe(spot['what'])}, {100 * spot['accuracy']:.0f} % right of {spot['n']}"
            )
        )
    if found["curve"]:
        click.echo(_indented(found["curve"]["verdict"]))
    elif not found["suspects"]["examined"]:
        click.echo("  Labels and a learning curve need a network that knew something before.")
    elif not suspects and not row and not found["weak"]:
        click.echo("  Too few pictures to tell.")


def _indented(text: str) -> str:
    return textwrap.fill(text, _show.WIDTH, initial_indent="  ", subsequent_indent="    ")


def _better_tier(seconds: float) -> str:
    """What the stronger backbone would cost here, in a line."""
    return f"     --backbone best: about {_show.long(seconds)} to encode, with better published figures"


def leaks(report: dict[str, Any]) -> None:
    """How much of the score comes from pictures that were seen, where any were."""
    if not report["leaked"]:
        return
    found = report["test_without_leaks"]
    click.secho(f"\n  LEAK: {report['leaked']} test pictures have a twin among those learnt from.", bold=True)
    if found is None:
        click.echo("  Every test picture has one: this score says nothing about new pictures.")
        return
    low, high = found["accuracy_ci95"]
    click.echo(
        f"  Without them: accuracy {found['accuracy']:.3f} ({low:.3f} to {high:.3f}) on {found['n']} pictures"
    )


def _trained(report: dict[str, Any]) -> str:
    """How much of the backbone was trained, in words."""
    if report["tune"] == "never":
        return "frozen"
    return "last stage trained" if report["tune"] == "last 1" else f"{report['tune']} stages trained"


def tuning(report: dict[str, Any]) -> None:
    """What training stages brought beside the frozen network, on pictures that neither had seen."""
    head = report["options"]["head"]
    if report["tune"] != "never" and head not in ("auto", *LINEAR):
        click.echo(f"  --head {head} is not linear: a linear head was trained in its place")
    for one in report["tuning"] or ():
        if head == "auto" and one["taken"] and one["frozen_head"] not in LINEAR:
            best, begun = one["frozen_head"], one["start_head"]
            click.echo(f"  head {best} was best on the frozen network; training began from {begun}")
        low, high = one["nll_gain_ci95"]
        verdict = "better" if one["better"] else "worse" if one["worse"] else "no better"
        click.echo(
            f"  {one['stages_frozen']} stages frozen: {verdict} than all frozen, log-loss "
            f"{one['frozen']['nll']:.3f} to {one['tuned']['nll']:.3f},"
        )
        click.echo(
            f"    gain {one['nll_gain']:.3f} ({low:.3f} to {high:.3f}) on {one['n']} pictures"
            + ("" if one["taken"] else "; not taken")
        )
        if one["taken"] and not one["better"]:
            click.secho("    Taken because it was asked for. --tune never would do.", bold=True)
        if one["taken"] and not one.get("again", True) and not report["data"]["val"]:
            click.echo(f"    trained without these {one['n']}: the budget was too short to do it twice")
    if report["kept_frozen"]:
        click.secho(_indented(f"The network stays frozen: {report['kept_frozen']}"), bold=True)
