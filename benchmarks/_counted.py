"""The headstart command line, with every picture that goes through the network counted in a file.

    python benchmarks/_counted.py COUNTER train …

The count survives SIGKILL: it is kept in a page that is shared with the file.
"""

import mmap
import struct
import sys
from pathlib import Path
from threading import Lock
from typing import Any

COUNT = struct.Struct("<q")


def read(counter: Path) -> int:
    """Pictures counted so far."""
    return COUNT.unpack(counter.read_bytes())[0] if counter.is_file() else 0


def main() -> None:
    """Run the command line in this process."""
    counter = Path(sys.argv[1])
    if not counter.is_file():
        counter.write_bytes(COUNT.pack(0))
    sys.argv = ["headstart", *sys.argv[2:]]
    from headstart.cli import main as run
    from headstart.engines.openvino import OpenVinoEngine

    encode, lock = OpenVinoEngine.encode, Lock()
    with counter.open("r+b") as file, mmap.mmap(file.fileno(), COUNT.size) as page:

        def counted(self: OpenVinoEngine, pixels: Any) -> Any:
            found = encode(self, pixels)
            with lock:
                page[:] = COUNT.pack(COUNT.unpack(page[:])[0] + len(pixels))
            return found

        OpenVinoEngine.encode = counted  # type: ignore[method-assign]
        run()


if __name__ == "__main__":
    main()
