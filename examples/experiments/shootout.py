"""The same adversarial training with every loss: which is more robust under AutoAttack?"""

import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import matplotlib.figure
import numpy as np

import keras_mmc
from experiments.base import Experiment, Paper, Table
from experiments.jobs import Plan, adam, audit_table, cosine, job_name, one_job, rehearsed, smoke
from experiments.measuring import Budget
from experiments.summaries import by_method, first_radius, paired_difference, percent, standard
from experiments.training import Method, Setting
from keras_mmc import attacks, defenses, layers, losses, models

PAPER = Paper("keras_mmc", "Losses under the same adversarial training", "this package", "-")


def _centers(classes: int, width: int) -> keras.layers.Layer:
    return keras_mmc.MaxMahalanobisCenters(classes)


# A loss, its head, and the fraction of the common learning rate that suits it.
LOSSES = {
    "softmax": Method(),
    "MMC": Method(losses.MMCLoss, _centers),
    "MM-LDA": Method(functools.partial(losses.MMLDALoss, sigma=10**0.5), _centers),
    "L-GM": Method(losses.LGMLoss, lambda classes, _: layers.LearnedCenters(classes)),
    "GCE": Method(keras_mmc.GuidedComplementEntropy),
}
BASELINE = "softmax AT"


def _methods(attack: attacks.PGD) -> dict[str, Method]:
    """Every loss with AT and with TRADES."""
    made = {}
    for name, method in LOSSES.items():
        for words, defense in (
            ("AT", functools.partial(defenses.AdversarialTraining, attack)),
            ("TRADES", functools.partial(defenses.TRADES, attack, beta=6.0)),
        ):
            made[f"{name} {words}"] = Method(method.loss, method.head, defense, rate=method.rate)
    return made


def _setting(dataset, **more):
    return Setting(dataset, models.lenet5, 84, 5, 128, adam, 3e-3, cosine, **more)


_ON_CIFAR10 = _setting("cifar10", augment=True, standardize=True)
_FASHION = attacks.PGD(0.1, steps=5, step_size=0.03)
_CIFAR10 = attacks.PGD(8 / 255, steps=5, step_size=2.4 / 255)
_PLANS = {
    "shootout_fashion": (
        _methods(_FASHION),
        {
            "smoke": smoke(),
            "cpu": Plan(_setting("fashion_mnist"), Budget(200, 0), (0,), (0.1,)),
            "full": Plan(_setting("fashion_mnist"), Budget(1000, 0), tuple(range(5)), (0.1,)),
        },
    ),
    "shootout_cifar10": (
        _methods(_CIFAR10),
        {
            "smoke": smoke(),
            "cpu": Plan(
                _setting("cifar10", augment=True, standardize=True),
                Budget(200, 0),
                (0,),
                (8 / 255,),
            ),
            "full": Plan(
                _setting("cifar10", augment=True, standardize=True),
                Budget(1000, 0),
                tuple(range(5)),
                (8 / 255,),
            ),
        },
    ),
}


def _jobs(name: str, budget: str) -> dict[str, Any]:
    """One job for every seed and method, all methods of a seed before the next seed."""
    methods, plans = _PLANS[name]
    plan = plans[budget]
    return {
        job_name(method, seed): functools.partial(
            one_job, "emr", method, methods[method], plan, seed
        )
        for seed in plan.seeds
        for method in rehearsed(tuple(methods), plan)
    }


def _tables(records: Mapping[str, dict]) -> Iterator[Table]:
    yield audit_table(records)
    grouped, rows = by_method(records), []
    eps = first_radius(records)
    for name, seeds in grouped.items():
        mean, low, high = paired_difference(seeds, grouped[BASELINE], eps)
        spread = f"{100 * low:+.2f} to {100 * high:+.2f}" if np.isfinite(low) else "one seed"
        cpu = np.mean([record["training"]["cpu_seconds"] for record in seeds])
        clean = percent(record["clean_acc"] for record in seeds)
        robust = percent(standard(record, eps) for record in seeds)
        rows.append((name, clean, robust, f"{100 * mean:+.2f}", spread, f"{cpu:.0f}"))
    header = ("training", "clean", "robust", f"against {BASELINE}", "95 % interval", "CPU s")
    note = "Differences are paired: the same seed, split, order and test images. In points."
    yield Table("Paired comparison", header, tuple(rows), note)


def _conclusion(records: Mapping[str, dict]) -> str:
    grouped = by_method(records)
    eps = first_radius(records)
    means = {n: np.mean([standard(r, eps) for r in seeds]) for n, seeds in grouped.items()}
    best = max(means, key=lambda name: means[name])
    mean, low, _ = paired_difference(grouped[best], grouped[BASELINE], eps)
    beats = "beats" if low > 0 else "cannot be told from"
    return (
        f"The highest mean robust accuracy under the strong audit at {eps:.4g} is that of {best}, "
        f"{100 * means[best]:.2f} %, over {len(grouped[best])} seed(s). It is {100 * mean:+.2f} "
        f"points from {BASELINE} and {beats} it by the 95 % interval of the paired differences."
    )


def _pictures(records: Mapping[str, dict], directory: pathlib.Path) -> None:
    """Robust against clean accuracy: a point a seed, a mark a method."""
    figure = matplotlib.figure.Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    eps = first_radius(records)
    for number, (name, seeds) in enumerate(by_method(records).items()):
        clean = 100 * np.array([record["clean_acc"] for record in seeds])
        robust = 100 * np.array([standard(record, eps) for record in seeds])
        marks = {"color": f"C{number // 2}", "marker": "os"[number % 2]}
        axes.scatter(clean, robust, s=18, alpha=0.4, linewidths=0, **marks)
        axes.scatter(clean.mean(), robust.mean(), s=90, edgecolors="black", label=name, **marks)
    axes.set_xlabel("clean accuracy, %")
    axes.set_ylabel(f"robust accuracy, %, eps {eps:.3g}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(directory / "clean-against-robust.png", dpi=110)


_QUESTION = "Which loss is more robust under the same adversarial training, on {}?"
EXPERIMENTS = {
    name: Experiment(
        name,
        PAPER,
        _QUESTION.format(words),
        functools.partial(_jobs, name),
        _tables,
        _conclusion,
        _pictures,
    )
    for name, words in (("shootout_fashion", "Fashion-MNIST"), ("shootout_cifar10", "CIFAR-10"))
}
