"""The docs site: built without a warning, complete, and asking nobody else for anything."""

import http.server
import inspect
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import site_comments
import site_hooks
import site_nav
import site_pages

import headstart
from headstart import backbones, errors, heads, values
from headstart.cli import group

ROOT = Path(__file__).parents[1]
LOADS = {  # attributes by which a page asks for something, by their tags
    "script": ("src",), "img": ("src", "srcset"), "iframe": ("src",), "source": ("src", "srcset"),
    "video": ("src", "poster"), "audio": ("src",), "embed": ("src",), "object": ("data",), "use": ("href",),
    "image": ("href",), "input": ("src",), "form": ("action",),
}  # fmt: skip
LINKS = {
    "stylesheet",
    "icon",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "manifest",
    "modulepreload",
}
AWAY = re.compile(r"(https?:)?//", re.I)
# What the theme's script could load from elsewhere, and what a page would have to hold for it to do so.
DORMANT = {
    "https://unpkg.com/mermaid": 'class="mermaid"',
    "https://unpkg.com/resize-observer-polyfill": "",  # where a browser has no ResizeObserver of its own
    "https://api.github.com/": 'data-md-component="source"',  # stars and forks of a repository that is named
    "https://${": 'data-md-component="source"',
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `mkdocs build --strict` writes it. (With `--quiet` it would not count warnings.)"""
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


class Page(HTMLParser):
    """What a page loads, leads to, and offers to be led to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found.get("id", "")}
        self.loads += [found[name] for name in LOADS.get(tag, ()) if name in found]
        self.loads += re.findall(r"url\(['\"]?([^)'\"]+)", found.get("style", ""))
        if tag == "link" and set(found.get("rel", "").split()) & LINKS:
            self.loads.append(found["href"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])

    def handle_data(self, data: str) -> None:
        self.words += data


def page(site: Path, name: str) -> Page:
    return Page((site / name).read_text(encoding="utf-8"))


def pages_of(site: Path) -> dict[Path, Page]:
    return {file: Page(file.read_text(encoding="utf-8")) for file in sorted(site.rglob("*.html"))}


# -- nothing is loaded from elsewhere ----------------------------------------------------------------------


def asked_of_others(text: str, kind: str) -> list[str]:
    """What a file of this kind loads from elsewhere, by itself."""
    if kind == ".html":
        inside = "".join(re.findall(r"<(?:style|script)[^>]*>(.*?)</(?:style|script)>", text, re.S))
        return [one for one in Page(text).loads if AWAY.match(one)] + asked_of_others(inside, ".css")
    if kind == ".css":
        loads = re.findall(r"@import\s+(?:url\()?['\"]?([^'\");\s]+)|url\(\s*['\"]?([^'\")]+)", text)
        return [one for pair in loads for one in pair if AWAY.match(one)]
    return re.findall(r"""["'`(](https?://[^"'`)\s]+)""", text) if kind == ".js" else []


def test_no_page_style_or_script_loads_anything_from_elsewhere(site: Path) -> None:
    pages = "".join(file.read_text(encoding="utf-8") for file in site.rglob("*.html"))
    for file in sorted(site.rglob("*")):
        if file.suffix in (".html", ".css", ".js") and file.name != "search_index.js":
            for address in asked_of_others(file.read_text(encoding="utf-8"), file.suffix):
                trigger = next((what for start, what in DORMANT.items() if address.startswith(start)), None)
                assert file.suffix == ".js", f"{file.relative_to(site)} loads {address}"
                assert trigger is not None, f"{file.relative_to(site)} may load {address}"
                assert not trigger or trigger not in pages, f"a page has {trigger}, so {address} is loaded"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (".html", '<link rel="stylesheet" href="https://fonts.example/css">'),
        (".html", '<link rel="preconnect" href="//fonts.example">'),
        (".html", '<p><img alt="" src="http://pictures.example/a.png">'),
        (".html", "<style>@font-face { src: url(https://fonts.example/a.woff2) }</style>"),
        (".css", '@import "https://styles.example/a.css";'),
        (".js", 'load("https://scripts.example/a.js")'),
    ],
)
def test_what_is_loaded_from_elsewhere_is_seen(kind: str, text: str) -> None:
    assert len(asked_of_others(text, kind)) == 1
    assert asked_of_others(text.replace("https:", "").replace("http:", "").replace("//", ""), kind) == []


def test_every_link_within_the_site_leads_to_its_place(site: Path) -> None:
    pages = pages_of(site)
    for file, found in pages.items():
        for link in found.links + found.loads:
            path, _, anchor = link.partition("#")
            if AWAY.match(path) or path.startswith(("mailto:", "data:")) or file.name == "404.html":
                continue
            target = (file.parent / path).resolve() if path else file
            assert target.is_file(), f"{file.relative_to(site)} leads to {link}"
            if anchor and target in pages:
                assert anchor in pages[target].ids, f"{file.relative_to(site)} leads to {link}"


# -- everything has its place ------------------------------------------------------------------------------


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    found = page(site, "reference/api.html")
    for name in set(headstart.__all__) - {"HeadstartError", "__version__"}:
        assert f"headstart.{name}" in found.ids
    for name, kind in inspect.getmembers(values, inspect.isclass):
        if kind.__module__ == values.__name__:
            assert f"headstart.values.{name}" in found.ids
    assert "headstart.Model.predict" in found.ids
    assert "accuracy_ci95" in found.words


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    found = page(site, "reference/cli.html")
    context = group.make_context("headstart", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        assert name in found.ids
        for param in command.params:
            if param.param_type_name == "option":
                assert all(option in found.words for option in param.opts), f"{name} {param.opts}"


def test_every_error_backbone_head_and_decision_is_in_the_reference(site: Path) -> None:
    family = page(site, "reference/errors.html")
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if kind.__module__ == errors.__name__:
            assert name.lower() in family.ids
            assert (kind.__doc__ or "").partition(".")[0] in family.words
    parts = page(site, "reference/parts.html")
    assert set(backbones.names()) | set(heads.names()) <= parts.ids
    assert all(backbones.spec(name).licence in parts.words for name in backbones.names())
    listed = page(site, "decisions/index.html").links
    for file in (ROOT / "docs" / "decisions").glob("*.md"):
        assert f"{file.stem}.html" in listed


def test_every_page_can_be_reached_from_the_first(site: Path) -> None:
    pages = pages_of(site)
    seen, ahead = set(), [site / "index.html"]
    while ahead:
        file = ahead.pop()
        if file in seen or file not in pages:
            continue
        seen.add(file)
        paths = (link.partition("#")[0] for link in pages[file].links)
        ahead += [(file.parent / path).resolve() for path in paths if path and not AWAY.match(path)]
    assert set(pages) - seen - {site / "404.html"} == set()


def test_the_order_names_every_page_once() -> None:
    order = [page for _, entries in site_nav.ORDER for _, page in entries]
    assert len(order) == len(set(order))
    present = {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").rglob("*.md")}
    present |= site_pages.pages().keys()
    assert {page for page in present if not page.startswith(site_nav.DECISIONS)} == set(order)
    whole = str(site_nav.navigation(present))
    assert all(page in whole for page in present)


def test_generated_pages_are_not_committed() -> None:
    assert not [name for name in site_pages.pages() if (ROOT / "docs" / name).exists()]


# -- how the generators read the code ----------------------------------------------------------------------


def test_the_http_page_says_what_openapi_says() -> None:
    fastapi = pytest.importorskip("fastapi")
    pydantic = pytest.importorskip("pydantic")

    class Answer(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        """What comes back."""

        label: str = pydantic.Field(description="The class, or a | b.")
        near: list[str] | None = None

    app = fastapi.FastAPI(title="t", description="About it.")

    @app.post("/ask/{name}", responses={413: {"description": "Too large."}})
    def ask(name: str, top: int = fastapi.Query(1, description="How many.")) -> Answer:
        """Ask one."""
        return Answer(label=name * top)

    text = site_pages.http(app.openapi())
    assert "# HTTP\n\nAbout it." in text
    assert "## `POST /ask/{name}`\n\nAsk one." in text
    assert "| `name` | path | string |  |" in text
    assert "| `top` | query | integer, 1 unless told | How many. |" in text
    assert "| 413 | Too large. |  |" in text
    assert "| 200 | Successful Response | `application/json` [Answer](#answer) |" in text
    assert "### Answer\n\nWhat comes back." in text
    assert "| `label` | string | always | The class, or a \\| b. |" in text
    assert "| `near` | list of string or null | at times |  |" in text


def test_text_that_is_no_markdown_is_left_as_it_is() -> None:
    assert site_pages.plain("a [x][y] `b_[c]` <d>") == "a \\[x]\\[y] `b_[c]` &lt;d>"


def test_fields_say_what_stands_behind_them(tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.write_text("a: int  # of [n] bytes  # noqa: E1\nb: str = '# no'\n# alone\nc = 1  # noqa: E501\n")
    assert site_comments.comments(file) == {1: "of \\[n] bytes"}


def test_the_colours_are_those_of_the_report() -> None:
    style = (ROOT / "src" / "headstart" / "report" / "style.css").read_text(encoding="utf-8")
    dark = (ROOT / "src" / "headstart" / "report" / "dark.css").read_text(encoding="utf-8")
    light_rule, dark_rule = site_hooks.colours().splitlines()
    for name in ("--paper", "--ink", "--accent", "--good", "--fill-warn", "--c7"):
        light = re.search(rf"{name}: (#\w+)", style)
        assert light
        assert f"{name}: {light[1]};" in light_rule
        of_dark = re.search(rf"{name}: (#\w+)", dark)
        assert of_dark
        assert f"{name}: {of_dark[1]};" in dark_rule
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", (site_hooks.ASSETS / "site.css").read_text("utf-8")))
    assert all(f"{name}:" in light_rule for name in used)


# -- in a real browser -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("HEADSTART_BROWSER") == "required":
            pytest.fail("HEADSTART_BROWSER=required, and no chromium is installed: apt-get install chromium")
        pytest.skip("no chromium is installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def address(site: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the site is: on the disk, or behind a web server on this machine."""
    if request.param == "disk":
        yield site.as_uri()
        return
    handler = partial(Silent, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


class Silent(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("address", ["disk", "server"], indirect=True)
def test_a_reader_searches_and_turns_off_the_light_without_asking_anybody(
    chromium: Any, address: str
) -> None:
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "request",
        lambda asked: asked.url.startswith((address, "data:", "blob:")) or troubles.append(asked.url),
    )
    page.goto(f"{address}/index.html")
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.click("label[title='Dark colours']")
    assert page.evaluate(background) == "rgb(23, 28, 37)"
    page.click(".md-search__input")
    page.keyboard.type("transparency")
    page.locator(".md-search-result__link", has_text="composited on white").first.click(timeout=10_000)
    page.wait_for_url(re.compile(r"data\.html"), timeout=10_000)
    assert page.evaluate(background) == "rgb(23, 28, 37)"
    assert troubles == []
    context.close()


@pytest.mark.parametrize("address", ["disk"], indirect=True)
def test_no_page_is_wider_than_a_phone(chromium: Any, address: str, site: Path) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    for file in sorted([*site.glob("*.html"), *site.glob("reference/*.html")]):
        page.goto(f"{address}/{file.relative_to(site).as_posix()}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, file.name
    context.close()
