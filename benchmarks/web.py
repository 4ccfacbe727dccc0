"""The web export in Chromium: does it answer as predict does, how fast, and how large is the folder.

A model is trained and exported; Python's own server serves the folder on loopback, and Chromium (headless,
one page) is given pictures of the test part through the page's file chooser. What the page says is taken
from what it saves. The runtime for browsers comes from npm's registry unless HEADSTART_ORT_WEB names it.
"""

import functools
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import _harness
import numpy as np
from _harness import Absent, Bound, Options, Result

SET = "flowers12"
ASKED = 10  # pictures whose answers are compared
MANY = 100  # pictures that are timed together


def measure(asked: Options) -> Iterator[Result]:
    """Agreement, speed, size and start of one exported folder."""
    import headstart
    from headstart.engines import open_engine
    from headstart.export import export

    chromium = shutil.which("chromium")
    if chromium is None:
        raise Absent("no chromium is installed: apt-get install chromium")
    source = _harness.picture_set(asked, SET)
    runs = 2 if asked.quick else asked.extra.runs
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        data = _harness.some(source, place / SET, 8 if asked.quick else 10_000)
        model = headstart.train(data, out=place / "model", report=False)
        folder = export(
            place / "model", to="web", data=data, runtime=os.environ.get("HEADSTART_ORT_WEB")
        ).path
        held = [one.path for one in model.manifest if one.part == "test"] or [
            one.path for one in model.manifest
        ]
        ten = [data / held[int(at)] for at in np.linspace(0, len(held) - 1, ASKED)]
        many = [data / held[at % len(held)] for at in range(20 if asked.quick else MANY)]
        precision = open_engine(model.backbone).precision
        exactly = "cpu" if precision == "f32" else "torch"  # the page computes in float32, see docs/export.md
        wanted = list(model.predict(ten, device=exactly))
        with _page(chromium, folder) as (page, started):
            said, _ = _answers(page, ten)
            took = [1000 * _answers(page, many)[1] / len(many) for _ in range(runs)]
        sizes = {
            str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()
        }
    gaps = [
        max(abs(own["probabilities"][name] - share) for name, share in one.probabilities.items())
        for own, one in zip(said, wanted, strict=True)
    ]
    yield Result(
        "pictures of ten that get the same label in the browser as from predict",
        sum(own["label"] == one.label for own, one in zip(said, wanted, strict=True)),
        f"of {ASKED}",
        Bound("==", ASKED),
        ASKED,
        1,
        None,
        {
            "max_probability_gap": max(gaps),
            "same_unknown": sum(own["unknown"] == one.unknown for own, one in zip(said, wanted, strict=True)),
            "same_set": sum(own["set"] == list(one.set) for own, one in zip(said, wanted, strict=True)),
            "precision_of_predict": precision,
            "set": SET,
        },
    )
    yield Result(
        "web export in Chromium, from file to answer, per picture",
        float(np.median(took)),
        "ms",
        None,
        len(many),
        runs,
        _harness.ends(took),
        {"threads": 1, "backbone": model.backbone.name},
    )
    yield Result(
        "web export in Chromium, from opening the page to its being ready, loopback",
        started,
        "s",
        None,
        0,
        1,
    )
    yield Result(
        "size of the folder for the browser",
        sum(sizes.values()) / 1e6,
        "MB",
        None,
        0,
        1,
        None,
        {name: sizes[name] for name in ("model.onnx", "runtime/ort.wasm")},
    )


@contextmanager
def _page(chromium: str, folder: Path) -> Iterator[tuple[Any, float]]:
    """The served folder in a browser, ready to be asked, and the seconds that took."""
    from playwright.sync_api import sync_playwright

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with sync_playwright() as play:
                browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                page = browser.new_page()
                begin = time.perf_counter()
                page.goto(f"http://127.0.0.1:{server.server_port}/")
                page.wait_for_selector("body[data-ready=yes]")
                yield page, time.perf_counter() - begin
                browser.close()
        finally:
            server.shutdown()
            thread.join()


def _answers(page: Any, files: list[Path]) -> tuple[list[dict[str, Any]], float]:
    """What the page says of these files, and the seconds that it took."""
    begin = time.perf_counter()
    page.set_input_files("#files", files)
    page.wait_for_selector(f"#cards[data-answered='{len(files)}']")
    took = time.perf_counter() - begin
    with page.expect_download() as told:
        page.click("#save")
    found = [json.loads(line) for line in Path(told.value.path()).read_text("utf-8").splitlines()]
    page.click("#clear")
    return found, took


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--runs", {"type": int, "default": 5}))
