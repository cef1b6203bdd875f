"""Gaussian noise: no attack, but the least that a model should stand."""

import dataclasses

import keras
import tensorflow as tf

from keras_mmc._validation import check_number
from keras_mmc.attacks import checks
from keras_mmc.attacks._engine.projections import clip_to_box
from keras_mmc.attacks.base import Attack


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class GaussianNoise(Attack):
    """Adds one draw of Gaussian noise, then clips to the box. It never looks at the model.

    Args:
        sigma: standard deviation of the noise before clipping, in input units.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit.

    Source: the "more transformations" of Pang et al., ICLR 2020, arXiv 1905.10626, with
    `sigma=0.05`.

    Example:
    >>> x_noisy = keras_mmc.attacks.GaussianNoise(sigma=0.05)(model, x_test, y_test, seed=1)
    """

    sigma: float
    box: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self):
        checks.check_fields(self)
        check_number(self, "sigma", self.sigma, at_least=0)

    def generate(self, score_fn, x, y, seed, targets=None):
        """The noisy images."""
        noise = tf.random.stateless_normal(tf.shape(x), seed, dtype=x.dtype)
        return tf.stop_gradient(clip_to_box(x + self.sigma * noise, self.box))
