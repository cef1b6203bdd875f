"""How many images of an epoch were trained on, and why others were not."""

import tensorflow as tf

_USED, _PIXELS, _LABELS, _WEIGHTS, _ALONE, _LOST = range(6)
_NUMBER = 6


class ImageCounts:
    """Counts of the images of an epoch, for the warning at its end.

    Each replica counts its own; they are added up where they are read. They begin anew with each
    epoch and are no part of a model's saved state. Floats can be divided among replicas.
    """

    def __init__(self):
        self._counts = tf.Variable(
            tf.zeros(_NUMBER, tf.float64),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
        )

    @property
    def variables(self) -> list[tf.Variable]:
        """The counts, in one variable."""
        return [self._counts]

    def reset(self) -> None:
        """Begin an epoch."""
        self._counts.assign(tf.zeros(_NUMBER, tf.float64))

    def add_batch(self, used: tf.Tensor, unusable: tf.Tensor) -> None:
        """Count a batch: `used`, and its unusable images `(4,)` as `Batch` has them, int64."""
        counts = tf.concat([used[None], unusable, [0]], axis=0)
        self._counts.assign_add(tf.cast(counts, tf.float64))

    def lose(self, count: tf.Tensor) -> None:
        """Move images that were counted as used to those of a gradient without use."""
        moved = tf.one_hot(_LOST, _NUMBER) - tf.one_hot(_USED, _NUMBER)
        self._counts.assign_add(tf.cast(count, tf.float64) * tf.cast(moved, tf.float64))

    @property
    def used(self) -> int:
        """Images that were trained on."""
        return int(self._counts.numpy()[_USED])

    def reasons(self, box: tuple[float, float], num_classes: int) -> dict[str, int]:
        """By its reason, in words, how many images were not trained on; reasons without any go."""
        counts = self._counts.numpy()
        words = {
            _PIXELS: f"a pixel that is not finite or outside the box {box}",
            _LABELS: f"a label outside [0, {num_classes})",
            _WEIGHTS: "a sample weight that is not finite",
            _ALONE: "no other class or image beside it in its batch to compare it with",
            _LOST: "a gradient that is not finite",
        }
        return {text: int(counts[cause]) for cause, text in words.items() if counts[cause]}
