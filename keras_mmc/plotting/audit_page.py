"""The page of an audit: one HTML file that needs nothing else."""

import html

import numpy as np

from keras_mmc.plotting.audit_pictures import accuracy_bars, accuracy_curve, image_data

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f23; background: #fff;
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.facts, figcaption, small { color: #57606a; }
.result { font-size: 1.9rem; margin: 1.2rem 0 0; } .result small { font-size: 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #d8dce0;
         vertical-align: top; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tr.marked td { color: #c05a00; }
td code { font-size: .75rem; color: #57606a; overflow-wrap: anywhere; }
.finding { border-left: 4px solid #c05a00; background: #fff6ec; padding: .5rem .8rem;
           margin: .6rem 0; }
.chart { width: 100%; max-width: 46rem; }
.examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr));
            gap: 1.2rem; }
.examples figure { margin: 0; } .pair { display: flex; gap: .3rem; }
.pair img { width: 32%; image-rendering: pixelated; border: 1px solid #d8dce0; }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def audit_page(facts: dict, examples: list[dict] = ()) -> str:
    """The page of an audit, self-contained: pictures are part of it, nothing is loaded.

    Args:
        facts: what `AuditReport.to_dict` returns.
        examples: adversarial images, each with `row`, `clean` and `adversarial` `(H, W, C)`,
            `label`, `answer` (-1 for NaN scores) and `broken_by`. Inputs that are no images of 1
            or 3 channels are left out.

    Returns:
        HTML.

    Example:
    >>> page = keras_mmc.plotting.audit_page(report.to_dict())
    """
    low, high = facts["interval"]
    heading = f"Audit '{facts['suite']}'"
    setting = (
        f"{facts['norm']} ball of radius {facts['eps']:.4g} (input units), "
        f"{facts['num_images']} images, seed {facts['seed']}"
    )
    parts = [
        f"<h1>{_text(heading)}</h1>",
        f'<p class="facts">{_text(setting)}</p>',
        f'<p class="result">Robust accuracy {_percent(facts["robust_accuracy"])} '
        f"<small>95 % interval {_percent(low)} to {_percent(high)}</small></p>",
        f"<p>A weak attack, PGD on the cross-entropy, would have reported "
        f"{_percent(facts['naive_accuracy'])}. Clean accuracy is "
        f"{_percent(facts['clean_accuracy'])}.</p>",
        *_findings(facts),
        *_attacks(facts),
        *_extras(facts["extras"]),
        *_diagnostics(facts),
        *_examples(examples, facts["box"]),
        *_notes(facts),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(heading)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _findings(facts):
    yield "<h2>Findings</h2>"
    for text in facts["findings"]:
        yield f'<p class="finding">{_text(text)}</p>'
    if not facts["findings"]:
        yield "<p>The diagnostics found nothing that contradicts these figures.</p>"


def _attacks(facts):
    rows = facts["rows"]
    # Every suite starts with the naive control.
    naive = rows[0]["name"]
    names = ["clean", *(row["name"] for row in rows)]
    accuracies = [facts["clean_accuracy"], *(row["accuracy"] for row in rows)]
    yield "<h2>Accuracy after each attack</h2>"
    yield _chart(accuracy_bars(names, accuracies, naive), "Accuracy after each attack")
    yield (
        "<p>Each line counts the images that stand after it and all lines before; in orange the "
        "naive control, which must not be reported.</p>"
    )
    yield _table(
        ("attack", "images that stand", "time"),
        [
            (_attack(row), _percent(row["accuracy"]), _seconds(row), row["name"] == naive)
            for row in rows
        ],
    )


def _extras(extras):
    if not extras:
        return
    yield "<h2>Outside the ball</h2>"
    yield (
        "<p>Each attack on its own, on images that are classified correctly; not counted for the "
        "robust accuracy. The mean size of the perturbation is over the images broken.</p>"
    )
    yield _table(
        ("attack", "images attacked", "broken", "mean L2", "time"),
        [
            (
                _attack(row),
                str(row["attacked"]),
                _percent(row["success_rate"]),
                "none" if row["mean_l2"] is None else f"{row['mean_l2']:.3g}",
                _seconds(row),
                False,
            )
            for row in extras
        ],
    )


def _diagnostics(facts):
    checks = facts["diagnostics"]
    yield "<h2>Can the figures be trusted?</h2>"
    curve = checks.get("accuracy_against_eps")
    if curve:
        figures = curve["figures"]
        picture = accuracy_curve(figures["eps"], figures["accuracy"], facts["eps"])
        yield _chart(picture, "Accuracy against the radius of the ball")
    yield _table(
        ("check", "figures", "result"),
        [
            (
                _text(name.replace("_", " ")),
                _text("; ".join(f"{k.replace('_', ' ')} {_figure(v)}" for k, v in figures)),
                "suspicious" if check["fired"] else "passed",
                check["fired"],
            )
            for name, check in checks.items()
            for figures in [check["figures"].items()]
        ],
    )


def _examples(examples, box):
    shown = [e for e in examples if e["clean"].ndim == 3 and e["clean"].shape[-1] in (1, 3)]
    if not shown:
        return
    yield "<h2>Adversarial images</h2>"
    yield (
        "<p>Clean, adversarial, and their difference, stretched to its largest value; grey pixels "
        "did not change.</p>"
    )
    yield '<div class="examples">'
    for example in shown:
        offset = np.asarray(example["adversarial"], "float64") - example["clean"]
        reach = max(np.abs(offset).max(), 1e-12)
        pair = (
            (example["clean"], box, "clean"),
            (example["adversarial"], box, "adversarial"),
            (offset, (-reach, reach), "difference"),
        )
        pictures = "".join(
            f'<img src="{image_data(image, limits)}" alt="{alt}">' for image, limits, alt in pair
        )
        answer = "NaN scores" if example["answer"] < 0 else f"class {example['answer']}"
        caption = (
            f"image {example['row']}: class {example['label']} becomes {answer}, by "
            f"{example['broken_by']}"
        )
        yield (
            f'<figure><div class="pair">{pictures}</div>'
            f"<figcaption>{_text(caption)}</figcaption></figure>"
        )
    yield "</div>"


def _notes(facts):
    if facts["notes"]:
        items = "".join(f"<li>{_text(note)}</li>" for note in facts["notes"])
        yield f"<h2>Notes</h2><ul>{items}</ul>"
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    yield f'<p class="facts">{_text(versions)}</p>'


def _table(header, rows):
    """Rows of cells in HTML, each with a last item: whether the row is marked."""
    wide = [i == 0 or name == "figures" for i, name in enumerate(header)]

    def line(tag, cells):
        return "".join(
            f"<{tag}>{cell}</{tag}>" if text else f'<{tag} class="number">{cell}</{tag}>'
            for cell, text in zip(cells, wide, strict=True)
        )

    body = "\n".join(
        f'<tr class="{"marked" if marked else "plain"}">{line("td", cells)}</tr>'
        for *cells, marked in rows
    )
    return f"<table><tr>{line('th', header)}</tr>\n{body}</table>"


def _attack(row):
    return f"{_text(row['name'])}<br><code>{_text(row['parameters'])}</code>"


def _chart(address, title):
    return f'<img class="chart" src="{address}" alt="{_text(title)}">'


def _seconds(row):
    return f"{row['seconds']:.1f} s"


def _figure(value):
    if isinstance(value, list):
        return ", ".join(f"{item:.3g}" for item in value)
    return f"{value:.4g}"


def _percent(share):
    return f"{100 * share:.2f} %"


def _text(value):
    return html.escape(str(value))
