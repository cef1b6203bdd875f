"""The page of an audit: one HTML file that needs nothing else."""

from collections.abc import Sequence

import numpy as np

from keras_mmc.plotting._html import chart, escape, percent, table, table_row
from keras_mmc.plotting.audit_pictures import accuracy_bars, accuracy_curve, image_data

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f23; background: #fff;
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.facts, figcaption, small, .grades { color: #57606a; }
.result { font-size: 1.9rem; line-height: 1.2; margin: 1.2rem 0 0; }
.result small { font-size: 1rem; } .result * { white-space: nowrap; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #d8dce0;
         vertical-align: top; }
th { vertical-align: bottom; }
th + th, td + td { text-align: right; font-variant-numeric: tabular-nums; }
td + td { white-space: nowrap; }
.checks td:nth-child(2), .checks th:nth-child(2) { text-align: left; white-space: normal; }
tr.marked td { color: #c05a00; }
tr.above td { border-bottom: 0; padding-bottom: 0; } tr.detail td { padding-top: 0; }
tr :last-child { padding-right: 0; }
td code { font-size: .75rem; color: #57606a; overflow-wrap: anywhere; }
@media (max-width: 40rem) { td, th { font-size: .85rem; padding-right: .5rem; } }
.finding { border-left: 4px solid #c05a00; background: #fff6ec; padding: .5rem .8rem;
           margin: .6rem 0; }
.chart { width: 100%; max-width: 36rem; }
.examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr));
            gap: 1.2rem; }
.examples figure { margin: 0; } .pair { display: flex; gap: .3rem; }
.pair img { width: 32%; image-rendering: pixelated; border: 1px solid #d8dce0; }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
# What the grades of findings mean.
_MEANINGS = {
    "masked gradients": "Masked gradients: there is evidence that gradients mislead attacks.",
    "weak attack": "Weak attack: a figure falls as an attack tries harder; report the lowest.",
    "model": "Model: the model is not what an attack expects.",
}


def audit_page(facts: dict, examples: Sequence[dict] = ()) -> str:
    """The page of an audit as HTML; pictures are part of it, nothing is loaded.

    Args:
        facts: what `AuditReport.to_dict` returns.
        examples: adversarial examples, each with `row`, `clean` and `adversarial` `(H, W, C)`,
            `label`, `prediction` (-1 for NaN scores) and `broken_by`. Inputs that are no images of
            1 or 3 channels are left out.

    Example:
    >>> page = keras_mmc.plotting.audit_page(report.to_dict())
    """
    heading = escape(f"Robustness audit, suite '{facts['suite']}'")
    parts = (
        *_result(heading, facts),
        *_findings(facts["diagnostics"].values()),
        *_trials(facts["trials"]),
        *_attacks(facts),
        *_checks(facts),
        *_examples(examples, facts["box"]),
        *_notes(facts),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{heading}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _result(heading, facts):
    low, high = facts["interval"]
    ball = {"linf": "L-infinity", "l2": "L2"}.get(facts["norm"], facts["norm"])
    setting = (
        f"{facts['num_images']} images, each perturbed by at most {facts['eps']:.4g} in the "
        f"{ball} norm, inputs from {facts['box'][0]:g} to {facts['box'][1]:g}; seed {facts['seed']}"
    )
    yield f'<h1>{heading}</h1>\n<p class="facts">{escape(setting)}</p>'
    yield (
        f'<p class="result">Robust accuracy <span>{percent(facts["robust_accuracy"])}</span> '
        f"<small>95 % interval {percent(low)} to {percent(high)}</small></p>"
    )
    yield (
        "<p>This is the fraction of images that the model classifies correctly without an attack "
        "and under every attack below. Without an attack the accuracy is "
        f"{percent(facts['clean_accuracy'])}{_said_of_naive(facts['naive_accuracy'])}.</p>"
    )


def _said_of_naive(accuracy):
    if accuracy is None:  # a black box
        return ""
    return f"; a weak attack, PGD on the cross-entropy, would have reported {percent(accuracy)}"


def _findings(checks):
    yield "<h2>Findings</h2>"
    fired = [check for check in checks if check["fired"]]
    for check in fired:
        text = f"<b>{escape(check['grade'].capitalize())}.</b> {escape(check['finding'])}"
        yield f'<p class="finding">{text}</p>'
    grades = {check["grade"] for check in fired}
    meanings = " ".join(text for grade, text in _MEANINGS.items() if grade in grades)
    nothing = "The checks below found nothing that contradicts these figures."
    yield f'<p class="grades">{meanings if fired else nothing}</p>'


def _attacks(facts):
    rows = facts["rows"]
    # Every suite starts with the naive control, but for a black box.
    naive = None if facts["naive_accuracy"] is None else rows[0]["name"]
    names = ["clean", *(row["name"] for row in rows)]
    accuracies = [facts["clean_accuracy"], *(row["accuracy"] for row in rows)]
    title = "Robust accuracy after each attack"
    yield f"<h2>{title}</h2>"
    yield chart(accuracy_bars(names, accuracies, naive), title)
    yield (
        "<p>Each line gives the robust accuracy under its attack and all attacks above it: an "
        "attack runs on the images that the model still classifies correctly."
        + (
            " Orange marks the naive control, a weak attack whose figure must not be reported."
            if naive
            else ""
        )
        + "</p>"
    )
    yield table(
        ("attack", "robust accuracy", "time"),
        [_attack_row(row, row["name"] == naive) for row in rows],
    )


def _trials(trials):
    if not trials:
        return
    yield (
        "<h2>The attacks of the paper</h2>\n"
        "<p>Each attack ran by itself with the paper's settings, on the images that the model "
        "classifies correctly; the accuracy is that of the true labels, under this attack alone. "
        "These figures compare with the paper's and do not count for the robust accuracy. The mean "
        "L2 norm of the perturbations is over the successes.</p>"
    )
    yield table(
        ("attack", "accuracy", "images attacked", "success rate", "mean L2", "time"),
        [
            table_row(
                (
                    escape(row["name"]),
                    _or_none(row["accuracy"], percent),
                    str(row["attacked"]),
                    _or_none(row["success_rate"], percent),
                    _or_none(row["mean_l2"], "{:.3g}".format),
                    f"{row['seconds']:.1f} s",
                ),
                row["error"] or f"{row['parameters']}; {row['source']}",
                marked=bool(row["error"]),
            )
            for row in trials
        ],
    )


def _or_none(value, text):
    return "none" if value is None else text(value)


def _attack_row(row, naive):
    empty = "" if row["attacked"] else " (no image was left)"
    cells = escape(row["name"]), percent(row["accuracy"]) + empty, f"{row['seconds']:.1f} s"
    detail = f"{row['parameters']} failed: {row['error']}" if row["error"] else row["parameters"]
    return table_row(cells, detail, marked=naive or bool(row["error"]))


def _checks(facts):
    yield "<h2>Can these figures be trusted?</h2>"
    checks = facts["diagnostics"]
    if curve := checks.get("accuracy_against_eps"):
        figures = curve["figures"]
        picture = accuracy_curve(figures["eps"], figures["accuracy"], facts["eps"])
        yield chart(picture, "Robust accuracy against the radius of the ball")
    rows = []
    for name, check in checks.items():
        figures = "; ".join(f"{key} {_figure(value)}" for key, value in check["figures"].items())
        result = check["grade"] if check["fired"] else "passed"
        cells = [escape(text.replace("_", " ")) for text in (name, figures, result)]
        rows.append(table_row(cells, marked=check["fired"]))
    yield table(("check", "figures", "result"), rows, kind="checks")


def _examples(examples, box):
    shown = [e for e in examples if e["clean"].ndim == 3 and e["clean"].shape[-1] in (1, 3)]
    if not shown:
        return
    yield (
        "<h2>Adversarial examples</h2>\n"
        "<p>From left to right: the clean image, the adversarial example, and their difference, "
        "scaled to its largest value; gray pixels did not change.</p>"
    )
    figures = "".join(_example(box, **example) for example in shown)
    yield f'<div class="examples">{figures}</div>'


def _example(box, row, clean, adversarial, label, prediction, broken_by):
    offset = np.asarray(adversarial, "float64") - clean
    reach = max(np.abs(offset).max(), 1e-12)
    views = {"clean": (clean, box), "adversarial": (adversarial, box)}
    views["difference"] = (offset, (-reach, reach))
    pair = "".join(f'<img src="{image_data(*view)}" alt="{name}">' for name, view in views.items())
    predicted = "NaN scores" if prediction < 0 else f"class {prediction}"
    caption = escape(f"image {row}: class {label} becomes {predicted}, by {broken_by}")
    return f'<figure><div class="pair">{pair}</div><figcaption>{caption}</figcaption></figure>'


def _notes(facts):
    if facts["notes"]:
        items = "".join(f"<li>{escape(note)}</li>" for note in facts["notes"])
        yield f"<h2>Notes</h2><ul>{items}</ul>"
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    yield f'<p class="facts">{escape(versions)}</p>'


def _figure(value):
    if isinstance(value, list):
        return ", ".join(f"{item:.3g}" for item in value)
    return f"{value:.4g}"
