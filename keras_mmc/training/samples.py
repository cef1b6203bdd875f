"""Which samples of a batch can be trained on."""

import tensorflow as tf

from keras_mmc.attacks.ascent import per_sample

_ROUNDING = 1e-5


def label_ids(y, num_classes: int) -> tf.Tensor:
    """Labels as `int32` `(N,)`, from integers `(N,)` or `(N, 1)` or one-hot rows."""
    if len(y.shape) == 2 and y.shape[-1] == num_classes:
        return tf.argmax(y, axis=-1, output_type=tf.int32)
    return tf.cast(tf.reshape(y, [-1]), tf.int32)


def keep_usable(x, y, sample_weight, box: tuple[float, float], num_classes: int):
    """Images, labels and weights in which samples that cannot be trained on have weight 0.

    Those have a pixel that is not finite or outside the box, or a label outside
    `[0, num_classes)`. They become images of the middle of the box with label 0, so that they
    cannot spoil others through batch statistics. A single usable sample gets weight 0 too.

    Args:
        x: images `(N, ...)`.
        y: integers `(N,)` or `(N, 1)`, or one-hot rows `(N, num_classes)`.
        sample_weight: `(N,)` or `(N, 1)`, or `None`.
        box: `(low, high)`, where images live.
        num_classes: number of classes K.

    Returns:
        Images like `x`, labels `int32` `(N,)` and weights `float32` `(N,)`.

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
    x = tf.where(per_sample(usable, x), tf.clip_by_value(x, *box), (box[0] + box[1]) / 2)
    weight = tf.cast(usable, tf.float32)
    if sample_weight is not None:
        weight *= tf.cast(tf.reshape(sample_weight, [-1]), tf.float32)
    weight *= tf.cast(tf.math.count_nonzero(usable) > 1, tf.float32)
    return x, tf.where(usable, ids, 0), weight
