"""What can go wrong, in one family. Each message says what, where, what was wanted, what to do.

HeadstartError
├── Misuse            asked wrongly: the command line exits 2
│   ├── UnknownName       a name that no part of that kind has
│   ├── NoData            nothing to learn from at that place
│   ├── OutputExists      the place for the model is taken
│   └── MissingExtra      an optional library is needed and absent
├── UnreadablePicture one file could not be read as a picture
├── TooFewExamples    the data cannot be judged or learnt from
├── DamagedModel      a model folder is not what was written
├── StoreError        the cache folder cannot be read or written
│   └── DamagedStore      kept features were damaged and have been removed: asking again encodes them
├── DownloadError     something could not be fetched, or is not what was expected
├── WeightsError      weights are absent or not the ones expected
├── UnknownFamily     a network that cannot be taken to pieces
├── OutputError       the result could not be written
├── ExportRefused     an export does not answer as the model does, or cannot be checked
└── NotFinite         a number is NaN or infinite where none may be
"""

from collections.abc import Sequence
from difflib import get_close_matches

MOST_NAMES = 12  # that one message lists


class HeadstartError(Exception):
    """Base of every error that a user can cause or meet. Exit code 1."""

    exit_code = 1


class Misuse(HeadstartError, ValueError):
    """The command or call itself was wrong. Exit code 2."""

    exit_code = 2


class UnknownName(Misuse):
    """No part of this kind has this name."""

    def __init__(self, noun: str, name: str, known: Sequence[str]) -> None:
        super().__init__(noun, name, tuple(known))
        self.noun, self.name, self.known = noun, name, tuple(known)

    def __str__(self) -> str:
        close = get_close_matches(self.name, self.known, n=MOST_NAMES)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        known = f"Known: {', '.join(self.known)}."
        if len(self.known) > MOST_NAMES:
            known = f"{len(self.known):,} are known" + (f"; near it: {', '.join(close)}." if close else ".")
        return f"there is no {self.noun} named {self.name!r}.{hint} {known}"


class NoData(Misuse):
    """Nothing to learn from or to judge at this place."""


class OutputExists(Misuse):
    """The place for the result is taken."""


class MissingExtra(Misuse):
    """An optional library is needed for this and is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, extra)
        self.what, self.extra = what, extra

    def __str__(self) -> str:
        return (
            f"{self.what} needs an optional library. Install it with: pip install 'headstart[{self.extra}]'"
        )


class UnreadablePicture(HeadstartError, OSError):
    """These bytes are not a picture that can be read; the message is the reason."""


class TooFewExamples(HeadstartError, ValueError):
    """The data cannot be learnt from: too few classes or too few pictures."""


class DamagedModel(HeadstartError, ValueError):
    """A model folder is not what was written."""


class StoreError(HeadstartError, OSError):
    """The cache folder cannot be read or written."""


class DamagedStore(StoreError):
    """Kept features were damaged and have been removed; the same call succeeds when it is made again."""


class DownloadError(HeadstartError, OSError):
    """Something could not be fetched, or what came is not what was expected."""


class WeightsError(HeadstartError, ValueError):
    """Weights are absent, or not the ones that the catalogue names."""


class UnknownFamily(HeadstartError, TypeError):
    """A network whose layers are not known well enough to take features from it."""


class OutputError(HeadstartError, OSError):
    """The result could not be written."""


class ExportRefused(HeadstartError, ValueError):
    """An export does not answer as its model does, or that cannot be found out; nothing was written."""


class NotFinite(HeadstartError, ValueError):
    """A number is NaN or infinite where none may be."""
