"""Effective margins: how far the boundary is, to first order, and how steep the scores are."""

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._gradients import value_and_gradient
from keras_mmc.attacks.base import score_function
from keras_mmc.training.samples import label_ids
from keras_mmc.training.subset import classifier_of


def effective_margins(score_fn, x, y) -> tuple[tf.Tensor, tf.Tensor]:
    """Effective margin and effective weight norm of every sample.

    With the best wrong class j, `(s_y - s_j) / ||grad_x (s_y - s_j)||` and the norm that it is
    divided by. The former is the L2 distance to the decision boundary of a model that is linear
    about the sample, negative for a misclassified one.

    Args:
        score_fn: maps images to scores `(N, K)`, float32.
        x: images `(N, ...)`, floats.
        y: labels, `int32`, `(N,)`.

    Returns:
        Two float32 tensors `(N,)`: margins in input units, infinite or NaN where the gradient is
        0, and norms in units of the scores over input units.

    Source: Liu & Chan, BMVC 2022, arXiv 2210.05118.

    Example:
    >>> effective_margins(lambda x: x @ [[3.0, 0.0], [0.0, 4.0]], tf.constant([[3.0, 1.0]]), [0])
    ([1.0], [5.0])
    """
    values, gradient = value_and_gradient(lambda x: objectives.margin(score_fn(x), y), x)
    norms = tf.norm(tf.reshape(tf.cast(gradient, tf.float32), [tf.shape(gradient)[0], -1]), axis=1)
    return -values / norms, norms


class _ImageMetric(keras.metrics.Mean):
    """Mean over samples of a function of the model, images and labels, float32."""

    def __init__(self, model, name):
        super().__init__(name=name, dtype="float32")
        model = classifier_of(model)
        if not isinstance(model, keras.Model) or not model.built:
            raise ValueError(
                f"{type(self).__name__}: `model` must be a built Keras model; received {model!r}."
            )
        self._scores = score_function(model)
        self.input_shape, self.num_classes = model.input_shape, model.output_shape[-1]

    def update_state(self, y_true, x, sample_weight=None):
        """Add a batch of labels `(N,)`, `(N, 1)` or one-hot `(N, K)` and images `(N, ...)`."""
        x = tf.convert_to_tensor(x)
        if x.shape[1:] != self.input_shape[1:]:
            raise ValueError(
                f"{type(self).__name__} needs images of shape {self.input_shape}; received "
                f"{x.shape}. In `compile` a metric sees scores only: log it with the callback "
                "keras_mmc.training.LogEffectiveMargin(x, y)."
            )
        ids = label_ids(tf.convert_to_tensor(y_true), self.num_classes)
        values = self.values(*effective_margins(self._scores, x, ids))
        defined = tf.math.is_finite(values)
        weight = tf.cast(defined, tf.float32)
        if sample_weight is not None:
            weight *= tf.cast(sample_weight, tf.float32)
        return super().update_state(tf.where(defined, values, 0.0), weight)


class EffectiveMargin(_ImageMetric):
    """Mean effective margin, `(s_y - s_j) / ||grad_x (s_y - s_j)||` with the best wrong class j.

    A metric for loops of one's own: it takes images, because gradients cannot be read off scores.
    Samples whose gradient is 0 have no effective margin and are left out. In `fit` the callback
    `LogEffectiveMargin` reports it.

    Args:
        model: a built Keras model from images to scores `(N, K)`, or an `AdversarialModel`.
        name: name of the metric.

    Raises:
        ValueError: if `model` is not a built Keras model; in `update_state`, for something else
            than its images.

    Source: Liu & Chan, BMVC 2022, arXiv 2210.05118.

    Example:
    >>> metric = keras_mmc.training.EffectiveMargin(model)
    >>> metric.update_state(y_test, x_test)
    >>> metric.result()
    """

    def __init__(self, model, name="effective_margin"):
        super().__init__(model, name)

    def values(self, margins, norms):
        """The margins, `(N,)`."""
        return margins


class EffectiveWeightNorm(_ImageMetric):
    """Mean effective weight norm, `||grad_x (s_y - s_j)||` with the best wrong class j.

    Args:
        model: a built Keras model from images to scores `(N, K)`, or an `AdversarialModel`.
        name: name of the metric.

    Raises:
        ValueError: as for `EffectiveMargin`.

    Source: Liu & Chan, BMVC 2022, arXiv 2210.05118.

    Example:
    >>> metric = keras_mmc.training.EffectiveWeightNorm(model)
    >>> metric.update_state(y_test, x_test)
    >>> metric.result()
    """

    def __init__(self, model, name="effective_weight_norm"):
        super().__init__(model, name)

    def values(self, margins, norms):
        """The norms, `(N,)`."""
        return norms
