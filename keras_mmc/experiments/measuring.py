"""Measuring a network: the attacks of a paper each on its own, and the standard audit beside."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

import keras_mmc
from keras_mmc.attacks import Attack, Ball
from keras_mmc.evaluation import Protocol, Suite, make_protocol, make_suite

# What the fields of a shortened attack are at most.
_SHORT: dict[str, float] = {
    "steps": 3,
    "binary_search_steps": 2,
    "samples": 8,
    "restarts": 1,
    "num_targets": 2,
}
_SHORT |= {"queries": 20, "gamma": 0.1}


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much an experiment may cost.

    Attributes:
        num_images: number of first test images that are attacked.
        slow_images: number of first images for attacks that the protocol limits itself.
        short: whether every attack makes only a few steps: then figures mean nothing, and the run
            only shows that everything works.
        suite: the suite beside the paper's attacks.
    """

    num_images: int
    slow_images: int
    short: bool = False
    suite: str = "standard"


def measure(
    model: keras.Model,
    images: tuple[np.ndarray, np.ndarray],
    paper: str | None,
    radii: Sequence[float],
    budget: Budget,
    state: pathlib.Path,
    seed: int = 0,
) -> dict[str, Any]:
    """What a record says of a network under attack, at several radii.

    Attacks outside the ball run at the first radius alone; without a paper the suite of the budget
    is all there is. Finished batches are kept in `state`.
    """
    x, y = (part[: budget.num_images] for part in images)
    clean = model.predict(x, verbose=0).argmax(axis=1) == y
    measured: dict[str, Any] = {"clean_acc": clean.mean(), "num_images": len(x)}
    measured |= {"attack_seed": seed, "protocol": [], "standard": []}
    began = time.process_time()
    for place, eps in enumerate(radii):
        suite = _suite(paper, eps, x.shape[1:], model.output_shape[-1], budget, place == 0)
        directory = state / f"{paper or budget.suite}-{eps:g}"
        report = keras_mmc.audit(
            model, x, y, eps, suite, seed=seed, state_directory=directory, verbose=0
        )
        for row in report.trials:
            if row.error:
                raise RuntimeError(f"{row.name} failed: {row.error}")
            measured["protocol"].append({"eps": eps} | dataclasses.asdict(row))
        measured["standard"].append(
            {
                "eps": eps,
                "suite": budget.suite,
                "naive": report.naive_accuracy,
                "robust": report.robust_accuracy,
                "interval": report.interval,
                "rows": [dataclasses.asdict(row) for row in report.rows],
                "broken_by": report.broken_by,
                "findings": report.findings,
                "masked": report.masked,
            }
        )
    return measured | {"attack_cpu_seconds": time.process_time() - began}


def _suite(paper, eps, image_shape, num_classes, budget, with_others):
    """The suite of a paper within a budget, with or without its attacks outside the ball."""
    protocol = make_protocol(paper, Ball(eps), image_shape) if paper else Protocol({})
    beside = make_suite(budget.suite, Ball(eps), image_shape, num_classes)
    trials = {
        name: dataclasses.replace(
            trial,
            attack=_shortened(trial.attack) if budget.short else trial.attack,
            limit=trial.limit and min(trial.limit, budget.slow_images),
        )
        for name, trial in protocol.trials.items()
        if with_others or trial.attack.ball is not None
    }
    attacks: Mapping[str, Attack] = beside.attacks
    if budget.short:
        attacks = {name: _shortened(attack) for name, attack in attacks.items()}
    return Suite(paper or beside.name, dict(attacks), trials, (*protocol.notes, *beside.notes))


def _shortened(attack):
    """The attack with a few steps."""
    values = {
        field.name: min(getattr(attack, field.name), _SHORT[field.name])
        for field in dataclasses.fields(attack)
        if field.init and field.name in _SHORT
    }
    return dataclasses.replace(attack, **values)
