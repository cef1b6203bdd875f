"""The Max-Mahalanobis center loss beside its baselines, as Pang et al. attack them, and audited."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import keras_mmc
from keras_mmc import attacks, defenses, layers, losses, models, plotting
from keras_mmc.experiments import features_over_training, transfer_and_detection
from keras_mmc.experiments.base import Experiment, Paper, Table
from keras_mmc.experiments.jobs import (
    Plan,
    adam,
    cosine,
    paper_tables,
    rehearsed,
    sgd,
    smoke,
    tenths,
    train_and_attack,
    weak_and_strong,
)
from keras_mmc.experiments.measuring import Budget
from keras_mmc.experiments.summaries import by_method
from keras_mmc.experiments.training import Method, Setting

PAPER = Paper(
    "Pang, Xu, Dong, Du, Chen, Zhu",
    "Rethinking Softmax Cross-Entropy Loss for Adversarial Robustness",
    "ICLR 2020",
    "https://arxiv.org/abs/1905.10626",
)
EPS = 8 / 255
_FOLLOWED = ("SCE", "MMC-10")


def _centers(scale):
    return lambda classes, width: keras_mmc.MaxMahalanobisCenters(classes, scale=scale)


def _random_centers(classes, width):
    values = keras_mmc.centers.random_centers(classes, width, 10.0, seed=0)
    return keras_mmc.MaxMahalanobisCenters(centers=values)


METHODS = {
    "SCE": Method(),
    "MMC-10": Method(losses.MMCLoss, _centers(10.0)),
    "center loss": Method(  # which reads features, that only an AdversarialModel hands on
        losses.CenterLoss,
        lambda classes, _: layers.DenseWithCenters(classes),
        defenses.StandardTraining,
    ),
    "L-GM": Method(losses.LGMLoss, lambda classes, _: layers.LearnedCenters(classes)),
    "g-SCE": Method(  # whose first steps at the whole rate of SGD throw it far off
        head=lambda classes, _: layers.QuadraticHead(classes), rate=0.3
    ),
    "MM-LDA": Method(functools.partial(losses.MMLDALoss, sigma=10**0.5), _centers(10.0)),
    "MMC-100": Method(losses.MMCLoss, _centers(100.0), rate=0.1),
    "MMC-10 (rand)": Method(losses.MMCLoss, _random_centers),
    "elastic MMC-10": Method(
        losses.ElasticMMCLoss, lambda classes, _: layers.ElasticCenters(classes)
    ),
}
_TARGETED = {"SCE": "cross_entropy", "MMC-10": "distance"}


def _adversarial(name, targeted):
    """A method with adversarial training, towards random targets or away from the label."""
    goal: dict[str, Any] = {"objective": _TARGETED[name], "targeted": True} if targeted else {}
    attack = attacks.PGD(EPS, steps=10, step_size=2 / 255, **goal)
    make = functools.partial(
        defenses.AdversarialTraining,
        attack,
        objective=None if targeted else "training_loss",
    )
    return dataclasses.replace(METHODS[name], defense=make)


_AT_METHODS = {
    f"{name} AT{' targeted' if targeted else ''}": _adversarial(name, targeted)
    for name in _TARGETED
    for targeted in (False, True)
}


_SMALL = Setting("mnist", models.small_cnn, 256, 4, 128, adam, 1e-3, cosine)
_LENET = Setting("mnist", models.lenet5, 84, 6, 128, adam, 1e-3, cosine)
# The released loss is twice ours: so is the rate.
_RESNET = functools.partial(models.resnet_v2, depth=47)
RELEASED = Setting("cifar10", _RESNET, 256, 200, 50, sgd, 0.02, tenths, True, True)


def _plans(short, full):
    return {
        "smoke": smoke(),
        "cpu": Plan(short, Budget(200, 20), (0,), (EPS, 16 / 255)),
        "full": Plan(full, Budget(10000, 1000), (0, 1, 2), tuple(i * EPS for i in (1, 2, 3, 4))),
    }


def _on(dataset, setting, **changes):
    return dataclasses.replace(setting, dataset=dataset, **changes)


_CIFAR10_PLANS = _plans(_on("cifar10", _SMALL, epochs=5, augment=True), RELEASED)
_PLANS = {
    "mmc_mnist": _plans(_LENET, _on("mnist", RELEASED, epochs=40, augment=False)),
    "mmc_fashion": _plans(
        _on("fashion_mnist", _LENET), _on("fashion_mnist", RELEASED, epochs=40, augment=False)
    ),
    "mmc_cifar10": _CIFAR10_PLANS,
    "mmc_at_cifar10": _CIFAR10_PLANS,
}


def _jobs(name, methods, budget):
    """Train and attack every method; then what needs all networks of the first seed."""
    made = train_and_attack("mmc", methods, _PLANS[name], budget)
    plan = _PLANS[name][budget]
    made[transfer_and_detection.NAME] = functools.partial(
        transfer_and_detection.job, rehearsed(tuple(methods), plan), plan
    )
    followed = {key: methods[key] for key in _FOLLOWED if key in methods}
    if followed:
        made[features_over_training.NAME] = functools.partial(
            features_over_training.job, followed, plan
        )
    return made


def _trained(records):
    return {name: record for name, record in records.items() if "method" in record}


_PUBLISHED_ELSEWHERE = Table(
    "Published elsewhere",
    ("ResNet-32 on CIFAR-10", "clean", "weak attack or claim", "AutoAttack", "source"),
    (
        ("MMC", "90.18", "84.31 (PGD-40 on the cross-entropy)", "0.00", "others, not the authors"),
        ("MMC with adversarial training", "80.89", "55.00 (claimed)", "43.48", "RobustBench"),
    ),
    "Accuracy in percent at eps 8/255, L-infinity, of networks that others trained and measured.",
)


def _tables(published: bool, records: Mapping[str, dict]) -> Iterator[Table]:
    yield from paper_tables({}, _trained(records))
    yield from transfer_and_detection.tables(records[transfer_and_detection.NAME])
    if features_over_training.NAME in records:
        yield features_over_training.table(records[features_over_training.NAME])
    if published:
        yield _PUBLISHED_ELSEWHERE


def _pictures(records: Mapping[str, dict], directory: pathlib.Path) -> None:
    """Convergence of all methods, and what was measured over networks and epochs."""
    curves, timed = {}, {}
    for method, seeds in by_method(_trained(records)).items():
        accuracy = np.asarray(seeds[0]["training"]["validation_accuracy"])
        epochs = np.arange(1, len(accuracy) + 1)
        curves[method] = epochs, accuracy
        timed[method] = epochs * seeds[0]["training"]["cpu_seconds"] / len(epochs), accuracy
    plotting.plot_curves(directory / "epochs.png", curves, "epoch", "validation accuracy")
    plotting.plot_curves(directory / "seconds.png", timed, "CPU seconds", "validation accuracy")
    transfer_and_detection.pictures(records[transfer_and_detection.NAME], directory)
    if features_over_training.NAME in records:
        features_over_training.picture(records[features_over_training.NAME], directory)


def _conclusion(records: Mapping[str, dict]) -> str:
    return weak_and_strong("pgd-10 (distance)", _trained(records))


def _experiment(name, question, methods, published=False):
    return Experiment(
        name,
        PAPER,
        question,
        functools.partial(_jobs, name, methods),
        functools.partial(_tables, published),
        _conclusion,
        _pictures,
    )


_QUESTION = "Do fixed, far-apart centers make a network robust {}?"
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        _experiment("mmc_mnist", _QUESTION.format("on MNIST"), METHODS),
        _experiment("mmc_fashion", _QUESTION.format("on Fashion-MNIST"), METHODS),
        _experiment("mmc_cifar10", _QUESTION.format("on CIFAR-10"), METHODS, True),
        _experiment(
            "mmc_at_cifar10", _QUESTION.format("with adversarial training"), _AT_METHODS, True
        ),
    )
}
