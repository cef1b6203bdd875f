"""What an audit found, for people and for files."""

import dataclasses
import json
import pathlib
import shutil
import tempfile

import numpy as np

from keras_mmc.evaluation.intervals import wilson_interval


@dataclasses.dataclass(frozen=True)
class AttackRow:
    """One attack of an audit.

    Attributes:
        name: name of the attack.
        parameters: the attack as Python would write it.
        accuracy: fraction of all images that stand after this attack and those before it.
        seconds: wall time, tracing included.
    """

    name: str
    parameters: str
    accuracy: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class AuditReport:
    """Result of `keras_mmc.audit`.

    Attributes:
        suite: name of the suite.
        eps: radius of the ball, in input units.
        norm: `"linf"` or `"l2"`.
        seed: seed of the attacks.
        num_images: number of images.
        clean_accuracy: fraction of images classified correctly as they are.
        naive_accuracy: fraction that stands after PGD on the cross-entropy alone.
        rows: one `AttackRow` per attack, in the order they ran.
        findings: what the diagnostics say, in plain words; empty if they found nothing.
        notes: replaced objectives and the like.
        x_adv: images, adversarial where an attack broke them, else clean.
        broken_by: for every image the attack that broke it, `"clean"` if it was misclassified as
            it is, `None` if it stands.
        versions: versions of the libraries.
    """

    suite: str
    eps: float
    norm: str
    seed: int
    num_images: int
    clean_accuracy: float
    naive_accuracy: float
    rows: tuple[AttackRow, ...]
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    x_adv: np.ndarray
    broken_by: tuple[str | None, ...]
    versions: dict[str, str]

    @property
    def robust_accuracy(self) -> float:
        """Fraction of the images that no attack broke."""
        return self.rows[-1].accuracy

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the robust accuracy."""
        return wilson_interval(self.broken_by.count(None), self.num_images)

    def __str__(self):
        low, high = self.interval
        width = max(len(row.name) for row in self.rows)
        lines = [
            f"Audit '{self.suite}', {self.norm} eps {self.eps:.4g}, {self.num_images} images, "
            f"seed {self.seed}",
            f"  {'clean'.ljust(width)}  {100 * self.clean_accuracy:6.2f} %",
            *(
                f"  {row.name.ljust(width)}  {100 * row.accuracy:6.2f} %  {row.seconds:8.1f} s"
                for row in self.rows
            ),
            f"Robust accuracy {100 * self.robust_accuracy:.2f} % (95 % interval "
            f"{100 * low:.2f} to {100 * high:.2f}); each line counts the images that stand after "
            "it and all lines before.",
        ]
        lines += [f"Finding: {text}" for text in self.findings]
        lines += [f"Note: {text}" for text in self.notes]
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """Everything but the images, ready for JSON."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["rows"] = [dataclasses.asdict(row) for row in self.rows]
        del fields["x_adv"]
        low, high = self.interval
        return {**fields, "robust_accuracy": self.robust_accuracy, "interval": [low, high]}

    def save(self, directory, overwrite: bool = False) -> pathlib.Path:
        """Write `report.json` and `adversarial.npz` (key `x_adv`) to a new directory.

        The directory appears only once it is complete.

        Args:
            directory: directory to create.
            overwrite: replace an existing one.

        Returns:
            The directory.

        Raises:
            FileExistsError: if it exists and `overwrite` is not set.
        """
        directory = pathlib.Path(directory)
        if directory.exists() and not overwrite:
            raise FileExistsError(
                f"{directory} exists. Choose another directory, or pass overwrite=True."
            )
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory.parent) as staging:
            complete = pathlib.Path(staging) / directory.name
            complete.mkdir()
            text = json.dumps(self.to_dict(), indent=2)
            (complete / "report.json").write_text(text + "\n", encoding="utf-8")
            np.savez_compressed(complete / "adversarial.npz", x_adv=self.x_adv)
            if directory.exists():
                shutil.rmtree(directory)
            complete.rename(directory)
        return directory
