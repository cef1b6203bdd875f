"""The same adversarial training with every loss: which is more robust under AutoAttack?"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import keras

import keras_mmc
from keras_mmc import attacks, datasets, defenses, layers, losses, models
from keras_mmc.experiments import records as files
from keras_mmc.experiments import shootout_page
from keras_mmc.experiments.base import Experiment, Paper
from keras_mmc.experiments.jobs import (
    Plan,
    adam,
    cosine,
    job_name,
    one_job,
    rehearsed,
    smoke,
)
from keras_mmc.experiments.measuring import Budget
from keras_mmc.experiments.training import Method, Setting, train

PAPER = Paper("keras_mmc", "Losses under the same adversarial training", "this package", "-")


def _centers(classes: int, width: int) -> keras.layers.Layer:
    return keras_mmc.MaxMahalanobisCenters(classes)


LOSSES = {
    "softmax": Method(),
    "MMC": Method(losses.MMCLoss, _centers),
    "elastic MMC": Method(losses.ElasticMMCLoss, lambda classes, _: layers.ElasticCenters(classes)),
    "MM-LDA": Method(functools.partial(losses.MMLDALoss, sigma=10**0.5), _centers),
    "L-GM": Method(losses.LGMLoss, lambda classes, _: layers.LearnedCenters(classes)),
    "center loss": Method(losses.CenterLoss, lambda classes, _: layers.DenseWithCenters(classes)),
    "GCE": Method(keras_mmc.GuidedComplementEntropy),
}
_RATES = (1 / 3, 1.0, 3.0)  # of the rate of the setting
_GRID_SEED = 100  # of networks that only choose a rate
_GRID_IMAGES = 500


@dataclasses.dataclass(frozen=True)
class _Contest:
    """What is trained on one data set: every loss with every defense, by budget.

    Beside a defense stands by how much the number of epochs is multiplied, for about the same time.
    """

    defenses: Mapping[str, tuple[functools.partial, float]]
    plans: Mapping[str, Plan]

    @property
    def methods(self) -> dict[str, tuple[str, Method]]:
        """By the name of a method, the name of its loss and the method at the common rate."""
        return {
            f"{name} {words}": (name, dataclasses.replace(loss, defense=defense, epochs=epochs))
            for words, (defense, epochs) in self.defenses.items()
            for name, loss in LOSSES.items()
        }


def _contest(attack: attacks.PGD, setting: Setting) -> _Contest:
    def plan(num_images, seeds):
        return Plan(setting, Budget(num_images, 0), seeds, (attack.eps,))

    one_step = dataclasses.replace(attack, steps=1, step_size=1.25 * attack.eps)
    defended: dict[str, tuple[functools.partial, float]] = {
        "AT": (functools.partial(defenses.AdversarialTraining, attack), 1.0),
        "AT in one step": (functools.partial(defenses.AdversarialTraining, one_step), 1.75),
        "TRADES": (functools.partial(defenses.TRADES, attack, beta=6.0), 1.0),
    }
    plans = {"smoke": smoke(), "cpu": plan(200, (0,)), "full": plan(300, tuple(range(5)))}
    return _Contest(defended, plans)


def _setting(dataset, **more):
    return Setting(dataset, models.lenet5, 84, 4, 128, adam, 3e-3, cosine, **more)


_CONTESTS = {
    "shootout_fashion": _contest(
        attacks.PGD(0.1, steps=3, step_size=0.05), _setting("fashion_mnist")
    ),
    "shootout_cifar10": _contest(
        attacks.PGD(8 / 255, steps=3, step_size=4 / 255),
        _setting("cifar10", augment=True, standardize=True),
    ),
}


def _jobs(name: str, budget: str) -> dict[str, Any]:
    """First the rate of every loss; then all seeds of a method before the next method."""
    contest = _CONTESTS[name]
    plan = contest.plans[budget]
    methods = {method: contest.methods[method] for method in rehearsed((*contest.methods,), plan)}
    chosen = dict.fromkeys(loss for loss, _ in methods.values())
    made: dict[str, Any] = {
        _rate_job_name(loss): functools.partial(_choose_rate, loss, contest, plan)
        for loss in chosen
    }
    for method, (loss, trained) in methods.items():
        for seed in plan.seeds:
            made[job_name(method, seed)] = functools.partial(
                _at_chosen_rate, method, loss, trained, plan, seed
            )
    return made


def _rate_job_name(loss):
    return job_name(loss, "rate")


def _choose_rate(loss: str, contest: _Contest, plan: Plan, directory: pathlib.Path) -> dict:
    """The learning rate at which adversarial training with a loss is most robust.

    Judged by validation images under PGD-20 on the margin, on networks of a seed of their own. A
    training that ends in values that are not finite counts as robust accuracy 0.
    """
    # Held out by the seed of the training.
    x, y = datasets.load_arrays(plan.setting.dataset, "validation", _GRID_SEED)
    x, y = x[:_GRID_IMAGES], y[:_GRID_IMAGES]
    attack = attacks.PGD(plan.radii[0], steps=2 if plan.cost.short else 20)
    method = dataclasses.replace(LOSSES[loss], defense=contest.defenses["AT"][0])
    grid = []
    for factor in _RATES[:2] if plan.cost.short else _RATES:
        tried = dataclasses.replace(method, rate=factor)
        row: dict[str, Any] = {"rate": factor * plan.setting.rate, "clean": 0.0, "robust": 0.0}
        try:
            model, _ = train(tried, plan.setting, _GRID_SEED, directory / f"{factor:.3g}.keras")
        except FloatingPointError as error:
            row["error"] = str(error)
        else:
            x_adv = attack(model, x, y)
            for key, images in (("clean", x), ("robust", x_adv)):
                row[key] = (model.predict(images, verbose=0).argmax(axis=1) == y).mean()
        grid.append(row)
    best = max(grid, key=lambda row: row["robust"])
    facts = {"loss": loss, "dataset": plan.setting.dataset, "eps": attack.eps, "seed": _GRID_SEED}
    return facts | {
        "num_images": len(x),
        "attack": repr(attack),
        "grid": grid,
        "rate": best["rate"],
    }


def _at_chosen_rate(
    name: str, loss: str, method: Method, plan: Plan, seed: int, directory: pathlib.Path
) -> dict:
    """Train a network at the rate chosen for its loss, and audit it."""
    chosen = files.read(directory.parent / _rate_job_name(loss))
    assert chosen is not None  # that job came first
    rate = chosen["rate"] / plan.setting.rate
    return one_job(None, name, dataclasses.replace(method, rate=rate), plan, seed, directory)


_QUESTION = "Which loss is more robust under the same adversarial training, on {}?"
EXPERIMENTS = {
    name: Experiment(
        name,
        PAPER,
        _QUESTION.format(words),
        functools.partial(_jobs, name),
        shootout_page.tables,
        shootout_page.conclusion,
        shootout_page.pictures,
    )
    for name, words in (("shootout_fashion", "Fashion-MNIST"), ("shootout_cifar10", "CIFAR-10"))
}
