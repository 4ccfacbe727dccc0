"""Files and folders that are whole or absent, and the one folder that is kept between runs.

Whatever is written gets a random name beside its target first and is moved into place when it is complete.
A run that is killed leaves at most such a sibling (`.NAME.part-…`), which a later run removes.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headstart.errors import HeadstartError, OutputError, OutputExists, StoreError

STALE_S = 3600.0

_SET_CACHE = "Set HEADSTART_CACHE to a folder where you may write."
_OTHER_NAME = "Choose a name that is not there yet."
_ADVICE = {
    errno.ENOSPC: "Free some space, or choose a place on another disk.",
    errno.EDQUOT: "Free some space, or choose a place on another disk.",
    errno.EFBIG: "Choose a place that takes files of this size.",
    errno.ENOENT: "Make the folder that it should lie in first.",
    errno.EEXIST: "A file stands where a folder is needed.",
    errno.ENOTDIR: "A file stands where a folder is needed.",
    errno.ENOTEMPTY: "Something else was put there meanwhile.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


def digest_bytes(data: bytes | bytearray | memoryview) -> str:
    """SHA-256 of these bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read piece by piece. Fails with OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reason(error: OSError) -> str:
    """Why the operating system refused, without its number and path: "No space left on device"."""
    return error.strerror or str(error) or type(error).__name__


def cache_folder() -> Path:
    """The one folder that is kept between runs, absolute. Nothing is made here; deleting it costs only time.

    HEADSTART_CACHE where it is set, else `headstart` in the platform's folder for caches.

    Raises:
        StoreError: neither HEADSTART_CACHE nor a home directory is there.
    """
    asked = os.environ.get("HEADSTART_CACHE")
    try:
        return Path(asked).expanduser().absolute() if asked else _user_caches() / "headstart"
    except RuntimeError as error:  # how pathlib says that it finds no home
        raise StoreError(f"there is no home directory to keep the cache in. {_SET_CACHE}") from error


def make_cache_folder(*parts: str) -> Path:
    """The folder at `parts` inside the cache, made now if need be.

    Raises:
        StoreError: it cannot be made, or it cannot be written to.
    """
    folder = cache_folder().joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make the cache folder {folder}: {reason(error)}. {_SET_CACHE}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(f"cannot write to the cache folder {folder}. {_SET_CACHE}")
    return folder


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`: afterwards, whatever happens, it holds the old bytes or all of the new ones.

    Raises:
        OutputError: the file cannot be written; what stood there before still stands.
    """
    part = sibling(path, "part")
    try:
        remove_stale(path)
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the name on an empty file
        part.replace(path)
    except OSError as error:
        raise _output_error(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink()


def check_free(target: Path, *, replace: bool = False) -> Path:
    """`target` without symbolic links, if a folder may be put there: it is absent, empty, or to be replaced.

    Ask before long work, so that it does not end in a refusal.

    Raises:
        OutputExists: something stands there. A file, or a folder around the current one, is never replaced.
        OutputError: it cannot be looked at.
    """
    real = Path(os.path.realpath(target))
    try:
        if not os.path.lexists(real):
            _check_writable(real)
            return real
        if not real.is_dir():
            raise OutputExists(f"{target} is not a folder, and one was to be written there. {_OTHER_NAME}")
        if Path.cwd().is_relative_to(real):
            raise OutputExists(f"{target} is the folder you are in, or lies above it. {_OTHER_NAME}")
        if not replace and any(real.iterdir()):
            raise OutputExists(f"the folder {target} is there already and is not empty. {_OTHER_NAME}")
    except OSError as error:
        raise _output_error(target, error) from error
    return real


@contextmanager
def folder_whole(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """A new folder to fill, which becomes `target` when the block ends well and vanishes when it does not.

    Killed at any moment, `target` is the old folder, the new one or absent, never a part of one. With
    `replace`, all that the old folder held is removed: the caller makes sure that it is his to remove.

    Raises:
        OutputExists: something stands at `target` (see `check_free`).
        OutputError: the block or the move met an OSError.
    """
    real = check_free(target, replace=replace)
    part = sibling(real, "part")
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(real)
        part.mkdir()
        yield part
        _move_in(part, real, replace=replace)
    except HeadstartError:  # some of these are OSErrors too, and say already what happened
        raise
    except OSError as error:
        raise _output_error(target, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def file_whole(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """A path of the same name to write to, which becomes `target` when the block ends well.

    For files that a library writes itself. Killed at any moment, `target` is the old file, the new one or
    absent. The path lies in a folder of its own beside the target.

    Raises:
        OutputExists: something stands at `target`, and it is not to be replaced or is a folder.
        OutputError: the block or the move met an OSError.
    """
    real = Path(os.path.realpath(target))
    part = sibling(real, "part")
    try:
        if real.is_dir() or (real.exists() and not replace):
            raise OutputExists(f"{target} is there already. {_OTHER_NAME}")
        real.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(real)
        part.mkdir()
        yield part / real.name
        with (part / real.name).open("rb+") as file:
            os.fsync(file.fileno())  # else a power cut may leave the name on an empty file
        (part / real.name).replace(real)
    except HeadstartError:  # some of these are OSErrors too, and say already what happened
        raise
    except OSError as error:
        raise _output_error(target, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def publish_folder(temp: Path, final: Path) -> bool:
    """Move the finished folder `temp`, a `sibling` of `final`, into place. False: another process was faster.

    In both cases `final` is whole afterwards and `temp` is gone. To be used for what is the same whoever
    builds it; a damaged `final` is to be removed with `discard` before.

    Raises:
        StoreError: it cannot be moved, and nobody else's stands there.
    """
    try:
        temp.rename(final)
    except OSError as error:
        shutil.rmtree(temp, ignore_errors=True)
        if not final.is_dir():
            raise StoreError(f"{final} cannot be written: {reason(error)}. {_SET_CACHE}") from error
        return False
    return True


def discard(path: Path) -> None:
    """Remove a file or a folder, if it is there, in one step for whoever looks at it.

    Raises:
        OutputError: it cannot be moved away.
    """
    aside = sibling(path, "part")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{path} cannot be removed: {reason(error)}.") from error
    _remove(aside)


def sibling(target: Path, kind: str) -> Path:
    """A fresh name beside `target`, on the same disk, for what is on its way in (`part`) or out (`old`)."""
    return target.with_name(f"{_prefix(target)}{kind}-{secrets.token_hex(8)}")


def remove_stale(target: Path) -> None:
    """Remove siblings of `target` that killed runs left. Others may be at work on those younger than an hour.

    An old folder that was moved aside stays as long as nothing new stands in its place.
    """
    leftover = re.compile(re.escape(_prefix(target)) + r"(part|old)-[0-9a-f]{16}")
    for entry in target.parent.iterdir():
        match = leftover.fullmatch(entry.name)
        if match and (match[1] == "part" or target.exists()) and time.time() - _touched(entry) > STALE_S:
            with suppress(OSError):  # another run may remove it at the same time
                _remove(entry.rename(sibling(target, "part")))


def _prefix(target: Path) -> str:
    return f".{target.name[:40]}."  # 40: with a long name, the sibling's would be too long for the disk


def _touched(path: Path) -> float:
    """When `path` or anything in it was last written, in seconds since 1970; now if nobody can tell."""
    try:
        return max(each.lstat().st_mtime for each in (path, *path.rglob("*")))
    except OSError:
        return time.time()


def _remove(path: Path) -> None:
    """Remove what nobody will look for any more; what cannot be removed now is left for a later run."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _move_in(part: Path, target: Path, *, replace: bool) -> None:
    if not target.exists():
        part.rename(target)
    elif not replace:
        target.rmdir()  # fails if somebody filled it meanwhile
        part.rename(target)
    else:
        old = sibling(target, "old")
        target.rename(old)
        try:
            part.rename(target)
        except BaseException:
            old.rename(target)
            raise
        with suppress(OSError):  # the new folder is in place; the old one can wait for a later run
            _remove(old.rename(sibling(target, "part")))  # whatever is named `old` is whole


def check_writable(target: Path) -> None:
    """Whether something can be put at `target`, as far as the system tells before anything is written.

    Raises:
        OutputError: nothing can.
    """
    try:
        _check_writable(Path(os.path.realpath(target)))
    except OSError as error:
        raise _output_error(target, error) from error


def _check_writable(target: Path) -> None:
    there = next(parent for parent in target.parents if parent.exists())
    if not there.is_dir():
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(there, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def _output_error(path: Path, error: OSError) -> OutputError:
    advice = _ADVICE.get(error.errno or 0, "Choose a place where you may write.")
    return OutputError(f"{path} cannot be written: {reason(error)}. {advice}")


def _user_caches() -> Path:
    """Where programs of this user keep what can be made again. RuntimeError: there is no home."""
    platform: str = sys.platform
    if platform == "win32":
        return _absolute("LOCALAPPDATA") or _home() / "AppData" / "Local"
    if platform == "darwin":
        return _home() / "Library" / "Caches"
    return _absolute("XDG_CACHE_HOME") or _home() / ".cache"


def _absolute(variable: str) -> Path | None:
    """The folder that an environment variable names. The XDG standard says to ignore relative ones."""
    path = Path(os.environ.get(variable, ""))
    return path if path.is_absolute() else None


def _home() -> Path:
    home = Path.home()
    if os.environ.get("HOME") == "" or not home.is_dir():
        raise RuntimeError(f"no such directory: {home}")
    return home


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
