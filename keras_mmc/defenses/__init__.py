"""Defenses: how an `AdversarialModel` trains."""

from keras_mmc.defenses.adversarial_training import (
    AdversarialTraining,
    CleverHansTraining,
    FastAdversarialTraining,
    FreeAdversarialTraining,
)
from keras_mmc.defenses.attack_defense import AttackDefense
from keras_mmc.defenses.base import Defense, SampleLosses, StandardTraining, StepContext
from keras_mmc.defenses.complement import ComplementTraining
from keras_mmc.defenses.differential import DifferentialTraining
from keras_mmc.defenses.trades import TRADES, BinaryTRADES
from keras_mmc.defenses.weighted import MAIL, MART

__all__ = [
    "MAIL",
    "MART",
    "TRADES",
    "AdversarialTraining",
    "AttackDefense",
    "BinaryTRADES",
    "CleverHansTraining",
    "ComplementTraining",
    "Defense",
    "DifferentialTraining",
    "FastAdversarialTraining",
    "FreeAdversarialTraining",
    "SampleLosses",
    "StandardTraining",
    "StepContext",
]
