"""Audits of parts of a set become the audit of the set."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mmc._validation import shown
from keras_mmc.evaluation import checks
from keras_mmc.evaluation.checkpoint import digest_of
from keras_mmc.evaluation.report import AuditReport
from keras_mmc.evaluation.rows import MASKED, AttackRow, Detection, Diagnostic, TrialRow

_SETTINGS = ("suite", "eps", "norm", "box", "seed", "batch_size", "versions", "class_names")
_BLACK_BOX = "black_box: "


def merge(reports: Sequence[AuditReport]) -> AuditReport:
    """One report of audits of disjoint parts of one set, in the order of the parts.

    Rows follow from which attack broke which image. Figures of a paper's attacks are those over all
    parts. Of the diagnostics, the difference of the naive control from the suite, the count of NaN
    scores, and what attacks without gradients broke are computed anew; each other one was measured
    on a few images of its part, and is kept beside the name of the part. A note says so.

    Args:
        reports: two or more audits of one model with the same attacks and settings.

    Returns:
        An `AuditReport`; its date is the latest one, its times are sums.

    Raises:
        ValueError: if the reports do not belong together, or a part comes twice.

    Example:
    >>> parts = [AuditReport.load(f"runs/part{i}") for i in range(4)]
    >>> merge(parts).save("runs/whole")
    """
    parts = list(reports) if isinstance(reports, (list, tuple)) else []
    _check(parts, reports)
    first, count = parts[0], sum(part.num_images for part in parts)
    x, labels, x_adv, predictions = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("x", "labels", "x_adv", "predictions")
    )
    broken_by = tuple(name for part in parts for name in part.broken_by)
    standing = count - broken_by.count("clean")
    clean_accuracy, rows = standing / count, []
    for same in zip(*(part.rows for part in parts), strict=True):
        standing -= broken_by.count(same[0].name)
        rows.append(_merged_row(same, standing / count))
    commands = dict.fromkeys(part.command for part in parts if part.command)
    merged = dataclasses.replace(
        first,
        digests=first.digests | {"images": digest_of(x), "labels": digest_of(labels)},
        num_images=count,
        clean_accuracy=clean_accuracy,
        naive_accuracy=None if parts[0].naive_accuracy is None else rows[0].accuracy,
        rows=tuple(rows),
        trials=tuple(map(_merged_trial, zip(*(part.trials for part in parts), strict=True))),
        notes=(_said(parts), *dict.fromkeys(note for part in parts for note in part.notes)),
        x=x,
        labels=labels,
        x_adv=x_adv,
        predictions=predictions,
        broken_by=broken_by,
        detections=tuple(map(_merged_detection, zip(*(p.detections for p in parts), strict=True))),
        date=max((part.date for part in parts if part.date), default=None),
        command="; ".join(commands) or None,
    )
    return dataclasses.replace(merged, diagnostics=_diagnostics(merged, parts))


def _check(parts, given):
    if len(parts) < 2 or not all(isinstance(part, AuditReport) for part in parts):
        raise ValueError(
            "`reports` must hold two audits or more, as [part, other_part]; received "
            f"{shown(given)}."
        )
    for number, part in enumerate(parts[1:], 2):
        different = [name for name in _facts(part) if _facts(part)[name] != _facts(parts[0])[name]]
        if different:
            raise ValueError(
                f"Report {number} is of another audit than report 1: they differ in "
                f"{', '.join(different)}. Merge parts of one set, audited with one model and the "
                "same settings; `compare` sets other audits side by side."
            )
    images = [part.digests["images"] for part in parts]
    for number, digest in enumerate(images, 1):
        if digest in images[: number - 1]:
            raise ValueError(
                f"Report {number} is of the same images as report {images.index(digest) + 1}. "
                "Merge disjoint parts: an image must count once."
            )


def _facts(part: AuditReport) -> dict[str, Any]:
    """What audits of parts of one set have in common."""
    return {
        **{f"the weights of the {name}": part.digests[name] for name in ("model", "substitute")},
        **{name: getattr(part, name) for name in _SETTINGS},
        "the shape of images": part.x.shape[1:],
        "attacks": [(row.name, row.parameters) for row in part.rows],
        "attacks of the paper": [(row.name, row.parameters) for row in part.trials],
        "whether there is a rejection": bool(part.detections),
    }


def _merged_row(rows, accuracy):
    seconds, attacked = sum(row.seconds for row in rows), sum(row.attacked for row in rows)
    counted = [row for row in rows if row.queries is not None]  # those of black boxes
    return AttackRow(
        rows[0].name,
        rows[0].parameters,
        accuracy,
        seconds,
        attacked,
        _errors(rows),
        sum(row.queries for row in counted) if counted else None,
        max(row.most_queries for row in counted) if counted else None,
    )


def _merged_trial(rows):
    """Figures over all parts; `None` where an attack could not run in one of them."""
    first, seconds = rows[0], sum(row.seconds for row in rows)
    images, attacked = sum(row.num_images for row in rows), sum(row.attacked for row in rows)
    known = first.name, first.parameters, first.source, images, attacked
    if error := _errors(rows):
        return TrialRow(*known, None, None, None, seconds, error)
    right = sum(round(row.accuracy * row.num_images) for row in rows)
    broken = [round((row.success_rate or 0) * row.attacked) for row in rows]
    sizes = sum(n * row.mean_l2 for n, row in zip(broken, rows, strict=True) if n)
    return TrialRow(
        *known,
        accuracy=right / images,
        success_rate=sum(broken) / attacked if attacked else None,
        mean_l2=sizes / sum(broken) if any(broken) else None,
        seconds=seconds,
    )


def _merged_detection(rows):
    names = ("images", "wrong", "rejected", "accepted")
    return Detection(rows[0].name, *(sum(getattr(row, name) for row in rows) for name in names))


def _errors(rows):
    said = [f"part {i} of {len(rows)}: {r.error}" for i, r in enumerate(rows, 1) if r.error]
    return "; ".join(said) or None


def _diagnostics(merged: AuditReport, parts: list[AuditReport]) -> dict[str, Diagnostic]:
    anew, before = dict[str, Diagnostic](), merged.clean_accuracy
    if any("nan_scores" in part.diagnostics for part in parts):
        nan = np.where(merged.predictions < 0, np.nan, 0.0)[:, None]
        anew["nan_scores"] = checks.nan_scores(nan)
    for row in merged.rows:
        name = _BLACK_BOX + row.name
        if any(name in part.diagnostics for part in parts):
            broken = merged.broken_by.count(row.name)
            anew[name] = checks.black_box(row.name, broken, row.attacked, before)
        before = row.accuracy
    kept = {
        f"part {number}: {name}": check
        for number, part in enumerate(parts, 1)
        for name, check in part.diagnostics.items()
        if name not in anew and name != "naive_minus_best"
    }
    naive, final = merged.naive_accuracy, merged.robust_accuracy
    if naive is not None:
        masked = any(check.grade == MASKED for check in (*anew.values(), *kept.values()))
        anew["naive_minus_best"] = checks.naive_minus_best(naive, final, masked)
    return anew | kept


def _said(parts):
    sizes = ", ".join(str(part.num_images) for part in parts)
    seen, twice = set[bytes](), 0
    for part in parts:
        own = {image.tobytes() for image in part.x}
        twice += len(own & seen)
        seen |= own
    text = (
        f"Merged of {len(parts)} audits of parts of {sizes} images. Checks whose name starts with "
        "a part were measured on images of that part alone."
    )
    if twice:
        text += f" {twice} images occur in more than one part: check that the parts are disjoint."
    return text
