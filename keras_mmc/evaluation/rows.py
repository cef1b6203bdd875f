"""The lines of a report: attacks in turn, attacks on their own, and diagnostics."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class AttackRow:
    """One attack of an audit, run on the images that those before it left.

    Attributes:
        name: name of the attack.
        parameters: the attack as Python would write it.
        accuracy: robust accuracy after this attack and all before it.
        seconds: wall time, tracing included.
        attacked: number of images it ran on; 0 if those before it left none.
        error: why it could not run, if it could not: then it broke nothing.
        queries: number of images that it asked a black box about, an image asked twice counting
            twice; `None` of a model that is no black box.
        most_queries: largest number of them for one image.
    """

    name: str
    parameters: str
    accuracy: float
    seconds: float
    attacked: int
    error: str | None = None
    queries: int | None = None
    most_queries: int | None = None


@dataclasses.dataclass(frozen=True)
class TrialRow:
    """One attack of a paper's protocol, run on its own: the robust accuracy does not count it.

    Attributes:
        name: name of the attack.
        parameters: the attack as Python would write it.
        source: where its settings are from.
        num_images: number of images it was limited to, the first ones.
        attacked: how many of them the model classifies correctly as they are.
        accuracy: fraction of `num_images` that the model classifies correctly under the attack,
            whatever the attack aims at.
        success_rate: fraction of the attacked images that it broke; `None` if there was none.
        mean_l2: mean Euclidean size of the perturbation over the successes, in input units;
            `None` without a success. Neither figure means anything without the other.
        seconds: wall time, tracing included.
        error: why it could not run, if it could not: then its figures are `None`.
    """

    name: str
    parameters: str
    source: str
    num_images: int
    attacked: int
    accuracy: float | None
    success_rate: float | None
    mean_l2: float | None
    seconds: float
    error: str | None = None


MASKED = "masked gradients"
WEAK = "weak attack"
MODEL = "model"
SETTINGS = "settings"


@dataclasses.dataclass(frozen=True)
class Diagnostic:
    """One check of whether the robust accuracy can be trusted.

    Attributes:
        figures: what was measured, by name: numbers or lists of numbers.
        finding: what is suspicious about it, in plain words; `None` if nothing is.
        grade: what the finding shows: `"masked gradients"`, only with evidence that gradients
            mislead; `"weak attack"`, where a figure merely falls with effort; `"model"`, where the
            model is not what an attack expects; `"settings"`, where another question may have been
            meant. `None` without a finding.
    """

    figures: dict[str, float | list[float]]
    finding: str | None = None
    grade: str | None = None

    @property
    def fired(self) -> bool:
        """Whether there is something to report."""
        return self.finding is not None


def diagnostic(figures: dict, fired: bool, grade: str, finding: str) -> Diagnostic:
    """A check that says `finding`, of that grade, if it fired."""
    return Diagnostic(figures, finding, grade) if fired else Diagnostic(figures)


@dataclasses.dataclass(frozen=True)
class Detection:
    """What the threshold costs and catches on some images.

    Attributes:
        name: which images, and how they were made.
        images: number of images.
        wrong: number of them without a right answer: misclassified, or foreign.
        rejected: number of those that are rejected.
        accepted: number of images that are accepted, whatever their answer.
    """

    name: str
    images: int
    wrong: int
    rejected: int
    accepted: int

    @property
    def coverage(self) -> float:
        """Fraction of the images that are accepted."""
        return self.accepted / self.images

    @property
    def accuracy(self) -> float | None:
        """Fraction of the accepted images whose answer is right; `None` if none is accepted."""
        wrong_accepted = self.wrong - self.rejected
        return 1 - wrong_accepted / self.accepted if self.accepted else None

    @property
    def falsely_rejected(self) -> int:
        """Number of right answers that are rejected."""
        return self.images - self.accepted - self.rejected

    @property
    def false_rejection(self) -> float | None:
        """Fraction of the right answers that are rejected; `None` if none is right."""
        right = self.images - self.wrong
        return self.falsely_rejected / right if right else None

    @property
    def correct_or_rejected(self) -> float:
        """Fraction of the images that are not accepted with a wrong answer."""
        return 1 - (self.wrong - self.rejected) / self.images
