"""How the unknown is told, and how often known pictures were called unknown: for the report."""

from typing import Any

from headstart.evaluate import accuracy_interval
from headstart.model.model import Model
from headstart.values import Halves, Ints


def told(model: Model, x: Halves, groups: Ints) -> dict[str, Any]:
    """The part `unknown` of `trust`.

    `x` [n, all depths] are features of pictures of known classes that were not learnt from (the test part),
    `groups` [n] who belongs together. Without any, `rejected` is None: of the pictures that set the threshold
    as many exceed it as were meant to. `false_rejection` is None where too few pictures set the threshold for
    it to be known. The threshold is that of `unknown_score`.
    """
    own = model.familiar
    strange = model.unknown_score(x) > model.unknown_threshold
    return {
        "method": own.method,
        "threshold": model.unknown_threshold,
        "false_rejection": own.stated,
        "rejected": round(float(strange.mean()), 4) if len(strange) else None,
        "rejected_ci95": [round(end, 4) for end in accuracy_interval(strange, groups)],
        "n": len(strange),
        "tried": [{"method": one.method, "auroc": one.auroc, "fpr95": one.fpr95} for one in own.tried],
    }
