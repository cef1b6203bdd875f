"""Guided complement entropy: the tables of Chen et al., and the same networks under AutoAttack."""

import functools
from typing import Any

import keras

import keras_mmc
from keras_mmc import attacks, defenses, models
from keras_mmc.experiments.base import Experiment, Paper
from keras_mmc.experiments.jobs import (
    Plan,
    adam,
    paper_tables,
    sgd,
    smoke,
    tenths,
    train_and_attack,
    weak_and_strong,
)
from keras_mmc.experiments.measuring import Budget
from keras_mmc.experiments.training import Method, Setting

PAPER = Paper(
    "Chen, Liang, Chang, Pan, Chen, Wei, Juan",
    "Improving Adversarial Robustness via Guided Complement Entropy",
    "ICCV 2019",
    "https://arxiv.org/abs/1903.09799",
)
_NAMES = ("cross-entropy", "COT", "GCE")
# Tables 3 and 5 of the paper, in percent: by attack and radius, for the methods of _NAMES.
_MNIST = {
    ("fgsm", 0.1): (78.32, None, 87.66),
    ("fgsm", 0.2): (38.88, 51.8, 62.74),
    ("fgsm", 0.3): (14.99, None, 47.21),
    ("bim-10", 0.1): (53.14, None, 61.92),
    ("bim-10", 0.2): (2.15, 4.35, 34.49),
    ("bim-10", 0.3): (0.01, None, 33.45),
    ("pgd-40", 0.1): (46.85, None, 51.85),
    ("pgd-40", 0.2): (1.58, None, 9.55),
    ("pgd-40", 0.3): (0.0, None, 2.22),
    ("mim-40", 0.1): (48.28, None, 61.18),
    ("mim-40", 0.2): (2.29, 4.26, 39.81),
    ("mim-40", 0.3): (0.01, None, 38.78),
    ("jsma (25 % of the pixels)", None): (1.53, 11.13, 26.24),
    ("jsma (50 % of the pixels)", None): (0.1, None, 17.26),
    ("c&w l2", None): (0.0, 11.9, 25.6),
}
_CIFAR10 = {
    ("fgsm", 0.04): (14.76, None, 41.22),
    ("bim-10", 0.04): (0.25, None, 19.59),
    ("pgd-40", 0.04): (0.0, None, 5.91),
    ("mim-40", 0.04): (0.0, None, 15.44),
    ("c&w l2", None): (0.0, None, 0.8),
}
_GCE = functools.partial(keras_mmc.GuidedComplementEntropy, alpha=1 / 3)
_METHODS = {
    "cross-entropy": Method(),
    "GCE": Method(loss=functools.partial(_GCE, guard="released")),
    "GCE without guards": Method(loss=_GCE),
    "COT": Method(defense=defenses.ComplementTraining),
}
_AT = functools.partial(
    defenses.AdversarialTraining,
    attacks.PGD(0.3, steps=10, step_size=0.05),
    objective="training_loss",
)
_AT_METHODS = {
    "cross-entropy AT": Method(defense=_AT),
    "GCE AT": Method(loss=_GCE, defense=_AT),
}


def _adam(rate: Any) -> keras.optimizers.Optimizer:
    """Adam with the second decay of the released code."""
    return keras.optimizers.Adam(rate, beta_2=0.99)


_RESNET56 = functools.partial(models.resnet_v1, depth=56)


def _plans(dataset, network, radii, **more):
    setting = Setting(dataset, network, 84, 20, 64, _adam, 1e-3)
    return {
        "smoke": smoke(),
        "cpu": Plan(setting, Budget(500, 50), (0,), radii),
        "full": Plan(setting, Budget(10000, 500), (0, 1, 2), radii),
    } | more


_CIFAR10_PLANS = {
    "smoke": smoke(),
    "cpu": Plan(
        Setting("cifar10", models.small_cnn, 256, 8, 128, adam, 1e-3, augment=True),
        Budget(300, 20),
        (0,),
        (0.04,),
    ),
    "full": Plan(
        Setting("cifar10", _RESNET56, 64, 200, 128, sgd, 0.1, tenths, True, True),
        Budget(1000, 500),
        (0, 1, 2),
        (0.04,),
    ),
}


def _experiment(name, question, methods, plans, published):
    by_name = {
        key: {n: v for n, v in zip(_NAMES, figures, strict=True) if v is not None}
        for key, figures in published.items()
    }
    return Experiment(
        name,
        PAPER,
        question,
        functools.partial(train_and_attack, "gce", methods, plans),
        functools.partial(paper_tables, by_name),
        functools.partial(weak_and_strong, "mim-40"),
    )


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        _experiment(
            "gce_mnist",
            "Does guided complement entropy make LeNet-5 robust without adversarial training?",
            _METHODS,
            _plans("mnist", models.lenet5, (0.1, 0.2, 0.3)),
            _MNIST,
        ),
        _experiment(
            "gce_cifar10",
            "Does guided complement entropy make a CIFAR-10 network robust by itself?",
            _METHODS,
            _CIFAR10_PLANS,
            _CIFAR10,
        ),
        _experiment(
            "gce_at_mnist",
            "Is adversarial training better with guided complement entropy?",
            _AT_METHODS,
            _plans("mnist", models.lenet5, (0.3,)),
            {},
        ),
    )
}
