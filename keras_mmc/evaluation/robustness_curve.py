"""Accuracy as the ball grows."""

import dataclasses
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_mmc._real_arrays import real_array
from keras_mmc.attacks import APGD, Attack, AutoAttack, Runner, misclassified
from keras_mmc.evaluation._inputs import ball_of, labeled_images
from keras_mmc.evaluation.intervals import wilson_interval


@dataclasses.dataclass(frozen=True)
class RobustnessCurve:
    """Result of `robustness_curve`.

    Attributes:
        eps: radii of the ball, `(E,)`, in input units, in increasing order.
        robust: booleans `(E, N)`: the image is classified correctly, and the attack of that radius
            did not break it.
        norm: `"linf"` or `"l2"`.
        attack: the attack as Python would write it; its `eps` is replaced by those above.
    """

    eps: np.ndarray
    robust: np.ndarray
    norm: str
    attack: str

    @property
    def num_images(self) -> int:
        """Number of images."""
        return self.robust.shape[1]

    @property
    def accuracy(self) -> np.ndarray:
        """Robust accuracy at each eps by itself, `(E,)`."""
        return self.robust.mean(axis=1)

    @property
    def worst_case(self) -> np.ndarray:
        """Robust accuracy at each eps and all smaller ones, `(E,)`; it never rises.

        What breaks an image at a smaller eps lies in the larger ball too, so this is the
        tighter bound.
        """
        return np.logical_and.accumulate(self.robust, axis=0).mean(axis=1)

    @property
    def rises(self) -> tuple[float, ...]:
        """The eps at which the accuracy is above that of the eps before: the attack failed."""
        return tuple(self.eps[1:][np.diff(self.accuracy) > 0].tolist())

    def __str__(self):
        lines = [
            f"Robustness curve, {self.norm}, {self.num_images} images, {self.attack} at each eps",
            "       eps  accuracy  95 % interval    worst case so far",
        ]
        columns = (self.eps, self.robust, self.worst_case)
        for eps, robust, worst in zip(*columns, strict=True):
            low, high = wilson_interval(int(robust.sum()), self.num_images)
            lines.append(
                f"{eps:10.4g}  {100 * robust.mean():6.2f} %  {100 * low:6.2f} to {100 * high:6.2f}"
                f"  {100 * worst:6.2f} %"
            )
        if self.rises:
            lines.append(
                f"Finding: accuracy rises at eps {', '.join(f'{eps:.4g}' for eps in self.rises)}: "
                "the attack fails there, the model does not resist. Use more steps or restarts."
            )
        return "\n".join(lines)


def robustness_curve(
    model: keras.Model,
    x: ArrayLike,
    y: ArrayLike,
    eps_list: Any,
    attack: Attack | None = None,
    *,
    batch_size: int = 128,
    seed: int = 0,
) -> RobustnessCurve:
    """Accuracy under attack at several radii of the ball.

    Every image is attacked at every radius by itself, so that an attack that fails in larger balls
    shows. The attack is traced once for all radii.

    Args:
        model: Keras model from images to scores `(N, K)`.
        x: images `(N, ...)` inside the box of the attack, or a data set as `audit` takes it.
        y: labels `(N,)`; `None` beside a data set.
        eps_list: radii, in input units, at least 0, strictly increasing; 0 is the clean accuracy.
        attack: the attack, whose `eps` is replaced; a `step_size` that it sets stays as it is.
            `None` is L-infinity APGD of 50 steps on the log-odds, then towards each of the 3
            likeliest wrong classes: within a few points of an audit, which is still the stronger.
        batch_size: images attacked at a time.
        seed: integer; the same seed gives the same bits on CPU.

    Returns:
        A `RobustnessCurve`; `print` it for a table.

    Raises:
        ValueError: for radii that do not fit, an attack without `eps`, if images, labels or the
            model's scores do not fit, or for an attack that leaves the ball.

    Source: Carlini et al., *On Evaluating Adversarial Robustness*, 2019, arXiv 1902.06705.

    Example:
    >>> curve = keras_mmc.evaluation.robustness_curve(model, x_test, y_test, [0, 0.1, 0.2, 0.3])
    >>> print(curve)
    """
    attack = _default_attack() if attack is None else attack
    radii = _radii(eps_list)
    ball = ball_of(attack)
    runner = Runner(model, batch_size, seed)
    x, labels, scores = labeled_images(runner, x, y, ball.box)
    right = ~misclassified(scores, labels).numpy()
    robust = np.tile(right, (len(radii), 1))
    for i in np.flatnonzero(radii > 0):
        broken = runner.run(attack, x, labels, np.flatnonzero(right), eps=radii[i])
        robust[i, broken.rows] = False
    return RobustnessCurve(radii, robust, ball.norm, repr(attack))


def _default_attack():
    """An attack on one objective alone can be far from the audit on networks that mask another."""
    on_log_odds = APGD(0.0, steps=50, objective="log_odds")
    towards_three = APGD(0.0, steps=50, objective="targeted_margin", num_targets=3)
    return AutoAttack(0.0, version=(on_log_odds, towards_three))


def _radii(eps_list):
    radii = real_array("robustness_curve", "eps_list", eps_list).astype("float64")
    good = radii.ndim == 1 and radii.size and np.isfinite(radii).all() and radii[0] >= 0
    if not good or (np.diff(radii) <= 0).any():
        raise ValueError(
            "`eps_list` must hold finite radii >= 0 in input units, each larger than the one "
            f"before, such as [0, 2/255, 4/255]; received {eps_list!r}."
        )
    return radii
