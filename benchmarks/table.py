"""Write the tables of results from the newest line of each claim; `--check` only compares.

`docs/measured.md` has every claim, the README those that a newcomer asks about. A table stands between the
lines `<!-- results -->` and `<!-- /results -->`. With `--check`, exit code 1 says that a page is stale, 2
that it has no such place.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import _harness

README = _harness.ROOT / "README.md"
MEASURED = _harness.ROOT / "docs" / "measured.md"
BEGIN, END = "<!-- results -->", "<!-- /results -->"
ORDER = (
    "against_plain", "pipeline", "against_fastai", "second_run", "startup", "memory", "accuracy", "few",
    "finetuning", "halved", "tuning", "scratch", "budgets", "promise", "backbone_choice", "best", "unknown",
    "sets", "calibration", "suspects", "curve", "next", "trust", "explain", "samples", "duplicates", "twins",
    "hostile", "kills", "tuning_kills", "environment", "parity", "export", "web", "serve", "studio_kills",
)  # fmt: skip
HEADLINES = (  # how claims begin that stand in the README: every promise, and whatever was missed
    "train, ", "extraction, ", "second train", "predict of one picture, process",
    "train on 60,000 pictures, peak", "mean test accuracy", "head and depths", "test accuracy from 4",
    "test accuracy from 16", "fine-tuning the last stage, an epoch", "fine-tuning all stages, an epoch",
    "--tune auto", "--tune: farthest", "test accuracy on CIFAR-10 from 2000",
    "sets on which", "backbone chosen", "far unknowns told (background)", "near unknowns",
    "sets asked to hold the truth in 95", "calibration error", "planted label errors", "report, trust",
    "area of the deletion curve by which heat maps beat centre",
    "area of the insertion curve by which heat maps beat centre", "check beside", "killed train: runs",
    "killed tuning: runs", "pictures on which", "test pictures that the server", "labels that",
    "pictures of ten", "serve, share", "serve against a plain", "serve, 300 hostile",
    "serve at 3 times its capacity: requests", "serve, from the command", "studio killed: pictures",
)  # fmt: skip
SIGNS = {">=": "≥", "<=": "≤", "==": "="}


class NoPlace(ValueError):
    """The page has no place for the table, or more than one."""


def newest(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last line of each claim, in the order of the table; what other scripts measured is for the docs."""
    found: dict[str, dict[str, Any]] = {}
    for line in (line for line in lines if line["benchmark"] in ORDER):
        before = found.get(line["claim"])
        if before is None or line["date"] >= before["date"]:
            found[line["claim"]] = line
    return sorted(found.values(), key=lambda line: (ORDER.index(line["benchmark"]), line["claim"]))


def table(lines: list[dict[str, Any]], begins: tuple[str, ...] = ("",), scripts: str = "benchmarks") -> str:
    """Markdown: a row per claim that `begins` so, and below it where and how they were measured."""
    chosen = [line for line in newest(lines) if line["claim"].startswith(begins)]
    if not chosen:
        return "Nothing was measured yet: `python benchmarks/NAME.py`."
    rows = ["| what | measured | asked for | by |", "|---|---|---|---|"]
    for line in chosen:
        script = f"[{line['benchmark']}]({scripts}/{line['benchmark']}.py)"
        missed = " (missed)" if line["met"] is False else ""
        rows.append(f"| {_cell(line['claim'])} | {_measured(line)} | {_wanted(line)}{missed} | {script} |")
    return "\n".join([*rows, "", *_where(chosen, scripts)])


def placed(page: str, body: str) -> str:
    """The page with `body` between the marks.

    Raises:
        NoPlace: not exactly one mark of each kind, in this order.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise NoPlace(f"the page must hold {BEGIN} and then {END}, once each")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{body}\n{END}{rest.split(END)[1]}"


def _measured(line: dict[str, Any]) -> str:
    value = _number(line["value"], line["unit"])
    about = [] if line["interval"] is None else [" to ".join(f"{end:.3g}" for end in line["interval"])]
    about += [f"n = {line['n']:,}"] if line["n"] else []
    about += [f"{line['runs']} runs"] if line["runs"] > 1 else []
    return f"**{value}**" + (f" ({', '.join(about)})" if about else "")


def _wanted(line: dict[str, Any]) -> str:
    if not line["wanted"]:
        return ""
    sign, value = line["wanted"].split()
    return f"{SIGNS.get(sign, sign)} {_number(float(value), line['unit'])}"


def _number(value: float, unit: str) -> str:
    shown = f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
    return f"{shown}\N{MULTIPLICATION SIGN}" if unit == "times" else f"{shown} {_cell(unit)}".strip()


def _where(lines: list[dict[str, Any]], scripts: str) -> list[str]:
    places: dict[str, None] = {}
    for line in lines:
        on, had = line["machine"], line["versions"]
        flags = ", ".join(on["flags"]) or "no vector instructions"
        places[
            f"{on['cpu']}, {on['cores']} cores ({flags}), {on['system']}, Python {had['python']}, "
            f"PyTorch {had['torch']}, OpenVINO {had['openvino']}"
        ] = None
    first, last = min(line["date"] for line in lines)[:10], max(line["date"] for line in lines)[:10]
    when = first if first == last else f"{first} to {last}"
    return [
        f"Measured {when} on {_cell('; '.join(places))}.",
        "Times are ratios or medians within one run, in brackets the least and largest;",
        "each script can be run alone and appends its line to",
        f"[results.jsonl]({scripts}/results.jsonl).",
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when the table is stale")
    parser.add_argument("--readme", type=Path, default=README)
    parser.add_argument("--measured", type=Path, default=MEASURED)
    parser.add_argument("--results", type=Path, default=_harness.RESULTS)
    asked = parser.parse_args()
    pages = ((asked.readme, HEADLINES, "benchmarks"), (asked.measured, ("",), "../benchmarks"))
    stale = False
    for file, begins, scripts in pages:
        try:
            page = file.read_text(encoding="utf-8")
            fresh = placed(page, table(_harness.read(asked.results), begins, scripts))
        except (OSError, ValueError) as error:
            print(f"{file.name}: {error}", file=sys.stderr)
            return 2
        stale |= fresh != page
        if fresh != page and asked.check:
            print(f"{file.name} is stale: run python benchmarks/table.py", file=sys.stderr)
        elif fresh != page:
            file.write_text(fresh, encoding="utf-8", newline="\n")
    return int(stale and asked.check)


if __name__ == "__main__":
    sys.exit(main())
