"""ONNX with the network in int8: a third of the size, and faster, for a little of the accuracy.

Weights are rounded channel by channel, activations by what training pictures give (QDQ). The first layers'
normalisation, the head, the temperature and what tells the unknown stay in float32.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

from headstart.export import INPUT, Format, Runner, Source
from headstart.export.onnx import Onnx, session
from headstart.values import Bytes

ROUNDS, PICTURES = 5, 12  # of timing: each round runs so many pictures one by one, in float32 and in int8
_PREPARED = ("onnx.quant.pre_process", "onnxruntime.quant")  # else it warns: torch has done what it advises


@final
@dataclass(frozen=True, eq=False)
class OnnxInt8(Format):
    """The same graph with rounded weights, and the graph in float32 to be compared with."""

    name = "onnx_int8"
    ending = "-int8.onnx"
    is_exact = False
    needs = Onnx.needs

    rounded: Onnx
    exact: bytes

    @classmethod
    def convert(cls, source: Source) -> Self:
        """Convert to ONNX, look at training pictures, round.

        Weights get seven bits: with eight, chips without VNNI overflow where they add, and answer otherwise
        than chips with it (measured on one: 97 % of labels agreed, against 99 %).
        """
        import onnx
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        whole = Onnx.convert(source)
        exact = whole.graph.SerializeToString(deterministic=True)
        copy = onnx.load_model_from_string(exact)
        copy.metadata_props.add(key=_PREPARED[0], value=_PREPARED[1])
        with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
            file = Path(folder) / "int8.onnx"
            quantize_static(
                copy,
                file,
                _reader(source.training()),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=[node.name for node in copy.graph.node if node.name not in whole.network],
            )
            found = onnx.load_model(file)
        found.producer_name, found.producer_version = whole.graph.producer_name, whole.graph.producer_version
        return cls(Onnx(found, whole.network), exact)

    def save(self, place: Path, document: dict[str, Any]) -> None:
        """One file, weights inside."""
        self.rounded.save(place, document)

    @classmethod
    def open(cls, place: Path) -> Runner:
        """In ONNX Runtime on the CPU."""
        return session(place)

    def gains(self, run: Runner, pixels: Bytes) -> dict[str, Any]:
        """Speed and size against float32. Both are timed in turn, so that neither has a bad minute."""
        exact = session(self.exact)
        one = pixels[:1]
        run(one), exact(one)
        ratios = [_seconds(exact, pixels) / _seconds(run, pixels) for _ in range(ROUNDS)]
        return {
            "speed_ratio": statistics.median(ratios),
            "speed_ratio_range": [min(ratios), max(ratios)],
            "float_bytes": len(self.exact),
            "int8_bytes": self.rounded.graph.ByteSize(),
        }


def _seconds(run: Runner, pixels: Bytes) -> float:
    begin = time.perf_counter()
    for row in range(min(PICTURES, len(pixels))):
        run(pixels[row : row + 1])
    return time.perf_counter() - begin


def _reader(pixels: Bytes) -> Any:
    """Pictures one by one, as the quantiser asks for them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows: Iterator[int] = iter(range(len(pixels)))

        def get_next(self) -> dict[str, Bytes] | None:
            row = next(self.rows, None)
            return None if row is None else {INPUT: pixels[row : row + 1]}

    return Reader()


PART = OnnxInt8
