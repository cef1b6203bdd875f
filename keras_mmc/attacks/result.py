"""What attacks did to images."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Asked:
    """What an attack asked a black box; zeros of a model that is no black box.

    Attributes:
        queries: number of images it was asked about, an image asked twice counting twice.
        most: largest number of queries for one image.
    """

    queries: int = 0
    most: int = 0


@dataclasses.dataclass(frozen=True)
class Broken:
    """What an attack broke.

    Attributes:
        rows: the images that are misclassified now, `(m,)`.
        x_adv: their adversarial examples, `(m, ...)`.
        seconds: wall time, tracing included.
        asked: what it asked a black box, the check of the result included.
    """

    rows: np.ndarray
    x_adv: np.ndarray
    seconds: float
    asked: Asked = Asked()


@dataclasses.dataclass(frozen=True)
class AttackResult:
    """What attacks, run in turn, did to every image.

    Attributes:
        x_adv: images, adversarial where an attack broke them, else clean.
        broken_by: for every image the name of the attack that broke it, `"clean"` if the model
            misclassifies it as it is, `None` if none did.
        accuracy: robust accuracy after each attack and those before it, by name, in the order
            they ran; `"clean"` comes first.
        seconds: wall time of each attack, by name, tracing included.
        attacked: number of images that each attack ran on, by name.
        asked: what each attack asked a black box, by name.
    """

    x_adv: np.ndarray
    broken_by: tuple[str | None, ...]
    accuracy: dict[str, float]
    seconds: dict[str, float]
    attacked: dict[str, int]
    asked: dict[str, Asked]

    @property
    def robust(self) -> np.ndarray:
        """Boolean `(N,)`: no attack broke the image."""
        return np.array([name is None for name in self.broken_by])

    @property
    def robust_accuracy(self) -> float:
        """Fraction of the images that no attack broke."""
        return self.broken_by.count(None) / len(self.broken_by)
