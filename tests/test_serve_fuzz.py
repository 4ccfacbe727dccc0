"""The server against requests made from its own description: no 5xx, every answer as described."""

from collections.abc import Iterator
from pathlib import Path

import make
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
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
    # schemathesis asks for it by a name, which a server for its own machine alone does not answer to
    found = create_app(Settings((("toys", folder),), host="192.0.2.1", max_bytes=100_000))
    with TestClient(found):
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "unfit"])
def test_requests_made_from_the_description_are_answered_as_described(
    app: object, mode: GenerationMode
) -> None:
    tried = []
    for one in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():
        operation = one.ok()

        @settings(
            max_examples=40, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        if "predict" in operation.label or mode is GenerationMode.POSITIVE:  # the others take nothing unfit
            holds()
            tried.append(operation.label)
    assert {"POST /predict", "POST /models/{name}/predict"} <= set(tried)
