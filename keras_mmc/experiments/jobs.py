"""Jobs that most experiments share: train a network, attack it; and the tables of such records."""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from keras_mmc import datasets
from keras_mmc.experiments.base import Table
from keras_mmc.experiments.measuring import Budget, measure
from keras_mmc.experiments.summaries import (
    by_method,
    first_radius,
    percent,
    seeds_in_words,
    standard,
    trial,
)
from keras_mmc.experiments.training import Method, Setting, describe, tiny, train

_FAR = 10  # points between a measured and a published accuracy that a page must speak of
Job = Callable[[pathlib.Path], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a budget makes of an experiment.

    Attributes:
        setting: how networks are trained.
        cost: how they are attacked.
        seeds: of weights, order of images and attacks; methods share them.
        radii: of the balls.
    """

    setting: Setting
    cost: Budget
    seeds: tuple[int, ...]
    radii: tuple[float, ...]


def adam(rate: Any) -> keras.optimizers.Optimizer:
    """Adam as Keras has it."""
    return keras.optimizers.Adam(rate)


def sgd(rate: Any) -> keras.optimizers.Optimizer:
    """SGD with momentum 0.9."""
    return keras.optimizers.SGD(rate, momentum=0.9)


def cosine(rate: float, steps: int) -> Any:
    """From the rate to 0 along a cosine."""
    return keras.optimizers.schedules.CosineDecay(rate, steps)


def tenths(rate: float, steps: int) -> Any:
    """Divided by ten after half and after three quarters of the steps."""
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        [steps // 2, 3 * steps // 4], [rate, rate / 10, rate / 100]
    )


def smoke(optimizer: Callable = adam) -> Plan:
    """The plan of a rehearsal."""
    setting = Setting("digits", tiny, 16, 1, 64, optimizer, 1e-3)
    return Plan(setting, Budget(10, 4, short=True, suite="quick"), (0,), (0.1,))


def train_and_attack(
    paper: str | None, methods: Mapping[str, Method], plans: Mapping[str, Plan], budget: str
) -> dict[str, Job]:
    """One job for every method and seed; a rehearsal takes two methods."""
    plan = plans[budget]
    methods = {name: methods[name] for name in rehearsed(tuple(methods), plan)}
    return {
        job_name(name, seed): functools.partial(one_job, paper, name, method, plan, seed)
        for name, method in methods.items()
        for seed in plan.seeds
    }


def rehearsed(methods: tuple[str, ...], plan: Plan) -> tuple[str, ...]:
    """The methods of a plan: all of them, or two for a rehearsal."""
    return methods[:2] if plan.cost.short else methods


def job_name(method: str, seed: int | str) -> str:
    """The name of the job, and of its directory."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", f"{method}-{seed}")


def one_job(
    paper: str | None, name: str, method: Method, plan: Plan, seed: int, directory: pathlib.Path
) -> dict[str, Any]:
    """Train a network, then run the attacks of the paper, if one is named, and the audit on it."""
    model, facts = train(method, plan.setting, seed, directory / "model.keras")
    images = datasets.load_arrays(plan.setting.dataset, "test")
    measured = measure(model, images, paper, plan.radii, plan.cost, directory / "state", seed)
    record = {"method": name, "seed": seed, "training": facts}
    return record | describe(method, plan.setting, model) | measured


def paper_tables(
    published: Mapping[tuple[str, float | None], Mapping[str, float]], records: Mapping[str, dict]
) -> Iterator[Table]:
    """The attacks of the paper, measured beside published, then the standard audit.

    Args:
        published: accuracies in percent by the name of the method, by attack and radius.
        records: the records, by the name of their job.
    """
    grouped = by_method(records)
    first = next(iter(records.values()))
    rows = {(row["name"], row["eps"]) for row in first["protocol"]}
    order = [key for key in published if key in rows or key[1] is None]
    order += [(r["name"], r["eps"]) for r in first["protocol"] if not _is_published(r, published)]
    header, lines = ["attack, eps"], []
    known = {method for figures in published.values() for method in figures}
    for method in grouped:
        header += [f"{method}: paper", method] if method in known else [method]
    for attack, eps in order:
        cells = [attack if eps is None else f"{attack}, {eps:.4g}"]
        for method, seeds in grouped.items():
            if method in known:
                paper = published.get((attack, eps), {}).get(method)
                cells.append("-" if paper is None else f"{paper:.2f}")
            cells.append(percent(trial(record, attack, eps) for record in seeds))
        lines.append(tuple(cells))
    note = (
        f"Accuracy in percent on the true labels, first {first['num_images']} test images, "
        f"{_figures(records)}; each attack alone, with the paper's settings. Slow attacks take "
        "fewer images."
    )
    far = _far_from_paper(order, grouped, published)
    if far:
        note += (
            f" More than {_FAR} points from the paper: {', '.join(far)}. Where an attack fails "
            "because gradients are masked, how often it fails depends on the network, its seed and "
            "the rounding of the code that attacks; the audit below does not depend on it."
        )
    yield Table("The attacks of the paper", tuple(header), tuple(lines), note)
    yield audit_table(records)


def _far_from_paper(order, grouped, published):
    """The rows whose mean lies far from the figure of the paper, in words."""
    found = []
    for attack, eps in order:
        for method, paper in published.get((attack, eps), {}).items():
            values = [trial(record, attack, eps) for record in grouped.get(method, ())]
            known = [100 * value for value in values if value is not None]
            if known and abs(sum(known) / len(known) - paper) > _FAR:
                found.append(f"{method} {attack}" + ("" if eps is None else f" {eps:.4g}"))
    return found


def _figures(records):
    """What the figures of a table are: `percent` gives a range where there are several seeds."""
    told = seeds_in_words(records)
    return told if told == "one seed each" else f"mean and range over {told}"


def audit_table(records: Mapping[str, dict]) -> Table:
    """Clean, naive and robust accuracy of all methods at all radii."""
    grouped = by_method(records)
    first = next(iter(records.values()))
    rows = [("clean", *(percent(r["clean_acc"] for r in seeds) for seeds in grouped.values()))]
    for row in first["standard"]:
        eps = row["eps"]
        strong = {"standard": "AutoAttack"}.get(row["suite"], f"suite {row['suite']}")
        for what, words in (("naive", "PGD-20 on the cross-entropy"), ("robust", strong)):
            cells = (percent(standard(r, eps, what) for r in seeds) for seeds in grouped.values())
            rows.append((f"{words}, {eps:.4g}", *cells))
    note = f"{first['num_images']} test images, L-infinity, {_figures(records)}."
    return Table("The strong audit", ("attack, eps", *grouped), tuple(rows), note)


def weak_and_strong(attack: str, records: Mapping[str, dict]) -> str:
    """Who leads under an attack of the paper, and what AutoAttack says of all, in two sentences."""
    grouped = by_method(records)
    eps = first_radius(records)
    weak = {m: [trial(r, attack, eps) or 0.0 for r in seeds] for m, seeds in grouped.items()}
    best = max(weak, key=lambda method: sum(weak[method]) / len(weak[method]))
    strong = ", ".join(
        f"{method} {percent(standard(r, eps) for r in seeds)}" for method, seeds in grouped.items()
    )
    return (
        f"Under {attack} at {eps:.4g}, with the paper's settings, {best} leads with "
        f"{percent(weak[best])} %. Under the strong audit at the same radius the robust "
        f"accuracies are, in percent: {strong}."
    )


def _is_published(row, published):
    return (row["name"], row["eps"]) in published or (row["name"], None) in published
