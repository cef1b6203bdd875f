"""The same adversarial training with every loss: which is more robust under AutoAttack?"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import matplotlib.figure
import numpy as np

import keras_mmc
from keras_mmc import attacks, datasets, defenses, layers, losses, models
from keras_mmc.experiments import records as files
from keras_mmc.experiments.base import Experiment, Paper, Table
from keras_mmc.experiments.jobs import (
    Plan,
    adam,
    audit_table,
    cosine,
    job_name,
    one_job,
    rehearsed,
    smoke,
)
from keras_mmc.experiments.measuring import Budget
from keras_mmc.experiments.summaries import (
    by_method,
    first_radius,
    paired_difference,
    percent,
    standard,
)
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
BASELINE = "softmax AT"
_RATES = (1 / 3, 1.0, 3.0)  # of the rate of the setting
_GRID_SEED = 100  # of networks that only choose a rate
_GRID_IMAGES = 500


@dataclasses.dataclass(frozen=True)
class _Contest:
    """What is trained on one data set: every loss with every defense, by budget."""

    defenses: Mapping[str, functools.partial]
    plans: Mapping[str, Plan]

    @property
    def methods(self) -> dict[str, tuple[str, Method]]:
        """By the name of a method, the name of its loss and the method at the common rate."""
        return {
            f"{name} {words}": (name, dataclasses.replace(loss, defense=defense))
            for name, loss in LOSSES.items()
            for words, defense in self.defenses.items()
        }


def _contest(attack: attacks.PGD, setting: Setting) -> _Contest:
    def plan(num_images, seeds):
        return Plan(setting, Budget(num_images, 0), seeds, (attack.eps,))

    defended: dict[str, functools.partial] = {
        "AT": functools.partial(defenses.AdversarialTraining, attack),
        "TRADES": functools.partial(defenses.TRADES, attack, beta=6.0),
    }
    plans = {"smoke": smoke(), "cpu": plan(200, (0,)), "full": plan(500, tuple(range(5)))}
    return _Contest(defended, plans)


def _setting(dataset, **more):
    return Setting(dataset, models.lenet5, 84, 5, 128, adam, 3e-3, cosine, **more)


_CONTESTS = {
    "shootout_fashion": _contest(
        attacks.PGD(0.1, steps=5, step_size=0.03), _setting("fashion_mnist")
    ),
    "shootout_cifar10": _contest(
        attacks.PGD(8 / 255, steps=5, step_size=2.4 / 255),
        _setting("cifar10", augment=True, standardize=True),
    ),
}


def _jobs(name: str, budget: str) -> dict[str, Any]:
    """First the rate of every loss; then all methods of a seed before the next seed."""
    contest = _CONTESTS[name]
    plan = contest.plans[budget]
    methods = {method: contest.methods[method] for method in rehearsed((*contest.methods,), plan)}
    chosen = dict.fromkeys(loss for loss, _ in methods.values())
    made: dict[str, Any] = {
        _rate_job_name(loss): functools.partial(_choose_rate, loss, contest, plan)
        for loss in chosen
    }
    for seed in plan.seeds:
        for method, (loss, trained) in methods.items():
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
    method = dataclasses.replace(LOSSES[loss], defense=contest.defenses["AT"])
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


def _audited(records):
    return {name: record for name, record in records.items() if "standard" in record}


def _tables(records: Mapping[str, dict]) -> Iterator[Table]:
    grids = [record for record in records.values() if "grid" in record]
    records = _audited(records)
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
    note = (
        "Differences are paired: the same seed, split, order and test images. In points. Of 20 "
        "such intervals one misses by chance."
    )
    yield Table("Paired comparison", header, tuple(rows), note)
    rates = [row["rate"] for row in grids[0]["grid"]]
    lines = []
    for record in grids:
        tried = (f"{100 * row['robust']:.1f}" for row in record["grid"])
        lines.append((record["loss"], *tried, f"{record['rate']:.3g}"))
    note = (
        f"Robust accuracy in percent of {grids[0]['num_images']} validation images under PGD-20 on "
        f"the margin after adversarial training with each learning rate, seed {grids[0]['seed']}; "
        "0 where training ended in values that are not finite."
    )
    columns = ("loss", *(f"rate {rate:.3g}" for rate in rates), "chosen")
    yield Table("The rate of each loss", columns, tuple(lines), note)


def _conclusion(records: Mapping[str, dict]) -> str:
    records = _audited(records)
    grouped = by_method(records)
    eps = first_radius(records)
    means = {n: np.mean([standard(r, eps) for r in seeds]) for n, seeds in grouped.items()}
    best = max(means, key=lambda name: means[name])
    told = []
    for name in grouped:
        mean, low, high = paired_difference(grouped[name], grouped[BASELINE], eps)
        if low > 0 or high < 0:
            told.append(f"{name} ({100 * mean:+.1f})")
    words = f"{', '.join(told)} can be" if told else "none of the others can be"
    return (
        f"Of {len(grouped)} trainings over {len(grouped[best])} seed(s), {best} has the highest "
        f"mean robust accuracy under the strong audit at {eps:.4g}, {100 * means[best]:.2f} %; "
        f"{BASELINE} has {100 * means[BASELINE]:.2f} %. By the 95 % intervals of the paired "
        f"differences, in points, {words} told from {BASELINE}."
    )


def _pictures(records: Mapping[str, dict], directory: pathlib.Path) -> None:
    """Robust against clean accuracy: a point a seed, a mark a method."""
    figure = matplotlib.figure.Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    records = _audited(records)
    eps = first_radius(records)
    for number, (name, seeds) in enumerate(by_method(records).items()):
        clean = 100 * np.array([record["clean_acc"] for record in seeds])
        robust = 100 * np.array([standard(record, eps) for record in seeds])
        marks: dict[str, Any] = {"color": f"C{number // 2}", "marker": "os"[number % 2]}
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
