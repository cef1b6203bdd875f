"""Regularizers of an `AdversarialModel`."""

from keras_mmc.regularizers.awp import AdversarialWeightPerturbation, weight_perturbations
from keras_mmc.regularizers.base import Regularizer
from keras_mmc.regularizers.effective_margin import (
    EffectiveMarginRegularizer,
    effective_weight_penalty,
)
from keras_mmc.regularizers.input_gradient import InputGradientPenalty, input_gradient_penalty
from keras_mmc.regularizers.squared_gradient import squared_gradient

__all__ = [
    "AdversarialWeightPerturbation",
    "EffectiveMarginRegularizer",
    "InputGradientPenalty",
    "Regularizer",
    "effective_weight_penalty",
    "input_gradient_penalty",
    "squared_gradient",
    "weight_perturbations",
]
