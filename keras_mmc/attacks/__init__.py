"""Attacks: one a file, all frozen dataclasses with one hook, two views of it and a call.

`eps` and all other lengths that are given are in input units. Lengths left at `None` follow the
width of the box, or `eps`, so that an attack is as strong in `box=(0.0, 255.0)` as in `[0, 1]`.
"""

from keras_mmc.attacks._engine.predictions import misclassified, reached, score_function
from keras_mmc.attacks._engine.random import image_seeds
from keras_mmc.attacks.apgd import APGD
from keras_mmc.attacks.auto_attack import AutoAttack, AutoAttackResult
from keras_mmc.attacks.ball import Ball
from keras_mmc.attacks.base import Attack, BallAttack
from keras_mmc.attacks.bim import BIM
from keras_mmc.attacks.carlini_wagner import CarliniWagner
from keras_mmc.attacks.cleverhans_adapter import CleverHans
from keras_mmc.attacks.deepfool import DeepFool
from keras_mmc.attacks.ead import EAD
from keras_mmc.attacks.fab import FAB
from keras_mmc.attacks.fgsm import FGSM
from keras_mmc.attacks.gaussian_noise import GaussianNoise
from keras_mmc.attacks.jsma import JSMA
from keras_mmc.attacks.mim import MIM
from keras_mmc.attacks.multi_targeted import MultiTargeted
from keras_mmc.attacks.names import named
from keras_mmc.attacks.nearest_wrong import NearestWrongCenter
from keras_mmc.attacks.penalty import PenaltyAttack
from keras_mmc.attacks.pgd import PGD
from keras_mmc.attacks.random_rotation import RandomRotation
from keras_mmc.attacks.rays import RayS
from keras_mmc.attacks.result import AttackResult, Broken
from keras_mmc.attacks.rotation import Rotation
from keras_mmc.attacks.runner import Runner
from keras_mmc.attacks.spsa import SPSA
from keras_mmc.attacks.square import Square
from keras_mmc.attacks.transfer import Transfer

__all__ = [
    "APGD",
    "BIM",
    "EAD",
    "FAB",
    "FGSM",
    "JSMA",
    "MIM",
    "PGD",
    "SPSA",
    "Attack",
    "AttackResult",
    "AutoAttack",
    "AutoAttackResult",
    "Ball",
    "BallAttack",
    "Broken",
    "CarliniWagner",
    "CleverHans",
    "DeepFool",
    "GaussianNoise",
    "MultiTargeted",
    "NearestWrongCenter",
    "PenaltyAttack",
    "RandomRotation",
    "RayS",
    "Rotation",
    "Runner",
    "Square",
    "Transfer",
    "image_seeds",
    "misclassified",
    "named",
    "reached",
    "score_function",
]
