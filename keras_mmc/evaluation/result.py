"""What an audit found, for people and for files."""

import dataclasses
import json
import pathlib
import shutil
import tempfile

import numpy as np

from keras_mmc.evaluation.intervals import wilson_interval

_EXAMPLES = 9
_FILES = {"report.json", "report.html", "adversarial.npz"}


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
class ExtraRow:
    """One attack outside the ball, run on its own: it does not count for the robust accuracy.

    Attributes:
        name: name of the attack.
        parameters: the attack as Python would write it.
        num_images: number of images it was limited to, the first ones.
        attacked: how many of them the model classifies correctly as they are.
        success_rate: fraction of the attacked images that it broke, 0 if there was none.
        mean_l2: mean Euclidean size of the perturbation over the successes, in input units;
            `None` without a success. Neither figure means anything without the other.
        seconds: wall time, tracing included.
    """

    name: str
    parameters: str
    num_images: int
    attacked: int
    success_rate: float
    mean_l2: float | None
    seconds: float


@dataclasses.dataclass(frozen=True)
class Diagnostic:
    """One check of whether the robust accuracy can be trusted.

    Attributes:
        figures: what was measured, by name: numbers or lists of numbers.
        finding: what is suspicious about it, in plain words; `None` if nothing is.
    """

    figures: dict[str, float | list[float]]
    finding: str | None

    @property
    def fired(self) -> bool:
        """Whether there is something to report."""
        return self.finding is not None


@dataclasses.dataclass(frozen=True)
class AuditReport:
    """Result of `keras_mmc.audit`.

    Attributes:
        suite: name of the suite.
        eps: radius of the ball, in input units.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`, where images live.
        seed: seed of the attacks.
        batch_size: images attacked at a time; with the seed it fixes the points.
        versions: versions of the libraries.
        digests: SHA-256 of images, labels and weights.
        num_images: number of images.
        clean_accuracy: fraction of images classified correctly as they are.
        naive_accuracy: fraction that stands after PGD on the cross-entropy alone.
        rows: one `AttackRow` per attack, in the order they ran.
        extras: one `ExtraRow` per attack outside the ball.
        diagnostics: one `Diagnostic` per check, by name.
        notes: replaced objectives and the like.
        x: images `(N, ...)`, float32.
        labels: integers `(N,)`.
        answers: classes `(N,)` the model answers on `x_adv`, -1 for NaN scores.
        x_adv: images, adversarial where an attack broke them, else clean.
        broken_by: for every image the attack that broke it, `"clean"` if it was misclassified as
            it is, `None` if it stands.
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
    naive_accuracy: float
    rows: tuple[AttackRow, ...]
    extras: tuple[ExtraRow, ...]
    diagnostics: dict[str, Diagnostic]
    notes: tuple[str, ...]
    x: np.ndarray
    labels: np.ndarray
    x_adv: np.ndarray
    answers: np.ndarray
    broken_by: tuple[str | None, ...]

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
        return tuple(check.finding for check in self.diagnostics.values() if check.fired)

    def __str__(self):
        low, high = self.interval
        width = max(len(row.name) for row in (*self.rows, *self.extras))
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
        if self.extras:
            lines.append("Outside the ball, each on its own and not counted above:")
        for row in self.extras:
            size = "" if row.mean_l2 is None else f", mean L2 {row.mean_l2:.3g}"
            lines.append(
                f"  {row.name.ljust(width)}  {100 * row.success_rate:6.2f} % of {row.attacked} "
                f"broken{size}  {row.seconds:8.1f} s"
            )
        lines += [f"Finding: {text}" for text in self.findings]
        lines += [f"Note: {text}" for text in self.notes]
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """Everything but images, labels and answers, ready for JSON."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("x", "labels", "x_adv", "answers"):
            del fields[name]
        for name in ("rows", "extras"):
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

    def save(self, directory, overwrite: bool = False) -> pathlib.Path:
        """Write a new directory that appears only once it is complete.

        It holds `report.json`, the page `report.html` to open in a browser, and `adversarial.npz`
        with the key `x_adv`.

        Args:
            directory: directory to create.
            overwrite: replace the report of an earlier audit; nothing else is ever deleted.

        Returns:
            The directory.

        Raises:
            FileExistsError: see `check_directory`.
        """
        # Draws pictures, so it imports matplotlib, which nothing else here needs.
        from keras_mmc.plotting import audit_page

        directory = pathlib.Path(directory)
        self.check_directory(directory, overwrite)
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory.parent) as staging:
            complete = pathlib.Path(staging) / directory.name
            complete.mkdir()
            facts = self.to_dict()
            text = json.dumps(facts, indent=2)
            (complete / "report.json").write_text(text + "\n", encoding="utf-8")
            page = audit_page(facts, self._examples())
            (complete / "report.html").write_text(page, encoding="utf-8")
            np.savez_compressed(complete / "adversarial.npz", x_adv=self.x_adv)
            if directory.exists():
                shutil.rmtree(directory)
            complete.rename(directory)
        return directory

    @staticmethod
    def check_directory(directory, overwrite: bool = False) -> None:
        """Refuses a directory that `save` would refuse; call it before a long audit.

        Args:
            directory: directory to create.
            overwrite: whether the report of an earlier audit may be replaced.

        Raises:
            FileExistsError: if it exists and `overwrite` is not set, or if it holds other files
                than a report.
        """
        directory = pathlib.Path(directory)
        if not directory.exists():
            return
        if not overwrite:
            raise FileExistsError(
                f"{directory} exists. Choose another directory, or pass overwrite=True."
            )
        held = {path.name for path in directory.iterdir()} if directory.is_dir() else {"no folder"}
        if not held <= _FILES:
            raise FileExistsError(
                f"{directory} holds other things than a report, such as {min(held - _FILES)!r}, "
                "and is left as it is. Choose another directory."
            )

    def _examples(self):
        """The first images that an attack broke, as the page shows them."""
        broken = [i for i, name in enumerate(self.broken_by) if name not in (None, "clean")]
        return [
            {
                "row": i,
                "clean": self.x[i],
                "adversarial": self.x_adv[i],
                "label": int(self.labels[i]),
                "answer": int(self.answers[i]),
                "broken_by": self.broken_by[i],
            }
            for i in broken[:_EXAMPLES]
        ]
