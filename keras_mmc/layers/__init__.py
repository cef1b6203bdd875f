"""Heads: layers that turn features `(N, d)` into scores `(N, K)`."""

from keras_mmc.layers.base import ScoreHead
from keras_mmc.layers.centers import LearnedCenters, MaxMahalanobisCenters
from keras_mmc.layers.differential import DifferentialHead, best_threshold, fit_threshold

__all__ = [
    "DifferentialHead",
    "LearnedCenters",
    "MaxMahalanobisCenters",
    "ScoreHead",
    "best_threshold",
    "fit_threshold",
]
