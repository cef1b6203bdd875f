"""The card of a trained network: what it is, and the figures that audits add to it."""

from __future__ import annotations

import contextlib
import functools
import html
import json
import os
import pathlib
import re
from typing import TYPE_CHECKING, Any

import jinja2

from keras_mmc import _files
from keras_mmc._digests import digest_of_files
from keras_mmc._tables import percent

if TYPE_CHECKING:
    from keras_mmc.evaluation import AuditReport

CARD, RECORDS = "model_card.md", "robustbench"
_SIGNATURE = "<!-- Model card, written by keras-mmc train; keras-mmc audit fills in its part. -->"
_BEGIN, _END = "<!-- audits begin -->", "<!-- audits end -->"


def render(facts: dict[str, Any]) -> str:
    """The card as Markdown, not audited yet.

    Args:
        facts: what `training_facts.facts_of` returns.
    """
    template = _environment().get_template(CARD)
    return template.render(facts=facts, signature=_SIGNATURE, begin=_BEGIN, end=_END)


def card_of(path: str | os.PathLike[str]) -> pathlib.Path | None:
    """The card of `keras-mmc train` beside the file of a network, if it lists these very bytes."""
    file = pathlib.Path(path)
    card = file.with_name(CARD)
    if not (file.is_file() and card.is_file()):
        return None
    text = card.read_text(encoding="utf-8", errors="replace")
    is_ours = text.startswith(_SIGNATURE) and f"| {file.name} | {digest_of_files(file)} |" in text
    return card if is_ours else None


def add_audit(
    card: pathlib.Path, file: str, report: AuditReport, data: str, images: str
) -> pathlib.Path:
    """Add a row about an audit to a card, and the record of RobustBench beside it.

    An audit of the same file, threat model, suite and images takes the place of the earlier one.
    The rest of the card stays as it is.

    Args:
        card: what `card_of` found.
        file: name of the file that was audited.
        report: the audit.
        data: name of the data set.
        images: which images were attacked, in words.

    Returns:
        The path of the record.

    Raises:
        OSError: if card or record cannot be written.
        ValueError: if the marks of the part about audits are gone from the card.
    """
    text = card.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    section, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{card} has lost the lines {_BEGIN} and {_END}, between which audits go.")
    setting = f"{report.norm}-{report.eps:.6g}-{report.suite}-{data}-{report.num_images}"
    name = re.sub(r"[^\w.-]+", "_", f"{file.removesuffix('.keras')}-{setting}")
    record = card.parent / RECORDS / f"{name}.json"
    link = f"[JSON]({RECORDS}/{record.name})"
    rows = [line for line in section.splitlines() if f"]({RECORDS}/" in line and link not in line]
    rows.append(_row(file, report, images, link))
    section = _environment().get_template("audits.md").render(rows=rows)
    record.parent.mkdir(exist_ok=True)
    facts = report.to_robustbench(architecture=report.model_name, dataset=data)
    with _written(record) as partial:
        partial.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    with _written(card) as partial:
        partial.write_text(f"{before}{begin}\n{section}{end}{after}", encoding="utf-8")
    return record


def _row(file, report, images, link):
    low, high = (100 * bound for bound in report.interval)
    naive = report.naive_accuracy
    cells = (
        file,
        f"{report.norm}, eps {report.eps:.4g} in [{report.box[0]:g}, {report.box[1]:g}]",
        report.suite,
        cell(images),
        percent(report.clean_accuracy),
        "none" if naive is None else percent(naive),
        f"{percent(report.robust_accuracy)} ({low:.2f} to {high:.2f})",
        "masked" if report.masked else "no evidence of masking",
        (report.date or "")[:10],
        link,
    )
    return f"| {' | '.join(cells)} |"


@contextlib.contextmanager
def _written(path):
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with _files.replacing(path, partial):
        yield partial


def cell(value: Any) -> str:
    """A text that cannot end a cell of a table, nor begin markup."""
    return " ".join(html.escape(str(value), quote=False).replace("|", "&#124;").split())


@functools.cache
def _environment():
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_mmc.commands"),
        autoescape=False,  # Markdown, whose cells are escaped one by one
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": cell, "percent": percent, "number": "{:g}".format}
    return environment
