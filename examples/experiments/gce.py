"""Guided complement entropy: the tables of Chen et al., and the same networks under AutoAttack."""

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

import keras_mmc
from experiments.base import Experiment, Paper, Table
from experiments.measuring import Budget, measure
from experiments.summaries import by_method, percent, standard, trial
from experiments.training import Method, Setting, describe, tiny, train
from keras_mmc import attacks, datasets, defenses, models

PAPER = Paper(
    "Chen, Liang, Chang, Pan, Chen, Wei, Juan",
    "Improving Adversarial Robustness via Guided Complement Entropy",
    "ICCV 2019",
    "https://arxiv.org/abs/1903.09799",
)
# Tables 3 and 5 of the paper, in percent: by attack and radius, for cross-entropy, COT, GCE.
MNIST = {
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
CIFAR10 = {
    ("fgsm", 0.04): (14.76, None, 41.22),
    ("bim-10", 0.04): (0.25, None, 19.59),
    ("pgd-40", 0.04): (0.0, None, 5.91),
    ("mim-40", 0.04): (0.0, None, 15.44),
    ("c&w l2", None): (0.0, None, 0.8),
}
GCE = keras_mmc.GuidedComplementEntropy
METHODS = {
    "cross-entropy": Method(),
    "COT": Method(defense=defenses.ComplementTraining),
    "GCE": Method(loss=functools.partial(GCE, alpha=1 / 3, guard="released")),
    "GCE without guards": Method(loss=functools.partial(GCE, alpha=1 / 3)),
}


def _adam(rate: Any) -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(rate, beta_2=0.99)


def _tenths(rate: float, steps: int) -> Any:
    """Divided by ten after half and three quarters of the steps."""
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        [steps // 2, 3 * steps // 4], [rate, rate / 10, rate / 100]
    )


def _resnet56(*args: Any, **options: Any) -> keras.Model:
    return models.resnet_v1(*args, depth=56, **options)


def _sgd(rate: Any) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(rate, momentum=0.9)


DIGITS = Setting("digits", tiny, 1, 64, _adam, 1e-3)
SMOKE = Budget(10, 4, short=True, suite="quick")
_MNIST = Setting("mnist", models.lenet5, 20, 64, _adam, 1e-3)
MNIST_BUDGETS = {
    "smoke": (DIGITS, SMOKE, (0,)),
    "cpu": (_MNIST, Budget(500, 50), (0,)),
    "full": (_MNIST, Budget(10000, 500), (0, 1, 2)),
}
_CIFAR10 = Setting("cifar10", _resnet56, 200, 128, _sgd, 0.1, _tenths, True, True)
_SHORT_CIFAR10 = Setting("cifar10", models.small_cnn, 8, 128, _adam, 1e-3, augment=True)
CIFAR10_BUDGETS = {
    "smoke": (DIGITS, SMOKE, (0,)),
    "cpu": (_SHORT_CIFAR10, Budget(300, 20), (0,)),
    "full": (_CIFAR10, Budget(1000, 500), (0, 1, 2)),
}


def jobs(
    methods: Mapping[str, Method],
    budgets: Mapping[str, tuple[Setting, Budget, tuple[int, ...]]],
    radii: tuple[float, ...],
    budget: str,
) -> dict[str, Callable[[pathlib.Path], dict[str, Any]]]:
    """One job for every method and seed."""
    setting, cost, seeds = budgets[budget]
    radii = radii[:1] if cost.short else radii
    return {
        f"{name.replace(' ', '-')}-{seed}": functools.partial(
            job, name, method, setting, cost, radii, seed
        )
        for name, method in methods.items()
        for seed in seeds
    }


def job(
    name: str,
    method: Method,
    setting: Setting,
    cost: Budget,
    radii: tuple[float, ...],
    seed: int,
    directory: pathlib.Path,
) -> dict[str, Any]:
    """Train a network and run the paper's attacks and the standard audit on it."""
    model, facts = train(method, setting, seed, directory / "model.keras")
    images = datasets.load_arrays(setting.dataset, "test")
    measured = measure(model, images, "gce", radii, cost, directory / "state", seed)
    record = {"method": name, "seed": seed, "training": facts}
    return record | describe(method, setting, model) | measured


def tables(
    published: Mapping[tuple, tuple], names: tuple[str, ...], radii: tuple[float, ...], records: Any
) -> Iterator[Table]:
    """The paper's table, measured beside published, and below it the standard audit."""
    grouped = by_method(records)
    header = ("attack, eps", *(f"{m}: {w}" for m in grouped for w in ("paper", "measured")))
    rows = []
    for (attack, eps), figures in published.items():
        known = dict(zip(names, figures, strict=True))
        cells = [attack if eps is None else f"{attack}, {eps:g}"]
        for method, seeds in grouped.items():
            paper = known.get(method)
            cells.append("-" if paper is None else f"{paper:.2f}")
            cells.append(percent(trial(record, attack, eps) for record in seeds))
        rows.append(tuple(cells))
    count = next(iter(records.values()))["num_images"]
    note = (
        f"Accuracy in percent on the first {count} test images, mean and range over seeds; each "
        "attack on its own, with the paper's settings. JSMA and C&W attack fewer images."
    )
    yield Table("The paper's attacks", header, tuple(rows), note)
    rows = [("clean", *(percent(r["clean_acc"] for r in seeds) for seeds in grouped.values()))]
    for eps in radii:
        for what, words in (("naive", "PGD-20 on the cross-entropy"), ("robust", "AutoAttack")):
            cells = (percent(standard(r, eps, what) for r in seeds) for seeds in grouped.values())
            rows.append((f"{words}, {eps:g}", *cells))
    yield Table("The strong audit", ("attack, eps", *grouped), tuple(rows))


def conclusion(radii: tuple[float, ...], records: Mapping[str, dict]) -> str:
    """Which figures survive the strong audit, in two sentences."""
    eps, grouped = radii[0], by_method(records)
    weak = {m: [trial(r, "mim-40", eps) for r in seeds] for m, seeds in grouped.items()}
    strong = {m: [standard(r, eps) for r in seeds] for m, seeds in grouped.items()}
    best = max(weak, key=lambda method: sum(weak[method]) / len(weak[method]))
    texts = ", ".join(f"{method} {percent(values)}" for method, values in strong.items())
    return (
        f"Under the paper's MIM at {eps:g} the most accurate network is that of {best}, with "
        f"{percent(weak[best])} %. Under AutoAttack at the same radius the accuracies are, in "
        f"percent: {texts}."
    )


def _experiment(name, question, methods, budgets, published, names, radii):
    return Experiment(
        name,
        PAPER,
        question,
        functools.partial(jobs, methods, budgets, radii),
        functools.partial(tables, published, names, radii),
        functools.partial(conclusion, radii),
    )


_NAMES = ("cross-entropy", "COT", "GCE")
_AT = functools.partial(
    defenses.AdversarialTraining, attacks.PGD(0.3, steps=10, step_size=0.05), "training_loss"
)
_AT_METHODS = {
    "cross-entropy AT": Method(defense=_AT),
    "GCE AT": Method(loss=functools.partial(GCE, alpha=1 / 3), defense=_AT),
}
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        _experiment(
            "gce_mnist",
            "Does guided complement entropy make LeNet-5 robust without adversarial training?",
            METHODS,
            MNIST_BUDGETS,
            MNIST,
            _NAMES,
            (0.1, 0.2, 0.3),
        ),
        _experiment(
            "gce_cifar10",
            "Does guided complement entropy make a CIFAR-10 network robust by itself?",
            METHODS,
            CIFAR10_BUDGETS,
            CIFAR10,
            _NAMES,
            (0.04,),
        ),
        _experiment(
            "gce_at_mnist",
            "Is adversarial training better with guided complement entropy?",
            _AT_METHODS,
            MNIST_BUDGETS,
            {},
            (),
            (0.3,),
        ),
    )
}
