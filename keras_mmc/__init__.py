"""Keras losses, heads, attacks and audits for classifiers that resist small input changes.

The core (centers, layers, losses, metrics, models) runs on every Keras backend. The other parts
need TensorFlow, and say so elsewhere.
"""

import importlib
from typing import TYPE_CHECKING

from keras_mmc._registration import CORE, is_command_line, register
from keras_mmc._version import __version__ as __version__

if TYPE_CHECKING:
    from keras_mmc import adapters, centers, layers, losses, metrics, models, objectives
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
    "distribution",
    "evaluation",
    "regularizers",
    "serving",
    "training",
)
_TENSORFLOW_NAMES = {
    "AdversarialModel": "training",
    "EffectiveMarginRegularizer": "regularizers",
    "audit": "evaluation",
    "calibrate_rejection": "evaluation",
    "export_litert": "serving",
    "export_onnx": "serving",
    "export_openvino": "serving",
    "export_saved_model": "serving",
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
    if name in (*CORE, "plotting"):
        return importlib.import_module(f"keras_mmc.{name}")
    if name in _TENSORFLOW_MODULES:
        # Where Keras has another backend, this says so before TensorFlow is imported.
        backend = importlib.import_module("keras_mmc._backend")
        backend.require_tensorflow(f"keras_mmc.{name}")
        return importlib.import_module(f"keras_mmc.{name}")
    if name in _TENSORFLOW_NAMES:
        return getattr(__getattr__(_TENSORFLOW_NAMES[name]), name)
    if name in __all__:
        modules = (importlib.import_module(f"keras_mmc.{part}") for part in CORE)
        return next(getattr(module, name) for module in modules if hasattr(module, name))
    raise AttributeError(f"module 'keras_mmc' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)


# `keras.models.load_model` must know every class after a plain import; a command registers them
# when it loads a model.
if not is_command_line():
    register()
