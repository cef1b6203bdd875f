"""The head of differential training: a bias-free projection and a threshold set afterwards."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._labels import check_labels
from keras_mmc._real_arrays import check_batch, real_array
from keras_mmc._validation import check, check_count, is_number, shown
from keras_mmc.layers.heads import ScoreHead


@keras.saving.register_keras_serializable("keras_mmc")
class DifferentialHead(ScoreHead):
    """Binary head with scores `[threshold, w^T phi]`, without a bias.

    `w` is trained; the threshold is not, since it cancels in every pair of `DifferentialLoss`.
    Set it after training with `keras_mmc.layers.fit_threshold`. Class 1 is predicted where
    `w^T phi > threshold`.

    Args:
        initializer: Keras initializer of `w`.

    Source: Nar et al., arXiv 1901.08360.

    Example:
    >>> model = keras.Sequential([keras.Input((2,)), keras_mmc.layers.DifferentialHead()])
    >>> model.compile(optimizer="sgd", loss=keras_mmc.DifferentialLoss())
    """

    config_fields = ("initializer",)

    def __init__(self, initializer: Any = "glorot_uniform", **kwargs: Any):
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        dim = self.check_features(input_shape)
        self.kernel = self.add_weight((dim, 1), self.initializer, name="kernel")
        self.threshold = self.add_weight((), "zeros", trainable=False, name="threshold")

    def call(self, inputs: Tensor) -> Tensor:
        projection = ops.matmul(inputs, self.kernel)
        # Class 0 must not win where class 1 is NaN.
        threshold = ops.where(ops.isnan(projection), projection, self.threshold.value)
        return ops.concatenate([threshold, projection], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], 2)


def best_threshold(
    projections: np.typing.ArrayLike,
    labels: np.typing.ArrayLike,
    max_false_positive_rate: float | None = None,
) -> float:
    """Threshold on `w^T phi` from the scores of the training set; class 1 lies strictly above it.

    Args:
        projections: array `(N,)` of `w^T phi`, finite.
        labels: integers 0 and 1, `(N,)`; both must occur.
        max_false_positive_rate: `None` for the midpoint of the lowest positive and the highest
            negative projection, the largest hard margin on separable data. A number in `[0, 1)`
            gives instead the lowest threshold with at most this fraction of negatives above it
            (Type I error), which keeps the Type II error as low as that allows.

    Source: Nar et al., arXiv 1901.08360.

    Example:
    >>> keras_mmc.layers.best_threshold([-2.0, 1.0, 3.0], [0, 1, 1])
    -0.5
    """
    values = real_array("best_threshold", "projections", projections)
    values = values.astype("float64").reshape(-1)
    classes = check_labels(labels, num_classes=2)
    if len(values) != len(classes) or not np.all(np.isfinite(values)):
        raise ValueError(
            f"Expected one finite projection per label; received {len(values)} projections "
            f"({np.count_nonzero(~np.isfinite(values))} not finite) and {len(classes)} labels."
        )
    negative, positive = np.sort(values[classes == 0]), values[classes == 1]
    if not len(negative) or not len(positive):
        raise ValueError(
            "A threshold needs samples of both classes; received "
            f"{len(negative)} of class 0 and {len(positive)} of class 1."
        )
    if max_false_positive_rate is None:
        return float((positive.min() + negative.max()) / 2)
    rate = max_false_positive_rate
    fits = is_number(rate) and 0 <= rate < 1
    check("best_threshold", "max_false_positive_rate", rate, fits, "in [0, 1)")
    allowed = int(np.floor(rate * len(negative) + 1e-9))
    return float(negative[len(negative) - 1 - allowed])


def fit_threshold(
    model: keras.Model,
    x: np.typing.ArrayLike,
    y: np.typing.ArrayLike,
    max_false_positive_rate: float | None = None,
    batch_size: int = 128,
) -> float:
    """Set the threshold of a model that ends in a `DifferentialHead`.

    Labels, rate and errors are those of `best_threshold`; `x` are the training inputs, as
    `model.predict` takes them. Returns the threshold that was set.

    Example:
    >>> model.fit(x, y, epochs=20)
    >>> keras_mmc.layers.fit_threshold(model, x, y)
    """
    head = model.layers[-1] if isinstance(model, keras.Model) else model
    if not isinstance(head, DifferentialHead) or head is model:
        raise ValueError(
            "fit_threshold needs a Keras model that ends in a DifferentialHead; received one that "
            f"ends in {type(head).__name__}."
            if isinstance(model, keras.Model)
            else f"fit_threshold needs a Keras model; received {shown(model)}."
        )
    check_count("fit_threshold", "batch_size", batch_size)
    check_batch("fit_threshold", "x", x, model)
    scores = model.predict(x, batch_size=batch_size, verbose=0)
    if np.ndim(scores) != 2:
        raise ValueError(
            f"fit_threshold needs scores of shape (N, 2); the model gave shape {np.shape(scores)} "
            "for these inputs. Pass a batch of them."
        )
    threshold = best_threshold(scores[:, 1], y, max_false_positive_rate)
    head.threshold.assign(threshold)
    return threshold
