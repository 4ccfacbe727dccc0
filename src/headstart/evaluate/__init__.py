"""Pure numbers about predictions: arrays in, numbers out. NumPy and nothing else."""

from headstart.evaluate.accuracy import confusion, macro_f1, per_class
from headstart.evaluate.calibration import temperature
from headstart.evaluate.compare import mcnemar, paired, paired_accuracy
from headstart.evaluate.intervals import accuracy_interval, wilson
from headstart.evaluate.judging import judge, judge_repeats
from headstart.evaluate.logits import log_softmax, softmax
from headstart.evaluate.scores import brier, ece, nll
from headstart.evaluate.sets import prediction_sets, set_threshold
from headstart.evaluate.unknown import neighbour_distance, reference_rows, unknown_threshold

__all__ = [
    "accuracy_interval",
    "brier",
    "confusion",
    "ece",
    "judge",
    "judge_repeats",
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
    "temperature",
    "unknown_threshold",
    "wilson",
]
