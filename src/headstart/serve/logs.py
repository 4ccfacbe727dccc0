"""Logs: one JSON object per line on stderr, for machines first."""

import json
import logging
import sys
import time
import traceback
from typing import Any

LOG = logging.getLogger("headstart.serve")


class _Lines(logging.Formatter):
    """A record as one line of JSON; a traceback stands in it, never around it."""

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "process": record.process,
        }
        facts = record.__dict__.get("facts")
        if isinstance(facts, dict):
            found |= facts
        if record.exc_info:
            found["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(found, default=str)


def say(
    event: str,
    facts: dict[str, Any] | None = None,
    *,
    level: int = logging.INFO,
    error: BaseException | None = None,
) -> None:
    """Write one line."""
    LOG.log(level, event, exc_info=error, extra={"facts": facts or {}})


def begin(*, quiet: bool) -> None:
    """Send our own and uvicorn's records to stderr. `quiet` leaves out the line of each answered request."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for name, level in (
        ("headstart.serve", logging.WARNING if quiet else logging.INFO),
        ("uvicorn.error", logging.WARNING),
        ("asyncio", logging.ERROR),
    ):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level)
