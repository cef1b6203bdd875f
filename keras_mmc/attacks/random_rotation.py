"""Rotation by one random angle."""

import dataclasses

import keras

from keras_mmc._validation import check_number
from keras_mmc.attacks._engine.layout import sees_channels_last
from keras_mmc.attacks._engine.projections import clip_to_box
from keras_mmc.attacks._engine.random import symmetric
from keras_mmc.attacks.base import Attack
from keras_mmc.attacks.rotation import rotate


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class RandomRotation(Attack):
    """Turns each image once, by an angle drawn uniformly; pixels from outside are the nearest ones.

    A much weaker test than `Rotation`, which looks for the worst angle: it measures the accuracy on
    turned images, as the paper does.

    Args:
        max_degrees: largest angle to either side, in degrees.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit, and when traced if `x` are not images `(N, H, W, C)`
            or, with 1 or 3 channels, `(N, C, H, W)`.

    Source: the released code of Pang et al., ICLR 2020, arXiv 1905.10626, with 30 degrees.

    Example:
    >>> x_turned = keras_mmc.attacks.RandomRotation(max_degrees=30)(model, x_test, y_test, seed=1)
    """

    max_degrees: float = 30.0
    box: tuple[float, float] = (0.0, 1.0)

    uses_gradients = False
    starts_at_random = True

    def __post_init__(self):
        super().__post_init__()
        check_number(self, "max_degrees", self.max_degrees, above=0)

    @sees_channels_last
    def run(self, score_fn, x, y, seed, targets, early_stop):
        angles = self.max_degrees * symmetric(seed, [], x.dtype)
        return clip_to_box(rotate(x, angles, around=None), self.box)
