"""What can be watched: a registry of its own, so that nothing else in the process is counted.

With several processes each writes to files in one folder (PROMETHEUS_MULTIPROC_DIR, set by `run` before this
module is imported), and whoever is asked adds them up. Labels take only values that the server knows itself:
routes, statuses, models, classes. A client cannot make new ones.
"""

import os
from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"
ANSWERED = "headstart_answers"
UNKNOWN = "headstart_unknown"
_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PICTURES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Counts:
    """What one model has answered since the server started."""

    labels: dict[str, int]
    unknown: int

    @property
    def n(self) -> int:
        """Pictures that were answered."""
        return sum(self.labels.values())

    def since(self, before: "Counts") -> "Counts":
        """What came after `before`. Labels that were not answered since are left out."""
        left = {name: number - before.labels.get(name, 0) for name, number in self.labels.items()}
        return Counts(
            {name: number for name, number in left.items() if number > 0}, self.unknown - before.unknown
        )


NOTHING = Counts({}, 0)


class Metrics:
    """Every number of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter(
            "headstart_requests", "Requests by route and status.", ["route", "status"], registry=own
        )
        self.seconds = Histogram(
            "headstart_request_seconds",
            "From a request's first byte to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=own,
        )
        self.steps = Histogram(
            "headstart_picture_seconds",
            "What a picture spends its time on: waiting, decoding, the network, the answer.",
            ["step"],
            buckets=_SECONDS,
            registry=own,
        )
        self.pictures = Counter(
            "headstart_pictures", "Pictures by outcome: answered, unreadable, dropped.", ["outcome"],
            registry=own,
        )  # fmt: skip
        self.answers = Counter(ANSWERED, "Answers by model and class.", ["model", "label"], registry=own)
        self.unknown = Counter(UNKNOWN, "Answers that were called unknown.", ["model"], registry=own)
        self.batches = Histogram(
            "headstart_batch_pictures",
            "Pictures that went through the network together.",
            buckets=_PICTURES,
            registry=own,
        )
        self.refused = Counter(
            "headstart_refusals", "Requests that were not answered, by reason.", ["kind"], registry=own
        )
        self.reloads = Counter(
            "headstart_reloads", "Models read anew, by outcome: replaced, kept.", ["model", "outcome"],
            registry=own,
        )  # fmt: skip
        self.queue = Gauge(
            "headstart_queue_pictures",
            "Pictures that wait or are under way.",
            multiprocess_mode="livesum",
            registry=own,
        )
        self.mix = Gauge(
            "headstart_training_share",
            "Share of each class in the training pictures.",
            ["model", "label"],
            multiprocess_mode="livemax",
            registry=own,
        )
        self.expected = Gauge(
            "headstart_unknown_expected",
            "Share of pictures of known classes that may be called unknown.",
            ["model"],
            multiprocess_mode="livemax",
            registry=own,
        )
        self.drift = Gauge(
            "headstart_drift",
            "Total variation between the classes answered and those learnt from, 0 to 1.",
            ["model"],
            multiprocess_mode="livemostrecent",  # whoever is asked reckons it for all, and then tells it
            registry=own,
        )
        self.loaded = Gauge(
            "headstart_model_loaded_seconds",
            "When the model was read, in seconds since 1970.",
            ["model"],
            multiprocess_mode="livemax",
            registry=own,
        )
        if SHARED not in os.environ:
            ProcessCollector(registry=own)

    def forget(self, model: str, labels: Iterable[str]) -> None:
        """Take classes that a model no longer has out of the training shares."""
        for label in labels if SHARED not in os.environ else ():  # files of several processes keep all
            self.mix.remove(model, label)

    def text(self) -> bytes:
        """All of it, in the format of Prometheus."""
        return generate_latest(self._all())

    def counts(self) -> dict[str, Counts]:
        """What each model has answered, all processes together."""
        labels: dict[str, Tally[str]] = {}
        unknown: Tally[str] = Tally()
        for family in self._all().collect():
            for one in family.samples:
                if one.name == f"{ANSWERED}_total":
                    labels.setdefault(one.labels["model"], Tally())[one.labels["label"]] += int(one.value)
                elif one.name == f"{UNKNOWN}_total":
                    unknown[one.labels["model"]] += int(one.value)
        return {name: Counts(dict(own), unknown[name]) for name, own in labels.items()}

    def _all(self) -> CollectorRegistry:
        if SHARED not in os.environ:
            return self.registry
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return together
