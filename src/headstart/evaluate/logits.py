"""From logits to probabilities, in float64 whatever the logits are kept in."""

import numpy as np

from headstart.values import Doubles, Floats


def log_softmax(logits: Floats | Doubles, temperature: float = 1.0) -> Doubles:
    """Natural logarithms of the probabilities, [n, k], of `logits` [n, k] divided by `temperature` (> 0).

    Stays finite where the probability itself would round to zero.

    >>> log_softmax(np.array([[1000.0, 0.0]]))
    array([[    0., -1000.]])
    """
    shifted = logits.astype(np.float64) / temperature
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def softmax(logits: Floats | Doubles, temperature: float = 1.0) -> Doubles:
    """Probabilities, [n, k], of `logits` [n, k] divided by `temperature` (> 0); rows sum to one.

    >>> softmax(np.array([[2.0, 2.0]]))
    array([[0.5, 0.5]])
    """
    shifted = logits.astype(np.float64) / temperature
    weights: Doubles = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights
