"""Gaussian noise: no attack, but the least that a model should withstand."""

import dataclasses

import keras

from keras_mmc._validation import check_number
from keras_mmc.attacks._engine.fields import of_width
from keras_mmc.attacks._engine.projections import clip_to_box, shape_of
from keras_mmc.attacks._engine.random import normal
from keras_mmc.attacks.base import Attack


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class GaussianNoise(Attack):
    """Adds one draw of Gaussian noise, then clips to the box. It never looks at the model.

    Args:
        sigma: standard deviation of the noise before clipping, in input units; default: 0.05 of
            the width of the box.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit.

    Source: the "more transformations" of Pang et al., ICLR 2020, arXiv 1905.10626, with
    `sigma=0.05` in a box of width 1.

    Example:
    >>> x_noisy = keras_mmc.attacks.GaussianNoise(sigma=0.05)(model, x_test, y_test, seed=1)
    """

    sigma: float | None = None
    box: tuple[float, float] = (0.0, 1.0)

    uses_gradients = False
    starts_at_random = True

    def __post_init__(self):
        super().__post_init__()
        check_number(self, "sigma", self.sigma, at_least=0, optional=True)

    def run(self, score_fn, x, y, seed, targets, early_stop):
        sigma = of_width(self.sigma, 0.05, self.box)
        return clip_to_box(x + sigma * normal(seed, shape_of(x), x.dtype), self.box)
