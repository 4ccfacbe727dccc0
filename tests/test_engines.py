"""The network is the one it says it is, and every engine gives what PyTorch in float32 gives."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from headstart import backbones, engines
from headstart.engines import open_engine
from headstart.engines.openvino import OpenVinoEngine
from headstart.errors import Misuse, UnknownName, WeightsError
from headstart.files import cache_folder
from headstart.modalities.image import decode
from headstart.values import Bytes

SPEC = backbones.spec(backbones.DEFAULT)


@pytest.fixture(scope="module")
def pictures() -> Bytes:
    rng = np.random.default_rng(0)
    side = SPEC.preprocess.size_px
    rough = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    return np.kron(rough, np.ones((1, side // 8, side // 8, 1), np.uint8))


@pytest.fixture(scope="module")
def engine() -> engines.Engine:
    return open_engine(SPEC)


def test_openvino_gives_what_pytorch_gives(engine: engines.Engine, pictures: Bytes) -> None:
    ours = engine.encode(pictures).astype(np.float64)
    reference = open_engine(SPEC, "torch").encode(pictures).astype(np.float64)
    cosine = (ours * reference).sum(1) / np.sqrt((ours**2).sum(1) * (reference**2).sum(1))
    assert cosine.min() > 0.999
    last = ours[:, -SPEC.dim :], reference[:, -SPEC.dim :]
    np.testing.assert_allclose(
        *last, atol=0.02 * last[1].max() if engine.precision == "f32" else 0.1 * last[1].max()
    )


def test_maps_are_what_is_pooled_into_the_features(engine: engines.Engine, pictures: Bytes) -> None:
    assert isinstance(engine, OpenVinoEngine)
    maps, features = engine.maps(), engine.encode(pictures).astype(np.float32)
    assert maps.pools[0].start == 0
    assert maps.pools[-1].stop == features.shape[1]
    for pool, found in zip(maps.pools, maps.of(pictures), strict=True):
        ours = found.mean((2, 3)) if pool.kind == "mean" else found.max((2, 3))
        np.testing.assert_allclose(ours, features[:, pool.start : pool.stop], rtol=2e-3, atol=2e-3)


def test_depths_are_means_and_maxima_of_the_stages(pictures: Bytes) -> None:
    import torch

    from headstart.backbones.network import Normalise, load

    model = load(SPEC)
    with torch.no_grad():
        x = Normalise(SPEC.preprocess)(torch.from_numpy(pictures))
        x = model.stem(x)
        for stage in model.stages[:3]:
            x = stage(x)
    found = open_engine(SPEC, "torch").encode(pictures)
    third = SPEC.depths[2]
    mean, maximum = np.split(found[:, third.start : third.stop], 2, axis=1)
    np.testing.assert_allclose(mean, x.mean((2, 3)).numpy(), rtol=0.01, atol=0.01)
    np.testing.assert_allclose(maximum, x.amax((2, 3)).numpy(), rtol=0.01, atol=0.01)
    assert found.shape[1] == SPEC.depths[-1].stop == 2848


def test_bits_do_not_depend_on_neighbours_threads_or_repetition(
    engine: engines.Engine, pictures: Bytes
) -> None:
    together = engine.encode(pictures)
    found: dict[int, object] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: engine.encode(pictures[i : i + 1])[0]}))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_array_equal(found[i], together[i])
    np.testing.assert_array_equal(engine.encode(pictures[::-1].copy()), together[::-1])


def test_the_digest_moves_with_whatever_moves_the_features() -> None:
    import dataclasses

    one = engines.digest(SPEC, "openvino", "f32")
    other = dataclasses.replace(SPEC.weights, sha256="0" * 64)
    shape = dataclasses.replace(SPEC.preprocess, resize_px=257)
    others = [
        engines.digest(SPEC, "openvino", "bf16"),
        engines.digest(SPEC, "torch-cpu", "f32"),
        engines.digest(dataclasses.replace(SPEC, weights=other), "openvino", "f32"),
        engines.digest(dataclasses.replace(SPEC, arguments=(("pad_type", "same"),)), "openvino", "f32"),
        engines.digest(dataclasses.replace(SPEC, preprocess=shape), "openvino", "f32"),
    ]
    assert len({one, *others}) == 6


def network_files() -> list[Path]:
    kept = (cache_folder() / "networks").glob(f"{SPEC.name}-*/**/*")  # other tests keep other networks
    return sorted(path for path in kept if path.is_file())


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "delete"])
def test_a_damaged_kept_network_is_made_again(
    engine: engines.Engine,
    pictures: Bytes,
    damage: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(engine, OpenVinoEngine)
    engine.ready()
    (own,) = (cache_folder() / "networks").glob(f"{SPEC.name}-{engine.digest[:16]}")
    shutil.copytree(own, tmp_path / "networks" / own.name)  # other tests use that one meanwhile
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    wanted, map_wanted = engine.encode(pictures), engine.maps().of(pictures)[-1]
    for file in network_files():
        data = file.read_bytes()
        if damage == "delete":
            file.unlink()
        elif damage == "truncate":
            file.write_bytes(data[: len(data) // 2])
        elif damage == "empty":
            file.write_bytes(b"")
        else:
            middle = len(data) // 2
            file.write_bytes(data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])
    again = OpenVinoEngine.open(SPEC)
    np.testing.assert_array_equal(again.encode(pictures), wanted)
    np.testing.assert_array_equal(again.maps().of(pictures)[-1], map_wanted)
    assert len(network_files()) == 5


@pytest.mark.usefixtures("engine")
def test_a_kept_network_needs_no_torch() -> None:
    code = (
        "import sys\nfrom headstart import backbones\nfrom headstart.engines import open_engine\n"
        f"open_engine(backbones.spec({SPEC.name!r})).ready()\n"
        "print(sorted({'torch', 'timm', 'openvino', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_converting_opens_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO's converter reports home unless it is kept from it."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))

    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    OpenVinoEngine.open(SPEC).ready()
    assert "openvino_telemetry" not in sys.modules


def test_wrong_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from headstart.backbones import network

    wrong = tmp_path / "weights.pth"
    wrong.write_bytes(backbones.weights_file(SPEC).read_bytes()[:-1] + b"x")
    monkeypatch.setattr(network, "weights_file", lambda _: wrong)
    with pytest.raises(WeightsError, match=SPEC.weights.sha256):
        network.load(SPEC)


def test_a_device_that_is_not_there_is_refused_not_replaced() -> None:
    import torch

    with pytest.raises(Misuse, match="no device 'gpu'"):
        open_engine(SPEC, "gpu")
    if not torch.cuda.is_available():
        with pytest.raises(Misuse, match="PyTorch sees 0 CUDA devices"):
            open_engine(SPEC, "cuda")
    with pytest.raises(UnknownName, match="Did you mean 'efficientnet_lite0'"):
        backbones.spec("efficientnet_light0")


@pytest.mark.data
def test_the_source_network_knows_its_own_classes(real: Path) -> None:
    """The 1000-way layer on pictures that the network was trained on: wrong preprocessing shows here."""
    import torch

    from headstart.backbones.network import Classify, load

    files = sorted((real / "imagenet_sample").glob("*.jpg"))
    net = Classify(load(SPEC), SPEC.preprocess)
    pixels = np.stack([decode(file.read_bytes(), SPEC.preprocess).pixels for file in files])
    with torch.no_grad():
        logits = net(torch.from_numpy(pixels)).numpy()
        swapped = net(torch.from_numpy(pixels[..., ::-1].copy())).numpy()
    truth = np.array([int(file.name.split("_")[0]) for file in files])
    right = (logits.argmax(1) == truth).mean()
    assert right > 0.85
    assert (np.argsort(-logits)[:, :5] == truth[:, None]).any(1).mean() > 0.95
    assert (swapped.argmax(1) == truth).mean() < right - 0.05  # blue for red is noticed


@pytest.mark.skipif(os.name == "nt", reason="no limits on files there")
def test_no_room_for_the_converted_network_is_said(tmp_path: Path) -> None:
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "from headstart import backbones, engines, errors\n"
        "try: engines.open_engine(backbones.spec(backbones.DEFAULT)).ready()\n"
        "except errors.StoreError as error: print('SAID', error)"
    )
    around = os.environ | {"HEADSTART_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=around, check=True
    )
    assert re.search(
        r"SAID the converted network cannot be kept at .*MB are free\. Free some space", done.stdout
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("float32")
def test_a_network_from_the_cache_computes_as_precisely_as_when_it_was_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A runtime that reads a compiled network may round as it likes best, unless it is told again."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    spec = backbones.spec(backbones.DEFAULT)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    made, read, reference = (
        open_engine(spec, device).encode(pixels).astype(np.float64) for device in ("cpu", "cpu", "torch")
    )
    assert np.array_equal(made, read)
    assert np.abs(read - reference).max() < 0.05
