"""Which samples of a batch can be trained on."""

import dataclasses
from typing import Any

import tensorflow as tf

from keras_mmc._labels import label_distribution
from keras_mmc.datasets.to_arrays import pair_of
from keras_mmc.training._replicas import first_of_all, replicas, total, zeros

_ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True)
class Batch:
    """A batch in which samples that cannot be trained on are replaced and marked.

    N is at least 1: where the last batch left nothing for a replica, that has one marked sample.

    Attributes:
        x: images `(N, ...)`; a usable one takes the place of those that do not fit.
        y: labels, `int32`, `(N,)`, 0 where they cannot be used.
        targets: the labels as the loss takes them, `y` or rows `(N, K)`, of class 0 where they
            cannot be used: a NaN there would be NaN in the gradient of every weight.
        weight: sample weights, `float32`, `(N,)`, 0 where samples cannot be used.
        usable: boolean `(N,)`.
        unusable: how many are not, `int64` `(4,)`: for their pixels; for their label; for their
            sample weight; for what else is in the batch.
        whole: number of usable samples on all replicas, `int64`.
    """

    x: tf.Tensor
    y: tf.Tensor
    targets: tf.Tensor
    weight: tf.Tensor
    usable: tf.Tensor
    unusable: tf.Tensor
    whole: tf.Tensor

    @property
    def count(self) -> tf.Tensor:
        """Number of usable samples on this replica, `int64`."""
        return tf.math.count_nonzero(self.usable)

    def total(self, values: tf.Tensor) -> tf.Tensor:
        """The weighted sum of the values `(N,)` of usable samples on this replica."""
        # Not a product: 0 * NaN is NaN.
        return tf.reduce_sum(tf.where(self.usable, self.weight * values, 0.0))

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """The mean of the values `(N,)` of usable samples on all replicas."""
        here = tf.reduce_sum(tf.where(self.usable, values, 0.0))
        return tf.math.divide_no_nan(total(here), tf.cast(self.whole, values.dtype))


def tensors_of(
    data: Any, box: tuple[float, float]
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Images, labels and weights as tensors: an eager `train_on_batch` passes arrays on.

    A dict holds images and labels by the names that TensorFlow Datasets gives them. Whole numbers
    are pixels where the box is wider than 1.

    Raises:
        ValueError: for batches of another form, or images that are not floats.
    """
    sample_weight = data[2] if isinstance(data, (tuple, list)) and len(data) == 3 else None
    x, y = (tf.convert_to_tensor(part) for part in pair_of(data))
    if x.dtype.is_integer and box[1] - box[0] > 1:
        x = tf.cast(x, tf.float32)
    if not x.dtype.is_floating:
        raise ValueError(
            f"Images must be floats in the box {box}; received dtype {x.dtype.name}. Divide "
            "integer images by 255 first."
        )
    return x, y, sample_weight


def is_one_hot(y: tf.Tensor, num_classes: int) -> bool:
    """Whether labels are rows `(N, num_classes)`."""
    return len(y.shape) == 2 and y.shape[-1] == num_classes


def label_ids(y: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Labels as `int32` `(N,)`, from integers `(N,)` or `(N, 1)` or one-hot rows."""
    if is_one_hot(y, num_classes):
        return tf.argmax(y, axis=-1, output_type=tf.int32)
    return tf.cast(tf.reshape(y, [-1]), tf.int32)


def keep_usable(
    x: tf.Tensor,
    y: tf.Tensor,
    sample_weight: tf.Tensor | None,
    box: tuple[float, float],
    num_classes: int,
    in_pairs: bool,
) -> Batch:
    """A batch of Keras with the samples marked that cannot be trained on.

    Those have a pixel that is not finite or outside the box, or a label outside
    `[0, num_classes)`, between two classes or in a row that is not one-hot, or a sample weight that
    is not finite. The first usable image takes the place of images that do not fit, so that they
    cannot spoil batch statistics. A single usable sample cannot be used either, nor, with a loss
    that compares samples `in_pairs`, a batch of one class or one with a sample that cannot be used.
    A batch here is that of all replicas.

    Raises:
        ValueError: if batches are known to hold one image.
    """
    if x.shape[0] == 1 and replicas() == 1:
        raise ValueError(
            "Batches of one image cannot be trained on: batch statistics and weights over the "
            "batch mean nothing there. Use a batch size of 2 or more."
        )
    rounding = _ROUNDING * (box[1] - box[0])
    low, high = box[0] - rounding, box[1] + rounding
    # Comparisons with NaN are false.
    inside = tf.reduce_all((x >= low) & (x <= high), axis=list(range(1, x.shape.rank)))
    # A row of NaN where the label is no class.
    rows = label_distribution(y, tf.zeros([tf.shape(x)[0], num_classes]))
    ids = tf.argmax(rows, axis=-1, output_type=tf.int32)
    known = tf.math.is_finite(rows[:, 0])
    weight, weighed = tf.ones_like(rows[:, 0]), tf.ones_like(known)
    if sample_weight is not None:
        weight = tf.cast(tf.reshape(sample_weight, [-1]), tf.float32)
        weighed = tf.math.is_finite(weight)
    sound = usable = inside & known & weighed
    whole = total(tf.math.count_nonzero(usable))
    stand_in = _stand_in(x, usable, whole, box)
    fits = tf.reshape(inside, [-1] + [1] * (x.shape.rank - 1))
    x = tf.where(fits, tf.clip_by_value(x, *box), stand_in)
    kept = whole > 1
    if in_pairs:
        unfit = total(tf.math.count_nonzero(~usable))
        samples = total(tf.reduce_sum(tf.one_hot(ids, num_classes), axis=0))
        kept &= (unfit == 0) & (tf.math.count_nonzero(samples) > 1)
    usable, whole = usable & kept, tf.where(kept, whole, 0)
    weight = tf.where(usable, weight, 0.0)
    targets = ids = tf.where(usable, ids, 0)
    if is_one_hot(y, num_classes):
        targets = tf.where(usable[:, None], y, tf.one_hot(ids, num_classes, dtype=y.dtype))
    causes = [~inside, inside & ~known, inside & known & ~weighed, sound & ~usable]
    unusable = tf.stack([tf.math.count_nonzero(cause) for cause in causes])
    x, ids, targets, weight, usable = _never_empty(stand_in, x, ids, targets, weight, usable)
    return Batch(x, ids, targets, weight, usable, unusable, whole)


def all_of(
    x: tf.Tensor, y: tf.Tensor, sample_weight: tf.Tensor | None, box: tuple[float, float]
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Images, labels and weights to validate on; one image of weight 0 where there are none."""
    if replicas() == 1:
        return x, y, sample_weight
    weight = (
        tf.ones(tf.shape(x)[:1]) if sample_weight is None else tf.cast(sample_weight, "float32")
    )
    return tuple(_never_empty(zeros(x, 1) + sum(box) / 2, x, y, tf.reshape(weight, [-1])))


def as_many(rows: tf.Tensor | None, as_of: tf.Tensor) -> tf.Tensor | None:
    """Rows without the one that stands in for none, as many as those of another tensor."""
    return rows if rows is None or replicas() == 1 else rows[: tf.shape(as_of)[0]]


def _never_empty(stand_in, x, *others):
    """Images and what belongs to them; the image `stand_in` and zeros where there are none.

    Moments and gradients of no image would be NaN.
    """
    if replicas() == 1:
        return [x, *others]
    missing = tf.cast(tf.shape(x)[0] == 0, tf.int32)
    ended = [tf.concat([rows, zeros(rows, missing)], axis=0) for rows in others]
    return [tf.concat([x, stand_in[:missing]], axis=0), *ended]


def _stand_in(x, usable, whole, box):
    """The first usable image of all replicas, `(1, ...)`; the middle of the box if none is."""
    first = first_of_all(x, usable)
    return tf.where(whole > 0, tf.clip_by_value(first, *box), tf.zeros_like(first) + sum(box) / 2)
