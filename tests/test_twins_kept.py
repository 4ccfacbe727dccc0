"""Twins that were found once are not looked for again, and never taken for those of other pictures."""

from pathlib import Path

import pytest

from headstart.data.duplicates import Twin
from headstart.features.twins import FOLDER, known_or

DIGESTS = [f"{i:064x}" for i in range(4)]
TWINS = [
    Twin(0, 2, exact=False, cosine=0.98, likeness=0.99, how="mirrored"),
    Twin(1, 3, True, 1.0, 1.0, "same file"),
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    return tmp_path


def never() -> list[Twin]:
    raise AssertionError("looked for again")


def test_the_same_pictures_are_compared_once() -> None:
    assert known_or("engine", DIGESTS, lambda: TWINS) == TWINS
    assert known_or("engine", DIGESTS, never) == TWINS


@pytest.mark.parametrize(
    ("engine", "digests"),
    [
        ("other", DIGESTS),
        ("engine", DIGESTS[::-1]),
        ("engine", DIGESTS[:3]),
        ("engine", [*DIGESTS, "f" * 64]),
    ],
    ids=["engine", "order", "fewer", "more"],
)
def test_other_pictures_are_compared_anew(engine: str, digests: list[str]) -> None:
    known_or("engine", DIGESTS, lambda: TWINS)
    assert known_or(engine, digests, list) == []


@pytest.mark.parametrize(
    "damage", [b"", b"garbage", b"0" * 64 + b"\n[]"], ids=["empty", "garbage", "other digest"]
)
def test_a_damaged_file_is_as_good_as_none(own_cache: Path, damage: bytes) -> None:
    known_or("engine", DIGESTS, lambda: TWINS)
    (file,) = (own_cache / FOLDER).iterdir()
    whole = file.read_bytes()
    for body in (damage, whole[:-3], whole + b" "):
        file.write_bytes(body)
        assert known_or("engine", DIGESTS, lambda: TWINS[:1]) == TWINS[:1]
        file.unlink()
