"""Which samples of a batch can be trained on."""

import dataclasses
from typing import Any

import tensorflow as tf

from keras_mmc._labels import label_distribution
from keras_mmc.datasets.to_arrays import pair_of

_ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True)
class Batch:
    """A batch in which samples that cannot be trained on are replaced and marked.

    Attributes:
        x: images `(N, ...)`; a usable one takes the place of those that do not fit.
        y: labels, `int32`, `(N,)`, 0 where they cannot be used.
        targets: the labels as the loss takes them, `y` or rows `(N, K)`, of class 0 where they
            cannot be used: a NaN there would be NaN in the gradient of every weight.
        weight: sample weights, `float32`, `(N,)`, 0 where samples cannot be used.
        usable: boolean `(N,)`.
        unusable: how many are not, `int64` `(3,)`: for their pixels; for their label; for what else
            is in the batch.
    """

    x: tf.Tensor
    y: tf.Tensor
    targets: tf.Tensor
    weight: tf.Tensor
    usable: tf.Tensor
    unusable: tf.Tensor

    @property
    def count(self) -> tf.Tensor:
        """Number of usable samples, `int64`."""
        return tf.math.count_nonzero(self.usable)


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


def index_in_global_batch(rows: tf.Tensor) -> tf.Tensor:
    """Numbers `(N,)` of the rows of this replica in the batch of all, whatever their sizes."""
    context, count = tf.distribute.get_replica_context(), tf.shape(rows)[0]
    replica, replicas = context.replica_id_in_sync_group, context.num_replicas_in_sync
    sizes = context.all_reduce("sum", count * tf.one_hot(replica, replicas, dtype=tf.int32))
    return tf.reduce_sum(sizes[:replica]) + tf.range(count)


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
    `[0, num_classes)`, between two classes or in a row that is not one-hot. The first usable image
    takes the place of images that do not fit, so that they cannot spoil batch statistics. A single
    usable sample cannot be used either, nor, with a loss that compares samples `in_pairs`, a batch
    of one class or one with a sample that cannot be used.

    Raises:
        ValueError: if batches are known to hold one image.
    """
    if x.shape[0] == 1:
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
    known = usable = inside & tf.math.is_finite(rows[:, 0])
    fits = tf.reshape(inside, [-1] + [1] * (x.shape.rank - 1))
    x = tf.where(fits, tf.clip_by_value(x, *box), _stand_in(x, usable, box))
    usable &= tf.math.count_nonzero(usable) > 1
    if in_pairs:
        usable &= tf.reduce_all(usable) & tf.reduce_any(ids != ids[:1])
    weight = tf.cast(usable, tf.float32)
    if sample_weight is not None:
        weight *= tf.cast(tf.reshape(sample_weight, [-1]), tf.float32)
    targets = ids = tf.where(usable, ids, 0)
    if is_one_hot(y, num_classes):
        targets = tf.where(usable[:, None], y, tf.one_hot(ids, num_classes, dtype=y.dtype))
    causes = [~inside, inside & ~known, known & ~usable]
    unusable = tf.stack([tf.math.count_nonzero(cause) for cause in causes])
    return Batch(x, ids, targets, weight, usable, unusable)


def _stand_in(x, usable, box):
    """The first usable image, `(1, ...)`, or the middle of the box if there is none."""
    first = tf.clip_by_value(x[tf.argmax(tf.cast(usable, tf.int32))], *box)[None]
    return tf.where(tf.reduce_any(usable), first, tf.zeros_like(first) + sum(box) / 2)
