"""Callbacks that watch over training: they measure, keep the best, stop and show."""

from keras_mmc.callbacks.adversarial_images import AdversarialImages
from keras_mmc.callbacks.best_robust import BestRobustCheckpoint
from keras_mmc.callbacks.catastrophic_overfitting import StopOnCatastrophicOverfitting
from keras_mmc.callbacks.log_effective_margin import LogEffectiveMargin
from keras_mmc.callbacks.non_finite import StopOnNonFinite
from keras_mmc.callbacks.regularizer_decay import DecayRegularizer
from keras_mmc.callbacks.robust_accuracy import RobustAccuracy

__all__ = [
    "AdversarialImages",
    "BestRobustCheckpoint",
    "DecayRegularizer",
    "LogEffectiveMargin",
    "RobustAccuracy",
    "StopOnCatastrophicOverfitting",
    "StopOnNonFinite",
]
