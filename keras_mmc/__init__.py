"""Keras losses, heads, attacks and audits for classifiers that resist small input changes.

The core (centers, layers, losses, metrics, models) runs on every Keras backend. The other parts
need TensorFlow, and say so elsewhere.
"""

import importlib

import keras

from keras_mmc import adapters, centers, layers, losses, metrics, models, objectives
from keras_mmc._backend import require_tensorflow
from keras_mmc._version import __version__ as __version__
from keras_mmc.adapters import replace_head, to_scores
from keras_mmc.layers import (
    DenseWithCenters,
    DifferentialHead,
    ElasticCenters,
    LearnedCenters,
    MaxMahalanobisCenters,
    QuadraticHead,
)
from keras_mmc.losses import (
    CenterLoss,
    ComplementEntropy,
    DifferentialLoss,
    ElasticMMCLoss,
    GuidedComplementEntropy,
    LGMLoss,
    MMCLoss,
    MMLDALoss,
    ShellMMCLoss,
)

_TENSORFLOW_MODULES = (
    "attacks",
    "callbacks",
    "datasets",
    "defenses",
    "evaluation",
    "export",
    "regularizers",
    "training",
)
_TENSORFLOW_NAMES = {
    "AdversarialModel": "training",
    "EffectiveMarginRegularizer": "regularizers",
    "audit": "evaluation",
    "export_saved_model": "export",
}

__all__ = [
    "CenterLoss",
    "ComplementEntropy",
    "DenseWithCenters",
    "DifferentialHead",
    "DifferentialLoss",
    "ElasticCenters",
    "ElasticMMCLoss",
    "GuidedComplementEntropy",
    "LGMLoss",
    "LearnedCenters",
    "MMCLoss",
    "MMLDALoss",
    "MaxMahalanobisCenters",
    "QuadraticHead",
    "ShellMMCLoss",
    "adapters",
    "centers",
    "layers",
    "losses",
    "metrics",
    "models",
    "objectives",
    "plotting",
    "replace_head",
    "to_scores",
    *_TENSORFLOW_MODULES,
    *_TENSORFLOW_NAMES,
]


def __getattr__(name):
    if name == "plotting":
        return importlib.import_module("keras_mmc.plotting")
    if name in _TENSORFLOW_MODULES:
        require_tensorflow(f"keras_mmc.{name}")
        return importlib.import_module(f"keras_mmc.{name}")
    if name in _TENSORFLOW_NAMES:
        return getattr(__getattr__(_TENSORFLOW_NAMES[name]), name)
    raise AttributeError(f"module 'keras_mmc' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)


if keras.config.backend() == "tensorflow":
    # A saved AdversarialModel loads only if its parts are registered.
    importlib.import_module("keras_mmc.training")
