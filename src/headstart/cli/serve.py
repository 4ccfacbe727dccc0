"""`headstart serve`."""

import sys
from pathlib import Path

import click

from headstart.cli import _options, _show


@click.command("serve")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0: all.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen at; 0: any that is free.",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Processes; limits hold for each.",
)
@click.option(
    "--api-key-file",
    type=_options.PATH,
    help="File with the key that clients must send. Else HEADSTART_API_KEY.",
)
@click.option("--cors", multiple=True, metavar="ORIGIN", help="Let pages of this origin ask. Repeatable.")
@click.option("--proxy", metavar="ADDRESS", help="Believe X-Forwarded-For that comes from there.")
@click.option(
    "--max-bytes", default=32_000_000, show_default=True, type=click.IntRange(1), help="Of a request."
)
@click.option(
    "--max-px",
    default=50_000_000,
    show_default=True,
    type=click.IntRange(1),
    help="Of a picture, and of all that are decoded at a time.",
)
@click.option(
    "--max-files", default=32, show_default=True, type=click.IntRange(1), help="Pictures of a request."
)
@click.option(
    "--queue",
    default=128,
    show_default=True,
    type=click.IntRange(1),
    help="Pictures that may wait for a model: then 503.",
)
@click.option("--timeout", default="30s", show_default=True, type=_options.DURATION, help="For each request.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    help="Requests per second and client, for each of --workers: then 429.",
)
@click.option("--quiet", is_flag=True, help="Log no line for each request.")
@_options.device
@_options.as_json
def command(
    models: tuple[str, ...],
    host: str,
    port: int,
    workers: int,
    api_key_file: Path | None,
    cors: tuple[str, ...],
    proxy: str | None,
    max_bytes: int,
    max_px: int,
    max_files: int,
    queue: int,
    timeout: float,
    rate: float | None,
    quiet: bool,
    device: str,
    json: bool,
) -> None:
    """Answer over HTTP with one MODEL or several.

    MODEL is a model folder, or NAME=FOLDER. Pictures go to POST /predict;
    /docs says the rest. SIGTERM or Ctrl-C stops once requests under way are
    answered; SIGHUP reads changed models anew. Logs go to stderr as JSON.
    """
    from headstart.serve.hosts import is_local
    from headstart.serve.run import serve, told
    from headstart.serve.settings import Settings, key_of, named

    settings = Settings(
        models=named(models),
        host=host,
        port=port,
        workers=workers,
        device=device,
        key=key_of(api_key_file),
        origins=cors,
        proxy=proxy,
        max_bytes=max_bytes,
        max_px=max_px,
        max_files=max_files,
        queue=queue,
        timeout_s=timeout,
        rate=rate,
    )
    if settings.key is None and not is_local(host):
        click.echo("headstart: anybody who reaches this address may ask; see HEADSTART_API_KEY", err=True)

    def ready(address: str) -> None:
        if json:
            sys.stdout.write(told(address, settings) + "\n")
        else:
            names = ", ".join(name for name, _ in settings.models)
            click.echo(_show.cut(f"serving {names}"))
            click.echo(f"  {address}/docs")
            click.echo("  Ctrl-C stops it")
        sys.stdout.flush()

    sys.exit(serve(settings, quiet=quiet, on_ready=ready))
