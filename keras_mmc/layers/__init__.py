"""Heads: layers that turn features `(N, d)` into scores `(N, K)`.

All take the `dtype`, `name` and `trainable` of `ScoreHead`. Heads and functions raise a
`ValueError` that names what does not fit.
"""

from keras_mmc.layers.dense_with_centers import DenseWithCenters
from keras_mmc.layers.differential import DifferentialHead, best_threshold, fit_threshold
from keras_mmc.layers.elastic import ElasticCenters
from keras_mmc.layers.heads import LearnedCenters, MaxMahalanobisCenters, ScoreHead
from keras_mmc.layers.quadratic import QuadraticHead

__all__ = [
    "DenseWithCenters",
    "DifferentialHead",
    "ElasticCenters",
    "LearnedCenters",
    "MaxMahalanobisCenters",
    "QuadraticHead",
    "ScoreHead",
    "best_threshold",
    "fit_threshold",
]
