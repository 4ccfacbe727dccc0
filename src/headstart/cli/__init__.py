"""The command line: one file per command; each parses, calls one public function, prints.

Exit codes: 0 success, 1 the work failed, 2 asked wrongly, 130 interrupted.
"""

import importlib
import io
import os
import pkgutil
import sys
from pathlib import Path

import click

from headstart.errors import HeadstartError
from headstart.files import reason
from headstart.version import VERSION

INTERRUPTED = 130


class Commands(click.Group):
    """The folder is the registry: a command is the file of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names of the commands, in the order in which a newcomer needs them."""
        first = ["demo", "train", "predict", "evaluate", "check"]
        found = sorted(
            module.name
            for module in pkgutil.iter_modules([str(Path(__file__).parent)])
            if module.name[0] != "_"
        )
        return sorted(found, key=lambda name: (first.index(name) if name in first else len(first), name))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, imported now and not before."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"headstart.cli.{cmd_name}").command
        return command


HELP = """A folder of labelled pictures becomes an honest, saved classifier.

\b
headstart train photos/                   photos/ holds one folder per class
headstart predict photos-model new.jpg
"""


@click.group(
    cls=Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80}
)
@click.version_option(VERSION, prog_name="headstart")
def group() -> None:
    """All commands."""


def main() -> None:
    """Run the command line and exit."""
    _tolerant_streams()
    try:
        code = group.main(standalone_mode=False) or 0
        sys.stdout.flush()
        sys.exit(code)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt) as stop:
        first = stop.__cause__ if isinstance(stop, click.Abort) else stop
        kept = str(first or "") or "what was encoded is kept, the same command goes on from there"
        _stop(f"interrupted: {kept}", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except HeadstartError as error:
        _stop(str(error), error.exit_code)
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        _drop_output()
        sys.exit(1)
    except OSError as error:
        _drop_output()
        _stop(f"{error.filename or 'the output'}: {reason(error)}.", 1)


def _tolerant_streams() -> None:
    """What a terminal cannot show is escaped, stdin may bring any bytes, a closed stream swallows."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  until the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")


def _drop_output() -> None:
    """What is still to be written goes nowhere, so that Python does not complain once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(message: str, code: int) -> None:
    click.echo(f"headstart: {message}", err=True)
    if code == INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # a thread may still wait for stdin, and Python's own end would wait for it
    sys.exit(code)
