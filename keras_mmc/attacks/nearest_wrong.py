"""The attack on the nearest wrong centre."""

import dataclasses

import keras

from keras_mmc.attacks.base import Attack
from keras_mmc.attacks.pgd import PGD


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class NearestWrongCenter(Attack):
    """Walks towards the nearest wrong centre, chosen anew at every step, in many small steps.

    The attack that broke Max-Mahalanobis networks: it looks only at the wrong centre, not at the
    difference to the own one, and succeeds when the sample is misclassified. In scores it raises
    `max_{k != y} s_k`, so it runs on any classifier. Most samples fall within 50 steps; the many
    steps are paid for those that stand.

    Args:
        eps: radius of the ball, in input units.
        steps: number of steps.
        step_size: length of a step, in input units; the default suits images in `[0, 1]`.
        norm: `"linf"` or `"l2"`.
        random_start: whether to start at a random point of the ball.
        restarts: number of runs in `search` and in a call, each on the samples still standing.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit.

    Source: an attack in feature space that public criticism of the MMC loss describes, here in
    scores; steps of 0.5/255 at eps = 8/255.

    Example:
    >>> attack = keras_mmc.attacks.NearestWrongCenter(eps=8 / 255)
    >>> x_adv = attack(model, x_test, y_test)
    """

    eps: float
    steps: int = 600
    step_size: float = 0.5 / 255
    norm: str = "linf"
    random_start: bool = True
    restarts: int = 1
    box: tuple[float, float] = (0.0, 1.0)

    def generate(self, score_fn, x, y, seed, targets=None):
        """The last iterate of one run."""
        return self._pgd().generate(score_fn, x, y, seed)

    def search(self, score_fn, x, y, seed, targets=None):
        """Per sample the first point of any restart that fools the model, else the last one."""
        return self._pgd().search(score_fn, x, y, seed)

    def _pgd(self):
        return PGD(
            self.eps,
            steps=self.steps,
            step_size=self.step_size,
            norm=self.norm,
            objective="nearest_wrong",
            random_start=self.random_start,
            restarts=self.restarts,
            box=self.box,
        )
