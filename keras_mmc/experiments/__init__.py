"""The experiments of the papers: what `keras-mmc reproduce` runs.

Only the module of an experiment that is asked for is imported.
"""

import importlib

from keras_mmc._extras import require
from keras_mmc.experiments.base import Experiment

MODULES = {
    "gce_mnist": "gce",
    "gce_cifar10": "gce",
    "gce_at_mnist": "gce",
    "mmc_mnist": "mmc",
    "mmc_fashion": "mmc",
    "mmc_cifar10": "mmc",
    "mmc_at_cifar10": "mmc",
    "mmc_depth": "mmc_depth",
    "differential_margin": "differential_margin",
    "differential_cifar10": "differential_cifar10",
    "emr_mnist": "emr",
    "emr_cifar10": "emr",
    "emr_feedforward": "emr",
    "shootout_fashion": "shootout",
    "shootout_cifar10": "shootout",
}
"""By the name of an experiment, the module that holds it."""


def load(name: str) -> Experiment:
    """An experiment by name, a key of `MODULES`.

    Raises:
        ImportError: if what it draws its pictures or loads its data with is not installed.
    """
    require("matplotlib.figure", "plots", f"The experiment {name}")
    require("sklearn", "datasets", f"The experiment {name}")
    module = importlib.import_module(f"keras_mmc.experiments.{MODULES[name]}")
    return module.EXPERIMENTS[name]
