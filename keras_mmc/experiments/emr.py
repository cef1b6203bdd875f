"""Adversarial training with and without effective margin regularization, under AutoAttack."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_mmc
from keras_mmc import attacks, datasets, defenses, evaluation, models, plotting, regularizers
from keras_mmc.experiments.base import Experiment, Paper, Table
from keras_mmc.experiments.jobs import (
    Plan,
    adam,
    audit_table,
    cosine,
    sgd,
    smoke,
    tenths,
    train_and_attack,
)
from keras_mmc.experiments.measuring import Budget
from keras_mmc.experiments.summaries import (
    by_method,
    first_radius,
    paired_difference,
    percent,
    standard,
)
from keras_mmc.experiments.training import Method, Setting

PAPER = Paper(
    "Liu, Chan",
    "Boosting Adversarial Robustness From The Perspective of Effective Margin Regularization",
    "BMVC 2022",
    "https://arxiv.org/abs/2210.05118",
)
_EMR = regularizers.EffectiveMarginRegularizer


def _methods(eps, steps, step_size):
    """AT, TRADES, MART and MAIL, each without the regularizer and with the paper's weight."""
    attack = attacks.PGD(eps, steps=steps, step_size=step_size)
    at = functools.partial(defenses.AdversarialTraining, attack, objective="training_loss")
    plain: dict[str, tuple[Callable, float, float]] = {
        "AT": (at, 3.0, 40.0),
        "TRADES": (functools.partial(defenses.TRADES, attack, beta=6.0), 1.0, 1.0),
        "MART": (functools.partial(defenses.MART, attack), 1.0, 1.0),
        "MAIL": (lambda: defenses.MAIL(at(), burn_in=1), 1.0, 0.1),
    }
    made = {}
    for name, (defense, weight, temperature) in plain.items():
        made[name] = Method(defense=defense)
        regularizer = functools.partial(_EMR, weight, temperature)
        made[f"{name} + EMR"] = Method(defense=defense, regularizer=regularizer)
    return made


_MNIST = Setting("mnist", models.lenet5, 84, 4, 128, adam, 3e-3, cosine)
_CIFAR10 = Setting("cifar10", models.lenet5, 84, 4, 128, adam, 3e-3, cosine, True, True)
_WIDE_RESNET = functools.partial(models.wide_resnet, depth=34)
_FULL = Setting("cifar10", _WIDE_RESNET, 256, 100, 128, sgd, 0.1, tenths, True, True)
_PLANS = {
    "emr_mnist": {
        "smoke": smoke(),
        "cpu": Plan(_MNIST, Budget(300, 0), (0,), (0.3,)),
        "full": Plan(dataclasses.replace(_MNIST, epochs=40), Budget(10000, 0), (0, 1, 2), (0.3,)),
    },
    "emr_cifar10": {
        "smoke": smoke(),
        "cpu": Plan(_CIFAR10, Budget(200, 0), (0,), (8 / 255,)),
        "full": Plan(_FULL, Budget(1000, 0), (0, 1, 2), (8 / 255,)),
    },
}


def _tables(records: Mapping[str, dict]) -> Iterator[Table]:
    yield audit_table(records)
    grouped, rows = by_method(records), []
    eps = first_radius(records)
    for name in grouped:
        if f"{name} + EMR" in grouped:
            mean, low, high = paired_difference(grouped[f"{name} + EMR"], grouped[name], eps)
            spread = f"{100 * low:.2f} to {100 * high:.2f}" if np.isfinite(low) else "one seed"
            rows.append((name, f"{100 * mean:+.2f}", spread))
    note = "Robust accuracy with EMR minus without, same seeds and images, in points."
    yield Table("What EMR adds", ("defense", "difference", "95 % interval"), tuple(rows), note)


def _conclusion(records: Mapping[str, dict]) -> str:
    grouped = by_method(records)
    eps = first_radius(records)
    pairs = [name for name in grouped if f"{name} + EMR" in grouped]
    gains = [paired_difference(grouped[f"{n} + EMR"], grouped[n], eps)[0] for n in pairs]
    words = ", ".join(f"{n} {100 * gain:+.2f}" for n, gain in zip(pairs, gains, strict=True))
    best = max(grouped, key=lambda n: np.mean([standard(r, eps) for r in grouped[n]]))
    values = percent(standard(record, eps) for record in grouped[best])
    return (
        f"The paper claims that EMR improves robust accuracy; under the strong audit at {eps:.4g} "
        f"it changes it by, in points: {words}. The most robust network is that of {best}, with "
        f"{values} %."
    )


def _feedforward(budget: str) -> dict[str, Any]:
    """A network of dense layers, trained plainly with and without the regularizer."""
    short = budget == "smoke"
    dataset, epochs = ("digits", 2) if short else ("mnist", 10 if budget == "cpu" else 100)
    return {
        f"{name}-0": functools.partial(_feedforward_job, name, weight, dataset, epochs)
        for name, weight in (("plain", 0.0), ("EMR", 3.0))
    }


def _feedforward_job(
    name: str, weight: float, dataset: str, epochs: int, directory: pathlib.Path
) -> dict[str, Any]:
    keras.utils.set_random_seed(0)
    info = datasets.info(dataset)
    dense = [keras.layers.Dense(256, activation="relu") for _ in range(2)]
    last = [keras.layers.Flatten(), *dense, keras.layers.Dense(info.num_classes)]
    model = keras.Sequential([keras.Input(info.image_shape), *last])
    x, y = datasets.load_arrays(dataset, "test")
    x, y = tf.constant(x[:500]), tf.constant(y[:500], tf.int32)
    over: dict[str, list[float]] = {"effective_margin": [], "effective_weight_norm": []}

    def follow(epoch, logs=None):
        score_fn = functools.partial(model, training=False)
        margins, norms = evaluation.effective_margins(score_fn, x, y)
        over["effective_margin"].append(float(np.mean(margins)))
        over["effective_weight_norm"].append(float(np.mean(norms)))

    regularizer = _EMR(weight, 40.0) if weight else None
    robust = keras_mmc.AdversarialModel(model, regularizer=regularizer)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    robust.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    history = robust.fit(
        datasets.load(dataset, "train", 128),
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=follow)],
    ).history
    accuracy = float(np.mean(model.predict(x, verbose=0).argmax(axis=1) == y.numpy()))
    record = {"method": name, "seed": 0, "dataset": dataset, "weight": weight, "num_images": len(x)}
    return record | over | {"loss": history["loss"], "clean_acc": accuracy}


def _feedforward_tables(records: Mapping[str, dict]) -> Iterator[Table]:
    rows = tuple(
        (
            record["method"],
            percent([record["clean_acc"]]),
            f"{record['effective_margin'][-1]:.4f}",
            f"{record['effective_weight_norm'][-1]:.3f}",
        )
        for record in records.values()
    )
    header = ("training", "test accuracy", "effective margin", "effective weight norm")
    yield Table("After the last epoch", header, rows, "Means over 500 test images; L2.")


def _feedforward_conclusion(records: Mapping[str, dict]) -> str:
    plain, ours = (records[f"{name}-0"] for name in ("plain", "EMR"))
    margins = [record["effective_margin"][-1] for record in (plain, ours)]
    norms = [record["effective_weight_norm"][-1] for record in (plain, ours)]
    return (
        f"With the regularizer the mean effective margin is {margins[1]:.4f} instead of "
        f"{margins[0]:.4f}. The effective weight norm is {norms[1]:.3f} instead of {norms[0]:.3f}; "
        "a margin of clean training says nothing about an attack, as `keras-mmc reproduce "
        "--experiment=emr_mnist` runs them."
    )


def _feedforward_pictures(records: Mapping[str, dict], directory: pathlib.Path) -> None:
    for key in ("effective_margin", "effective_weight_norm"):
        curves = {
            record["method"]: (np.arange(1, len(record[key]) + 1), record[key])
            for record in records.values()
        }
        plotting.plot_curves(directory / f"{key}.png", curves, "epoch", key.replace("_", " "))


_METHODS = {"emr_mnist": _methods(0.3, 5, 0.1), "emr_cifar10": _methods(8 / 255, 5, 4 / 255)}
_QUESTION = "Does effective margin regularization add robustness to adversarial training{}?"
EXPERIMENTS = {
    name: Experiment(
        name,
        PAPER,
        _QUESTION.format(words),
        functools.partial(train_and_attack, "emr", _METHODS[name], _PLANS[name]),
        _tables,
        _conclusion,
    )
    for name, words in (("emr_mnist", " on MNIST"), ("emr_cifar10", " on CIFAR-10"))
} | {
    "emr_feedforward": Experiment(
        "emr_feedforward",
        PAPER,
        "How do effective margin and effective weight norm move over training?",
        _feedforward,
        _feedforward_tables,
        _feedforward_conclusion,
        _feedforward_pictures,
    )
}
