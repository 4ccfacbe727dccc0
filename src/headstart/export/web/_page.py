"""The page around a model: written from the files beside this one, with what the model says of itself."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from headstart.export.web._runtime import NAMES
from headstart.files import digest_file
from headstart.report.page import style

MODEL, JSON, README, RUNTIME = "model.onnx", "model.json", "README.txt", "runtime"
ASSETS = ("index.html", "page.js", "worker.js", "picture.js", "answer.js")
STYLE = "style.css"  # the report's, and what this page has beside it
HOLDS = (*ASSETS, STYLE, MODEL, JSON, README, *(f"{RUNTIME}/{name}" for name in NAMES))

_README = """\
{title}: a page that tells what is in a picture, in the browser.

No picture leaves the device it is on. There is no program to run on a server: any static web host will do.
To try it on this machine:

    python -m http.server --bind 127.0.0.1 --directory FOLDER

and open http://127.0.0.1:8000/ (FOLDER is the one that this file lies in). A browser does not load the parts
of a page that was opened as a file. The camera works at https addresses and at localhost.

model.onnx   the model: pixels in, calibrated probabilities out. {backbone}, {licence}
model.json   its classes, links, thresholds and preprocessing
runtime/     ONNX Runtime (MIT, see LICENSE.txt and ThirdPartyNotices.txt there)
"""


def write(place: Path, document: Mapping[str, Any], title: str, runtime: Mapping[str, bytes]) -> None:
    """Put the page into the folder `place`, where the model lies already as model.onnx.

    `document` is what the model says of itself, `title` its name for people.
    """
    assets = files("headstart.export.web").joinpath("assets")
    for name in ASSETS:
        (place / name).write_bytes(assets.joinpath(name).read_bytes())
    sheet = f"{style()}{assets.joinpath('web.css').read_text(encoding='utf-8')}"
    (place / STYLE).write_text(sheet, encoding="utf-8", newline="\n")
    (place / RUNTIME).mkdir()
    for name, data in runtime.items():
        (place / RUNTIME / name).write_bytes(data)
    sizes = {
        name: {"bytes": (place / name).stat().st_size, "sha256": digest_file(place / name)}
        for name in (MODEL, f"{RUNTIME}/ort.wasm")
    }
    told = {**document, "title": title, "files": sizes}
    (place / JSON).write_text(json.dumps(told), encoding="utf-8", newline="\n")
    backbone = document["backbone"]
    readme = _README.format(title=title, backbone=backbone["name"], licence=backbone["licence"])
    (place / README).write_text(readme, encoding="utf-8", errors="backslashreplace", newline="\n")
