"""The Max-Mahalanobis center loss beside its baselines, as Pang et al. attack them, and audited."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import features
import keras
import matplotlib.figure
import numpy as np

import keras_mmc
from experiments.base import Experiment, Paper, Table
from experiments.jobs import (
    Plan,
    adam,
    cosine,
    job_name,
    paper_tables,
    rehearsed,
    sgd,
    smoke,
    tenths,
    train_and_attack,
    weak_and_strong,
)
from experiments.measuring import Budget
from experiments.summaries import by_method
from experiments.training import Method, Setting
from keras_mmc import attacks, datasets, defenses, evaluation, layers, losses, models, plotting

PAPER = Paper(
    "Pang, Xu, Dong, Du, Chen, Zhu",
    "Rethinking Softmax Cross-Entropy Loss for Adversarial Robustness",
    "ICLR 2020",
    "https://arxiv.org/abs/1905.10626",
)
_EPS = 8 / 255


def _centers(scale):
    return lambda classes, width: keras_mmc.MaxMahalanobisCenters(classes, scale=scale)


def _random_centers(classes, width):
    values = keras_mmc.centers.random_centers(classes, width, 10.0, seed=0)
    return keras_mmc.MaxMahalanobisCenters(centers=values)


_METHODS = {
    "SCE": Method(),
    "MMC-10": Method(losses.MMCLoss, _centers(10.0)),
    "center loss": Method(  # which reads features, that only an AdversarialModel hands on
        losses.CenterLoss,
        lambda classes, _: layers.DenseWithCenters(classes),
        defenses.StandardTraining,
    ),
    "L-GM": Method(losses.LGMLoss, lambda classes, _: layers.LearnedCenters(classes)),
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
    goal = {"objective": _TARGETED[name], "targeted": True} if targeted else {}
    attack = attacks.PGD(_EPS, steps=10, step_size=2 / 255, **goal)
    make = functools.partial(
        defenses.AdversarialTraining,
        attack,
        objective=None if targeted else "training_loss",
    )
    return dataclasses.replace(_METHODS[name], defense=make)


_AT_METHODS = {
    f"{name} AT{' targeted' if targeted else ''}": _adversarial(name, targeted)
    for name in _TARGETED
    for targeted in (False, True)
}


_SMALL = Setting("mnist", models.small_cnn, 256, 4, 128, adam, 1e-3, cosine)
_LENET = Setting("mnist", models.lenet5, 84, 6, 128, adam, 1e-3, cosine)
# The released loss is twice ours: so is the rate.
_RESNET = functools.partial(models.resnet_v2, depth=47)
_RELEASED = Setting("cifar10", _RESNET, 256, 200, 50, sgd, 0.02, tenths, True, True)


def _plans(short, full):
    return {
        "smoke": smoke(),
        "cpu": Plan(short, Budget(200, 20), (0,), (_EPS, 16 / 255)),
        "full": Plan(full, Budget(10000, 1000), (0, 1, 2), tuple(i * _EPS for i in (1, 2, 3, 4))),
    }


def _on(dataset, setting, **changes):
    return dataclasses.replace(setting, dataset=dataset, **changes)


_CIFAR10_PLANS = _plans(_on("cifar10", _SMALL, epochs=5, augment=True), _RELEASED)
_PLANS = {
    "mmc_mnist": _plans(_LENET, _on("mnist", _RELEASED, epochs=40, augment=False)),
    "mmc_fashion": _plans(
        _on("fashion_mnist", _LENET), _on("fashion_mnist", _RELEASED, epochs=40, augment=False)
    ),
    "mmc_cifar10": _CIFAR10_PLANS,
    "mmc_at_cifar10": _CIFAR10_PLANS,
}


def _jobs(name, methods, budget):
    """Train and attack every method; then what needs all networks of the first seed."""
    made = train_and_attack("mmc", methods, _PLANS[name], budget)
    plan = _PLANS[name][budget]
    made["transfer-and-detection"] = functools.partial(
        _across, rehearsed(tuple(methods), plan), plan
    )
    return made


def _across(methods: tuple[str, ...], plan: Plan, directory: pathlib.Path) -> dict[str, Any]:
    """Transfer of MIM between the networks of the first seed, and detection of its images."""
    found = {
        name: keras.models.load_model(
            directory.parent / job_name(name, plan.seeds[0]) / "model.keras"
        )
        for name in methods
    }
    count = plan.cost.num_images
    images = datasets.load_arrays(plan.setting.dataset, "test")
    x, y = (part[:count] for part in images)
    steps = {"steps": 2 if plan.cost.short else 10, "step_size": 2 / 256}
    record: dict[str, Any] = {
        "networks": methods,
        "num_images": len(x),
        "eps": _EPS,
        "transfer": {},
    }
    for objective, targeted in (("distance", False), ("targeted_distance", True)):
        attack = attacks.MIM(_EPS, **steps, objective=objective, targeted=targeted)
        matrix = evaluation.transfer_matrix(found, x, y, attack)
        record["transfer"][objective] = matrix.accuracy
    auc = {}
    for name, model in found.items():
        attack = attacks.PGD(_EPS, **steps, objective="cross_entropy")
        x_adv = attacks.Runner(model).generate(attack, x, y.astype("int32"))
        auc[name] = evaluation.detection_auc(model, x, x_adv).auc
        values, labels = features.features_of(model, images[0][:1000]), images[1][:1000]
        centers = features.centers_of(model, values, labels)
        path = directory.parent / f"features-{job_name(name, 0)}.png"
        plotting.plot_features(path, values, labels, centers, name)
    return record | {"detection_auc": auc}


def _trained(records):
    return {name: record for name, record in records.items() if "method" in record}


def _tables(records: Mapping[str, dict]) -> Iterator[Table]:
    yield from paper_tables({}, _trained(records))
    across = records["transfer-and-detection"]
    names = tuple(across["networks"])
    for objective, matrix in across["transfer"].items():
        rows = (
            (name, *(f"{100 * value:.2f}" for value in row))
            for name, row in zip(names, matrix, strict=True)
        )
        yield Table(
            f"Transfer, {objective.replace('_', ' ')}",
            ("crafted on", *names),
            tuple(rows),
            f"Accuracy in percent on {across['num_images']} images under MIM of 10 steps of 2/256 "
            f"at {across['eps']:.4g}; a column is the network they are tried on.",
        )
    auc = tuple((name, f"{value:.3f}") for name, value in across["detection_auc"].items())
    note = "Clean against PGD-10 on the cross-entropy, by the largest score; 0.5 is guessing."
    yield Table("Detection", ("network", "AUC"), auc, note)


def _pictures(records: Mapping[str, dict], directory: pathlib.Path) -> None:
    """Convergence of all methods, and the transfer matrices as heat maps."""
    curves, timed = {}, {}
    for method, seeds in by_method(_trained(records)).items():
        accuracy = np.asarray(seeds[0]["training"]["validation_accuracy"])
        epochs = np.arange(1, len(accuracy) + 1)
        curves[method] = epochs, accuracy
        timed[method] = epochs * seeds[0]["training"]["cpu_seconds"] / len(epochs), accuracy
    plotting.plot_curves(directory / "epochs.png", curves, "epoch", "validation accuracy")
    plotting.plot_curves(directory / "seconds.png", timed, "CPU seconds", "validation accuracy")
    across = records["transfer-and-detection"]
    for objective, matrix in across["transfer"].items():
        figure = matplotlib.figure.Figure(figsize=(8, 7), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(100 * np.asarray(matrix), vmin=0, vmax=100, cmap="viridis")
        ticks = range(len(across["networks"]))
        axes.set_xticks(ticks, across["networks"], rotation=45, ha="right")
        axes.set_yticks(ticks, across["networks"])
        axes.set_xlabel("tried on")
        axes.set_ylabel("crafted on")
        axes.set_title(f"accuracy in %, MIM, {objective.replace('_', ' ')}")
        figure.colorbar(image)
        figure.savefig(directory / f"transfer-{objective}.png", dpi=110)


def _conclusion(records: Mapping[str, dict]) -> str:
    return weak_and_strong("pgd-10 (distance)", _trained(records))


def _experiment(name, question, methods):
    return Experiment(
        name,
        PAPER,
        question,
        functools.partial(_jobs, name, methods),
        _tables,
        _conclusion,
        _pictures,
    )


_QUESTION = "Do fixed, far-apart centers make a network robust {}?"
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        _experiment("mmc_mnist", _QUESTION.format("on MNIST"), _METHODS),
        _experiment("mmc_fashion", _QUESTION.format("on Fashion-MNIST"), _METHODS),
        _experiment("mmc_cifar10", _QUESTION.format("on CIFAR-10"), _METHODS),
        _experiment("mmc_at_cifar10", _QUESTION.format("with adversarial training"), _AT_METHODS),
    )
}
