"""What an audit found, for people and for files."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator

import numpy as np

from keras_mmc import _files
from keras_mmc.evaluation._report_text import report_text
from keras_mmc.evaluation.checkpoint import check_state_directory
from keras_mmc.evaluation.intervals import wilson_interval
from keras_mmc.evaluation.rows import MASKED, AttackRow, Diagnostic, TrialRow

_EXAMPLES = 9
_KIND = _files.Kind(
    "report",
    marker="report.json",
    signature='"keras_mmc":',
    files=("report.json", "report.html", "adversarial.npz"),
)


@dataclasses.dataclass(frozen=True)
class AuditReport:
    """Result of `keras_mmc.audit`.

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
        class_names: names of the classes, if the data knew them.
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
    class_names: tuple[str, ...] | None = None

    @property
    def robust_accuracy(self) -> float:
        """Fraction of the images that no attack broke."""
        return self.rows[-1].accuracy

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the robust accuracy."""
        return wilson_interval(self.broken_by.count(None), self.num_images)

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

    def to_dict(self) -> dict:
        """Everything but images, labels and predictions, ready for JSON."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("x", "labels", "x_adv", "predictions"):
            del fields[name]
        for name in ("rows", "trials"):
            fields[name] = [dataclasses.asdict(row) for row in fields[name]]
        fields["diagnostics"] = {
            name: {"fired": check.fired, **dataclasses.asdict(check)}
            for name, check in self.diagnostics.items()
        }
        return {
            **fields,
            "robust_accuracy": self.robust_accuracy,
            "interval": list(self.interval),
            "findings": list(self.findings),
        }

    def save(self, directory: _files.PathLike, overwrite: bool = False) -> pathlib.Path:
        """Write a directory that appears only once it is complete.

        It holds `report.json`, the page `report.html` to open in a browser, and `adversarial.npz`
        with the key `x_adv`.

        Args:
            directory: directory to create.
            overwrite: replace the report of an earlier audit; nothing else is ever deleted.

        Returns:
            The directory.

        Raises:
            FileExistsError, BlockingIOError, OSError: see `reserve`.
        """
        with self.reserve(directory, overwrite) as complete:
            self.write(complete)
        return pathlib.Path(directory)

    def write(self, directory: pathlib.Path) -> None:
        """Write the files of `save` to a directory that `reserve` has made."""
        # Draws pictures, so it imports matplotlib, which nothing else here needs.
        from keras_mmc.plotting import audit_page

        facts = self.to_dict()
        text = json.dumps(facts, indent=2) + "\n"
        (directory / "report.json").write_text(text, encoding="utf-8")
        page = audit_page(facts, self._examples())
        (directory / "report.html").write_text(page, encoding="utf-8")
        np.savez_compressed(directory / "adversarial.npz", x_adv=self.x_adv)

    @staticmethod
    @contextlib.contextmanager
    def reserve(
        directory: _files.PathLike,
        overwrite: bool = False,
        state_directory: _files.PathLike | None = None,
    ) -> Iterator[pathlib.Path]:
        """Check the place of a report before a long audit, and keep it from other processes.

        Args:
            directory: directory to create.
            overwrite: whether the report of an earlier audit may be replaced.
            state_directory: where the audit keeps its finished batches, if anywhere.

        Yields:
            The directory to `write` to; it takes its place when the block ends well.

        Raises:
            BlockingIOError: if another process writes there.
            FileExistsError, ValueError, OSError: see `check_directory`.

        Example:
        >>> with AuditReport.reserve("runs/audit") as directory:
        ...     keras_mmc.audit(model, x_test, y_test, eps=8 / 255).write(directory)
        """
        AuditReport.check_directory(directory, overwrite, state_directory)
        with _files.results_directory(directory, _KIND, overwrite) as complete:
            yield complete

    @staticmethod
    def check_directory(
        directory: _files.PathLike,
        overwrite: bool = False,
        state_directory: _files.PathLike | None = None,
    ) -> None:
        """Refuse a directory that `save` would refuse, before a long audit; changes nothing.

        Args:
            directory: directory to create.
            overwrite: whether the report of an earlier audit may be replaced.
            state_directory: where the audit keeps its finished batches, if anywhere.

        Raises:
            FileExistsError: if it exists and `overwrite` is not set, or if it holds other files
                than a report.
            OSError: if one of the two cannot be written.
            ValueError: if one lies inside the other, or the state directory holds other files.
        """
        _files.check_results_directory(directory, _KIND, overwrite)
        if state_directory is not None:
            _files.check_apart(directory, state_directory)
            check_state_directory(state_directory)

    def _examples(self):
        """The first images that an attack broke, as the page shows them."""
        broken = [i for i, name in enumerate(self.broken_by) if name not in (None, "clean")]
        return [
            {
                "row": i,
                "clean": self.x[i],
                "adversarial": self.x_adv[i],
                "label": int(self.labels[i]),
                "prediction": int(self.predictions[i]),
                "broken_by": self.broken_by[i],
            }
            for i in broken[:_EXAMPLES]
        ]
