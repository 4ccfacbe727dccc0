"""What people read: short, aligned, within 80 columns."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

WIDTH = 80
MANY_CLASSES = 12
LONG_S = 600  # from which a time is told in minutes
_KINDS = {
    "corrupt": ("file cannot be read", "files cannot be read"),
    "leak": ("leak between the parts", "leaks between the parts"),
    "label-conflict": ("picture under two labels", "pictures under two labels"),
    "label-suspect": ("label to check", "labels to check"),
    "shortcut": ("way to tell the class without looking", "ways to tell the class without looking"),
    "imbalance": ("warning about the balance of classes", "warnings about the balance of classes"),
    "tiny-class": ("class too small to judge", "classes too small to judge"),
    "duplicate": ("set of identical files", "sets of identical files"),
    "near-duplicate": ("set of near-duplicates", "sets of near-duplicates"),
    "small-picture": ("note on small pictures", "notes on small pictures"),
    "ignored": ("note on what was passed over", "notes on what was passed over"),
}


def as_json(document: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=1) + "\n")


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr with pictures per second and time left, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from tqdm import tqdm

    with tqdm(desc=what, unit=" pictures", ncols=WIDTH, leave=False, file=sys.stderr, mininterval=0.2) as bar:

        def step(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield step


_HEADINGS = "  epoch      loss     val  right   rate     left  gradients by stage"


@contextmanager
def epochs() -> Iterator[Callable[[Any, int], None]]:
    """On stderr, where that is a terminal: what training will take, then a line for each epoch of each."""
    if not sys.stderr.isatty():
        yield lambda _epoch, _of: None
        return

    before: list[str] = []

    def told(epoch: Any, of: int) -> None:
        from headstart.finetune.wish import Halt, Promise

        if isinstance(epoch, Halt):
            sys.stderr.write("\ninterrupted: looking for the best that was judged; again to stop at once\n")
            return
        if isinstance(epoch, Promise):
            until, whole, disk = long(epoch.seconds), long(epoch.whole_s), size(epoch.disk_bytes)
            count = "1 epoch" if of == 1 else f"{of} epochs"
            first = f"{epoch.stages_frozen} stages frozen: at most {count}, about {until} until judged,"
            sys.stderr.write(f"{first}\n  {whole} in all if taken; at most {disk} on disk\n")
            return
        fold = f"fold {epoch.fold}: " if epoch.fold else ""
        how = "on all pictures" if epoch.val_nll is None else "judged on pictures kept aside"
        title = f"{fold}{how}, {epoch.stages_frozen} stages frozen"
        if before != [title]:
            before[:] = [title]
            sys.stderr.write(f"{title}\n{_HEADINGS}\n")
        sys.stderr.write(cut(_epoch(epoch, of)) + "\n")

    yield told


def _epoch(epoch: Any, of: int) -> str:
    """Of the gradients the stages with the least and the greatest norm: what vanishes, what explodes."""
    val = "      -      -" if epoch.val_nll is None else f"{epoch.val_nll:7.4f}  {epoch.val_accuracy:5.3f}"
    norms = sorted(epoch.gradients.items(), key=lambda one: one[1])
    slopes = ", ".join(f"{norm:.2g} {stage}" for stage, norm in (norms[0], norms[-1]))
    loss = f"{epoch.loss:.4f}" if epoch.loss < 100 else f"{epoch.loss:.1e}"
    left = long(epoch.seconds * (of - epoch.number))
    return f"  {epoch.number:>3}/{of:<3} {loss:>7} {val}  {epoch.rate:.0e}  {left:>7}  {slopes}"


def findings(document: dict[str, Any], hint: str) -> None:
    """How many findings of each kind, and the first files that cannot be read."""
    found = document["data"]["findings"] if "findings" in document["data"] else document["findings"]
    if not found:
        return
    counts = Counter(one["kind"] for one in found)
    click.echo("\nLook at")
    for kind, words in _KINDS.items():
        if counts[kind]:
            first = next(one for one in found if one["kind"] == kind)
            line = f"  {counts[kind]:>5}  {words[counts[kind] > 1]}"
            click.echo(cut(f"{line}, e.g. {safe(first['path'])}"))
    if hint:
        click.echo(f"         all of them: {hint}")


def score(found: dict[str, Any], how: str) -> None:
    """How good, how sure, and where it goes wrong."""
    low, high = found["accuracy_ci95"]
    n, right = found["n"], found["accuracy"] * found["n"]
    count = f"{right:.0f}" if abs(right - round(right)) < 1e-6 else f"about {right:.1f}"
    click.echo(cut(f"\nRight on {count} of {n} pictures {how}"))
    click.secho(f"  accuracy {found['accuracy']:.3f}", bold=True, nl=False)
    click.echo(f"   95 % sure that it lies between {low:.3f} and {high:.3f}")
    click.echo(
        f"  macro-F1 {found['macro_f1']:.3f}   log-loss {found['nll']:.3f}   "
        f"Brier {found['brier']:.3f}   calibration error {found['ece']:.3f}"
    )
    _classes(found["per_class"])
    _confusions(found)


def _classes(per_class: dict[str, dict[str, Any]]) -> None:
    judged = [(name, one) for name, one in per_class.items() if one["n"]]
    shown = judged
    if len(judged) > MANY_CLASSES:
        shown = sorted(judged, key=lambda item: item[1]["f1"])[: MANY_CLASSES // 2]
    width = max(12, min(34, max(len(safe(name)) for name, _ in shown)))
    click.echo(f"\n  {'class':<{width}}  precision  recall     F1  pictures")
    for name, one in shown:
        click.echo(
            f"  {cut(safe(name), width):<{width}}  {one['precision']:9.3f}  {one['recall']:6.3f}  "
            f"{one['f1']:5.3f}  {one['n']:8d}"
        )
    if len(shown) < len(judged):
        rest = min(one["f1"] for name, one in judged if (name, one) not in shown)
        click.echo(f"  … the other {len(judged) - len(shown)} classes have F1 {rest:.3f} or more")


def _confusions(found: dict[str, Any]) -> None:
    names = list(found["per_class"])
    wrong = sorted(
        (
            (-count, names[truth], names[said])
            for truth, row in enumerate(found["confusion"])
            for said, count in enumerate(row)
            if count and truth != said
        )
    )
    if wrong:
        told = [f"{safe(truth)} called {safe(said)} ({-count})" for count, truth, said in wrong[:3]]
        click.echo(cut("\n  most often: " + ", ".join(told)))


def safe(text: str) -> str:
    """Text that can be printed anywhere: odd bytes of file names and control characters escaped."""
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return printable.encode(sys.stdout.encoding or "utf-8", "backslashreplace").decode(
        sys.stdout.encoding or "utf-8"
    )


def long(seconds: float) -> str:
    """A time for people: in minutes from ten on."""
    return f"{seconds / 60:.0f} min" if seconds >= LONG_S else f"{seconds:.0f} s"


def size(count: int) -> str:
    """Bytes for people.

    >>> size(44_000), size(3_000_000), size(1_230_000_000)
    ('1 MB', '3 MB', '1.2 GB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, count / 1e6):.0f} MB"


def cut(line: str, width: int = WIDTH) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"
