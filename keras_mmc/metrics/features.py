"""Metrics of features: around their class centers, and how tight and how far apart classes are.

Those of scores read distances from them, `||z - mu_k|| = sqrt(-2 s_k)`. On `ElasticCenters` that is
`sqrt(||z - mu_k - delta_k||^2 + ||delta_k||^2 / alpha)`, with the price of the offset.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_mmc._backend import Tensor, snake_case
from keras_mmc._labels import as_scores, label_distribution
from keras_mmc._real_arrays import real_array
from keras_mmc._scores import center_distances, nan_where_nan
from keras_mmc._validation import check, is_number


class _ScoreMetric(keras.metrics.Mean):
    """Mean over samples of a function of labels and scores, float32 under any policy.

    A subclass implements `values(targets, scores)`: from rows of class weights and scores, both
    `(N, K)`, to one value per sample, `(N,)`, NaN where the scores are.
    """

    def __init__(self, name: str | None = None, dtype: Any = "float32"):
        super().__init__(name=name or snake_case(type(self).__name__), dtype=dtype)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Add a batch of labels `(N,)` or `(N, K)` and scores `(N, K)`."""
        scores = ops.cast(as_scores(y_pred), self.dtype)
        targets = label_distribution(y_true, scores)
        return super().update_state(self.values(targets, scores), sample_weight)

    def values(self, targets: Tensor, scores: Tensor) -> Tensor:
        """One value per sample, `(N,)`."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `values`.")

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable("keras_mmc")
class CenterDistance(_ScoreMetric):
    """Mean distance of the features to the center of their class, `mean ||z - mu_y||`.

    Example:
    >>> metric = keras_mmc.metrics.CenterDistance()
    >>> metric.update_state([0], [[-8.0, -50.0]])
    >>> metric.result()
    4.0
    """

    def values(self, targets: Tensor, scores: Tensor) -> Tensor:
        return ops.sum(targets * center_distances(scores), axis=-1)


@keras.saving.register_keras_serializable("keras_mmc")
class NearestCenterMargin(_ScoreMetric):
    """Mean of how much nearer the own center is than the nearest wrong one.

    `mean (min_{k != y} ||z - mu_k|| - ||z - mu_y||)`; negative for a misclassified sample.

    Example:
    >>> metric = keras_mmc.metrics.NearestCenterMargin()
    >>> metric.update_state([0], [[-8.0, -50.0]])
    >>> metric.result()
    6.0
    """

    def values(self, targets: Tensor, scores: Tensor) -> Tensor:
        distances = center_distances(scores)
        own = ops.sum(targets * distances, axis=-1)
        farthest = ops.max(distances, axis=-1, keepdims=True)
        wrong = ops.min(ops.where(targets > 0.5, farthest + 1, distances), axis=-1)
        return wrong - own


@keras.saving.register_keras_serializable("keras_mmc")
class CenterDensity(_ScoreMetric):
    """Fraction of samples whose features lie within `radius` of the center of their class.

    `(1/N) #{i : ||z_i - mu_{y_i}|| <= r}`. Divided by the volume of the ball, which is beyond
    floating point in hundreds of dimensions, it is the sample density of the MMC paper.

    Args:
        radius: radius r in feature space, above 0, or a `ValueError` is raised. Balls up to half
            the distance of two centers, `scale * sqrt(K / (2 (K - 1)))` for a simplex, are apart.
        **kwargs: `name` and `dtype` of the metric.

    Source: Pang et al., ICLR 2020, arXiv 1905.10626, the definition of sample density.

    Example:
    >>> metric = keras_mmc.metrics.CenterDensity(radius=5.0)
    >>> metric.update_state([0, 0], [[-8.0, -50.0], [-50.0, -8.0]])
    >>> metric.result()
    0.5
    """

    def __init__(self, radius: float, **kwargs: Any):
        super().__init__(**kwargs)
        check(self, "radius", radius, is_number(radius) and radius > 0, "above 0")
        self.radius = radius

    def values(self, targets: Tensor, scores: Tensor) -> Tensor:
        distances = targets * center_distances(scores)
        inside = ops.sum(distances, axis=-1) <= self.radius
        return nan_where_nan(ops.cast(inside, scores.dtype), distances)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "radius": self.radius}


class ClassDistances(NamedTuple):
    """Mean distance of a sample to its class mean, `intra`, and between class means, `inter`."""

    intra: float
    inter: float


def class_distances(features: np.typing.ArrayLike, labels: np.typing.ArrayLike) -> ClassDistances:
    """Intra-class and inter-class distances of features `(N, d)`, in units of the feature space.

    Only their ratio compares networks: features can be scaled at will. Classes that do not occur
    among the integer labels `(N,)` are left out. A `ValueError` refuses shapes that do not fit, a
    label that is NaN, and fewer than two classes.

    Example:
    >>> keras_mmc.metrics.class_distances([[0.0], [2.0], [10.0]], [0, 0, 1])
    ClassDistances(intra=0.6666666666666666, inter=9.0)
    """
    values = real_array("class_distances", "features", features).astype("float64")
    classes = real_array("class_distances", "labels", labels).reshape(-1)
    if values.ndim != 2 or len(values) != len(classes):
        raise ValueError(
            f"Expected features (N, d) and labels (N,); received {values.shape} and "
            f"{np.shape(labels)}."
        )
    if not np.isfinite(values).all():
        raise ValueError("Features must be finite; received NaN or infinity.")
    if classes.dtype.kind == "f" and (missing := np.isnan(classes).sum()):
        raise ValueError(f"Labels must be integers; received NaN in {missing} rows.")
    found, index = np.unique(classes, return_inverse=True)
    if len(found) < 2:
        raise ValueError(f"Distances between classes need two of them; received {len(found)}.")
    means = np.stack([values[index == k].mean(axis=0) for k in range(len(found))])
    intra = np.linalg.norm(values - means[index], axis=1).mean()
    gaps = np.linalg.norm(means[:, None] - means[None, :], axis=-1)
    inter = gaps.sum() / (len(found) * (len(found) - 1))
    return ClassDistances(float(intra), float(inter))
