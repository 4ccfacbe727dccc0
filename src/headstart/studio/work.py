"""The child process that does the long work: reads one JSON line, tells its progress in JSON lines, ends.

    python -P -m headstart.studio.work

Its stdin stays open as long as the studio lives. When it closes, be it that the studio was killed, the child
ends at once: nothing is left running. What was encoded is kept, and a model folder is whole or absent, so
that the next run goes on from there.
"""

import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.studio.refused import plain

EVERY_S = 0.1  # between two words about pictures
INTERRUPTED = 130


def main() -> None:
    """Do what the first line says."""
    line = sys.stdin.readline()
    if not line:
        sys.exit(INTERRUPTED)
    spec = json.loads(line)
    threading.Thread(target=_until_closed, daemon=True).start()
    try:
        tell({"done": KINDS[spec["kind"]](spec)})
    except KeyboardInterrupt:
        sys.stdout.flush()
        os._exit(INTERRUPTED)
    except HeadstartError as error:
        tell({"failed": plain(error)})
    except Exception as error:  # noqa: BLE001  told to the page, and in full on the terminal
        traceback.print_exc()
        tell({"failed": f"something went wrong that should not have: {type(error).__name__}: {error}"})
    sys.stdout.flush()
    os._exit(0)  # a library's own threads must not hold up the end


def tell(said: dict[str, Any]) -> None:
    """One line."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def _until_closed() -> None:
    while sys.stdin.readline():
        pass
    os._exit(INTERRUPTED)


class _Steps:
    """Progress over pictures, not oftener than anybody can see."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.perf_counter()
        if done >= total:
            tell({"phase": "learn", "done": done, "total": total})
        elif now - self._last > EVERY_S:
            self._last = now
            tell({"phase": "look", "done": done, "total": total})


def _epoch(epoch: Any, of: int) -> None:
    from headstart.finetune.wish import Halt, Promise

    if isinstance(epoch, Halt):  # cancelled: nobody waits for half of a training
        raise KeyboardInterrupt
    if isinstance(epoch, Promise):
        tell({"phase": "tune", "epoch": 0, "epochs": of, "seconds": round(epoch.seconds)})
    else:
        tell({"phase": "tune", "epoch": epoch.number, "epochs": of})


def _train(spec: dict[str, Any]) -> dict[str, Any]:
    from headstart.recipe import train

    tell({"phase": "open"})
    train(
        spec["data"],
        out=spec["out"],
        tune=spec["tune"],
        budget_s=spec["budget_s"] or float("inf"),
        on_step=_Steps(),
        on_epoch=_epoch,
    )
    return {}


def _check(spec: dict[str, Any]) -> dict[str, Any]:
    from headstart.trust import check

    tell({"phase": "open"})
    seen = check(spec["data"], on_step=_Steps())
    return seen.to_json() | {"suggested": dict(seen.suggested)}


def _next(spec: dict[str, Any]) -> dict[str, Any]:
    from headstart.engines import open_engine
    from headstart.model.folder import load
    from headstart.trust.next import to_label_next

    tell({"phase": "open"})
    model, folder = load(spec["model"]), Path(spec["folder"])
    found = to_label_next(model, folder, open_engine(model.backbone), n=spec["n"], on_step=_Steps())
    document = found.to_json()
    for pick in document["next"]:
        pick["path"] = Path(pick["path"]).relative_to(folder).as_posix()
    return document


def _export(spec: dict[str, Any]) -> dict[str, Any]:
    from headstart.export import export

    tell({"phase": "convert"})
    done = export(
        spec["model"],
        to=spec["to"],
        out=spec["out"],
        data=spec["data"],
        force=True,
        on_step=lambda at, total: tell({"phase": "compare", "done": at, "total": total}),
    )
    document = done.to_json()
    return {"run": spec["run"], "to": spec["to"], "bytes": document["bytes"], "parity": document["parity"]}


KINDS = {"train": _train, "export": _export, "check": _check, "next": _next}

if __name__ == "__main__":
    main()
