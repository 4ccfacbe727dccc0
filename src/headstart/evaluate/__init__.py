"""Pure numbers about predictions: arrays in, numbers out. NumPy and nothing else."""

from headstart.evaluate.accuracy import confusion, macro_f1, per_class
from headstart.evaluate.calibration import temperature
from headstart.evaluate.compare import mcnemar, paired, paired_accuracy
from headstart.evaluate.intervals import accuracy_interval, wilson
from headstart.evaluate.judging import judge, judge_repeats
from headstart.evaluate.logits import log_softmax, softmax
from headstart.evaluate.scores import brier, ece, nll
from headstart.evaluate.sets import prediction_sets, set_threshold
from headstart.evaluate.unknown import (
    Familiar,
    Strangeness,
    auroc,
    fpr95,
    learn,
    neighbour_distance,
    reference_rows,
    strangeness,
    unit_rows,
)

__all__ = [
    "Familiar",
    "Strangeness",
    "accuracy_interval",
    "auroc",
    "brier",
    "confusion",
    "ece",
    "fpr95",
    "judge",
    "judge_repeats",
    "learn",
    "log_softmax",
    "macro_f1",
    "mcnemar",
    "neighbour_distance",
    "nll",
    "paired",
    "paired_accuracy",
    "per_class",
    "prediction_sets",
    "reference_rows",
    "set_threshold",
    "softmax",
    "strangeness",
    "temperature",
    "unit_rows",
    "wilson",
]
