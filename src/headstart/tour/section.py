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
    tuned_steps: int  # of training, alike for any number of pictures
    scratch_steps: int
    task: int  # pictures per class in the chapter about forgetting
    task_steps: int
    depth: int  # layers of the deep networks
    steps: int  # that the deep networks are trained


FULL = Effort("full", (5, 20, 50), 40, 50, 200, 30, 40, 20, 100)
QUICK = Effort("quick", (5, 20, 50), 25, 14, 60, 15, 12, 20, 30)
