"""Several audits side by side."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from scipy.stats import binomtest

from keras_mmc._tables import Column, Tabular, percent
from keras_mmc._validation import shown
from keras_mmc.evaluation.report import AuditReport

_SETTINGS = ("suite", "eps", "norm", "box", "seed", "versions")


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
    """One audit of a comparison.

    Attributes:
        name: its name.
        num_images: number of images.
        clean_accuracy: fraction of images classified correctly as they are.
        naive_accuracy: robust accuracy under PGD on the cross-entropy alone; `None` of a black box.
        robust_accuracy: fraction of images that no attack broke.
        interval: its 95 % Wilson interval.
        difference: its robust accuracy minus that of the first audit, image by image; `None` for
            the first one and for an audit of other images.
        p_value: of McNemar's exact test that this difference is chance; `None` where there is none.
    """

    name: str
    num_images: int
    clean_accuracy: float
    naive_accuracy: float | None
    robust_accuracy: float
    interval: tuple[float, float]
    difference: float | None
    p_value: float | None


@dataclasses.dataclass(frozen=True)
class Comparison(Tabular):
    """Result of `compare`: `print` it, or take `to_csv` or `to_latex`.

    Attributes:
        rows: one `ComparisonRow` per audit.
        notes: what makes the audits hard to compare, in sentences.
    """

    rows: tuple[ComparisonRow, ...]
    notes: tuple[str, ...]

    def _title(self):
        return (
            f"Robust accuracy of {len(self.rows)} audits; differences are from "
            f"{self.rows[0].name!r}, on the same images, with McNemar's exact p"
        )

    def _columns(self):
        rows = self.rows
        return (
            Column("audit", [row.name for row in rows]),
            Column("images", [row.num_images for row in rows]),
            Column("clean", [row.clean_accuracy for row in rows], percent),
            Column("naive pgd", [row.naive_accuracy for row in rows], percent),
            Column("robust", [row.robust_accuracy for row in rows], percent),
            Column("95 % from", [row.interval[0] for row in rows], percent),
            Column("to", [row.interval[1] for row in rows], percent),
            Column("difference", [row.difference for row in rows], _points),
            Column("p", [row.p_value for row in rows], "{:.2g}".format),
        )

    def _notes(self):
        return self.notes


def compare(reports: Sequence[AuditReport], names: Sequence[str] | None = None) -> Comparison:
    """Audits side by side, each with its difference from the first one.

    Where two audits attacked the same images with the same labels, images are paired: McNemar's
    exact test asks whether the images that only one of the two models withstands could as well
    have fallen to the other, a much sharper question than whether intervals overlap.

    Args:
        reports: audits; the first one is what the others are compared with.
        names: a name for each; `None` takes those of the models, numbered where one comes twice.

    Returns:
        A `Comparison`.

    Raises:
        ValueError: if there is no report, or names do not fit.

    Source: McNemar, *Note on the sampling error of the difference between correlated proportions
    or percentages*, Psychometrika 1947.

    Example:
    >>> print(keras_mmc.evaluation.compare([mmc_report, softmax_report], ["mmc", "softmax"]))
    """
    given, reports = reports, list(reports) if isinstance(reports, Sequence) else []
    if not reports or not all(isinstance(report, AuditReport) for report in reports):
        raise ValueError(
            f"`reports` must hold audits, as [report, other_report]; received {shown(given)}."
        )
    called = _called(reports) if names is None else _texts(names)
    if len(called) != len(reports) or len(set(called)) < len(called):
        raise ValueError(
            f"`names` must hold {len(reports)} different names, one for each audit; received "
            f"{shown(names)}."
        )
    first, rows, notes = reports[0], [], []
    for name, report in zip(called, reports, strict=True):
        difference, p_value = None, None
        if report is not first and _same_images(report, first):
            difference, p_value = _paired(report, first)
        rows.append(
            ComparisonRow(
                name,
                report.num_images,
                report.clean_accuracy,
                report.naive_accuracy,
                report.robust_accuracy,
                report.interval,
                difference,
                p_value,
            )
        )
        if not _same_images(report, first):
            notes.append(f"{name} was audited on other images than {called[0]}: no difference.")
        if report.masked:
            notes.append(f"{name}: there is evidence of masked gradients; see its report.")
    for setting in _SETTINGS:
        values = [getattr(report, setting) for report in reports]
        if any(value != values[0] for value in values):
            told = "; ".join(f"{n} {v}" for n, v in zip(called, values, strict=True))
            notes.append(f"The audits differ in {setting}: {told}.")
    return Comparison(tuple(rows), tuple(notes))


def _called(reports):
    names = [report.model_name or "model" for report in reports]
    return [
        name if names.count(name) == 1 else f"{name}-{names[:i].count(name) + 1}"
        for i, name in enumerate(names)
    ]


def _same_images(one, other):
    return all(one.digests[part] == other.digests[part] for part in ("images", "labels"))


def _paired(report, first):
    """The difference of robust accuracies, and McNemar's exact p."""
    ours, theirs = report.robust, first.robust
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    discordant = only_ours + only_theirs
    p_value = binomtest(only_ours, discordant).pvalue if discordant else 1.0
    return (only_ours - only_theirs) / len(ours), float(p_value)


def _points(difference):
    return f"{100 * difference:+.2f} points"


def _texts(names: Any) -> list[str]:
    """Names that came, as a list of texts; none of anything else."""
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    return list(names) if is_list and all(isinstance(name, str) for name in names) else []
