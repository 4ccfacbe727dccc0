"""The order of the site: what a newcomer needs first stands first."""

from collections.abc import Collection

Entry = dict[str, "str | list[Entry]"] | str

ORDER: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Start",
        (
            ("Start in five minutes", "index.md"),
            ("Tutorial", "tutorial.md"),
            ("The tour", "tour.md"),
            ("Sample data sets", "samples.md"),
        ),
    ),
    (
        "Tasks",
        (
            ("Bring your pictures", "data.md"),
            ("Read the report, compare two models", "report.md"),
            ("Know how far to trust it", "trust.md"),
            ("Tell the unknown", "unknown.md"),
            ("Explain an answer", "explain.md"),
            ("Choose a backbone", "compare.md"),
            ("Bring any network", "backbones.md"),
            ("Train the network further", "finetuning.md"),
            ("Export to one file", "export.md"),
            ("Classify in the browser", "export-web.md"),
            ("Serve over HTTP", "serve.md"),
            ("Use the studio", "studio.md"),
        ),
    ),
    (
        "Reference",
        (
            ("Commands", "reference/cli.md"),
            ("Python", "reference/api.md"),
            ("HTTP", "reference/http.md"),
            ("Model folder and JSON", "model.md"),
            ("Errors", "reference/errors.md"),
            ("Backbones and heads", "reference/parts.md"),
        ),
    ),
    (
        "Project",
        (
            ("All that was measured", "measured.md"),
            ("How it is built", "reference/shape.md"),
            ("Contributing", "contributing.md"),
            ("Changelog", "changelog.md"),
        ),
    ),
)
DECISIONS = "decisions/"  # one page each, below an index that is generated


def navigation(present: Collection[str]) -> list[Entry]:
    """The navigation as mkdocs wants it.

    A page of the order that is not `present`, and one that is present and not in the order, are warnings of
    mkdocs, which `--strict` makes errors.
    """
    found: list[Entry] = [{section: [{title: page} for title, page in pages]} for section, pages in ORDER]
    decisions: list[Entry] = [*sorted(page for page in present if page.startswith(DECISIONS))]
    found.append({"Decisions": decisions})
    return found
