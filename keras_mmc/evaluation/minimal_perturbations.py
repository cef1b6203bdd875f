"""The smallest perturbation that fools a model, image by image."""

import dataclasses

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_mmc._validation import check_count
from keras_mmc.attacks import PGD, Runner, misclassified
from keras_mmc.evaluation._inputs import labeled_images

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclasses.dataclass(frozen=True)
class MinimalPerturbations:
    """Result of `minimal_perturbations`.

    Attributes:
        sizes: size of the smallest perturbation found per image, `(N,)`, in input units: 0 where
            the image is misclassified as it is, infinite where nothing was found.
        x_adv: the images with that perturbation, `(N, ...)`, misclassified in a fresh forward
            pass; clean where nothing was found.
        norm: `"linf"` or `"l2"`.
    """

    sizes: np.ndarray
    x_adv: np.ndarray
    norm: str

    @property
    def num_images(self) -> int:
        """Number of images."""
        return len(self.sizes)

    def cdf(self, eps: ArrayLike) -> np.ndarray:
        """Fraction of the images that a perturbation of size at most `eps` fools.

        Args:
            eps: number, or array of them, in input units.

        Returns:
            Fractions in the shape of `eps`; 1 minus them is the accuracy under this attack.
        """
        return np.searchsorted(np.sort(self.sizes), eps, side="right") / self.num_images

    def quantile(self, fraction: ArrayLike) -> np.ndarray:
        """The smallest size such that at least this fraction of the images needs no more.

        Args:
            fraction: number in `[0, 1]`, or array of them.

        Returns:
            Sizes in the shape of `fraction`, in input units; infinite where too few were broken.
        """
        return np.quantile(self.sizes, np.asarray(fraction), method="inverted_cdf")

    def __str__(self):
        wrong, never = (self.sizes == 0).sum(), np.isinf(self.sizes).sum()
        lines = [
            f"Smallest {self.norm} perturbations, {self.num_images} images: {wrong} misclassified "
            f"as they are, {never} never broken",
            *(
                f"  {100 * part:3.0f} % of the images need at most {self.quantile(part):.4g}"
                for part in _QUANTILES
            ),
        ]
        return "\n".join(lines)


def minimal_perturbations(
    model: keras.Model,
    x: ArrayLike,
    y: ArrayLike,
    *,
    norm: str = "linf",
    num_steps: int = 12,
    attack_steps: int = 50,
    box: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 128,
) -> MinimalPerturbations:
    """Smallest perturbation per image, by bisection on the radius of a PGD attack on the margin.

    Each image has its own radius, which starts at half the distance to the farthest corner of the
    box and goes down where the attack succeeds, up where it fails. The sizes are upper bounds of
    the true ones, as good as the attack.

    Args:
        model: Keras model from images to scores `(N, K)`.
        x: images `(N, ...)`, floats inside the box.
        y: integer labels `(N,)`.
        norm: `"linf"` or `"l2"`.
        num_steps: number of radii tried per image: the interval left is `2 ** -num_steps` of the
            distance to the farthest corner of the box.
        attack_steps: steps of the attack at each radius; it starts at the image.
        box: `(low, high)`, where images live.
        batch_size: images attacked at a time.

    Returns:
        A `MinimalPerturbations`; `print` it for a table.

    Raises:
        ValueError: if images, labels, the model's scores or another argument do not fit.

    Source: the attack is that of Madry et al., ICLR 2018, arXiv 1706.06083, with the margin as
    objective; the bisection is this package's own.

    Example:
    >>> found = keras_mmc.evaluation.minimal_perturbations(model, x_test, y_test)
    >>> found.cdf([0.1, 0.2, 0.3]), found.quantile(0.5)
    """
    attack = PGD(0.0, steps=attack_steps, norm=norm, random_start=False, box=box)
    check_count("minimal_perturbations", "num_steps", num_steps)
    runner = Runner(model, batch_size)
    x, labels, scores = labeled_images(runner, x, y, box)
    right = ~misclassified(scores, labels).numpy()
    x_adv, found = x.copy(), ~right
    farthest = np.where(x - box[0] > box[1] - x, *box)
    low, high = np.zeros(len(x), "float32"), attack.ball.sizes(farthest, x).astype("float32")
    for _ in range(num_steps):
        radii = (low + high) / 2
        broken = runner.run(attack, x, labels, np.flatnonzero(right), eps=radii)
        x_adv[broken.rows], found[broken.rows] = broken.x_adv, True
        success = np.isin(np.arange(len(x)), broken.rows)
        low, high = np.where(success, low, radii), np.where(success, radii, high)
    sizes = np.where(found, attack.ball.sizes(x_adv, x), np.inf)
    return MinimalPerturbations(sizes, x_adv, norm)
