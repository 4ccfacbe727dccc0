"""PyTorch: the engine for CUDA, and on the CPU the float32 reference that the others are held to."""

import time
from threading import Lock
from typing import final

import numpy as np
import torch

from headstart import engines
from headstart.backbones.network import Pooled, Prefix, load
from headstart.errors import Misuse, NotFinite
from headstart.values import Bytes, Halves, Spec

GPU_BATCH = 64


@final
class TorchEngine(engines.Engine):
    """The network as PyTorch runs it: bfloat16 autocast and channels-last on CUDA, float32 on the CPU."""

    def __init__(self, backbone: Spec, device: torch.device, stages: int | None) -> None:
        gpu = device.type == "cuda"
        self.precision = "bf16" if gpu else "f32"
        self.digest = engines.digest(backbone, "torch-cuda" if gpu else "torch-cpu", self.precision, stages)
        self.batch = GPU_BATCH if gpu else 1
        self.workers = 4 if gpu else 1  # on the CPU torch brings its own threads
        self.opening_s = 0.0
        self._backbone, self._device, self._stages = backbone, device, stages
        self._network: torch.nn.Module | None = None
        self._opening = Lock()

    @classmethod
    def open(cls, backbone: Spec, device: str, stages: int | None = None) -> "TorchEngine":
        """The engine on `device`: "torch" (the CPU), "cuda" or "cuda:N".

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
        return cls(backbone, place, stages)

    def ready(self) -> None:
        """Load the weights onto the device, once.

        Raises:
            WeightsError, MissingExtra: they are absent or wrong.
        """
        self._opened()

    def _opened(self) -> torch.nn.Module:
        with self._opening:
            if self._network is not None:
                return self._network
            begin = time.perf_counter()
            chain, how = load(self._backbone), self._backbone.preprocess
            pooled: torch.nn.Module = (
                Pooled(chain, how) if self._stages is None else Prefix(chain, how, self._stages)
            )
            network = pooled.eval().to(self._device)
            if self._device.type == "cuda":
                network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._network = network
            self.opening_s = time.perf_counter() - begin
            return network

    def encode(self, pixels: Bytes) -> Halves:
        """Features [b, d] of pictures [b, s, s, 3].

        Raises:
            NotFinite: the network gave NaN, or a number beyond float16's 65,504.
            WeightsError, MissingExtra: the network cannot be opened, see `ready`.
        """
        network = self._opened()
        batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device)
        gpu = self._device.type == "cuda"
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=gpu):
            found = network(batch).to(torch.float16).cpu().numpy()
        if not np.isfinite(found).all():
            raise NotFinite("the network's features are not finite in half precision")
        return np.asarray(found)
