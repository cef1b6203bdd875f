"""The ball that an attack searches."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mmc._backend import require_tensorflow
from keras_mmc._validation import check, check_box, check_number
from keras_mmc.attacks._engine import projections, random
from keras_mmc.attacks._engine.foreign import canonical_norm

require_tensorflow("keras_mmc.attacks")

_ROUNDING = 1e-4, 1e-6
_LEAST_OF_BOX = 1e-3


@dataclasses.dataclass(frozen=True)
class Ball:
    """All images at most `eps` away from a clean one, and inside the box.

    Args:
        eps: radius, in input units.
        norm: `"linf"` or `"l2"`, also as `np.inf` or 2, taken over all axes but the first.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit, or an L-infinity ball is larger than the box.

    Example:
    >>> ball = keras_mmc.attacks.Ball(8 / 255)
    >>> ball.holds(x_adv, x).all()
    """

    eps: float
    norm: str = "linf"
    box: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self):
        object.__setattr__(self, "norm", canonical_norm(self.norm))
        check_number(self, "eps", self.eps, at_least=0)
        check_norm(self, self.norm)
        check_box(self, self.box)
        low, high = self.box
        if self.norm == "linf" and self.eps > high - low:
            raise ValueError(
                f"An L-infinity ball of radius eps={self.eps:g} is larger than the whole box "
                f"{self.box}. eps is in input units: 8 / 255, not 8, for images in [0, 1]; pass "
                "`box=(0, 255)` for pixels up to 255."
            )

    @property
    def is_tiny(self) -> bool:
        """Whether the radius is less than a thousandth of the box: another unit may be meant."""
        low, high = self.box
        return 0 < self.eps < _LEAST_OF_BOX * (high - low)

    def project(self, x: tf.Tensor, x0: tf.Tensor, eps: Any = None) -> tf.Tensor:
        """Brings `x` into the ball around `x0`, then into the box.

        With `"l2"` the result lies in both, but need not be the nearest image that does.

        Args:
            x: tensor `(N, ...)`.
            x0: clean images, like `x`, inside the box.
            eps: another radius than the ball's, a number or tensor.
        """
        eps = self.eps if eps is None else eps
        return projections.project(x, x0, eps, self.norm, self.box)

    def random_start(self, x0: tf.Tensor, seeds: tf.Tensor, eps: Any = None) -> tf.Tensor:
        """An image drawn uniformly from the ball around each image, brought into the box.

        Args:
            x0: clean images `(N, ...)`.
            seeds: `int64` `(N,)`, one per image; see `image_seeds`.
            eps: another radius than the ball's, a number or tensor.
        """
        eps = self.eps if eps is None else eps
        return projections.random_start(x0, eps, self.norm, self.box, seeds)

    def random_corner(self, x0: tf.Tensor, seeds: tf.Tensor, eps: Any = None) -> tf.Tensor:
        """Where a linear function may be largest: a corner of the cube, or a point of the sphere.

        The box may cut it off.

        Args:
            x0: clean images `(N, ...)`.
            seeds: `int64` `(N,)`, one per image; see `image_seeds`.
            eps: another radius than the ball's, a number or tensor.
        """
        noise = random.normal(seeds, projections.shape_of(x0), x0.dtype)
        step = projections.steepest_step(noise, self.eps if eps is None else eps, self.norm)
        return projections.clip_to_box(x0 + step, self.box)

    def sizes(self, x_adv: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Sizes of perturbations in float64, `(N,)`, in input units."""
        offsets = (np.asarray(x_adv, "float64") - x).reshape(
            len(x), np.prod(x.shape[1:], dtype=int)
        )
        return np.linalg.norm(offsets, projections.NORMS[self.norm], axis=1)

    def holds(self, x_adv: np.ndarray, x: np.ndarray, eps: Any = None) -> np.ndarray:
        """Boolean `(N,)`: finite, in the box and, up to float32 rounding, in the ball.

        Args:
            x_adv: images `(N, ...)`.
            x: clean images, like `x_adv`.
            eps: another radius than the ball's, or one per image `(N,)`.
        """
        eps = np.asarray(self.eps if eps is None else eps)
        axes = tuple(range(1, x_adv.ndim))
        inside = ((x_adv >= self.box[0]) & (x_adv <= self.box[1])).all(axis=axes)
        rounding = _ROUNDING[1] * (self.box[1] - self.box[0])
        return inside & (self.sizes(x_adv, x) <= eps * (1 + _ROUNDING[0]) + rounding)


def check_norm(owner: Any, norm: Any) -> None:
    """Refuses a `norm` that attacks do not know."""
    names = sorted(projections.NORMS)
    check(owner, "norm", norm, norm in names, f"one of {names}")


def check_inside(attack: Any, x_adv: np.ndarray, x: np.ndarray, eps: Any = None) -> None:
    """Refuses adversarial examples that left ball or box: a figure on them would mislead.

    Raises:
        ValueError: with the largest perturbation.
    """
    low, high = attack.box
    ball = attack.ball or Ball(high - low, "linf", attack.box)
    if not ball.holds(x_adv, x, eps).all():
        radius = np.max(ball.eps if eps is None else eps)
        raise ValueError(
            f"An attack returned an image that is not finite or outside the {ball.norm} ball of "
            f"radius {radius:g} or box {ball.box}: largest perturbation "
            f"{ball.sizes(x_adv, x).max():g}. This is a defect of the attack {attack!r}; nothing "
            "is reported."
        )
