"""Five things, drawn by our own renderer: embedded, so that the whole story can be told offline."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.data.render.things import THINGS, draw
from headstart.data.samples import Progress
from headstart.files import cores, folder_whole

SUMMARY = "1,000 drawn pictures of hats, cubes, cards, torches and screws (embedded, works offline)"
SOURCE = """Five things: Card, Cube, Hat, Screw, Torch. No photographs: headstart draws them when asked.

Each picture has its own shape, colours, camera, light, ground and clutter. All but the thing itself is drawn
by chance in the same way for each class, so that nothing else tells the class.

Drawn by headstart and under its licence, Apache-2.0, https://www.apache.org/licenses/LICENSE-2.0
"""
SIDE_PX = 160
PER_CLASS = 200


def write(
    folder: Path, *, progress: Progress | None = None, per_class: int = PER_CLASS, seed: int = 0
) -> int:
    """Write `per_class` pictures of each thing to `folder`, one folder per class. How many there are.

    The same seed draws the same pixels on every machine. They are packed as JPEG, whose bytes, by which parts
    are dealt out, are the same with the same version of Pillow.
    """
    wanted = [(name, number) for number in range(per_class) for name in THINGS]
    with folder_whole(folder) as part, ThreadPoolExecutor(cores()) as workers:
        for name in THINGS:
            (part / name).mkdir()
        drawn = workers.map(lambda one: jpeg(*one, seed=seed), wanted)
        for done, ((name, number), body) in enumerate(zip(wanted, drawn, strict=True), start=1):
            (part / name / f"{number:04d}.jpg").write_bytes(body)
            if progress:
                progress("pictures", done, len(wanted))
        (part / "README.md").write_text(SOURCE, encoding="utf-8", newline="\n")
    return len(wanted)


def jpeg(name: str, number: int, *, seed: int = 0) -> bytes:
    """The picture `number` of the thing called `name`, as a JPEG file of a quality drawn for it."""
    numbers = [seed, list(THINGS).index(name), number]
    quality = int(np.random.default_rng([*numbers, 2]).integers(72, 93))
    out = io.BytesIO()
    Image.fromarray(draw(name, numbers, SIDE_PX)).save(out, "JPEG", quality=quality)
    return out.getvalue()
