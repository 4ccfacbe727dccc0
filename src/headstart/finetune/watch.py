"""Watching a training go on, epoch by epoch: as JSON lines, in TensorBoard, in MLflow."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from headstart.errors import MissingExtra, Misuse, OutputError
from headstart.files import reason
from headstart.finetune.wish import Epoch, Halt, OnEpoch, Promise, silent

TENSORBOARD, MLFLOW = "tensorboard:", "mlflow:"
EXTRA = "watch"
Keep = Callable[[Epoch, int], None]  # what an epoch brought, and of how many


@contextmanager
def watch(where: str | None, also: OnEpoch = silent) -> Iterator[OnEpoch]:
    """What to call after each epoch, to have it kept at `where`; `also` is told too.

    A name ending in .jsonl gets a line for each epoch behind those that it has; `tensorboard:DIR` events;
    `mlflow:URI` a run in the experiment headstart of that tracking server or `file:` folder.

    Raises:
        Misuse: `where` is none of these.
        MissingExtra: the library is not installed.
        OutputError: it cannot be written.
    """
    if where is None:
        yield also
        return
    if where.startswith(TENSORBOARD):
        opened: Callable[[str], Iterator[Keep]] = _tensorboard
        place = where.removeprefix(TENSORBOARD)
    elif where.startswith(MLFLOW):
        opened, place = _mlflow, where.removeprefix(MLFLOW)
    elif where.endswith(".jsonl"):
        opened, place = _lines, where
    else:
        raise Misuse(f"--watch {where}: wanted FILE.jsonl, tensorboard:DIR or mlflow:URI.")
    with contextmanager(opened)(place) as keep:

        def told(epoch: Epoch | Promise | Halt, of: int) -> None:
            if isinstance(epoch, Epoch):
                keep(epoch, of)
            also(epoch, of)

        yield told


def numbers(epoch: Epoch) -> dict[str, float]:
    """What can be drawn of an epoch, by name. Validation only where there is one."""
    found: dict[str, float | None] = {
        "loss": epoch.loss,
        "rate": epoch.rate,
        "val/nll": epoch.val_nll,
        "val/accuracy": epoch.val_accuracy,
        "seconds": epoch.seconds,
    }
    found |= {f"gradients/{stage}": norm for stage, norm in epoch.gradients.items()}
    return {name: value for name, value in found.items() if value is not None}


def _lines(place: str) -> Iterator[Keep]:
    with _written(place):  # around this alone: what is watched has errors of its own
        file = Path(place).open("a", encoding="utf-8")  # noqa: SIM115

    def keep(epoch: Epoch, of: int) -> None:
        line = {"training": epoch.training} | epoch.to_json() | {"of": of}
        with _written(place):
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()

    try:
        yield keep
    finally:
        with _written(place):
            file.close()


def _tensorboard(place: str) -> Iterator[Keep]:
    try:
        from tensorboard.summary import Writer
    except ModuleNotFoundError as error:
        raise MissingExtra("--watch tensorboard", EXTRA) from error
    writers: dict[str, Any] = {}

    def keep(epoch: Epoch, _of: int) -> None:
        run = _run(epoch)
        with _written(place):
            if run not in writers:
                writers[run] = Writer(str(Path(place) / run))
            for name, value in numbers(epoch).items():
                writers[run].add_scalar(name, value, epoch.number)
            writers[run].flush()

    try:
        yield keep
    finally:
        for writer in writers.values():
            writer.close()


def _mlflow(place: str) -> Iterator[Keep]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it reports its use over the network
    if place.startswith("file:"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError as error:
        raise MissingExtra("--watch mlflow", EXTRA) from error

    @contextmanager
    def told() -> Iterator[None]:
        try:
            yield
        except MlflowException as error:
            raise OutputError(f"{place} cannot be used by MLflow: {str(error)[:200]}") from error

    with told():
        client = MlflowClient(place)
        known = client.get_experiment_by_name("headstart")
        experiment = known.experiment_id if known else client.create_experiment("headstart")
    runs: dict[str, str] = {}

    def keep(epoch: Epoch, _of: int) -> None:
        name = _run(epoch)
        with told():
            if name not in runs:
                runs[name] = client.create_run(experiment, run_name=name).info.run_id
            for key, value in numbers(epoch).items():
                client.log_metric(runs[name], key, value, step=epoch.number)

    def end(status: str) -> None:
        with told():
            for run in runs.values():
                client.set_terminated(run, status)

    try:
        yield keep
    except BaseException as error:
        with suppress(OutputError):  # what went wrong first is what is told
            end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    end("FINISHED")


@contextmanager
def _written(place: str) -> Iterator[None]:
    """What the disk refuses is an error of this place."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{place} cannot be written: {reason(error)}.") from error


def _run(epoch: Epoch) -> str:
    """A run for each training, named without spaces."""
    return f"{epoch.stages_frozen}-frozen-{epoch.training.replace(' ', '-')}"
