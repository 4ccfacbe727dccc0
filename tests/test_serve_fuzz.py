"""The server against requests made from its own description: no 5xx, every answer as described."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import make
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from headstart.recipe import train
from headstart.serve.api import create_app
from headstart.serve.settings import Settings

# Not positive_data_acceptance: a description cannot say which bytes are a picture.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    base = tmp_path_factory.getbasetemp() / "toys"
    base.mkdir(exist_ok=True)
    folder: Path = make.once(base / "parted-model", lambda out: train(make.parted(base), out=out, head="lda"))
    found = create_app(Settings((("toys", folder),), max_bytes=100_000, rate=None))
    with TestClient(found):
        yield found


@pytest.fixture(scope="module")
def described(app: object) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", app)


lazy = schemathesis.pytest.from_fixture("described")


@pytest.mark.slow
@lazy.parametrize()
@settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_requests_made_from_the_description_are_answered_as_described(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS)
    assert threading.active_count() < 60, os.getpid()
