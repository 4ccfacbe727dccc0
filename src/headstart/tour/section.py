"""What every chapter hands to the page, and how much work a tour does."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """One chapter, rendered. `look` and `body` are HTML whose texts are escaped; `code` is plain Python."""

    name: str  # in addresses and in --json
    title: str
    look: str  # what to look at, one or two sentences
    body: str
    code: str  # how to do it oneself


@dataclass(frozen=True)
class Effort:
    """How much is trained, and on how many pictures."""

    name: str
    sizes: tuple[int, ...]  # training pictures per class
    judged: int  # pictures per class that nothing learns from
    tuned_epochs: int
    scratch_epochs: int
    task: int  # pictures per class in the chapter about forgetting
    task_epochs: int
    depth: int  # layers of the deep networks
    steps: int  # that the deep networks are trained


FULL = Effort("full", (5, 20, 50), 40, 6, 30, 30, 5, 20, 120)
QUICK = Effort("quick", (5, 20, 50), 25, 2, 10, 15, 3, 20, 30)
