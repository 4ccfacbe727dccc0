"""The model card: what a stranger needs to know before using the model, in Markdown."""

from typing import Any

from headstart.model.model import Model


def card(model: Model) -> str:
    """Text of the model folder's README.md."""
    report = model.report
    score = report["test"] or report["cv"]
    how = (
        "pictures held out for the test"
        if report["test"]
        else "cross-validation: no picture judged by a model that saw it"
    )
    low, high = score["accuracy_ci95"]
    data = report["data"]
    rows = "\n".join(
        f"| {_safe(name)} | {one['precision']:.3f} | {one['recall']:.3f} | {one['f1']:.3f} | {one['n']} |"
        for name, one in score["per_class"].items()
    )
    return f"""# Image classifier: {", ".join(_safe(name) for name in model.classes[:12])}{" …" if len(model.classes) > 12 else ""}

Accuracy **{score["accuracy"]:.3f}** (95 % interval {low:.3f} to {high:.3f}) on {score["n"]} {how}.
Macro-F1 {score["macro_f1"]:.3f}, log-loss {score["nll"]:.3f}, calibration error (ECE) {score["ece"]:.3f}.{_leaks(report)}

| class | precision | recall | F1 | pictures |
|---|---|---|---|---|
{rows}

## How it was made

- Backbone: {_safe(model.backbone.name)} ({model.backbone.title}), {_tuned(report)}; features run as {report["precision"]}. Weights: {model.backbone.licence} ({model.backbone.citation}).
- Head: {report["head"]} on the depths "{report["choice"]["depths"]}"; temperature {model.temperature:.4g}.
- Data: {data["used"]} of {data["files"]} files used ({data["train"]} train, {data["val"]} val, {data["test"]} test); {len(data["findings"])} findings.{_fixed(report)}
- headstart {report["version"]}, seed {report["seed"]}.

## Use

    headstart predict THIS_FOLDER picture.jpg

Probabilities are calibrated. A picture far from all training pictures is answered with `unknown: true`; {_rejected(report)}

## Limits

The numbers hold for pictures like those they were measured on: same sources, same cameras, same mix of classes.
"""


def _tuned(report: dict[str, Any]) -> str:
    """How much of the backbone was trained on the pictures, in words."""
    if report["tune"] == "never":
        return "frozen"
    stages = "last stage" if report["tune"] == "last 1" else f"{report['tune']} stages"
    return f"{stages} trained on these pictures"


def _rejected(report: dict[str, Any]) -> str:
    """How many pictures of known classes are called unknown, as far as that can be said."""
    stated = report["unknown_false_rejection"]
    if stated is None:
        return "the training pictures were too few to say how many of the known classes are, too."
    return f"about {stated:.0%} of pictures of the known classes are, too."


def _fixed(report: dict[str, Any]) -> str:
    """What the user decided about labels, in words."""
    own = report["fixed"]
    return f" By hand: {own['moved']} labels moved, {own['dropped']} pictures dropped." if own else ""


def _leaks(report: dict[str, Any]) -> str:
    found = report["test_without_leaks"]
    if not found and not report["leaked"]:
        return ""
    if not found:
        return (
            "\n\n**Leak:** every test picture has a twin among the training pictures: "
            "the score says nothing about new pictures."
        )
    low, high = found["accuracy_ci95"]
    return (
        f"\n\n**Leak:** some test pictures have a twin among the training pictures. Without them the accuracy is "
        f"**{found['accuracy']:.3f}** ({low:.3f} to {high:.3f}) on {found['n']} pictures."
    )


def _safe(name: str) -> str:
    return name.replace("|", "\\|").replace("\n", " ")
