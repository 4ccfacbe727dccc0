"""Run one command and say how long it took and how much memory it had; started by `_harness.run`.

A process inherits its parent's peak memory until it has more of its own, so a command must not be started
by a benchmark that holds arrays: this small process stands between them.

    python -I -S _launch.py REPORT COMMAND…
"""

import json
import os
import sys
import time


def main() -> None:
    """Report seconds, peak resident memory in bytes, seconds of CPU and exit code as JSON in a file."""
    report, *command = sys.argv[1:]
    begin = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, used = os.wait4(child, 0)
    wall = time.perf_counter() - begin
    found = {
        "code": os.waitstatus_to_exitcode(status),
        "wall": wall,
        "cpu": used.ru_utime + used.ru_stime,
        "rss": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    with open(report, "w", encoding="ascii") as file:  # noqa: PTH123  pathlib would cost memory and time
        json.dump(found, file)


main()
