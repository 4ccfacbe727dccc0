"""OpenVINO on CPUs: the default engine.

Measured on two cores, one picture per request and one thread per request was both the fastest and the
simplest, and a picture's bits do not depend on its neighbours. Converting a network takes seconds and
compiling it tenths; both results are kept in the cache folder, keyed by content, so that later starts
only read a file and need no torch.
"""

import hashlib
import importlib.util
import io
import os
import platform
import re
import shutil
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any, Literal, final

import numpy as np

from headstart import engines
from headstart.backbones import source
from headstart.errors import MissingExtra, NotFinite, StoreError, UnknownFamily, WeightsError
from headstart.files import cache_folder, cores, digest_file, folder_whole, make_cache_folder, write_whole
from headstart.values import Bytes, Floats, Halves, Spec

_ODD = re.compile(r"[^A-Za-z0-9_.-]+")  # in names of backbones, and not for names of folders
_LONGEST = 100  # letters of a backbone's name, which may hold a path, that names of folders take
IR_FILES = ("network.xml", "network.bin")
_POOLING: dict[str, Literal["mean", "max"]] = {"ReduceMean": "mean", "ReduceMax": "max"}
_SHAPING = ("Reshape", "Squeeze")  # what may stand between a pool and the features


def _runtime() -> Any:
    """OpenVINO's runtime alone: its package also imports conversion tools, ten times the time.

    The compiled module is loaded under a bare parent package, which is then taken away again, so that
    a later `import openvino` in this process finds the whole package.
    """
    name = "openvino._pyopenvino"
    if name not in sys.modules and "openvino" not in sys.modules:
        found = importlib.util.find_spec("openvino")
        if found is None or not found.submodule_search_locations or os.name == "nt":
            pass  # Windows needs the package's own search for DLLs
        else:
            bare = types.ModuleType("openvino")
            bare.__path__ = list(found.submodule_search_locations)
            sys.modules["openvino"] = bare
            try:
                importlib.import_module(name)
            finally:
                del sys.modules["openvino"]
    return importlib.import_module(name) if name not in sys.modules else sys.modules[name]


@contextmanager
def no_telemetry() -> Iterator[None]:
    """OpenVINO's converter reports its use over the network where this module can be imported."""
    had = sys.modules.get("openvino_telemetry")
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if had is None:
            del sys.modules["openvino_telemetry"]
        else:
            sys.modules["openvino_telemetry"] = had


def _precision(core: Any) -> str:
    return "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


@final
class OpenVinoEngine(engines.Engine):
    """A compiled network and a pool of requests, one per thread that calls."""

    batch = 1

    def __init__(self, backbone: Spec, stages: int | None, core: Any, precision: str) -> None:
        self.digest = engines.digest(backbone, "openvino", precision, stages)
        self.precision, self.workers = precision, cores()
        self._backbone, self._stages, self._core, self._runtime = backbone, stages, core, _runtime()
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._opening, self._is_open = Lock(), False

    @classmethod
    def open(cls, backbone: Spec, stages: int | None = None) -> "OpenVinoEngine":
        """The engine for this backbone. Its network is opened with the first picture: see `ready`."""
        core = _runtime().Core()
        # Copied, not mapped: a mapped file that somebody cuts short would kill the process.
        core.set_property({"ENABLE_MMAP": False})
        return cls(backbone, stages, core, _precision(core))

    def ready(self) -> None:
        """Open the compiled network, once: from the cache where it is there and whole, else made and kept.

        Raises:
            StoreError: the cache folder cannot be written.
            WeightsError, MissingExtra: the weights are needed for converting and are absent or wrong.
        """
        with self._opening:
            if self._is_open:
                return
            begin = time.perf_counter()
            compiled = self._compiled()
            for _ in range(self.workers):
                self._requests.put(compiled.create_infer_request())
            self.opening_s = time.perf_counter() - begin
            self._is_open = True

    def _compiled(self) -> Any:
        return compiled(
            self._core, self._backbone, self.digest, self.precision, "compiled",
            lambda folder: _network(self._core, self._backbone, self._stages, folder),
        )  # fmt: skip

    def maps(self) -> "OpenVinoMaps":
        """The same network with the maps, from the cache or compiled anew.

        Raises:
            UnknownFamily: its features are not means and maxima of maps.
        """
        return OpenVinoMaps(self._core, self._backbone, self.digest, self.precision)

    def encode(self, pixels: Bytes) -> Halves:
        """Features [b, d] of pictures [b, s, s, 3], one after the other.

        Raises:
            NotFinite: the network gave NaN, or a number beyond float16's 65,504.
            StoreError, WeightsError, MissingExtra: the network cannot be opened, see `ready`.
        """
        self.ready()
        request = self._requests.get()
        try:
            rows = []
            for picture in pixels:
                whole = np.ascontiguousarray(picture[None])
                request.set_input_tensor(0, self._runtime.Tensor(whole, shared_memory=True))
                request.start_async({}, None)
                request.wait()
                with np.errstate(over="ignore"):
                    rows.append(request.get_output_tensor(0).data[0].astype(np.float16))
        finally:
            self._requests.put(request)
        found = np.stack(rows)
        if not np.isfinite(found).all():
            raise NotFinite("the network's features are not finite in half precision")
        return found


@final
class OpenVinoMaps(engines.Maps):
    """The kept network with more outputs: no torch, and converted once for both."""

    def __init__(self, core: Any, backbone: Spec, digest: str, precision: str) -> None:
        self._runtime = _runtime()
        network = _network(core, backbone, None, _folder(backbone, digest) / "ir")
        self.pools, outputs = _pooled(network, backbone)

        def widened(_folder: Path) -> Any:
            network.add_outputs(outputs)
            return network

        name = "maps-compiled"
        self._request = compiled(core, backbone, digest, precision, name, widened).create_infer_request()
        self._outputs = [1 + list(dict.fromkeys(outputs)).index(one) for one in outputs]

    def of(self, pixels: Bytes) -> list[Floats]:
        """What is pooled, pool by pool: [b, c, h, w]."""
        found: list[list[Floats]] = [[] for _ in self.pools]
        for picture in pixels:
            whole = np.ascontiguousarray(picture[None])
            self._request.set_input_tensor(0, self._runtime.Tensor(whole, shared_memory=True))
            self._request.start_async({}, None)
            self._request.wait()
            for own, at in zip(found, self._outputs, strict=True):
                own.append(self._request.get_output_tensor(at).data[0].copy())
        return [np.stack(own) for own in found]


def _pooled(network: Any, backbone: Spec) -> tuple[tuple[engines.Pool, ...], list[Any]]:
    """Which features are means or maxima of which maps, in the converted network, and these maps."""
    joined = network.get_results()[0].input_value(0).get_node()
    parts = [joined.input_value(at) for at in range(joined.get_input_size())]
    pools, outputs, start = [], [], 0
    for part in parts if joined.get_type_name() == "Concat" else []:
        stop = start + part.get_partial_shape()[1].get_length()
        node = part.get_node()
        while node.get_type_name() in _SHAPING:
            node = node.input_value(0).get_node()
        kind = _POOLING.get(node.get_type_name())
        if kind is None or len(node.input_value(0).get_partial_shape()) != 4:
            break
        if node.input_value(0).get_partial_shape()[1].get_length() != stop - start:
            break
        pools.append(engines.Pool(kind, start, stop))
        outputs.append(node.input_value(0))
        start = stop
    if start != backbone.depths[-1].stop:
        raise UnknownFamily(f"the features of {backbone.name} are not means and maxima of maps.")
    return tuple(pools), outputs


def _folder(backbone: Spec, digest: str) -> Path:
    return cache_folder() / "networks" / f"{_ODD.sub('-', backbone.name)[:_LONGEST]}-{digest[:16]}"


def compiled(
    core: Any, backbone: Spec, digest: str, precision: str, name: str, build: Callable[[Path], Any]
) -> Any:
    """A compiled network: from the cache where it is there and whole, else built from its folder and kept."""
    runtime, folder = _runtime(), _folder(backbone, digest)
    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": str(cores()),
        "INFERENCE_NUM_THREADS": str(cores()),
    }
    kept = folder / f"{name}-{_machine(runtime, core, options)}.blob"
    blob = _read_checked(kept)
    if blob is not None:
        try:
            return core.import_model(io.BytesIO(blob), "CPU", options)
        except RuntimeError:  # made by another build of the runtime after all: as good as absent
            pass
    make_cache_folder("networks", folder.name)  # before the work, so that it is not in vain
    made = core.compile_model(build(folder / "ir"), "CPU", options)
    body = made.export_model()
    body = body.getvalue() if hasattr(body, "getvalue") else bytes(body)
    write_whole(kept, hashlib.sha256(body).digest() + body)
    return made


def _machine(runtime: Any, core: Any, options: dict[str, str]) -> str:
    """What a compiled network depends on beside the network itself."""
    facts = [runtime.get_version(), core.get_property("CPU", "FULL_DEVICE_NAME"), platform.machine()]
    facts += [str(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")), str(sorted(options.items()))]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _read_checked(path: Path) -> bytes | None:
    """The body of a kept file, or None where it is absent or not what was written."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    body = data[32:]
    return body if hashlib.sha256(body).digest() == data[:32] else None


def _network(core: Any, backbone: Spec, stages: int | None, folder: Path) -> Any:
    """The converted network: read from the cache where it is whole, else converted and kept."""
    if not _is_whole(folder):
        _convert(backbone, stages, folder)
    return core.read_model(str(folder / IR_FILES[0]))


def _is_whole(folder: Path) -> bool:
    try:
        wanted = (folder / "digests").read_bytes().split()
        return wanted == [digest_file(folder / name).encode() for name in IR_FILES]
    except (FileNotFoundError, NotADirectoryError):
        return False


def _convert(backbone: Spec, stages: int | None, folder: Path) -> None:
    """PyTorch to OpenVINO's own format: uint8 pictures in, normalisation inside, float32 features out.

    Raises:
        StoreError: the result cannot be kept.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingExtra("converting a network", "backbones")
    import torch

    from headstart.backbones.network import Pooled, Prefix, load

    with no_telemetry():
        import openvino

        net: torch.nn.Module = Pooled(load(backbone), backbone.preprocess)
        if stages is not None:
            net = Prefix(load(backbone), backbone.preprocess, stages)
        net.eval()
        side = backbone.preprocess.size_px
        example = torch.zeros(1, side, side, 3, dtype=torch.uint8)
        with torch.no_grad(), warnings.catch_warnings():
            # networks ask whether a picture has their size, and tracing warns that the answer is fixed: it is
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            converted = openvino.convert_model(net, example_input=example)
        converted.reshape([1, side, side, 3])
    width = converted.output(0).get_partial_shape()[1].get_length()
    if stages is None and width != backbone.depths[-1].stop:
        raise WeightsError(
            f"{backbone.name} gives {width} features, the catalogue {backbone.depths[-1].stop}"
        )
    make_cache_folder("networks", folder.parent.name)
    with folder_whole(folder, replace=True) as building:
        try:
            openvino.save_model(converted, str(building / IR_FILES[0]), compress_to_fp16=False)
        except RuntimeError as error:  # its streams do not say why
            free = shutil.disk_usage(building).free / 1e6
            raise StoreError(
                f"the converted network cannot be kept at {folder}, where {free:.0f} MB are free. "
                "Free some space, or set HEADSTART_CACHE to a folder on another disk."
            ) from error
        digests = [digest_file(building / name) for name in IR_FILES]
        (building / "digests").write_text("\n".join(digests), encoding="ascii")
    if stages is None:
        source.classifier(backbone)  # kept as well while torch is at hand: the report asks for it
