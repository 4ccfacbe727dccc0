"""ONNX: one file for ONNX Runtime in a program, on a server, on a telephone or in a browser."""

import ast
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

from headstart.errors import ExportRefused
from headstart.export import INPUT, OUTPUTS, Format, Runner, Source
from headstart.export._document import KEY, text
from headstart.files import cores
from headstart.values import Bytes, Floats
from headstart.version import VERSION

LARGEST = 2_000_000_000  # bytes: protobuf's own limit is a little higher
_SCOPES = "pkg.torch.onnx.name_scopes"  # in which modules of torch a node arose


@final
@dataclass(frozen=True, eq=False)
class Onnx(Format):
    """The graph, and which of its nodes are the network: the rest is normalisation, head and the unknown."""

    name = "onnx"
    ending = ".onnx"
    needs = ("onnx", "onnxruntime", "onnxscript")

    graph: Any  # onnx.ModelProto
    network: frozenset[str]

    @classmethod
    def convert(cls, source: Source) -> Self:
        """By torch's own exporter, for any number of pictures at a time.

        Raises:
            ExportRefused: torch cannot write this network down, or it is too large for one file.
        """
        spec = source.model.backbone
        size = 4 * spec.parameters
        if size > LARGEST:
            raise ExportRefused(
                f"nothing was written: {spec.name} takes {size / 1e9:.1f} GB, and one ONNX file holds 2. "
                "Export it to openvino or torch_export."
            )
        import torch

        from headstart.export._network import program

        traced = program(source.model)
        with warnings.catch_warnings():
            # torch and onnxscript warn of what they themselves use and will change
            warnings.simplefilter("ignore")
            try:
                written = torch.onnx.export(
                    traced,
                    dynamo=True,
                    external_data=False,
                    input_names=[INPUT],
                    output_names=list(OUTPUTS),
                    verbose=False,
                )
            except torch.onnx.OnnxExporterError as error:
                raise ExportRefused(
                    f"nothing was written: torch cannot write {spec.name} as ONNX: "
                    f"{str(error).strip().splitlines()[0]}"
                ) from error
        if written is None:
            raise ExportRefused("nothing was written: torch gave no ONNX.")
        graph = written.model_proto
        network = frozenset(node.name for node in graph.graph.node if _is_of_network(node))
        _clean(graph)
        return cls(graph, network)

    def save(self, place: Path, document: dict[str, Any]) -> None:
        """One file, weights inside."""
        import onnx

        del self.graph.metadata_props[:]
        self.graph.metadata_props.add(key=KEY, value=text(document))
        onnx.checker.check_model(self.graph, full_check=True)
        place.write_bytes(self.graph.SerializeToString(deterministic=True))

    @classmethod
    def open(cls, place: Path) -> Runner:
        """In ONNX Runtime on the CPU."""
        return session(place)


def session(graph: Path | bytes) -> Runner:
    """ONNX Runtime on the CPU, with as many threads as this process has cores."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # some builds for Windows have them
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    opened = onnxruntime.InferenceSession(
        graph if isinstance(graph, bytes) else str(graph), options, providers=["CPUExecutionProvider"]
    )

    def run(pixels: Bytes) -> dict[str, Floats]:
        return dict(zip(OUTPUTS, opened.run(list(OUTPUTS), {INPUT: pixels}), strict=True))

    return run


def _is_of_network(node: Any) -> bool:
    scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
    return any(scope.startswith("network.") for scope in ast.literal_eval(scopes))


def _clean(graph: Any) -> None:
    """Take out what tells of the machine that it was made on, and name things for people.

    torch leaves with every node where in which file it arose.
    """
    inner = graph.graph
    for own in [graph, inner, *graph.functions, *inner.node, *inner.input, *inner.output, *inner.value_info]:
        del own.metadata_props[:]
    for own in inner.initializer:
        del own.metadata_props[:]
    symbols = {place.type.tensor_type.shape.dim[0].dim_param for place in inner.input}
    for place in [*inner.input, *inner.output, *inner.value_info]:
        for size in place.type.tensor_type.shape.dim:
            if size.dim_param in symbols:
                size.dim_param = "n"
    graph.producer_name, graph.producer_version = "headstart", VERSION


PART = Onnx
