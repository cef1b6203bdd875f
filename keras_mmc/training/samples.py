"""Which samples of a batch can be trained on."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from keras_mmc.attacks.ascent import per_sample

_ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True)
class Batch:
    """A batch in which samples that cannot be trained on are replaced and marked.

    Attributes:
        x: images `(N, ...)`, those that cannot be used replaced by the middle of the box.
        y: labels, `int32`, `(N,)`, 0 where they cannot be used.
        weight: sample weights, `float32`, `(N,)`, 0 where samples cannot be used.
        usable: boolean `(N,)`.
    """

    x: tf.Tensor
    y: tf.Tensor
    weight: tf.Tensor
    usable: tf.Tensor

    @property
    def count(self) -> tf.Tensor:
        """Number of usable samples, `int32`."""
        return tf.math.count_nonzero(self.usable, dtype=tf.int32)


def is_one_hot(y, num_classes: int) -> bool:
    """Whether labels are rows `(N, num_classes)`."""
    return len(y.shape) == 2 and y.shape[-1] == num_classes


def label_ids(y, num_classes: int) -> tf.Tensor:
    """Labels as `int32` `(N,)`, from integers `(N,)` or `(N, 1)` or one-hot rows."""
    if is_one_hot(y, num_classes):
        return tf.argmax(y, axis=-1, output_type=tf.int32)
    return tf.cast(tf.reshape(y, [-1]), tf.int32)


def keep_usable(
    x, y, sample_weight, box: tuple[float, float], num_classes: int, admits: Callable
) -> Batch:
    """The batch with the samples marked that cannot be trained on.

    Those have a pixel that is not finite or outside the box, or a label outside
    `[0, num_classes)`. They become images of the middle of the box, so that they cannot spoil
    others through batch statistics. A single usable sample, or a batch that the defence does not
    admit, cannot be used either.

    Args:
        x: images `(N, ...)`.
        y: integers `(N,)` or `(N, 1)`, or one-hot rows `(N, num_classes)`.
        sample_weight: `(N,)` or `(N, 1)`, or `None`.
        box: `(low, high)`, where images live.
        num_classes: number of classes K.
        admits: function of labels `(N,)`: whether the batch can be trained on.

    Raises:
        ValueError: if the images are not floats, or batches are known to hold one image.
    """
    if not x.dtype.is_floating:
        raise ValueError(
            f"Images must be floats in the box {box}; received dtype {x.dtype.name}. Divide "
            "integer images by 255 first."
        )
    if x.shape[0] == 1:
        raise ValueError(
            "Batches of one image cannot be trained on: batch statistics and weights over the "
            "batch mean nothing there. Use a batch size of 2 or more."
        )
    ids = label_ids(y, num_classes)
    low, high = box[0] - _ROUNDING, box[1] + _ROUNDING
    # Comparisons with NaN are false.
    inside = tf.reduce_all((x >= low) & (x <= high), axis=list(range(1, x.shape.rank)))
    usable = inside & (ids >= 0) & (ids < num_classes)
    usable &= (tf.math.count_nonzero(usable) > 1) & admits(ids)
    weight = tf.cast(usable, tf.float32)
    if sample_weight is not None:
        weight *= tf.cast(tf.reshape(sample_weight, [-1]), tf.float32)
    x = tf.where(per_sample(usable, x), tf.clip_by_value(x, *box), sum(box) / 2)
    return Batch(x, tf.where(usable, ids, 0), weight, usable)
