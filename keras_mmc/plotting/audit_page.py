"""The page of an audit, and its summary in a notebook: HTML that needs nothing else."""

from collections.abc import Sequence

import numpy as np

from keras_mmc.plotting._templates import render
from keras_mmc.plotting.image_data import image_data

_BALLS = {"linf": "L-infinity", "l2": "L2"}
# What the grades of findings mean.
_MEANINGS = {
    "masked gradients": "Masked gradients: there is evidence that gradients mislead attacks.",
    "weak attack": "Weak attack: a figure falls as an attack tries harder; report the lowest.",
    "model": "Model: the model is not what an attack expects.",
}


def audit_page(facts: dict, examples: Sequence[dict] = ()) -> str:
    """The page of an audit as HTML; pictures are part of it, nothing is loaded.

    It follows the color scheme of the browser and the width of the window.

    Args:
        facts: what `AuditReport.to_dict` returns.
        examples: adversarial examples, each with `row`, `clean` and `adversarial` `(H, W, C)`,
            `label`, `prediction` (-1 for NaN scores) and `broken_by`. Inputs that are no images of
            1 or 3 channels are left out.

    Example:
    >>> page = keras_mmc.plotting.audit_page(report.to_dict())
    """
    shown = [e for e in examples if e["clean"].ndim == 3 and e["clean"].shape[-1] in (1, 3)]
    return render(
        "audit_page.html",
        examples=[_example(facts, **example) for example in shown],
        curves=_curves(facts),
        **_of(facts),
    )


def audit_summary(facts: dict) -> str:
    """The figures and findings of an audit as a piece of HTML, for a notebook.

    Args:
        facts: what `AuditReport.to_dict` returns.

    Example:
    >>> keras_mmc.plotting.audit_summary(report.to_dict())
    """
    return render("audit_summary.html", **_of(facts))


def _of(facts):
    """What both templates need."""
    fired = [check for check in facts["diagnostics"].values() if check["fired"]]
    grades = {check["grade"] for check in fired}
    return {
        "facts": facts,
        "ball": _BALLS.get(facts["norm"], facts["norm"]),
        "fired": fired,
        "meanings": [text for grade, text in _MEANINGS.items() if grade in grades],
    }


def _curves(facts):
    """Where the points of each accuracy against eps lie: percent of the width, and pixels."""
    for name, check in facts["diagnostics"].items():
        if not name.endswith("accuracy_against_eps"):
            continue
        figures = check["figures"]
        points = [
            {"x": 12 + 80 * i / max(1, len(figures["eps"]) - 1), "y": 184 - 160 * a, "accuracy": a}
            | {"radius": radius, "is_audit": radius == facts["eps"]}
            for i, (radius, a) in enumerate(zip(figures["eps"], figures["accuracy"], strict=True))
        ]
        part = name.removesuffix("accuracy_against_eps").removesuffix(": ")
        yield {"points": points, "images": figures["images"], "part": part}


def _example(facts, row, clean, adversarial, label, prediction, broken_by):
    offset = np.asarray(adversarial, "float64") - clean
    reach = max(np.abs(offset).max(), 1e-12)
    box, names = facts["box"], facts["class_names"]

    def called(label):
        if label < 0:
            return "NaN scores"
        return names[label] if names else f"class {label}"

    return {
        "views": {
            "clean image": image_data(clean, box),
            "adversarial example": image_data(adversarial, box),
            "difference": image_data(offset, (-reach, reach)),
        },
        "row": row,
        "caption": f"{called(label)} becomes {called(prediction)}, by {broken_by}",
    }
