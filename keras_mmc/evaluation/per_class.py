"""Which classes an audit broke, and into which."""

import collections
import dataclasses
from typing import Any

import numpy as np

from keras_mmc._tables import Column, Tabular, percent


@dataclasses.dataclass(frozen=True)
class ClassRow:
    """One class of an audit.

    Attributes:
        label: the class.
        name: its name, or its number as text if the data knew no names.
        count: number of its images.
        clean_accuracy: fraction of them that is classified correctly as it is.
        robust_accuracy: fraction of them that no attack broke.
        broken_into: name of the class that attacks turned most of them into, the lowest one of
            several; `"NaN scores"` where there is no class, `None` if attacks broke none.
        broken_into_count: number of images turned into it.
    """

    label: int
    name: str
    count: int
    clean_accuracy: float
    robust_accuracy: float
    broken_into: str | None
    broken_into_count: int


@dataclasses.dataclass(frozen=True)
class PerClass(Tabular):
    """Result of `AuditReport.per_class`; classes without images have no row.

    Attributes:
        rows: one `ClassRow` per class, by label.
    """

    rows: tuple[ClassRow, ...]

    def _title(self):
        return f"Robust accuracy of each class, {sum(row.count for row in self.rows)} images"

    def _columns(self):
        rows = self.rows
        return (
            Column("class", [row.name for row in rows]),
            Column("images", [row.count for row in rows]),
            Column("clean accuracy", [row.clean_accuracy for row in rows], percent),
            Column("robust accuracy", [row.robust_accuracy for row in rows], percent),
            Column("mostly broken into", [row.broken_into for row in rows]),
            Column("images broken into it", [row.broken_into_count or None for row in rows]),
        )


def per_class(report: Any) -> PerClass:
    """The accuracies of an `AuditReport`, class by class; see `AuditReport.per_class`."""
    broken_by = np.array(report.broken_by, dtype=object)
    missed, stands = broken_by == "clean", report.robust

    def name(label):
        if label < 0:
            return "NaN scores"
        return str(label) if report.class_names is None else report.class_names[label]

    rows = []
    for label in np.unique(report.labels).tolist():
        own = report.labels == label
        # Lowest class first: `most_common` keeps that order among equal counts.
        wrong = np.sort(report.predictions[own & ~missed & ~stands]).tolist()
        (into, times), *_ = collections.Counter(wrong).most_common(1) or [(None, 0)]
        rows.append(
            ClassRow(
                label=label,
                name=name(label),
                count=int(own.sum()),
                clean_accuracy=float((~missed)[own].mean()),
                robust_accuracy=float(stands[own].mean()),
                broken_into=None if into is None else name(into),
                broken_into_count=times,
            )
        )
    return PerClass(tuple(rows))
