"""`headstart report`."""

from pathlib import Path

import click

from headstart.cli import _options, _show


@click.command("report")
@click.argument("model", type=_options.PATH)
@click.option(
    "--data", type=_options.PATH, help="Make it anew from MODEL's pictures in this folder or table."
)
@click.option("--test", type=_options.PATH, help="The test part, where it lies elsewhere.")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
@_options.device
@_options.limit_px
@_options.as_json
def command(
    model: Path, data: Path | None, test: Path | None, show: bool, device: str, limit_px: int, json: bool
) -> None:
    """Say where MODEL's report is, make it anew, open it.

    The report is one file, report.html in MODEL, that opens offline.
    """
    from headstart.errors import Misuse
    from headstart.files import write_whole
    from headstart.model.folder import REPORT, load

    page = model / REPORT
    notes: tuple[str, ...] = ()
    if data is not None:
        from headstart.report import remake

        with _show.progress("encoding") as step:
            anew = remake(model, data, test=test, device=device, limit_px=limit_px, on_step=step)
        write_whole(page, anew.page)
        notes = anew.notes
    else:
        if test is not None:
            raise Misuse("--test goes with --data: name both.")
        load(model)
        if not page.is_file():
            raise Misuse(
                f"{model} has no {REPORT}. Make it from the pictures that the model was trained on: "
                f"headstart report {model} --data DATA"
            )
    for note in notes:
        click.echo(click.wrap_text(f"headstart: {_show.safe(note)}", _show.WIDTH), err=True)
    if json:
        _show.as_json({"path": str(page.resolve()), "bytes": page.stat().st_size, "notes": list(notes)})
    else:
        click.echo(_show.safe(str(page.resolve())))
    if show:
        click.launch(page.resolve().as_uri())
