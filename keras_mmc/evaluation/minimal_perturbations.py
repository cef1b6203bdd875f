"""The smallest perturbation that fools a model, image by image."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc.attacks import PGD
from keras_mmc.attacks.ascent import Ascent, per_sample
from keras_mmc.attacks.base import misclassified, score_function, scores_of
from keras_mmc.attacks.graphs import CLASSES, batches, images_spec, traced
from keras_mmc.evaluation.inputs import allowed, labelled_images, sizes_of

# Share of the largest score by which a wrong class must lead, so that the point is misclassified
# in every forward pass, whatever the rounding of another batch.
_ROUNDING = 1e-5
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

    def cdf(self, eps) -> np.ndarray:
        """Fraction of the images that a perturbation of size at most `eps` fools.

        Args:
            eps: number, or array of them, in input units.

        Returns:
            Fractions in the shape of `eps`; 1 minus them is the accuracy under this attack.
        """
        return np.searchsorted(np.sort(self.sizes), eps, side="right") / self.num_images

    def quantile(self, share) -> np.ndarray:
        """The smallest size such that at least this share of the images needs no more.

        Args:
            share: number in `[0, 1]`, or array of them.

        Returns:
            Sizes in the shape of `share`, in input units; infinite where too few were broken.
        """
        return np.quantile(self.sizes, share, method="inverted_cdf")

    def __str__(self):
        wrong, never = (self.sizes == 0).sum(), np.isinf(self.sizes).sum()
        lines = [
            f"Smallest {self.norm} perturbations, {self.num_images} images: {wrong} misclassified "
            f"as they are, {never} never broken",
            *(
                f"  {100 * share:3.0f} % of the images need at most {self.quantile(share):.4g}"
                for share in _QUANTILES
            ),
        ]
        return "\n".join(lines)


def minimal_perturbations(
    model,
    x,
    y,
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
        ValueError: if images, labels, the model's scores or another argument do not fit, or a
            point found is not misclassified when looked at again.

    Source: the attack is that of Madry et al., ICLR 2018, arXiv 1706.06083, with the margin as
    objective; the bisection is this package's own.

    Example:
    >>> found = keras_mmc.evaluation.minimal_perturbations(model, x_test, y_test)
    >>> found.cdf([0.1, 0.2, 0.3]), found.quantile(0.5)
    """
    attack = PGD(0.0, steps=attack_steps, norm=norm, random_start=False, box=box)
    if not isinstance(num_steps, int) or num_steps < 1:
        raise ValueError(f"`num_steps` must be a positive integer; received {num_steps!r}.")
    x, y, scores = labelled_images(model, x, y, attack, batch_size, seed=0)
    right = np.flatnonzero(~misclassified(scores, y).numpy())
    x_adv, broken = x.copy(), np.ones(len(x), bool)
    widest = sizes_of(np.where(x - box[0] > box[1] - x, *box), x, norm).astype("float32")
    bisect = _bisection(attack, score_function(model), x.shape, num_steps)
    for b in batches(len(right), batch_size):
        rows = right[b]
        points, found = bisect(x[rows], y[rows], widest[rows])
        x_adv[rows], broken[rows] = points, found
        holds = misclassified(scores_of(model, points, batch_size), y[rows]).numpy()
        holds &= allowed(points, x[rows], widest[rows], norm, box)
        if (found & ~holds).any():
            raise ValueError(
                f"{(found & ~holds).sum()} of {found.sum()} points found are classified correctly "
                "or outside the box when looked at again, so their sizes mean nothing."
            )
    sizes = np.where(broken, sizes_of(x_adv, x, norm), np.inf)
    return MinimalPerturbations(sizes, x_adv, norm)


def _bisection(attack, score_fn, shape, num_steps):
    """`(x, y, widest) -> (points, found)`, with a radius for each image inside one graph."""

    def move(x, gradient, memory, x0):
        here = dataclasses.replace(attack, eps=memory[0])
        return here.move(x, gradient, (), x0)[0], memory

    ascent = Ascent(
        score_fn,
        objective=objectives.for_goal("margin", targeted=False),
        success=lambda scores, y, targets: _clearly_wrong(scores, y),
        move=move,
        steps=attack.steps,
    )

    def bisect(x, y, high):
        def one_radius(low, high, best, found):
            eps = (low + high) / 2
            points, fooled = ascent.first_success(x, (per_sample(eps, x),), (x, y, y))
            low, high = tf.where(fooled, low, eps), tf.where(fooled, eps, high)
            return low, high, tf.where(per_sample(fooled, x), points, best), found | fooled

        none = tf.zeros_like(y, tf.bool)
        _, _, best, found = tf.while_loop(
            lambda *state: True,
            one_radius,
            (tf.zeros_like(high), high, x, none),
            maximum_iterations=num_steps,
        )
        return best, found

    return traced(bisect, images_spec(shape), CLASSES, tf.TensorSpec([None], tf.float32))


def _clearly_wrong(scores, y):
    lead = objectives.margin(scores, y) > _ROUNDING * tf.reduce_max(tf.abs(scores), axis=-1)
    return lead | tf.reduce_any(tf.math.is_nan(scores), axis=-1)
