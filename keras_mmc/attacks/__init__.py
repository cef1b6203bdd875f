"""Attacks: one a file, all frozen dataclasses with `generate`, `search` and a call."""

from keras_mmc.attacks.apgd import APGD
from keras_mmc.attacks.auto_attack import AutoAttack, AutoAttackResult
from keras_mmc.attacks.base import Attack
from keras_mmc.attacks.bim import BIM
from keras_mmc.attacks.cleverhans_adapter import CleverHans
from keras_mmc.attacks.fab import FAB
from keras_mmc.attacks.fgsm import FGSM
from keras_mmc.attacks.mim import MIM
from keras_mmc.attacks.multi_targeted import MultiTargeted
from keras_mmc.attacks.nearest_wrong import NearestWrongCenter
from keras_mmc.attacks.pgd import PGD
from keras_mmc.attacks.square import Square

__all__ = [
    "APGD",
    "BIM",
    "FAB",
    "FGSM",
    "MIM",
    "PGD",
    "Attack",
    "AutoAttack",
    "AutoAttackResult",
    "CleverHans",
    "MultiTargeted",
    "NearestWrongCenter",
    "Square",
]
