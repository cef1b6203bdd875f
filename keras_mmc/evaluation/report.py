"""What an audit found, for people and for files."""

import dataclasses
import json
from typing import Any

import numpy as np

from keras_mmc.evaluation._report_files import ARRAY_FIELDS
from keras_mmc.evaluation._report_text import report_text
from keras_mmc.evaluation._saved_report import SavedReport
from keras_mmc.evaluation.intervals import wilson_interval
from keras_mmc.evaluation.per_class import PerClass, per_class
from keras_mmc.evaluation.robustbench import robustbench_record
from keras_mmc.evaluation.rows import MASKED, AttackRow, Detection, Diagnostic, TrialRow


@dataclasses.dataclass(frozen=True, eq=False)
class AuditReport(SavedReport):
    """Result of `keras_mmc.audit`. Reports are equal if all their fields are.

    Attributes:
        suite: name of the suite.
        eps: radius of the ball, in input units.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`, where images live.
        seed: seed of the attacks.
        batch_size: images attacked at a time; with the seed it fixes the results.
        versions: versions of the libraries.
        digests: SHA-256 of images, labels and weights, or of the files of a black box; `None`
            where there is nothing to hash.
        num_images: number of images.
        clean_accuracy: fraction of images classified correctly as they are.
        naive_accuracy: robust accuracy under PGD on the cross-entropy alone; `None` of a black
            box, which has no gradient for it.
        rows: one `AttackRow` per attack, in the order they ran.
        trials: one `TrialRow` per attack of a paper's protocol.
        diagnostics: one `Diagnostic` per check, by name.
        notes: replaced objectives and the like.
        x: images `(N, ...)`, float32.
        labels: integers `(N,)`.
        predictions: classes `(N,)` that the model predicts on `x_adv`, -1 for NaN scores.
        x_adv: images, adversarial where an attack broke them, else clean.
        broken_by: for every image the attack that broke it, `"clean"` if it was misclassified as
            it is, `None` if no attack broke it.
        detections: with a rejection, what it costs on the clean images, and what it catches of the
            suite, of an attack that knows it, and of the stronger of the two for each image; else
            empty.
        class_names: names of the classes, if the data knew them.
        model_name: name of the Keras model.
        date: when the audit ended, in UTC, as ISO 8601.
        command: the command line of the process, `None` in a notebook.
    """

    suite: str
    eps: float
    norm: str
    box: tuple[float, float]
    seed: int
    batch_size: int
    versions: dict[str, str]
    digests: dict[str, str | None]
    num_images: int
    clean_accuracy: float
    naive_accuracy: float | None
    rows: tuple[AttackRow, ...]
    trials: tuple[TrialRow, ...]
    diagnostics: dict[str, Diagnostic]
    notes: tuple[str, ...]
    x: np.ndarray
    labels: np.ndarray
    x_adv: np.ndarray
    predictions: np.ndarray
    broken_by: tuple[str | None, ...]
    detections: tuple[Detection, ...] = ()
    class_names: tuple[str, ...] | None = None
    model_name: str | None = None
    date: str | None = None
    command: str | None = None

    @property
    def robust_accuracy(self) -> float:
        """Fraction of the images that no attack broke."""
        return self.rows[-1].accuracy

    @property
    def robust(self) -> np.ndarray:
        """Boolean `(N,)`: no attack broke the image."""
        return np.array([name is None for name in self.broken_by])

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the robust accuracy."""
        return wilson_interval(self.broken_by.count(None), self.num_images)

    @property
    def correct_or_rejected(self) -> float | None:
        """Fraction of the images that no attack gets a wrong answer accepted for.

        An attack that knows the detector is among them. `None` without a rejection.
        """
        return self.detections[-1].correct_or_rejected if self.detections else None

    @property
    def findings(self) -> tuple[str, ...]:
        """What the diagnostics say, in plain words; empty if they found nothing."""
        return tuple(check.finding for check in self.diagnostics.values() if check.finding)

    @property
    def masked(self) -> bool:
        """Whether there is evidence that gradients mislead attacks on this model."""
        return any(check.grade == MASKED for check in self.diagnostics.values())

    def __str__(self):
        return report_text(self)

    def __repr__(self):
        return (
            f"<AuditReport suite={self.suite!r} {self.norm} eps={self.eps:.4g} images="
            f"{self.num_images} robust_accuracy={self.robust_accuracy:.4f}>"
        )

    def _repr_html_(self):
        # Notebooks alone need it.
        from keras_mmc.plotting import audit_summary

        return audit_summary(self.to_dict())

    def per_class(self) -> PerClass:
        """Clean and robust accuracy of each class, and what it is broken into most often.

        Example:
        >>> print(report.per_class())
        """
        return per_class(self)

    def to_robustbench(self, **metadata: Any) -> dict[str, Any]:
        """One record in RobustBench's keys, ready for JSON; percentages are texts, as theirs.

        `autoattack_acc` is there only if the attacks were AutoAttack `"standard"` as published. The
        naive control ran before it and counts, so that it can only be lower. `reported` is the
        robust accuracy under whatever suite ran; `unreliable` says whether gradients are masked.

        Args:
            **metadata: what an audit cannot know, `None` where it is left out: `name` of the paper,
                `authors`, `venue`, `link`, `architecture`, `dataset`, `additional_data`,
                `number_forward_passes`; also `reported`, `footnote` and `unreliable` of your own.

        Raises:
            ValueError: for other keys.

        Source: Croce et al., *RobustBench*, 2021, arXiv 2010.09670, `model_info/*.json`.

        Example:
        >>> record = report.to_robustbench(architecture="ResNet-29", dataset="cifar10")
        >>> json.dumps(record)
        """
        return robustbench_record(self, **metadata)

    def __eq__(self, other):
        if not isinstance(other, AuditReport):
            return NotImplemented
        # As text, in which a figure that is NaN equals itself.
        same = json.dumps(self.to_dict()) == json.dumps(other.to_dict())
        pairs = ((getattr(self, name), getattr(other, name)) for name in ARRAY_FIELDS)
        return same and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)

    def to_dict(self) -> dict:
        """Everything but images, labels and predictions, ready for JSON."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ARRAY_FIELDS:
            del fields[name]
        for name in ("rows", "trials", "detections"):
            fields[name] = [dataclasses.asdict(row) for row in fields[name]]
        fields["diagnostics"] = {
            name: {"fired": check.fired, **dataclasses.asdict(check)}
            for name, check in self.diagnostics.items()
        }
        return {
            **fields,
            "image_shape": list(self.x.shape[1:]),
            "per_class": [dataclasses.asdict(row) for row in self.per_class().rows],
            "robust_accuracy": self.robust_accuracy,
            "interval": list(self.interval),
            "correct_or_rejected": self.correct_or_rejected,
            "findings": list(self.findings),
        }
