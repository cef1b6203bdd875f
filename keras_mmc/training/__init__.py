"""Training: the adversarial model and callbacks that watch over training."""

from keras_mmc.training.adversarial_model import AdversarialModel
from keras_mmc.training.best_robust import BestRobustCheckpoint
from keras_mmc.training.catastrophic_overfitting import StopOnCatastrophicOverfitting
from keras_mmc.training.effective_margin import (
    EffectiveMargin,
    EffectiveWeightNorm,
    effective_margins,
)
from keras_mmc.training.log_effective_margin import LogEffectiveMargin
from keras_mmc.training.non_finite import StopOnNonFinite
from keras_mmc.training.regularizer_decay import DecayRegularizer
from keras_mmc.training.robust_accuracy import RobustAccuracy
from keras_mmc.training.tensorboard import AdversarialImages

__all__ = [
    "AdversarialImages",
    "AdversarialModel",
    "BestRobustCheckpoint",
    "DecayRegularizer",
    "EffectiveMargin",
    "EffectiveWeightNorm",
    "LogEffectiveMargin",
    "RobustAccuracy",
    "StopOnCatastrophicOverfitting",
    "StopOnNonFinite",
    "effective_margins",
]
