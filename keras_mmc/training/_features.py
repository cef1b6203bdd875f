"""The value of a loss that needs the features before the head, from one forward pass."""

from typing import Any

import keras
import tensorflow as tf

from keras_mmc.defenses.base import properties_of
from keras_mmc.training._batch import Batch
from keras_mmc.training._replicas import total


class FeatureLoss:
    """A loss with `needs_features`, on a model that ends in a head with `gives_pulls`.

    Raises:
        ValueError: if the features of the model cannot be told from its scores.
    """

    def __init__(self, loss: Any, model: keras.Model):
        self.head: Any = model.layers[-1]
        if not getattr(model, "inputs", None) or not getattr(self.head, "gives_pulls", False):
            raise ValueError(
                f"{type(loss).__name__} needs features, and {model.name!r} does not show them. "
                "Make it one functional or Sequential model, not one inside another, whose last "
                "layer is DenseWithCenters."
            )
        self._loss = loss
        self._features_and_scores = keras.Model(
            model.inputs, [self.head.input, model.outputs[0]], name=model.name
        )

    def __call__(self, x: tf.Tensor, y: tf.Tensor, training: bool) -> tuple[tf.Tensor, ...]:
        """Features, scores `(N, K)` and the values of the loss `(N,)`; the latter are float32."""
        features, scores = self._features_and_scores(x, training=training)
        scores, pulls = tf.cast(scores, tf.float32), tf.cast(self.head.pull(features), tf.float32)
        return features, scores, self._loss.call_with_pulls(y, scores, pulls)

    def mean(
        self, x: tf.Tensor, y: tf.Tensor, sample_weight: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores in inference mode, and the mean of the weighted values."""
        _, scores, values = self(x, y, training=False)
        if sample_weight is not None:
            values *= tf.cast(tf.reshape(sample_weight, [-1]), tf.float32)
        return scores, tf.reduce_mean(values)


def feature_loss(loss: keras.losses.Loss, model: keras.Model) -> FeatureLoss | None:
    """The `FeatureLoss` of a compiled loss, or `None` for one that needs scores alone."""
    return FeatureLoss(loss, model) if properties_of(loss).needs_features else None


class FeaturePasses:
    """The forward passes of an optimizer step, whose features the centers follow."""

    def __init__(self, loss: FeatureLoss, batch: Batch):
        self._loss, self._batch = loss, batch
        self._features: list[tf.Tensor] = []

    def scored(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores `(N, K)` of images in training mode and their losses `(N,)`, as a defense asks."""
        features, scores, values = self._loss(x, self._batch.targets, training=True)
        self._features.append(features)
        return scores, values

    def forget(self) -> None:
        """Begin an optimizer step."""
        self._features.clear()

    def move_centers(self, stepped: tf.Tensor) -> None:
        """Move the centers with the features since `forget`, if the optimizer has `stepped`."""
        if not self._features:
            raise ValueError(
                "The compiled loss needs features, and the defense computes it from scores alone. "
                "In its `loss`, take scores and loss together from `context.scored(x)`."
            )
        head = self._loss.head
        weight = tf.cast(tf.where(stepped, self._batch.weight, 0.0), head.compute_dtype)
        num_classes, width = head.centers.shape
        rows = weight[:, None] * tf.one_hot(self._batch.y, num_classes, dtype=weight.dtype)
        sums, counts = tf.zeros([num_classes, width], rows.dtype), tf.zeros(num_classes, rows.dtype)
        for features in self._features:
            # Not a product with 0, which would be NaN for NaN.
            features = tf.where(weight[:, None] > 0, tf.cast(features, weight.dtype), 0.0)
            sums += tf.matmul(rows, features, transpose_a=True)
            counts += tf.reduce_sum(rows, axis=0)
        head.move_centers(total(sums), total(counts))
