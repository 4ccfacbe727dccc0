"""What mkdocs calls while it builds the site: generated pages, navigation, colours, links to the source."""

import posixpath
import re
import shutil
from pathlib import Path

import site_nav
import site_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = site_pages.ROOT
ASSETS = Path(__file__).parent / "assets"
SHOWN = "source"  # the folder of the site for files of the repository that pages link to
LINK = re.compile(r"(?<=\]\()((?:\.\./)+[^)#\s]+)(?=[)#])")
UNRUN = re.compile(r"^<!-- not run: (.+?) -->\n((`{3,}).*?^\3\n)", re.M | re.S)
VARIABLE = re.compile(r"(--[a-z0-9-]+):\s*([^;]+);")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages that exist into their order."""
    docs = Path(config.docs_dir)
    present = {file.relative_to(docs).as_posix() for file in docs.rglob("*.md")}
    config.nav = site_nav.navigation(present | site_pages.pages().keys())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not in docs/: the generated pages, style sheets, and the files that pages link to."""
    made = site_pages.pages()
    taken = made.keys() & files.src_uris.keys()
    if taken:
        raise ValueError(f"{', '.join(sorted(taken))} is generated, and must not stand in docs/ too")
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    for asset in sorted(ASSETS.iterdir()):
        files.append(File.generated(config, f"assets/{asset.name}", abs_src_path=str(asset)))
    files.append(File.generated(config, "assets/colours.css", content=colours()))
    targets = (_target(file.src_uri, link) for file in files.documentation_pages() for link in _links(file))
    linked = {target for target in targets if target is not None}
    linked |= {script for folder in linked if folder.is_dir() for script in _scripts(folder)}
    for target in sorted(linked):
        files.append(_shown(config, target))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Lead links to the repository to the file as the site shows it, and show why a block is not run."""

    def lead(found: re.Match[str]) -> str:
        target = _target(page.file.src_uri, found[1])
        if target is None:
            return found[1]
        return posixpath.relpath(_place(target), posixpath.dirname(page.file.src_uri))

    return UNRUN.sub(r'\2\n<p class="unrun">Not run by the tests: \1</p>\n', LINK.sub(lead, markdown))


def on_post_build(config: MkDocsConfig) -> None:
    """Have the search work from a disk, too, where a page may not fetch the index: it loads it as a script.

    What the theme brings to search in other languages is taken out.
    """
    shutil.rmtree(Path(config.site_dir, "assets", "javascripts", "lunr"))
    index = Path(config.site_dir, "search", "search_index.json")
    index.with_suffix(".js").write_text(
        f"var __index = {index.read_text(encoding='utf-8')}", encoding="utf-8"
    )


def colours() -> str:
    """The colours of the report, light and dark, as the site's: they stand once, in its style sheet."""
    folder = ROOT / "src" / "headstart" / "report"
    light = dict(VARIABLE.findall(_rule((folder / "style.css").read_text(encoding="utf-8"))))
    dark = dict(VARIABLE.findall((folder / "dark.css").read_text(encoding="utf-8")))
    rules = []
    for scheme, found in (("default", light), ("slate", light | dark)):
        body = " ".join(f"{name}: {value};" for name, value in found.items())
        rules.append(f'[data-md-color-scheme="{scheme}"] {{ {body} }}')
    return "\n".join(rules) + "\n"


def _rule(style: str) -> str:
    """What stands in the first `:root` rule."""
    found = re.search(r":root \{(.+?)\}", style, re.S)
    if found is None:
        raise ValueError("the report's style sheet has no :root rule")
    return found[1]


def _links(file: File) -> list[str]:
    return LINK.findall(file.content_string)


def _target(page: str, link: str) -> Path | None:
    """The file outside docs/ that a link of this page leads to, or None."""
    place = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
    return None if place.startswith(("docs/", "..")) else ROOT / place


def _scripts(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.py") if not file.name.startswith("_"))


def _place(file: Path) -> str:
    """Where the site shows this file or folder: Python and folders as pages, others as they are."""
    place = f"{SHOWN}/{file.relative_to(ROOT).as_posix()}"
    return f"{place}/index.md" if file.is_dir() else f"{place}.md" if file.suffix == ".py" else place


def _shown(config: MkDocsConfig, file: Path) -> File:
    if file.is_file() and file.suffix != ".py":
        return File.generated(config, _place(file), abs_src_path=str(file))
    name = file.relative_to(ROOT).as_posix()
    if file.is_dir():
        rows: list[tuple[object, ...]] = [
            (f"[{script.name}]({script.name}.md)", site_pages.first(script)) for script in _scripts(file)
        ]
        body = site_pages.table(("file", "what"), rows)
    else:
        body = f"````python\n{file.read_text(encoding='utf-8')}````"
    text = f"---\nsearch:\n  exclude: true\n---\n\n# {name}\n\n{body}\n"
    return File.generated(config, _place(file), content=text, inclusion=InclusionLevel.NOT_IN_NAV)
