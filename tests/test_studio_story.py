"""The studio in a real browser: a new user's story, and the same with the server killed in the middle."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import make
import pytest

import headstart

pytestmark = pytest.mark.slow
WAIT_MS = 120_000  # training on a busy machine, where the network may have to be converted first


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("HEADSTART_BROWSER") == "required":
            pytest.fail("HEADSTART_BROWSER=required, and no chromium is installed: apt-get install chromium")
        pytest.skip("no chromium is installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox", *camera])
        yield browser
        browser.close()


class Server:
    """`headstart studio` as a process of its own."""

    def __init__(self, root: Path, data: Path) -> None:
        self.root, self.data, self.port = root, data, 0
        self.link = ""
        self.start()

    def start(self) -> None:
        code = "import sys; from headstart.cli import main; sys.argv[0] = 'headstart'; main()"
        asked = ["studio", self.root, "--data", self.data, "--no-browser", "--port", str(self.port), "--json"]
        line = [sys.executable, "-c", code, *map(str, asked)]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        told = ""
        while not told.endswith("}\n"):
            more = self.process.stdout.readline()
            assert more, "the studio did not start"
            told += more
        self.link = json.loads(told)["url"]
        self.port = int(self.link.split(":")[2].partition("/")[0])

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def end(self) -> int:
        return self._signal(signal.SIGINT)

    def _signal(self, what: signal.Signals) -> int:
        self.process.send_signal(what)
        assert self.process.stdout is not None
        with self.process.stdout:
            return self.process.wait(30)

    @property
    def site(self) -> str:
        return self.link.partition("/?")[0]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "data").mkdir()
    found = Server(tmp_path / "root", tmp_path / "data")
    yield found
    if found.process.poll() is None:
        found.kill()


class Visit:
    """A page, and all that it complained of or asked somebody else for."""

    def __init__(self, browser: Any, server: Server, *, width: int = 1280, scheme: str = "light") -> None:
        self.site = server.site
        self.context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            reduced_motion="reduce",
            permissions=["camera"],
        )
        self.context.set_default_timeout(WAIT_MS)
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self._said)
        self.page.on("request", self._asked)
        self.page.goto(server.link)
        self.page.wait_for_selector("main")

    def _said(self, message: Any) -> None:
        # a stopped server, and the report's own dialog inside its frame, are told of by the browser itself
        if not re.search("ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|Blocked autofocus", message.text):
            self.troubles.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("data:", "blob:", self.site + "/")):
            self.troubles.append(f"asked for {request.url}")

    def give(self, button: str, files: list[Path]) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.page.click(button)
        chooser.value.set_files([str(file) for file in files])

    def name(self, said: str) -> None:
        self.page.fill("dialog input", said)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("dialog", state="detached")

    def fits(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def pictures(tmp_path: Path, count: int = 14) -> Path:
    return make.folder(tmp_path / "made", {"red": count, "green": count}, jitter=24)


def story(visit: Visit, made: Path, tmp_path: Path) -> None:
    """From an empty page to an answer and a downloaded model."""
    page = visit.page
    page.click("text=New project")
    visit.name("My fruit")
    for name in ("red", "green"):
        page.click("main >> text=New class")
        visit.name(name)
        files = sorted((made / name).iterdir())
        visit.give(f"section[aria-label={name}] >> text=Choose files", files)
        page.wait_for_selector(f"section[aria-label={name}] .badge >> text={len(files)} pictures")
    page.click("text=Go and train")
    page.click("[data-key=train]")
    page.wait_for_selector("#going")
    page.reload()  # the bar goes on
    page.wait_for_selector("section.run")
    assert "Right on" in page.inner_text("section.run .claim")
    page.click("text=Show the report")
    report = page.frame_locator("iframe")
    assert "How good is 1-model" in report.locator("#verdict-title").inner_text()
    with page.expect_download() as got:
        page.click("text=Download the model")
    with zipfile.ZipFile(got.value.path()) as archive:
        archive.extractall(tmp_path / "taken")
    page.click("nav >> text=Try")
    visit.give("[data-key=try-files]", [make_one(tmp_path)])
    page.wait_for_selector(".bars")
    assert page.inner_text(".tried .bars .first .bar-name") == "green"
    before = page.get_attribute(".tried img >> nth=0", "src")
    page.click("text=Where it looked")
    assert page.get_attribute(".tried img >> nth=0", "src") != before
    assert page.locator(".tried .strip img").count() > 0


def make_one(tmp_path: Path) -> Path:
    file = tmp_path / "new.png"
    make.picture(make.TINTS["green"], 500, jitter=5).save(file)
    return file


def test_a_new_user_makes_a_classifier_and_takes_it_away(
    chromium: Any, server: Server, tmp_path: Path
) -> None:
    made = pictures(tmp_path)
    visit = Visit(chromium, server)
    story(visit, made, tmp_path)
    assert visit.troubles == []
    base = server.root / "My fruit"
    for name in ("red", "green"):
        own = sorted(path.read_bytes() for path in (base / "pictures" / name).iterdir())
        assert own == sorted(path.read_bytes() for path in (made / name).iterdir())
    # what was downloaded answers as the page did
    (folder,) = (tmp_path / "taken").iterdir()
    model = headstart.load(folder)
    (said,) = model.predict(tmp_path / "new.png")
    assert said.label == "green"
    shown = visit.page.inner_text(".tried .bars .first .bar-p").replace("\u00a0", " ")
    assert shown in (f"{round(100 * said.probability)} %", "> 99 %" if said.probability > 0.995 else "")
    # and is exported, after it was compared with the model
    page = visit.page
    page.click("nav >> text=Train")
    page.click("text=Export …")
    page.click(".menu >> text=OpenVINO")
    page.wait_for_selector("text=compared first")
    with page.expect_download() as got:
        page.click(".exports a")
    with zipfile.ZipFile(got.value.path()) as archive:
        assert any(name.endswith(".xml") for name in archive.namelist())
    assert visit.troubles == []
    watched(chromium, server)
    # every view fits a phone and the dark, and Escape closes what is open
    phone = Visit(chromium, server, width=390, scheme="dark")
    for view in ("", "/check", "/train", "/try", "/next", "/history"):
        phone.page.goto(f"{server.site}/#/My%20fruit{view}")
        phone.page.wait_for_selector("nav [aria-current]")
        phone.page.wait_for_timeout(150)
        assert phone.fits(), view
    assert phone.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 26)"
    assert phone.troubles == []
    assert server.end() in (0, 130)


SLOW_CAMERA = """
  window.streams = [];
  const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (asked) => {
    await new Promise((resolve) => setTimeout(resolve, 400));
    const found = await real(asked);
    streams.push(found);
    return found;
  };
"""  # the browser asks its user first


def watched(chromium: Any, server: Server) -> None:
    """The camera that watches: one stream, none once it is left, and the run that is chosen answers."""
    runs = server.root / "My fruit" / "runs"
    shutil.copytree(runs / "1-model", runs / "2-model")
    visit = Visit(chromium, server)
    page = visit.page
    page.add_init_script(SLOW_CAMERA)
    page.goto(f"{server.site}/#/My%20fruit/try")
    page.reload()
    live = "streams.filter((one) => one.getTracks()[0].readyState === 'live').length"
    page.dblclick("[data-key=try-live]")
    page.wait_for_function("() => streams.length === 2")
    page.wait_for_selector("text=Stop the camera")
    assert page.evaluate(live) == 1
    with page.expect_request("**/2-model/try?full=0"):
        pass
    page.select_option("[data-key=try-run]", "1-model")
    with page.expect_request("**/1-model/try?full=0"):
        pass
    page.wait_for_selector(".tried .bars")
    page.click("[data-key=try-closely]")
    page.wait_for_selector("text=Where it looked")
    page.click("text=Stop the camera")
    page.wait_for_function(f"() => {live} === 0")
    page.click("[data-key=try-live]")
    page.click("nav >> text=Train")
    page.wait_for_function("() => streams.length === 3")
    page.wait_for_function(f"() => {live} === 0")
    page.click("nav >> text=Try")
    page.wait_for_selector("text=Watch through the camera")
    assert visit.troubles == []
    shutil.rmtree(runs / "2-model")


def test_what_was_made_is_there_after_the_server_was_killed(
    chromium: Any, server: Server, tmp_path: Path
) -> None:
    made = pictures(tmp_path)
    visit = Visit(chromium, server)
    page = visit.page
    page.click("text=New project")
    visit.name("Kept")
    page.click("main >> text=New class")
    visit.name("red")
    visit.give("section[aria-label=red] >> text=Choose files", sorted((made / "red").iterdir()))
    page.wait_for_selector("section[aria-label=red] .badge >> text=14 pictures")
    server.kill()
    page.wait_for_selector("#banner:not([hidden])")
    server.start()
    page.wait_for_selector("#banner", state="hidden")
    # the page that was open goes on: no new link is needed
    page.click("text=New class")
    visit.name("green")
    visit.give("section[aria-label=green] >> text=Choose files", sorted((made / "green").iterdir()))
    page.wait_for_selector("section[aria-label=green] .badge >> text=14 pictures")
    page.click("text=Go and train")
    page.click("[data-key=train]")
    page.wait_for_selector("#going")
    children = children_of(server.process.pid)
    server.kill()
    page.wait_for_selector("#banner:not([hidden])")
    end = time.monotonic() + 30
    while any(is_alive(child) for child in children):
        assert time.monotonic() < end, "the work goes on without its studio"
        time.sleep(0.05)
    server.start()
    page.wait_for_selector("#banner", state="hidden")
    page.wait_for_selector("text=Go on")
    assert "was interrupted" in page.inner_text(".note")
    page.click("text=Go on")
    page.wait_for_selector("section.run")
    assert visit.troubles == []
    for name in ("red", "green"):
        own = sorted(path.read_bytes() for path in (server.root / "Kept" / "pictures" / name).iterdir())
        assert own == sorted(path.read_bytes() for path in (made / name).iterdir())
    assert [path.name for path in (server.root / "Kept" / "runs").iterdir() if path.name[0] != "."] == [
        "2-model"
    ]


def test_what_was_on_its_way_when_the_server_was_killed_comes_in_once(
    chromium: Any, server: Server, tmp_path: Path
) -> None:
    from playwright.sync_api import Error

    made = pictures(tmp_path, 60)
    visit = Visit(chromium, server)
    page = visit.page
    page.click("text=New project")
    visit.name("Sent")
    page.click("main >> text=New class")
    visit.name("red")
    base = server.root / "Sent" / "pictures"
    # a picture is committed, and its answer does not reach the page
    lost = 0

    def lose_some_answers(route: Any) -> None:
        nonlocal lost
        lost += 1
        if lost % 7 == 3:
            with suppress(Error):  # the server may be dead just then
                route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route("**/pictures?*", lose_some_answers)
    files = sorted((made / "red").iterdir())
    visit.give("section[aria-label=red] >> text=Choose files", files)
    while len(list((base / "red").iterdir())) < 9:
        page.wait_for_timeout(10)
    server.kill()
    page.wait_for_selector("#banner:not([hidden])")
    server.start()
    page.wait_for_selector("section[aria-label=red] .badge >> text=60 pictures")
    page.wait_for_selector(".toast >> text=60 pictures were added.")
    assert sorted(path.read_bytes() for path in (base / "red").iterdir()) == sorted(
        path.read_bytes() for path in files
    )
    assert lost > 60
    page.unroute("**/pictures?*")
    # it was one step
    page.click("nav >> text=History")
    page.wait_for_selector(".log >> text=60 pictures added: red")
    page.click("nav >> text=Pictures")
    # the camera goes on while the server is away, and counts what is safe
    page.click("[data-key=camera-red]")
    page.wait_for_selector(".shutter")
    page.hover(".shutter")
    page.mouse.down()
    page.wait_for_selector("text=/[2-9] pictures taken/")
    server.kill()
    page.wait_for_selector("text=/[5-9] more on their way/")
    before = int(re.findall(r"\d+", page.inner_text("dialog .count"))[0])
    shots = len(list((base / "red").iterdir())) - 60
    assert before <= shots <= before + 3, "only what is safe is counted"
    page.mouse.up()
    waiting = int(re.findall(r"\d+", page.inner_text("dialog .count"))[1])
    server.start()
    page.wait_for_function(
        "n => new RegExp(`^${n} pictures taken$`).test(document.querySelector('dialog .count').textContent)",
        arg=before + waiting,
    )
    page.keyboard.press("Escape")
    page.wait_for_selector(f"section[aria-label=red] .badge >> text={60 + before + waiting} pictures")
    assert len(list((base / "red").iterdir())) == 60 + before + waiting
    assert not [path for path in (base / "red").iterdir() if "(" in path.name]
    assert [said for said in visit.troubles if "ERR_FAILED" not in said] == []


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`, where the system tells; at least one."""
    tasks = Path(f"/proc/{pid}/task")
    if not tasks.is_dir():
        pytest.skip("this system does not list child processes")
    found = [int(word) for file in tasks.glob("*/children") for word in file.read_text().split()]
    assert found
    return found


def is_alive(pid: int) -> bool:
    file = Path(f"/proc/{pid}/stat")
    return file.exists() and file.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_folder_is_one_step_with_the_classes_that_it_makes(
    chromium: Any, server: Server, tmp_path: Path
) -> None:
    made = pictures(tmp_path, 4)
    (made / "red").rename(made / "re:d\u200f")
    (made / "green" / "0000.png").rename(made / "green" / "12:30.png")
    visit = Visit(chromium, server)
    page = visit.page
    page.click("text=New project")
    visit.name("Folders")
    with page.expect_file_chooser() as chooser:
        page.click("[data-key=first-folder]")
    chooser.value.set_files(str(made))
    page.wait_for_selector(".toast >> text=8 pictures were added.")
    base = server.root / "Folders" / "pictures"
    assert {one.name for one in base.iterdir()} == {"green", "re_d\u200f"}
    assert (base / "green" / "12_30.png").is_file()
    page.click("nav >> text=History")
    page.wait_for_selector(".log >> text=8 pictures added to 2 classes")
    page.click(".log >> text=Undo")
    page.wait_for_selector(".log >> text=undone")
    assert not list(base.iterdir())
    assert visit.troubles == []


def test_keys_drops_undo_and_two_tabs(chromium: Any, server: Server, tmp_path: Path) -> None:
    made = pictures(tmp_path, 3)
    one = Visit(chromium, server)
    page = one.page
    page.focus("[data-key=new-project]")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert page.evaluate("document.activeElement.dataset.key") == "new-project"
    page.keyboard.press("Enter")
    one.name("tabs")
    page.wait_for_selector("[data-key=first-class]")
    # a folder with two folders is dropped beside every class: each becomes a class
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for file in made.rglob("*.*"):
            archive.write(file, file.relative_to(tmp_path))
        archive.writestr("made/../../evil.png", b"\x89PNG\r\n\x1a\n")
    drop(page, "#page", "in.zip", (tmp_path / "in.zip").read_bytes())
    page.wait_for_selector("section[aria-label=red] .tile-of >> nth=2")
    page.wait_for_selector("section[aria-label=green] .tile-of >> nth=2")
    assert not list(tmp_path.rglob("evil.png"))
    drop(page, "section[aria-label=red]", "more.png", make_one(tmp_path).read_bytes())
    page.wait_for_selector("section[aria-label=red] .tile-of >> nth=3")
    # what one tab does, the other shows; what it does not know of, it does not destroy
    two = Visit(chromium, server)
    two.page.goto(f"{server.site}/#/tabs")
    two.page.wait_for_selector("section[aria-label=red] .tile-of >> nth=3")
    two.page.check("section[aria-label=red] .pick >> nth=0", force=True)
    two.page.check("section[aria-label=red] .pick >> nth=1", force=True)
    two.page.click(".chosen-bar >> text=Remove")
    page.wait_for_selector("section[aria-label=red] .badge >> text=2 pictures")
    page.keyboard.press("Control+z")
    two.page.wait_for_selector("section[aria-label=red] .badge >> text=4 pictures")
    # a class is renamed by keyboard
    page.focus("[data-key=menu-red]")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    one.name("ripe <b>&")
    page.wait_for_selector(".toast.is-bad >> text=cannot have these signs")
    page.focus("[data-key=menu-red]")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    one.name("ripe & round")
    two.page.wait_for_selector("h2 >> text=ripe & round")
    # the camera: held down for a moment
    page.click("[data-key=camera-green]")
    page.wait_for_selector(".shutter")
    page.hover(".shutter")
    page.mouse.down()
    page.wait_for_selector("text=/[2-9] pictures taken/")
    page.mouse.up()
    page.keyboard.press("Escape")
    page.wait_for_selector("section[aria-label=green] .tile-of >> nth=4")
    troubles = [said for said in one.troubles + two.troubles if "400" not in said]
    assert troubles == []


def drop(page: Any, target: str, name: str, data: bytes) -> None:
    """Drop one file, as the system does it."""
    page.evaluate(
        """([target, name, data]) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          const type = name.endsWith('zip') ? 'application/zip' : 'image/png';
          transfer.items.add(new File([bytes], name, {type}));
          const place = document.querySelector(target);
          for (const kind of ['dragenter', 'dragover', 'drop'])
            place.dispatchEvent(
              new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }""",
        [target, name, base64.b64encode(data).decode()],
    )


@pytest.mark.data
def test_real_pictures_are_checked_set_right_and_learnt(chromium: Any, server: Server, real: Path) -> None:
    for name in ("ants", "bees"):
        own = server.data / "insects" / name
        own.mkdir(parents=True)
        for file in sorted((real / "hymenoptera" / "train" / name).iterdir())[:20]:
            shutil.copy(file, own)
    moved = sorted((server.data / "insects" / "ants").iterdir())[4]
    shutil.copy(moved, server.data / "insects" / "bees" / "twin.jpg")
    (server.data / "insects" / "ants" / "broken.jpg").write_bytes(moved.read_bytes()[:2000])
    visit = Visit(chromium, server)
    page = visit.page
    page.click("text=New project")
    visit.name("Insects")
    page.click("main >> text=Look through folders")
    page.click(".folder-list button >> text=insects")
    page.click("text=Bring its 2 folders as classes")
    page.wait_for_selector("section[aria-label=bees] .badge >> text=21 pictures")
    page.click("nav >> text=Check")
    page.click("[data-key=check]")
    page.wait_for_selector("h2 >> text=Cannot be read")
    page.click("text=Remove it >> nth=0")
    page.wait_for_selector("h2 >> text=Cannot be read", state="detached")
    page.click("text=“ants” is right")
    page.wait_for_selector("h2 >> text=The same picture under two labels", state="detached")
    base = server.root / "Insects" / "pictures"
    assert not (base / "ants" / "broken.jpg").exists()
    assert not (base / "bees" / "twin.jpg").exists()
    page.keyboard.press("Control+z")
    page.wait_for_selector("h2 >> text=The same picture under two labels")
    page.click("text=“ants” is right")
    page.click("nav >> text=Train")
    page.click("[data-key=train]")
    page.wait_for_selector("section.run")
    right, n = map(int, re.findall(r"\d+", page.inner_text("section.run .claim"))[:2])
    assert n == 40
    assert right >= 32
    page.click("nav >> text=Try")
    strange = min((real / "flowers12" / "test" / "daisy").iterdir())
    visit.give("[data-key=try-files]", [strange])
    page.wait_for_selector(".bars")
    (said,) = headstart.load(base.parent / "runs" / "1-model").predict(strange)
    wanted = "Unlike anything it was taught" if said.unknown else said.label
    assert page.inner_text(".tried .claim") == wanted
    page.click("nav >> text=Label next")
    visit.give("[data-key='files-']", sorted((real / "hymenoptera" / "val" / "bees").iterdir())[:8])
    page.wait_for_selector(".class .badge >> text=8 pictures")
    page.click("[data-key=next]")
    page.wait_for_selector(".ask")
    page.click(".ask >> nth=0 >> button >> text=bees")
    page.wait_for_selector(".class .badge >> text=7 pictures")
    assert len(list((base / "bees").iterdir())) == 21
    assert [said for said in visit.troubles if "415" not in said] == []


def test_the_command_answers_with_its_link_and_ends_well(server: Server) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=\S{40,}", server.link)
    request = Request(server.link, headers={"host": "evil.example"})  # noqa: S310  our own address
    with pytest.raises(OSError, match="403"):
        urlopen(request)  # noqa: S310
    code = "import sys; from headstart.cli import main; sys.argv[0] = 'headstart'; main()"
    line = [sys.executable, "-c", code, "studio", str(server.root), "--no-browser"]
    second = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert second.returncode == 2
    assert "is open on" in second.stderr
    assert server.end() in (0, 130)
