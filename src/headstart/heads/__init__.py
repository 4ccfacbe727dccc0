"""Heads turn features into logits over the user's classes: one file each, behind one contract.

A head sees *inputs*: features of the chosen depths, standardised (`heads/_inputs.py`). What a head of each
kind needs for choosing (its penalties, its out-of-fold logits) stands in the same file; `_choose` compares.
"""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

import numpy as np

from headstart.errors import UnknownName
from headstart.files import cores
from headstart.values import Doubles, Floats

if TYPE_CHECKING:
    from headstart.heads._problem import Problem

T = TypeVar("T")


class Head(ABC):
    """Turns inputs into logits. Subclasses are final and born fitted; `logits` needs NumPy only."""

    name: ClassVar[str]
    penalties: ClassVar[tuple[float, ...]]  # to choose from, weakest first
    depths: ClassVar[tuple[str, ...]]  # names of the depth sets to choose from
    is_descent: ClassVar[bool] = False  # fitted by many steps: tried only at the depths that others liked

    @classmethod
    @abstractmethod
    def fit(cls, problem: "Problem", *, penalty: float) -> Self:
        """Fit on all rows of a problem. Deterministic."""

    @classmethod
    @abstractmethod
    def out_of_fold(cls, problem: "Problem", *, penalty: float) -> Doubles:
        """Logits [n, k] of each row from a fit without its fold; 0 for rows that are never left out."""

    @abstractmethod
    def logits(self, z: Floats) -> Floats:
        """Uncalibrated logits [n, k] of inputs z [n, d]. A row's answer depends on that row only."""

    @abstractmethod
    def arrays(self) -> dict[str, Floats]:
        """What the head is, as arrays to be saved."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: dict[str, Floats]) -> Self:
        """The inverse of `arrays`. A missing array is a KeyError."""


def names() -> list[str]:
    """Names of the heads, sorted. Imports none of them."""
    package = importlib.import_module("headstart.heads")
    modules = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in modules if not name.startswith("_"))


def get(name: str) -> type[Head]:
    """The head called `name`, imported now and not before.

    Raises:
        UnknownName: there is none.
    """
    if name not in names():
        raise UnknownName("head", name, ["auto", *names()])
    found: type[Head] = importlib.import_module(f"headstart.heads.{name}").PART
    return found


def rowwise(z: Floats, weight: Floats) -> Floats:
    """Z @ weight, [n, k], such that a row alone gives the same bits as in a batch.

    A matrix product's order of summation changes with the number of rows; one row after the other
    keeps it, and costs microseconds at these sizes.
    """
    return np.stack([row @ weight for row in z]) if len(z) else np.zeros((0, weight.shape[1]), np.float32)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """BLAS gets one thread per call.

    NumPy and SciPy bring a pool of BLAS threads each, and these wait for one another by spinning: measured
    on two busy cores, ten times slower than one thread. One thread per product also keeps the bits.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def load_beside() -> None:
    """Load what fitting needs in another thread, while this one reads files: a tenth of a second saved."""
    Thread(target=importlib.import_module, args=("scipy.linalg",)).start()


def side_by_side(work: Callable[[T], object], items: Iterable[T]) -> None:
    """Call `work` on each item, on as many threads as there are cores. To be used in `one_thread_each`."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(cores()) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()
