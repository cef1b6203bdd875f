"""Rotation: the worst angle of a grid."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._validation import check_count, check_number
from keras_mmc.attacks._engine.layout import sees_channels_last
from keras_mmc.attacks._engine.loops import per_image, repeat
from keras_mmc.attacks._engine.projections import clip_to_box
from keras_mmc.attacks.base import Attack


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class Rotation(Attack):
    """Turns each image by the angle of a grid that fools the model most.

    Angles are tried from the smallest to the largest, to either side, 0 first.

    Args:
        max_degrees: largest angle to either side, in degrees.
        num_angles: number of angles, odd: 0 and as many to the left as to the right, evenly
            spaced.
        objective: name of an objective, or a function of `(scores, labels)`, with `targeted` of
            `(scores, labels, targets)`: the angle at which it is largest is the worst.
        targeted: whether to reach a target instead of leaving the label.
        box: `(low, high)`, where images live. Pixels that come from outside the image are `low`.

    Raises:
        ValueError: if a field does not fit, and when traced if `x` are not images `(N, H, W, C)`
            or, with 1 or 3 channels, `(N, C, H, W)`.

    Source: the grid search of Engstrom et al., ICML 2019, arXiv 1712.02779, without translations;
    30 degrees as in Pang et al., ICLR 2020, arXiv 1905.10626.

    Example:
    >>> x_turned = keras_mmc.attacks.Rotation(max_degrees=30)(model, x_test, y_test)
    """

    max_degrees: float = 30.0
    num_angles: int = 31
    objective: str | Callable = "margin"
    targeted: bool = False
    box: tuple[float, float] = (0.0, 1.0)

    uses_gradients = False

    def __post_init__(self):
        super().__post_init__()
        check_number(self, "max_degrees", self.max_degrees, above=0)
        check_count(self, "num_angles", self.num_angles, least=3)
        if self.num_angles % 2 == 0:
            raise ValueError(
                "Rotation: `num_angles` must be odd, 0 and as many to the left as to the right; "
                f"received {self.num_angles!r}. Pass {self.num_angles + 1}."
            )

    def angles(self) -> list[float]:
        """The grid, in degrees, in the order in which it is tried."""
        sides = self.num_angles // 2
        steps = [self.max_degrees * i / sides for i in range(1, sides + 1)]
        return [0.0] + [angle for step in steps for angle in (step, -step)]

    @sees_channels_last
    def run(self, score_fn, x, y, seed, targets, early_stop):
        """Per image the rotation of the largest objective, of the first that fools the model."""
        objective = objectives.for_goal(self.objective, self.targeted)
        angles = tf.constant(self.angles(), x.dtype)

        def step(i, state):
            (x, y, targets), worst, value, fooled = state
            turned = clip_to_box(rotate(x, angles[i], self.box[0]), self.box)
            scores = score_fn(turned)
            won = self.succeeded(scores, y, targets)
            turned_value = objective(scores, y, targets)
            better = ~fooled & (won | (turned_value > value))
            worst = tf.where(per_image(better, x), turned, worst)
            value = tf.where(better, turned_value, value)
            return ((x, y, targets), worst, value, fooled | won), fooled | won

        lowest = tf.fill(tf.shape(y), -float("inf"))
        begin = ((x, y, targets), tf.identity(x), lowest, tf.zeros_like(y, tf.bool))
        return repeat(self.num_angles, step, begin, lambda state: state[1], early_stop)


def rotate(images: tf.Tensor, degrees: Any, around: float | None = 0.0) -> tf.Tensor:
    """Turns images about their middle, with bilinear interpolation.

    Args:
        images: tensor `(N, H, W, C)`.
        degrees: angle, counter-clockwise on an image whose first row is on top; a float, a scalar
            tensor, or one per image `(N,)`. By 0 images come back to the last bit.
        around: value of the pixels around the images; `None` for that of the nearest pixel.

    Returns:
        Tensor like `images`.

    Raises:
        ValueError: if the rank is not 4.
    """
    if images.shape.rank != 4:
        raise ValueError(
            f"Rotation turns images (N, H, W, C); received shape {images.shape}. It does not "
            "apply to inputs that are not images."
        )
    dtype = images.dtype
    _, height, width, channels = images.shape
    radians = tf.broadcast_to(tf.cast(degrees, dtype) * (math.pi / 180), tf.shape(images)[:1])
    radians = radians[:, None, None]
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    down = tf.range(height, dtype=dtype)[:, None] - middle_row
    right = tf.range(width, dtype=dtype)[None, :] - middle_column
    rows = tf.cos(radians) * down + tf.sin(radians) * right + middle_row
    columns = tf.cos(radians) * right - tf.sin(radians) * down + middle_column
    top, left = tf.floor(rows), tf.floor(columns)
    flat = tf.reshape(images, [-1, height * width, channels])
    turned = tf.zeros_like(images)
    covered = tf.zeros_like(rows)
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        weight = (1 - tf.abs(rows - row)) * (1 - tf.abs(columns - column))
        near_row = tf.clip_by_value(row, 0, height - 1)
        near_column = tf.clip_by_value(column, 0, width - 1)
        if around is not None:
            inside = (row == near_row) & (column == near_column)
            weight = tf.where(inside, weight, tf.zeros_like(weight))
        index = tf.cast(near_row * width + near_column, tf.int32)
        turned += weight[..., None] * tf.gather(flat, index, batch_dims=1)
        covered += weight
    return turned if around is None else turned + around * (1 - covered[..., None])
