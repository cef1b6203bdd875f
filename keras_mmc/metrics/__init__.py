"""Metrics of features and scores.

The classes take the scores of a head with centers; their unit is that of the feature space.
"""

from keras_mmc.metrics.features import (
    CenterDensity,
    CenterDistance,
    ClassDistances,
    NearestCenterMargin,
    class_distances,
)

__all__ = [
    "CenterDensity",
    "CenterDistance",
    "ClassDistances",
    "NearestCenterMargin",
    "class_distances",
]
