"""How the unknown is told, and how often known pictures were called unknown: for the report."""

from typing import Any

from headstart.model.model import Model
from headstart.values import Halves


def told(model: Model, x: Halves | None) -> dict[str, Any]:
    """The part `unknown` of `trust`.

    `x` [n, all depths] are features of pictures of known classes that were not learnt from (the test part).
    Without them, `rejected` is the share of the training pictures that set the threshold, each scored
    without itself. The threshold is that of `unknown_score`.
    """
    own = model.familiar
    strange = own.scores > own.limit if x is None else model.unknown_score(x) > model.unknown_threshold
    return {
        "method": own.method,
        "threshold": model.unknown_threshold,
        "false_rejection": own.false_rejection,
        "rejected": round(float(strange.mean()), 4) if len(strange) else None,
        "n": len(strange),
        "tried": [{"method": one.method, "auroc": one.auroc, "fpr95": one.fpr95} for one in own.tried],
    }
