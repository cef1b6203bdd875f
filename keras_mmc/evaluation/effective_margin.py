"""Effective margins: how far the boundary is, to first order, and how steep the scores are."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._gradients import value_and_gradient
from keras_mmc._labels import label_distribution


def effective_margins(
    score_fn: Callable[[tf.Tensor], tf.Tensor], x: Any, y: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    """Effective margin and effective weight norm of every sample.

    With the best wrong class j, `(s_y - s_j) / ||grad_x (s_y - s_j)||` and the norm that it is
    divided by. The former is the L2 distance to the decision boundary of a model that is linear
    about the sample, negative for a misclassified one.

    Args:
        score_fn: maps images to scores `(N, K)`, float32.
        x: images `(N, ...)`, floats.
        y: labels, integers `(N,)` or `(N, 1)`, or one-hot rows `(N, K)`.

    Returns:
        Two float32 tensors `(N,)`: margins in input units and norms in units of the scores over
        input units. Where the gradient is 0 the norm is 0 and the margin infinite, or NaN on the
        boundary; where the image, the scores or the label are not valid, both are NaN.

    Source: Liu & Chan, BMVC 2022, arXiv 2210.05118.

    Example:
    >>> effective_margins(lambda x: x @ [[3.0, 0.0], [0.0, 4.0]], tf.constant([[3.0, 1.0]]), [0])
    ([1.0], [5.0])
    """
    x = tf.convert_to_tensor(x)

    def margin(x):
        scores = score_fn(x)
        rows = label_distribution(y, scores)
        # A label outside of the classes is a row of NaN.
        return objectives.margin(scores, tf.argmax(rows, -1)) + 0 * tf.reduce_sum(rows, -1)

    values, gradient = value_and_gradient(margin, x)
    flat = [tf.shape(x)[0], -1]
    norms = tf.norm(tf.reshape(tf.cast(gradient, tf.float32), flat), axis=1)
    # The gradient of NaN scores is 0, and a NaN pixel may be lost on the way.
    known = tf.reduce_all(tf.math.is_finite(tf.reshape(x, flat)), 1) & ~tf.math.is_nan(values)
    values, norms = (tf.where(known, each, float("nan")) for each in (values, norms))
    return -values / norms, norms


class _ImageMetric(keras.metrics.Mean):
    """Mean over images, float32; `values` of margins and norms gives values and which count."""

    def __init__(self, model: keras.Model, name: str, values: Callable):
        super().__init__(name=name, dtype="float32")
        if not isinstance(model, keras.Model) or not model.built:
            raise ValueError(
                f"{type(self).__name__}: `model` must be a built Keras model; received {model!r}."
            )
        self._scores = lambda x: tf.cast(model(x, training=False), tf.float32)
        self.input_shape, self.num_classes = model.input_shape, model.output_shape[-1]
        self._values = values
        self.flat = self.add_variable((), "zeros", "int64", name="flat")

    def reset_state(self) -> None:
        super().reset_state()
        self.flat.assign(0)

    def update_state(self, y_true: Any, x: Any, sample_weight: Any = None) -> None:
        """Add a batch of labels `(N,)`, `(N, 1)` or one-hot `(N, K)` and images `(N, ...)`."""
        x = tf.convert_to_tensor(x)
        if x.shape[1:] != self.input_shape[1:]:
            raise ValueError(
                f"{type(self).__name__} needs images of shape {self.input_shape}; received "
                f"{x.shape}. In `compile` a metric sees scores only: log it with the callback "
                "keras_mmc.callbacks.LogEffectiveMargin(x, y)."
            )
        values, defined = self._values(*effective_margins(self._scores, x, y_true))
        self.flat.assign_add(tf.math.count_nonzero(~defined))
        weight = tf.cast(defined, tf.float32)
        if sample_weight is not None:
            weight *= tf.cast(sample_weight, tf.float32)
        return super().update_state(tf.where(defined, values, 0.0), weight)


class EffectiveMargin(_ImageMetric):
    """Mean effective margin, `(s_y - s_j) / ||grad_x (s_y - s_j)||` with the best wrong class j.

    A metric for loops of one's own: it takes images, because gradients cannot be read off scores.
    Samples whose gradient is 0 have no effective margin: they are left out and counted in the
    variable `flat`. A NaN image or score makes the mean NaN. In `fit` the callback
    `keras_mmc.callbacks.LogEffectiveMargin` reports it.

    Args:
        model: a built Keras model from images to scores `(N, K)`, or an `AdversarialModel`.
        name: name of the metric.

    Raises:
        ValueError: if `model` is not a built Keras model; in `update_state`, for something else
            than its images.

    Source: Liu & Chan, BMVC 2022, arXiv 2210.05118.

    Example:
    >>> metric = keras_mmc.evaluation.EffectiveMargin(model)
    >>> metric.update_state(y_test, x_test)
    >>> metric.result()
    """

    def __init__(self, model: keras.Model, name: str = "effective_margin"):
        super().__init__(model, name, lambda margins, norms: (margins, norms != 0))


class EffectiveWeightNorm(_ImageMetric):
    """Mean effective weight norm, `||grad_x (s_y - s_j)||` with the best wrong class j.

    Args:
        model: a built Keras model from images to scores `(N, K)`, or an `AdversarialModel`.
        name: name of the metric.

    Raises:
        ValueError: as for `EffectiveMargin`.

    Source: Liu & Chan, BMVC 2022, arXiv 2210.05118.

    Example:
    >>> metric = keras_mmc.evaluation.EffectiveWeightNorm(model)
    >>> metric.update_state(y_test, x_test)
    >>> metric.result()
    """

    def __init__(self, model: keras.Model, name: str = "effective_weight_norm"):
        super().__init__(model, name, lambda margins, norms: (norms, tf.ones_like(norms, tf.bool)))
