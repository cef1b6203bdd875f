"""Defenses: how an `AdversarialModel` trains."""

from keras_mmc.defenses.adversarial_training import AdversarialTraining
from keras_mmc.defenses.attack_defense import AttackDefense
from keras_mmc.defenses.base import Defense, SampleLosses, StandardTraining, StepContext
from keras_mmc.defenses.cleverhans_training import CleverHansTraining
from keras_mmc.defenses.complement import ComplementTraining
from keras_mmc.defenses.differential import DifferentialTraining
from keras_mmc.defenses.fast import FastAdversarialTraining
from keras_mmc.defenses.free import FreeAdversarialTraining
from keras_mmc.defenses.mail import MAIL
from keras_mmc.defenses.mart import MART
from keras_mmc.defenses.trades import TRADES, BinaryTRADES

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
