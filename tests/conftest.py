"""One cache for the whole test run, away from the user's own; real pictures where they are."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import make
import pytest
from hypothesis import settings

from headstart.engines import openvino

# The same examples on every machine, and no time limit per example: machines are shared and noisy.
settings.register_profile("headstart", deadline=None, derandomize=True)
settings.load_profile("headstart")

DATA = Path(os.environ.get("HEADSTART_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[None]:
    """Networks are converted once, also where several processes test side by side."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(shared))
        yield


@contextmanager
def _in_float32() -> Iterator[None]:
    """The engine of the CPU computes in float32 on every processor.

    For what compares arithmetic to the fourth digit: on a processor that computes in bfloat16 it would
    compare its rounding.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "_precision", lambda _core: "f32")
        yield


@pytest.fixture(scope="module")
def float32() -> Iterator[None]:
    """For a whole module."""
    with _in_float32():
        yield


@pytest.fixture
def float32_here() -> Iterator[None]:
    """For one test, and for what it makes itself."""
    with _in_float32():
        yield


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real pictures; tests that want it are skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no folder of real pictures at {DATA}; set HEADSTART_DATA")
    return DATA


@pytest.fixture
def server() -> Iterator[make.Server]:
    """A web server on this machine."""
    with make.Server(("127.0.0.1", 0), make.Handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()
