"""OpenVINO's own format: a folder of model.xml and model.bin, for Intel and ARM chips."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

from headstart.engines.openvino import no_telemetry
from headstart.errors import OutputError
from headstart.export import INPUT, OUTPUTS, Format, Runner, Source
from headstart.export._document import KEY, text
from headstart.files import cores
from headstart.values import Bytes, Floats

XML, BIN = "model.xml", "model.bin"


@final
@dataclass(frozen=True, eq=False)
class OpenVino(Format):
    """The converted network."""

    name = "openvino"
    ending = "-openvino"
    is_folder = True
    holds = (XML, BIN)

    network: Any  # openvino.Model

    @classmethod
    def convert(cls, source: Source) -> Self:
        """By OpenVINO's converter, for any number of pictures at a time. Nothing is reported to anybody."""
        import warnings

        import torch

        from headstart.export._network import Answering, pictures

        network = Answering(source.model).eval()
        with no_telemetry():
            import openvino

            with torch.no_grad(), warnings.catch_warnings():
                # networks ask whether a picture has their size, and tracing warns that the answer is fixed
                warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
                found = openvino.convert_model(network, example_input=pictures(source.model))
        side = source.model.backbone.preprocess.size_px
        found.reshape([-1, side, side, 3])
        found.inputs[0].get_tensor().set_names({INPUT})
        for output, name in zip(found.outputs, OUTPUTS, strict=True):
            output.get_tensor().set_names({name})
        return cls(found)

    def save(self, place: Path, document: dict[str, Any]) -> None:
        """Both files, weights in float32."""
        import openvino

        self.network.set_rt_info(text(document), [KEY])
        try:
            openvino.save_model(self.network, str(place / XML), compress_to_fp16=False)
        except RuntimeError as error:  # its streams do not say why
            free = shutil.disk_usage(place).free / 1e6
            raise OutputError(
                f"the export cannot be written where it was to go; {free:.0f} MB are free there. Free some "
                "space, or choose another --out."
            ) from error

    @classmethod
    def open(cls, place: Path) -> Runner:
        """In OpenVINO on the CPU, in float32: untold, it computes in bfloat16 where a chip can."""
        with no_telemetry():
            import openvino
        core = openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # the file is moved afterwards
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(cores())}
        request = core.compile_model(str(place / XML), "CPU", options).create_infer_request()

        def run(pixels: Bytes) -> dict[str, Floats]:
            request.infer({INPUT: pixels})
            return {name: request.get_tensor(name).data.copy() for name in OUTPUTS}

        return run


PART = OpenVino
