"""Regularizers of an `AdversarialModel`."""

from keras_mmc.regularizers.awp import AdversarialWeightPerturbation, weight_perturbations
from keras_mmc.regularizers.base import Regularizer
from keras_mmc.regularizers.gradient_penalties import (
    EffectiveMarginRegularizer,
    InputGradientPenalty,
    effective_weight_penalty,
    input_gradient_penalty,
    squared_gradient,
)

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
