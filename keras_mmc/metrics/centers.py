"""Metrics of features around their class centres, read off the scores."""

import keras
from keras import ops

from keras_mmc._labels import label_distribution
from keras_mmc._scores import center_distances


class _ScoreMetric(keras.metrics.Mean):
    """Mean over samples of a function of labels and scores, float32 under any policy."""

    def __init__(self, name, dtype="float32"):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch of labels `(N,)` or `(N, K)` and scores `(N, K)`."""
        scores = ops.cast(y_pred, self.dtype)
        targets = label_distribution(y_true, scores)
        return super().update_state(self.values(targets, scores), sample_weight)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable("keras_mmc")
class CenterDistance(_ScoreMetric):
    """Mean distance of the features to the centre of their class, `mean ||z - mu_y||`.

    Needs the scores of a head with centres; the unit is that of the feature space.

    Example:
    >>> metric = keras_mmc.metrics.CenterDistance()
    >>> metric.update_state([0], [[-8.0, -50.0]])
    >>> metric.result()
    4.0
    """

    def __init__(self, name="center_distance", dtype="float32"):
        super().__init__(name, dtype)

    def values(self, targets, scores):
        """Distance to the own centre, `(N,)`."""
        return ops.sum(targets * center_distances(scores), axis=-1)


@keras.saving.register_keras_serializable("keras_mmc")
class NearestCenterMargin(_ScoreMetric):
    """Mean of how much nearer the own centre is than the nearest wrong one.

    `mean (min_{k != y} ||z - mu_k|| - ||z - mu_y||)`, in units of the feature space; negative for
    a misclassified sample. Needs the scores of a head with centres.

    Example:
    >>> metric = keras_mmc.metrics.NearestCenterMargin()
    >>> metric.update_state([0], [[-8.0, -50.0]])
    >>> metric.result()
    6.0
    """

    def __init__(self, name="nearest_center_margin", dtype="float32"):
        super().__init__(name, dtype)

    def values(self, targets, scores):
        """Distance to the nearest wrong centre less the distance to the own, `(N,)`."""
        distances = center_distances(scores)
        own = ops.sum(targets * distances, axis=-1)
        farthest = ops.max(distances, axis=-1, keepdims=True)
        wrong = ops.min(ops.where(targets > 0.5, farthest + 1, distances), axis=-1)
        return wrong - own


@keras.saving.register_keras_serializable("keras_mmc")
class CenterDensity(_ScoreMetric):
    """Share of samples whose features lie within `radius` of the centre of their class.

    `(1/N) #{i : ||z_i - mu_{y_i}|| <= r}`. Divided by the volume of the ball of that radius it is
    the sample density about the centres that the MMC paper argues with; in hundreds of dimensions
    that volume is beyond floating point, so the share itself is given.

    Args:
        radius: radius r in feature space, above 0. Balls of radius up to half the distance of two
            centres, `scale * sqrt(K / (2 (K - 1)))` for a simplex, do not overlap.
        name: name of the metric.
        dtype: dtype of the metric.

    Raises:
        ValueError: if `radius` is not above 0.

    Source: Pang et al., ICLR 2020, arXiv 1905.10626, the definition of sample density.

    Example:
    >>> metric = keras_mmc.metrics.CenterDensity(radius=5.0)
    >>> metric.update_state([0, 0], [[-8.0, -50.0], [-50.0, -8.0]])
    >>> metric.result()
    0.5
    """

    def __init__(self, radius, name="center_density", dtype="float32"):
        super().__init__(name, dtype)
        if not radius > 0:
            raise ValueError(f"CenterDensity: `radius` must be above 0; received {radius!r}.")
        self.radius = radius

    def values(self, targets, scores):
        """1 where the features lie in the ball about the own centre, else 0, `(N,)`."""
        distances = ops.sum(targets * center_distances(scores), axis=-1)
        return ops.cast(distances <= self.radius, scores.dtype)

    def get_config(self):
        return {**super().get_config(), "radius": self.radius}
