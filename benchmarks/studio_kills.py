"""SIGKILL of the studio's server at random moments of a whole story: nothing that it had confirmed is lost.

The story goes over HTTP as the page goes: a project, two classes, pictures one by one, a rename, a removal
and its undoing, an archive, training, an answer for a picture. The server is killed once in each trial, at a
moment drawn evenly over the time that an undisturbed story takes, and started again on the same folder;
whoever tells the story asks again for what was not confirmed, pictures and archives by the key that they had,
as the page does. At the end every confirmed picture must be in its class with its bytes and no picture there
twice, every class must be there, and the model must answer.
"""

import http.client
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import _generate
import _harness
import numpy as np
from _harness import Bound, Options, Result

PER_CLASS = 12
TROUBLES = (OSError, http.client.HTTPException)
LINK = re.compile(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)")
PROJECT = "/api/projects/fruit"


class Server:
    """The studio as a process of its own, which may be killed and started again."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.root, self.cache = root, cache
        self.process: subprocess.Popen[str] | None = None
        self.port, self.token = 0, ""
        self.deaths = 0

    def start(self) -> None:
        code = "import sys; from headstart.cli import main; sys.argv[0] = 'headstart'; main()"
        line = _harness.python(
            "-c", code, "studio", self.root, "--no-browser", "--port", str(self.port), "--json"
        )
        around = os.environ | {"HEADSTART_CACHE": str(self.cache)}
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=around)
        assert self.process.stdout is not None
        told = ""
        while not (found := LINK.search(told)):
            more = self.process.stdout.readline()
            if not more:
                raise RuntimeError(f"the studio did not start: {told}")
            told += more
        self.port, self.token = int(found[1]), found[2].rstrip('",')

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.deaths += 1

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        """One request, on a connection of its own."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            kind = {
                "content-type": "application/json",
                "cookie": f"headstart-studio-{self.port}={self.token}",
            }
            line.request(method, path, body, kind)
            answer = line.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data[:1] in (b"{", b"[") else data
        finally:
            line.close()


class Story:
    """What a user does, and what was confirmed to him."""

    def __init__(self, server: Server, pictures: dict[str, list[bytes]]) -> None:
        self.server, self.pictures = server, pictures
        self.confirmed: list[bytes] = []  # pictures
        self.classes: set[str] = set()
        self.answered = False
        self.again = 0  # requests that were made again

    def do(self, method: str, path: str, body: Any = None, *, fine: tuple[int, ...] = ()) -> Any:
        """Ask until the studio answers: it may be dead for a while."""
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        end = time.monotonic() + 120
        while True:
            try:
                status, found = self.server.ask(method, path, data)
                break
            except TROUBLES:
                if time.monotonic() > end:
                    raise
                self.again += 1
                time.sleep(0.05)
        if status >= 400 and status not in fine:
            raise RuntimeError(f"{method} {path}: {status} {found}")
        return found

    def tell(self) -> None:
        """From the first project to the first answer."""
        self.do("POST", "/api/projects", {"name": "fruit"}, fine=(409,))
        for name in ("ripe", "raw"):
            self.do("POST", f"{PROJECT}/classes", {"name": name, "may_exist": True})
            self.classes.add(name)
        for name in ("ripe", "raw"):
            for number, data in enumerate(self.pictures[name]):
                asked = urlencode(
                    {"label": name, "name": f"{number}.jpg", "batch": name, "key": f"{name}-{number}"}
                )
                self.do("POST", f"{PROJECT}/pictures?{asked}", data)
                self.confirmed.append(data)
        revision = self.state()["revision"]
        self.do(
            "POST",
            f"{PROJECT}/classes/rename",
            {"name": "raw", "to": "unripe", "revision": revision},
            fine=(404, 409),
        )
        self.classes = {"ripe", "unripe"}
        first = next(one for one in self.state()["classes"] if one["name"] == "ripe")["pictures"][0][0]
        self.do("POST", f"{PROJECT}/move", {"pictures": [["ripe", first]], "to": None}, fine=(404,))
        gone = next((one for one in self.state()["changes"] if one["kind"] == "pictures-deleted"), None)
        if gone is not None:
            self.do("POST", f"/api/changes/{gone['id']}/undo", fine=(409,))
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as out:
            for number, data in enumerate(self.pictures["more"]):
                out.writestr(f"ripe/more {number}.jpg", data)
        self.do("POST", f"{PROJECT}/zip?batch=zip&key=zip", archive.getvalue())
        self.confirmed += self.pictures["more"]
        while not self.state()["runs"]:
            state = self.state()
            if state["job"] is None and not state["runs"]:
                self.do("POST", f"{PROJECT}/train", {}, fine=(409,))
            time.sleep(0.1)
        run = self.state()["runs"][0]["name"]
        said = self.do("POST", f"{PROJECT}/runs/{quote(run)}/try?full=1", self.pictures["ripe"][0])
        self.answered = said["label"] in self.classes and said["heat"].startswith("data:")

    def state(self) -> Any:
        return self.do("GET", PROJECT)


def lost(story: Story, root: Path) -> dict[str, Any]:
    """What was confirmed and is not there."""
    base = root / "fruit"
    there = {
        file.read_bytes()
        for file in base.rglob("*.jpg")
        if "runs" not in file.parts and ".incoming" not in file.parts
    }
    classes = {entry.name for entry in (base / "pictures").iterdir()}
    shown: dict[bytes, int] = {}
    for name in story.classes:
        for path in (base / "pictures" / name).glob("*.jpg"):
            shown[path.read_bytes()] = shown.get(path.read_bytes(), 0) + 1
    return {
        "pictures": sum(data not in there for data in story.confirmed),
        "not in their class": sum(data not in shown for data in story.confirmed),
        "twice": sum(shown.get(data, 0) > 1 for data in set(story.confirmed)),
        "classes": len(story.classes - classes),
        "unanswered": int(not story.answered),
    }


def once(
    place: Path, cache: Path, pictures: dict[str, list[bytes]], after_s: float | None
) -> tuple[Story, float]:
    """The story once, killed after so many seconds."""
    root = place / "root"
    shutil.rmtree(root, ignore_errors=True)
    server = Server(root, cache)
    server.start()
    story = Story(server, pictures)
    trouble: list[BaseException] = []

    def run(tell: Callable[[], None]) -> None:
        try:
            tell()
        except BaseException as error:  # noqa: BLE001  raised below
            trouble.append(error)

    begin = time.perf_counter()
    teller = threading.Thread(target=run, args=(story.tell,))
    teller.start()
    if after_s is not None:
        teller.join(after_s)
        server.kill()
        server.start()
    teller.join()
    took = time.perf_counter() - begin
    assert server.process is not None
    server.process.send_signal(signal.SIGINT)
    server.process.wait(30)
    if trouble:
        raise trouble[0]
    return story, took


def measure(asked: Options) -> Iterator[Result]:
    """Tell the story undisturbed, then with kills."""
    kills = 3 if asked.quick else asked.extra.kills
    rng = np.random.default_rng(asked.extra.seed)
    with _harness.workplace() as place:
        folder = _generate.folder(place / "made", 3 * PER_CLASS, classes=3)
        files = [sorted(own.rglob("*.*")) for own in sorted(folder.iterdir()) if own.is_dir()]
        held = dict(
            zip(("ripe", "raw", "more"), ([f.read_bytes() for f in own] for own in files), strict=True)
        )
        cache = _harness.with_network(place / "cache")
        story, lasting = once(place, cache, held, None)
        assert not any(lost(story, place / "root").values()), "the story loses things by itself"
        total: dict[str, int] = {}
        moments, again, left = [], 0, []
        for _ in range(kills):
            cache = _harness.with_network(place / "cache")
            moment = float(rng.uniform())
            story, _ = once(place, cache, held, moment * lasting)
            moments.append(moment)
            again += story.again
            for name, count in lost(story, place / "root").items():
                total[name] = total.get(name, 0) + count
            left += [path.name for path in (place / "root").rglob(".incoming/*/*")]
    yield Result(
        "studio killed: pictures and classes lost",
        total["pictures"] + total["not in their class"] + total["classes"],
        f"of {kills} kills",
        Bound("==", 0),
        kills,
        1,
        None,
        {
            **total, "moments": [min(moments), max(moments)], "requests_made_again": again,
            "confirmed_in_each_story": len(story.confirmed), "leftovers": len(left), "story_s": lasting,
        },
    )  # fmt: skip
    yield Result(
        "studio killed: pictures that came in twice",
        total["twice"],
        f"of {kills} kills",
        Bound("==", 0),
        kills,
        1,
    )
    yield Result(
        "studio killed: stories that do not reach an answer",
        total["unanswered"],
        f"of {kills} kills",
        Bound("==", 0),
        kills,
        1,
    )


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    _harness.main(
        measure, __doc__, ("--kills", {"type": int, "default": 20}), ("--seed", {"type": int, "default": 0})
    )
