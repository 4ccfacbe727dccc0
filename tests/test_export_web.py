"""The page in the browser: the same bytes to the network, the same answers, and nothing asked of others."""

import base64
import functools
import io
import json
import os
import re
import shutil
import struct
import tarfile
import threading
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import make
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import headstart
from headstart import backbones
from headstart.cli import group
from headstart.errors import DownloadError, Misuse, OutputExists
from headstart.evaluate import prediction_sets
from headstart.export import _check_place, export
from headstart.export.web import Web, _page, _runtime
from headstart.modalities.image import decode
from headstart.values import Preprocess

pytestmark = pytest.mark.usefixtures("float32")

ASSETS = Path(_page.__file__).with_name("assets")
CLASSES = ("ants", "bees", "wasps", "<b>hornets</b>")
BEES = {"title": "Honey bees", "url": "https://example.org/bees"}
WASPS = {"title": "", "url": "javascript:window.hacked=1"}
SIZE = 224


def preprocess(interpolation: str = "bicubic", size_px: int = SIZE, resize_px: int = 256) -> Preprocess:
    return Preprocess(size_px, resize_px, interpolation, (0.5,) * 3, (0.5,) * 3, (255, 240, 20))  # type: ignore[arg-type]


DOCUMENT = {
    "version": "0.1.0",
    "format": 1,
    "classes": list(CLASSES),
    "infos": {"bees": BEES, "wasps": WASPS},
    "preprocess": asdict(preprocess()),
    "temperature": 1.7,
    "set_scores_quantile": {"0.9": 0.6, "0.95": 0.8, "0.99": 0.95},
    "unknown": {"threshold": 1.0},
    "backbone": {"name": "tiny", "licence": "Apache-2.0", "citation": "nobody", "sha256": "0" * 64},
    "model": "1" * 64,
    "parity": {"n": 200, "agreement": 1.0, "max_probability_gap": 2e-6},
}


def network() -> bytes:
    """A network of the contract: sixteen cells of the picture, their mean colours, one matrix."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(0, 9, (48, len(CLASSES))).astype(np.float32)
    constants = {
        "full": np.float32([255]),
        "flat": np.int64([-1, 48]),
        "warm": np.float32([1.7]),
        "strange": np.float32([2.0]),
        "weights": weights - weights.mean(0),  # so that grey is of no class
    }
    side = SIZE // 4
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "full"], ["unit"]),
        helper.make_node("Transpose", ["unit"], ["x"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["x"], ["cells"], kernel_shape=[side, side], strides=[side, side]),
        helper.make_node("Reshape", ["cells", "flat"], ["features"]),
        helper.make_node("MatMul", ["features", "weights"], ["logits"]),
        helper.make_node("Div", ["logits", "warm"], ["cool"]),
        helper.make_node("Softmax", ["cool"], ["probabilities"], axis=1),
        helper.make_node("ReduceMean", ["features"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["mean", "strange"], ["unknown_score"]),
    ]
    shapes: dict[str, list[Any]] = {
        "probabilities": ["n", len(CLASSES)], "logits": ["n", len(CLASSES)], "features": ["n", 48],
        "unknown_score": ["n"],
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    found: bytes = model.SerializeToString()
    return found


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Soft noise with some edges in it."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(
        rng.integers(0, 256, (max(2, height // 40), max(2, width // 40), 3)).astype(np.uint8)
    )
    large = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((large + rng.normal(0, 9, large.shape)).clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def turned(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


# -- the runtime ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def runtime() -> dict[str, bytes]:
    """ONNX Runtime for browsers, fetched once into the cache of the tests unless HEADSTART_ORT_WEB has it."""
    given = os.environ.get("HEADSTART_ORT_WEB")
    try:
        return _runtime.runtime(Path(given) if given else None)
    except DownloadError as error:
        pytest.skip(f"the runtime for browsers is not here: {error}")


def given() -> list[str | Path]:
    """How the command is told of the runtime."""
    return ["--runtime", os.environ["HEADSTART_ORT_WEB"]] if "HEADSTART_ORT_WEB" in os.environ else []


def package(place: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(place, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return place


@pytest.mark.network
def test_a_package_is_taken_as_folder_and_as_archive(runtime: dict[str, bytes], tmp_path: Path) -> None:
    for own, (name, _) in _runtime.FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(runtime[own])
    whole = {name: runtime[own] for own, (name, _) in _runtime.FILES.items()}
    assert _runtime.runtime(tmp_path) == runtime
    assert _runtime.runtime(package(tmp_path / "own.tgz", whole)) == runtime
    assert b"MIT" in runtime["LICENSE.txt"]
    assert b"Permission is hereby granted" in runtime["LICENSE.txt"]


def test_other_versions_and_other_files_are_refused(tmp_path: Path) -> None:
    names = [name for name, _ in _runtime.FILES.values()]
    other = package(tmp_path / "other.tgz", dict.fromkeys(names, b"another version"))
    with pytest.raises(Misuse, match=rf"SHA-256 [0-9a-f]{{64}}, wanted {_runtime.FILES['ort.js'][1]}"):
        _runtime.runtime(other)
    with pytest.raises(Misuse, match=r"has no dist/ort\.wasm\.bundle\.min\.mjs.*npm pack onnxruntime-web@"):
        _runtime.runtime(package(tmp_path / "empty.tgz", {"README.md": b""}))
    with pytest.raises(Misuse, match=r"has no dist/ort\.wasm\.bundle"):
        _runtime.runtime(tmp_path)
    with pytest.raises(Misuse, match=r"there is no onnxruntime-web at .*nowhere"):
        _runtime.runtime(tmp_path / "nowhere")
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(other.read_bytes()[:60])
    with pytest.raises(Misuse, match=r"cannot be read as a \.tgz"):
        _runtime.runtime(cut)


def test_without_the_registry_the_message_says_which_file_goes_where(
    server: make.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"{address}/npm/")
    server.status = 503
    with pytest.raises(DownloadError) as caught:
        _runtime.runtime(None)
    name = f"onnxruntime-web-{_runtime.VERSION}.tgz"
    whole = f"{address}/npm/onnxruntime-web/-/{name}"
    assert whole in str(caught.value)
    assert str(tmp_path / "downloads" / name) in str(caught.value)
    assert f"fetching onnxruntime-web {_runtime.VERSION}" in (told := capsys.readouterr().err)
    assert whole in told
    server.status, server.body = 200, bytes(_runtime.BYTES)
    with pytest.raises(DownloadError, match=_runtime.SHA256):
        _runtime.runtime(None)
    assert list((tmp_path / "downloads").iterdir()) == []


# -- what is written --------------------------------------------------------------------------------------


def test_the_pages_own_files_name_no_address_elsewhere() -> None:
    for file in ASSETS.iterdir():
        text = file.read_text("utf-8")
        found = set(re.findall(r"""(?:https?:)?//[a-z0-9][-a-z0-9.]*\.[a-z]+/[^\s"'`<)]*""", text))
        allowed = {"http://www.w3.org/2000/svg", "http://ns.adobe.com/xap/1.0/\\0"}  # names, not addresses
        assert found <= allowed, file.name
        assert "console." not in text


def named(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_holds_all_and_says_how_to_serve_it(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"the model")
    runtime = {"ort.js": b"1", "ort.wasm": b"22", "LICENSE.txt": b"3", "ThirdPartyNotices.txt": b"4"}
    _page.write(tmp_path, DOCUMENT, "garden", runtime)
    assert named(tmp_path) == set(_page.HOLDS)
    told = json.loads((tmp_path / "model.json").read_text())
    assert {key: told[key] for key in DOCUMENT} == json.loads(json.dumps(DOCUMENT))
    assert told["files"]["runtime/ort.wasm"]["bytes"] == 2
    page, read = ((tmp_path / name).read_text("utf-8") for name in ("index.html", "README.txt"))
    for said in (page, read):
        assert "python -m http.server --bind 127.0.0.1" in said
    assert "Nothing leaves this device" in page
    for own in re.findall(r'(?:src|href)="([^"#:]+)"', page):
        assert (tmp_path / own).exists() or own == "runtime/ThirdPartyNotices.txt"


def test_the_catalogue_wants_nothing_that_the_page_cannot_do() -> None:
    known = {"bicubic", "bilinear"}
    assert {backbones.spec(name).preprocess.interpolation for name in backbones.names()} <= known


# -- in a browser -----------------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


class Served:
    """A folder served on this machine, by Python's own server."""

    def __init__(self, folder: Path) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        self.base = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("HEADSTART_BROWSER") == "required":
            pytest.fail("HEADSTART_BROWSER=required, and no chromium is installed: apt-get install chromium")
        pytest.skip("no chromium is installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    fake = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox", *fake])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def bench(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A blank page beside the page's modules; `folder` is served to it."""
    folder = tmp_path_factory.mktemp("bench")
    for name in ("picture.js", "answer.js"):
        shutil.copy(ASSETS / name, folder)
    (folder / "index.html").write_text("<!doctype html><link rel=icon href=data:,>")
    served = Served(folder)
    page = chromium.new_page()
    page.goto(served.base)
    page.folder = folder
    yield page
    page.close()
    served.close()


SQUARE = """async ([name, width, height, format, preprocess]) => {
  const { square } = await import("/picture.js");
  const all = new Uint8Array(await (await fetch(name)).arrayBuffer());
  const read = (x, y, w, h) => {
    const part = new Uint8Array(w * h * 4);
    for (let row = 0; row < h; row++) {
      const from = ((y + row) * width + x) * 4;
      part.set(all.subarray(from, from + w * 4), row * w * 4);
    }
    return part;
  };
  const found = square(read, width, height, format, preprocess);
  let text = "";
  for (let at = 0; at < found.length; at += 999) text += String.fromCharCode(...found.subarray(at, at + 999));
  return btoa(text);
}"""


def square(bench: Any, image: Image.Image, how: Preprocess, format: str = "PNG") -> Any:
    """What picture.js makes of these pixels."""
    (bench.folder / "pixels.bin").write_bytes(image.convert("RGBA").tobytes())
    told = {key: value for key, value in asdict(how).items() if key not in ("mean", "std")}
    name = f"pixels.bin?{np.random.default_rng().integers(1 << 40)}"
    text = bench.evaluate(SQUARE, [name, *image.size, format, told])
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(how.size_px, how.size_px, 3)


SIDES = [
    (224, 224), (256, 256), (255, 257), (1, 1), (1, 700), (700, 1), (37, 303), (177, 372), (213, 385),
    (527, 1794), (640, 480), (481, 640), (1500, 300), (1023, 1025), (1801, 1699),
]  # fmt: skip


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_the_same_pixels_give_the_same_bytes_as_in_python(bench: Any, interpolation: str) -> None:
    rng = np.random.default_rng(5)
    random = [tuple(int(side) for side in rng.integers(20, 900, 2)) for _ in range(12)]
    for width, height in SIDES + random:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))
        sizes = [(224, 256), (100, 100)] if width * height < 10**6 else [(260, 292)]
        for size_px, resize_px in sizes:
            how = preprocess(interpolation, size_px, resize_px)
            wanted = decode(saved(image, "PNG", compress_level=0), how).pixels
            assert np.array_equal(square(bench, image, how), wanted), (width, height, size_px, resize_px)


def test_a_picture_that_is_far_too_large_is_averaged_first_as_in_python(bench: Any) -> None:
    how = preprocess(size_px=64, resize_px=72)
    for width, height in [(700, 450), (433, 1301)]:
        image = photo(width, height, width)
        wanted = decode(saved(image, "PNG", compress_level=0), how).pixels
        assert np.array_equal(square(bench, image, how), wanted)


@pytest.mark.parametrize("side", [300, 620, 1200])  # decoded at 1/2, 1/4, 1/8
def test_a_large_jpeg_is_averaged_as_libjpeg_decodes_it_at_a_part_of_its_size(bench: Any, side: int) -> None:
    how, noise = (
        preprocess(size_px=64, resize_px=72),
        np.random.default_rng(side).normal(0, 20, (side, side + 33, 1)),
    )
    colours = np.asarray(photo(side + 33, side, side)) / 2 + 64 + noise
    rough = {"L": (128 + noise[..., 0]), "RGB": colours}
    for mode, values in rough.items():
        data = saved(Image.fromarray(values.clip(0, 255).astype(np.uint8)), "JPEG", quality=92)
        whole = Image.open(io.BytesIO(data)).convert("RGB")  # as a browser decodes it
        wanted = decode(data, how).pixels.astype(int)
        averaged = np.abs(square(bench, whole, how, "JPEG") - wanted)
        at_once = np.abs(square(bench, whole, how, "PNG") - wanted)
        assert averaged.max() <= 3
        assert averaged.mean() < 0.35
        if mode == "L":  # the negative control: what is not averaged is much further off
            assert averaged.mean() < at_once.mean() / 4


ORIENTATION = """async ([bytes, pixels]) => {
  const { sniff, orientation, upright } = await import("/picture.js");
  const data = Uint8Array.from(bytes);
  const format = sniff(data);
  const { turn, plain } = orientation(data, format);
  return [format, turn, Array.from(upright(Uint8Array.from(pixels), 3, turn)), Array.from(plain)];
}"""


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("number", range(10))
def test_pictures_are_turned_as_in_python(bench: Any, format: str, number: int) -> None:
    square = Image.fromarray(np.arange(27, dtype=np.uint8).reshape(3, 3, 3) * 9)
    data = saved(square, format, exif=turned(number)) if number else saved(square, format)
    found, turn, upright, plain = bench.evaluate(ORIENTATION, [list(data), list(square.tobytes())])
    assert found == format
    left = Image.open(io.BytesIO(bytes(plain)))
    assert left.tobytes() == Image.open(io.BytesIO(data)).tobytes()
    assert left.getexif().get(0x0112, 1) == 1 or not 1 <= number <= 8
    assert turn == (number if 1 <= number <= 8 else 1)
    from PIL import ImageOps

    image = Image.open(io.BytesIO(saved(square, "PNG", exif=turned(turn))))
    assert bytes(upright) == ImageOps.exif_transpose(image).tobytes()


def test_what_xmp_says_counts_where_exif_is_silent_and_broken_blocks_turn_nothing(bench: Any) -> None:
    square = Image.new("RGB", (3, 3))
    said = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    for data, wanted in [
        (saved(square, "JPEG", xmp=said), 8),
        (saved(square, "JPEG", xmp=said, exif=turned(3)), 3),
        (saved(square, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09"), 1),
        (saved(square, "JPEG", exif=b"Exif\0\0"), 1),
        (saved(square, "WEBP", xmp=said), 8),
    ]:
        assert bench.evaluate(ORIENTATION, [list(data), [0] * 27])[1] == wanted
        how = preprocess(size_px=32, resize_px=32)
        assert np.array_equal(decode(data, how).pixels, np.zeros((32, 32, 3)))


ANSWER = """async ([rows, scores, model, coverage]) => {
  const { answer } = await import("/answer.js");
  return rows.map((row, at) => answer(row, scores[at], model, coverage));
}"""


@pytest.mark.parametrize("coverage", ["0.9", "0.95", "0.99"])
def test_sets_and_unknowns_are_those_of_python(bench: Any, coverage: str) -> None:
    rng = np.random.default_rng(3)
    rows = rng.dirichlet(np.full(len(CLASSES), 0.6), 60).astype(np.float32).astype(np.float64)
    rows[0] = 0.25  # a tie: the first class wins
    scores = rng.uniform(0, 2, 60)
    scores[1] = 1.0
    found = bench.evaluate(ANSWER, [rows.tolist(), scores.tolist(), DOCUMENT, coverage])
    inside = prediction_sets(rows, DOCUMENT["set_scores_quantile"][coverage])  # type: ignore[index]
    for own, row, score, wanted in zip(found, rows, scores, inside, strict=True):
        ranks = np.argsort(-row, kind="stable")
        assert own["label"] == CLASSES[ranks[0]]
        assert own["set"] == [CLASSES[at] for at in ranks if wanted[at]]
        assert own["unknown"] is bool(score > 1)
        assert own["probabilities"] == dict(zip(CLASSES, row, strict=True))
        assert own.get("url", "") == DOCUMENT["infos"].get(own["label"], {}).get("url", "")  # type: ignore[attr-defined]
    without = bench.evaluate(ANSWER, [rows[:1].tolist(), [], DOCUMENT, coverage])[0]
    assert "unknown" not in without


@pytest.fixture(scope="module")
def site(runtime: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    (folder / "model.onnx").write_bytes(network())
    _page.write(folder, DOCUMENT, "garden-model", runtime)
    return folder


class Visit:
    """The page in a browser, and all that it complained of or asked others for."""

    def __init__(self, browser: Any, folder: Path, **options: Any) -> None:
        self.served = Served(folder)
        self.context = browser.new_context(permissions=["camera"], reduced_motion="reduce", **options)
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.asked: list[str] = []
        self.context.on("console", lambda message: self.troubles.append(message.text))
        self.context.on("weberror", lambda error: self.troubles.append(str(error.error)))
        self.context.on("request", self._asked)
        self.page.goto(self.served.base)

    def _asked(self, request: Any) -> None:
        self.asked.append(request.url)
        if not request.url.startswith((self.served.base, "data:", "blob:")):
            self.troubles.append(f"asked for {request.url}")

    def ready(self) -> "Visit":
        self.page.wait_for_selector("body[data-ready=yes]")
        return self

    def inside(self, address: str) -> str:
        """What was asked for, as a name in the folder."""
        return address.removeprefix(self.served.base).partition("?")[0]

    def answered(self, count: int) -> None:
        self.page.wait_for_selector(f"#cards[data-answered='{count}']")

    def answers(self) -> list[dict[str, Any]]:
        """What "Save answers" gives."""
        with self.page.expect_download() as told:
            self.page.click("#save")
        assert told.value.suggested_filename == "answers.jsonl"
        return [json.loads(line) for line in Path(told.value.path()).read_text("utf-8").splitlines()]

    def close(self) -> None:
        self.context.close()
        self.served.close()


@pytest.fixture(scope="module")
def opened(chromium: Any, site: Path) -> Iterator[Visit]:
    found = Visit(chromium, site)
    yield found.ready()
    found.close()


@pytest.fixture
def visit(opened: Visit) -> Iterator[Visit]:
    """The page, cleared after whoever had it."""
    yield opened
    assert opened.troubles == []
    assert opened.page.evaluate("window.hacked") is None
    if opened.page.locator("#clear").is_visible():
        opened.page.click("#clear")


def offered(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return [{"name": name, "mimeType": "", "buffer": data} for name, data in files.items()]


APART = {
    "alpha.png": 2,
    "turned.avif": 1,
    "deep.png": 2,
    "camera.jpg": 6,
}  # levels of 255 by which a pixel may differ; else none


def kinds() -> dict[str, bytes]:
    """Pictures as people have them, one of each kind."""
    rgb, tall = photo(640, 480, 1), photo(300, 900, 2)
    alpha = rgb.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(rgb.size))
    low = np.random.default_rng(6).integers(0, 257, (480, 640, 3))  # all bits count, not the high ones alone
    deep = (np.asarray(rgb).astype(np.int64) * 257 + low - 128).clip(0, 65535).astype(np.uint16)
    return {
        "photo.jpg": saved(rgb, "JPEG", quality=90),
        "finer.jpg": saved(rgb, "JPEG", quality=95, subsampling=0, icc_profile=odd_profile()),
        "progressive.jpg": saved(tall, "JPEG", progressive=True, exif=turned(6)),
        "grey.jpg": saved(rgb.convert("L"), "JPEG", exif=turned(4)),
        "plain.png": saved(rgb, "PNG", exif=turned(8), icc_profile=odd_profile()),
        "palette.png": saved(rgb.quantize(64), "PNG", transparency=3),
        "lossy.webp": saved(rgb, "WEBP", quality=80, exif=turned(3)),
        "first.gif": saved(rgb.quantize(32), "GIF", save_all=True, append_images=[tall.resize(rgb.size)]),
        "tall.bmp": saved(tall, "BMP"),
        "deep.png": saved(Image.fromarray(deep[..., 1]), "PNG"),
        "deep colour.png": of_sixteen_bits(deep),
        "print.jpg": saved(rgb.convert("CMYK"), "JPEG"),
        "small.avif": saved(rgb.resize((40, 30)), "AVIF"),
        "turned.avif": saved(rgb, "AVIF", exif=turned(6)),
        "alpha.png": saved(alpha, "PNG"),
        "camera.jpg": saved(photo(2900, 2100, 4), "JPEG", quality=90, exif=turned(6)),
    }


def of_sixteen_bits(rgb: Any) -> bytes:
    """A PNG of 16 bits a colour, which Pillow cannot write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width, _ = rgb.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rgb)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def odd_profile() -> bytes:
    """A colour profile that calls red green: whoever applies it is seen."""
    from PIL import ImageCms

    found = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return found.replace(b"rXYZ", b"....").replace(b"gXYZ", b"rXYZ").replace(b"....", b"gXYZ")


PIXELS = """one => {
  const data = one.getContext("2d").getImageData(0, 0, one.width, one.height).data;
  let text = "";
  for (let at = 0; at < data.length; at += 4096) text += String.fromCharCode(...data.subarray(at, at + 4096));
  return btoa(text);
}"""


def seen(card: Any) -> Any:
    """The pixels on a card: what the network got."""
    data = base64.b64decode(card.locator("canvas").evaluate(PIXELS))
    return np.frombuffer(data, np.uint8).reshape(SIZE, SIZE, 4)[..., :3]


@pytest.mark.slow
@pytest.mark.network
def test_pictures_of_every_kind_are_seen_and_answered_as_in_python(visit: Visit, site: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(site / "model.onnx")
    files = kinds()
    visit.page.set_input_files("#files", offered(files))
    visit.answered(len(files))
    answers = visit.answers()
    assert [one["path"] for one in answers] == list(files)
    for at, (told, (name, data)) in enumerate(zip(answers, files.items(), strict=True)):
        pixels = decode(data, preprocess()).pixels
        gap = np.abs(seen(visit.page.locator(".card").nth(at)).astype(int) - pixels)
        assert gap.max() <= APART.get(name, 0), name
        assert gap.mean() < 0.5
        wanted = dict(
            zip(
                ("probabilities", "unknown_score"),
                session.run(["probabilities", "unknown_score"], {"pixels": pixels[None]}),
                strict=True,
            )
        )
        row = wanted["probabilities"][0]
        tolerance = 1e-5 if name not in APART else 0.02
        np.testing.assert_allclose(list(told["probabilities"].values()), row, atol=tolerance, err_msg=name)
        assert told["label"] == CLASSES[row.argmax()]
        assert told["unknown_score"] == pytest.approx(wanted["unknown_score"][0], abs=tolerance)
        assert told["unknown"] is bool(wanted["unknown_score"][0] > 1)
        shown = visit.page.locator(".card").nth(at).inner_text()
        assert ("Unknown" in shown and "nearest: " in shown) is told["unknown"]
    assert {one["label"] for one in answers} > {"bees"}
    assert {one["unknown"] for one in answers} == {True, False}
    assert {visit.inside(one) for one in visit.asked if not one.startswith("blob:")} == {
        "", "style.css", "page.js", "answer.js", "worker.js", "picture.js", "model.json", "model.onnx",
        "runtime/ort.js", "runtime/ort.wasm",
    }  # fmt: skip


@pytest.mark.network
def test_what_cannot_be_read_is_told_and_the_rest_goes_on(visit: Visit) -> None:
    whole = saved(photo(300, 300), "PNG")
    files = {"text.jpg": b"not a picture", "empty.png": b"", "cut.png": whole[:300], "whole.png": whole}
    visit.page.set_input_files("#files", offered(files))
    visit.answered(4)
    told = {one["path"]: one.get("error") for one in visit.answers()}
    assert told == {
        "text.jpg": "not a picture", "empty.png": "the file is empty", "cut.png": "a damaged PNG",
        "whole.png": None,
    }  # fmt: skip
    assert "Not read: a damaged PNG." in visit.page.locator(".card").nth(2).inner_text()


@pytest.mark.network
def test_names_and_links_are_only_text_and_web_addresses(visit: Visit) -> None:
    name = "<img src=x onerror=window.hacked=1>.png"
    cells = np.random.default_rng(1).integers(0, 256, (24, 4, 4, 3)).astype(np.uint8)
    colours = [Image.fromarray(one).resize((64, 64), Image.Resampling.NEAREST) for one in cells]
    files = {f"{at}{name}": saved(one, "PNG") for at, one in enumerate(colours)}
    visit.page.set_input_files("#files", offered(files))
    visit.answered(len(colours))
    labels = [one["label"] for one in visit.answers()]
    assert set(labels) == set(CLASSES)
    for at, label in enumerate(labels):
        card = visit.page.locator(".card").nth(at)
        assert card.locator(".file").inner_text() == f"{at}{name}"
        links = [link.get_attribute("href") for link in card.locator(".said a").all()]
        assert links == ([BEES["url"]] if label == "bees" else [])
        assert {"bees": "Honey bees"}.get(label, label) in card.locator(".said").inner_text()
    first = next(at for at, one in enumerate(visit.answers()) if not one["unknown"])
    bars = (
        visit.page.locator(".card")
        .nth(first)
        .locator(".full")
        .evaluate_all("all => all.map((one) => parseFloat(one.style.width))")
    )
    wanted = sorted(visit.answers()[first]["probabilities"].values(), reverse=True)[: len(bars)]
    np.testing.assert_allclose(bars, 100 * np.array(wanted), atol=0.01)


@pytest.mark.network
def test_a_set_grows_with_what_is_asked_of_it(visit: Visit) -> None:
    files = {f"{at}.png": saved(photo(200, 200, at), "PNG") for at in range(6)}
    visit.page.set_input_files("#files", offered(files))
    visit.answered(6)
    sizes = []
    for coverage in ("0.9", "0.95", "0.99"):
        visit.page.select_option("#coverage", coverage)
        told = visit.page.locator(".card:not(.unknown) .sets").first.inner_text()
        assert told.startswith(f"Set for {float(coverage):.0%}:".replace("%", "\N{NO-BREAK SPACE}%"))
        sizes.append(sum(len(one["set"]) for one in visit.answers()))
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.network
def test_dropping_pasting_and_the_camera_are_answered_too(visit: Visit) -> None:
    data = list(saved(photo(200, 150), "PNG"))
    give = """(data, [kind, key]) => {
      const bag = new DataTransfer();
      bag.items.add(new File([Uint8Array.from(data)], kind + ".png"));
      const kinds = { drop: DragEvent, paste: ClipboardEvent };
      document.body.dispatchEvent(new kinds[kind](kind, { [key]: bag, bubbles: true, cancelable: true }));
    }"""
    for kind, key in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        visit.page.evaluate(f"([data, how]) => ({give})(data, how)", [data, [kind, key]])
    visit.answered(2)
    first, second = visit.answers()
    assert (first.pop("path"), second.pop("path")) == ("drop.png", "paste.png")
    assert first == second
    visit.page.click("#camera")
    visit.page.click("#camera")  # whoever is impatient gets one camera all the same
    visit.page.wait_for_selector("#keep:enabled")
    assert visit.page.locator("#now .said").inner_text()
    visit.page.click("#keep")
    visit.page.click("#stop")
    visit.answered(3)
    assert visit.answers()[2]["path"].startswith("camera ")
    assert not visit.page.locator("#live").is_visible()
    assert visit.page.evaluate("document.getElementById('video').srcObject") is None
    visit.page.click("#clear")
    assert visit.page.locator(".card").count() == 0


@pytest.mark.network
def test_all_can_be_done_with_the_keyboard(chromium: Any, site: Path) -> None:
    visit = Visit(chromium, site).ready()
    page = visit.page
    order = []
    for _ in range(4):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert order == ["theme", "choose", "camera", "SUMMARY"]
    with page.expect_file_chooser() as told:
        page.focus("#choose")
        page.keyboard.press("Enter")
    told.value.set_files(offered({"one.png": saved(photo(100, 100), "PNG")}))
    visit.answered(1)
    assert "one.png" in page.locator("#status").inner_text()
    page.focus("#theme")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("Enter")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert visit.troubles == []
    visit.close()


@pytest.mark.network
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_takes_the_colours_asked_for(
    chromium: Any, site: Path, scheme: str
) -> None:
    found = Visit(chromium, site, viewport={"width": 360, "height": 740}, color_scheme=scheme).ready()
    long = "a" * 90 + ".png"
    found.page.set_input_files("#files", offered({long: saved(photo(90, 90), "PNG"), "no.png": b"no"}))
    found.answered(2)
    found.page.click("#camera")
    found.page.wait_for_selector("#keep:enabled")
    assert found.page.evaluate("document.documentElement.scrollWidth") <= 360
    paper = found.page.evaluate("getComputedStyle(document.querySelector('section')).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
    for button in found.page.locator("button:visible").all():
        assert button.bounding_box()["height"] >= 24
    assert found.troubles == []
    found.close()


@pytest.mark.network
def test_the_page_itself_forbids_to_send_anything_elsewhere(visit: Visit) -> None:
    with make.Server(("127.0.0.1", 0), make.Handler) as other:
        thread = threading.Thread(target=other.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{other.server_port}/"
        ask = "async (address) => fetch(address, { mode: 'no-cors' }).then(() => 'sent', () => 'blocked')"
        (worker,) = visit.page.workers  # where the pictures are
        blocked = visit.page.evaluate(ask, address), worker.evaluate(ask, address)
        other.shutdown()
        thread.join()
    assert blocked == ("blocked", "blocked")
    assert other.asked == 0
    assert visit.troubles
    assert all("Content Security Policy" in said or address in said for said in visit.troubles)
    visit.troubles.clear()


@pytest.mark.network
def test_a_folder_that_is_not_whole_says_so(chromium: Any, site: Path, tmp_path: Path) -> None:
    for name, broken, said in [
        ("model.onnx", b"short", "model.onnx has 5 bytes and should have"),
        ("model.json", b'{"format": 2}', "model.json has format 2, this page reads 1"),
    ]:
        folder = tmp_path / name.replace(".", "-")
        shutil.copytree(site, folder)
        (folder / name).write_bytes(broken)
        found = Visit(chromium, folder)
        found.page.wait_for_selector("#broken:visible")
        assert said in found.page.locator("#broken").inner_text()
        assert not found.page.locator("#ways").is_visible()
        found.close()


@pytest.mark.network
def test_opened_as_a_file_the_page_says_how_to_serve_it(chromium: Any, site: Path) -> None:
    page = chromium.new_page()
    page.goto((site / "index.html").as_uri())
    assert "python -m http.server" in page.locator("#unserved").inner_text()
    assert not page.locator("#ways").is_visible()
    page.close()


# -- the whole road ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.usefixtures("runtime")
def test_the_exported_folder_answers_as_predict_does(chromium: Any, tmp_path: Path) -> None:
    data = make.parted(tmp_path)
    make.table(data / "classes.csv", [["red", "Red ones", "https://example.org/red"]], "name,title,url")
    model, out = tmp_path / "colours-model", tmp_path / "page"
    headstart.train(data, out=model, backbone="scratch:small-cnn?size=32&width=8", tune="never", report=False)
    line = ["export", model, "--to", "web", "--out", out, "--json", "--data", data, *given()]
    done = CliRunner().invoke(group, list(map(str, line)))
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["path"], told["format"], told["parity"]["agreement"]) == (str(out), "web", 1.0)
    assert told["bytes"] == sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    assert named(out) == set(_page.HOLDS)
    files = [*sorted(data.glob("test/*/*.*"))[::2], tmp_path / "odd.png"]
    noise = np.random.default_rng(0).integers(0, 2, (300, 300, 3)).astype(np.uint8) * 255  # like nothing else
    Image.fromarray(noise).resize((900, 900), Image.Resampling.NEAREST).save(files[-1])
    assert len(files) == 10
    wanted = headstart.load(model).predict(files)
    visit = Visit(chromium, out).ready()
    assert visit.page.title().startswith("colours-model")
    visit.page.set_input_files("#files", files)
    visit.answered(len(files))
    for found, one, file in zip(visit.answers(), wanted, files, strict=True):
        same = {"path": file.name, "label": one.label, "set": list(one.set), "unknown": one.unknown}
        assert {key: found[key] for key in same} == same
        assert found.get("url", "") == one.url
        assert found["probabilities"] == pytest.approx(one.probabilities, abs=1e-4)
        assert found["unknown_score"] == pytest.approx(one.unknown_score, abs=0.01)
    assert visit.troubles == []
    visit.close()
    _check_place(Web, out, force=True)
    (out / "mine.txt").write_text("not of the export")
    with pytest.raises(OutputExists, match=r"mine\.txt"):
        _check_place(Web, out, force=True)
    with pytest.raises(Misuse, match="--runtime is for --to web"):
        export(model, to="onnx", runtime=tmp_path)
