"""Attacks: one a file, all frozen dataclasses with `generate`, `search` and a call."""

from keras_mmc.attacks.apgd import APGD
from keras_mmc.attacks.auto_attack import AutoAttack, AutoAttackResult
from keras_mmc.attacks.base import Attack
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
from keras_mmc.attacks.nearest_wrong import NearestWrongCenter
from keras_mmc.attacks.pgd import PGD
from keras_mmc.attacks.rotation import Rotation
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
    "AutoAttack",
    "AutoAttackResult",
    "CarliniWagner",
    "CleverHans",
    "DeepFool",
    "GaussianNoise",
    "MultiTargeted",
    "NearestWrongCenter",
    "Rotation",
    "Square",
    "Transfer",
]
