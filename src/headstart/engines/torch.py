"""PyTorch: the engine for CUDA, and on the CPU the float32 reference that the others are held to."""

from typing import final

import numpy as np
import torch

from headstart import engines
from headstart.backbones.network import Pooled, load
from headstart.errors import Misuse, NotFinite
from headstart.values import Bytes, Halves, Spec

GPU_BATCH = 64


@final
class TorchEngine(engines.Engine):
    """The network as PyTorch runs it: bfloat16 autocast and channels-last on CUDA, float32 on the CPU."""

    def __init__(self, network: torch.nn.Module, device: torch.device, *, digest: str) -> None:
        self.digest = digest
        self._network, self._device = network, device
        gpu = device.type == "cuda"
        self.precision = "bf16" if gpu else "f32"
        self.batch = GPU_BATCH if gpu else 1
        self.workers = 4 if gpu else 1  # on the CPU torch brings its own threads

    @classmethod
    def open(cls, backbone: Spec, device: str) -> "TorchEngine":
        """Load the weights onto `device`: "torch" (the CPU), "cuda" or "cuda:N".

        Raises:
            Misuse: this machine has no such device. Nothing else is used in its place.
        """
        try:
            place = torch.device("cpu" if device == "torch" else device)
        except RuntimeError as error:
            raise Misuse(f"there is no device {device!r}. Known: cpu, torch, cuda, cuda:N.") from error
        if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
            seen = torch.cuda.device_count()
            raise Misuse(
                f"device {device!r} was asked for; PyTorch sees {seen} CUDA devices. Use --device cpu."
            )
        network = Pooled(load(backbone), backbone.preprocess).eval().to(place)
        if place.type == "cuda":
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        name = "torch-cuda" if place.type == "cuda" else "torch-cpu"
        found = engines.digest(backbone, name, "bf16" if place.type == "cuda" else "f32")
        return cls(network, place, digest=found)

    def encode(self, pixels: Bytes) -> Halves:
        """Features [b, d] of pictures [b, s, s, 3].

        Raises:
            NotFinite: the network gave NaN, or a number beyond float16's 65,504.
        """
        batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device)
        gpu = self._device.type == "cuda"
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=gpu):
            found = self._network(batch).to(torch.float16).cpu().numpy()
        if not np.isfinite(found).all():
            raise NotFinite("the network's features are not finite in half precision")
        return np.asarray(found)
