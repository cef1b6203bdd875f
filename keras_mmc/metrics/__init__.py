"""Metrics of features and scores."""

from keras_mmc.metrics.centers import CenterDensity, CenterDistance, NearestCenterMargin
from keras_mmc.metrics.class_distances import ClassDistances, class_distances

__all__ = [
    "CenterDensity",
    "CenterDistance",
    "ClassDistances",
    "NearestCenterMargin",
    "class_distances",
]
