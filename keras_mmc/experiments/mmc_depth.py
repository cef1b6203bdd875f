"""Max-Mahalanobis centers beside softmax cross-entropy over the depth of a residual network."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib.figure
import numpy as np

from keras_mmc import models
from keras_mmc.experiments.base import Experiment, Table
from keras_mmc.experiments.jobs import Job, Plan, adam, cosine, job_name, one_job, smoke
from keras_mmc.experiments.measuring import Budget
from keras_mmc.experiments.mmc import EPS, METHODS, PAPER, RELEASED
from keras_mmc.experiments.summaries import first_radius, percent, standard
from keras_mmc.experiments.training import Setting, tiny

_COMPARED = ("SCE", "MMC-10")
_SHORT = Setting("fashion_mnist", models.resnet_v1, 64, 1, 128, adam, 1e-3, cosine)
_PLANS = {
    "smoke": (smoke(), tiny, (3, 5)),  # graphs of residual networks take minutes to make
    "cpu": (Plan(_SHORT, Budget(100, 0), (0,), (EPS,)), models.resnet_v1, (8, 14, 20)),
    "full": (Plan(RELEASED, Budget(1000, 0), (0, 1, 2), (EPS,)), models.resnet_v2, (47, 164)),
}


def _jobs(budget: str) -> dict[str, Job]:
    """One job for every depth, method and seed, the shallow networks first."""
    plan, network, depths = _PLANS[budget]
    return {
        job_name(f"{name}-depth-{depth}", seed): functools.partial(
            _job, name, depth, _at_depth(plan, network, depth), seed
        )
        for depth in depths
        for name in _COMPARED
        for seed in plan.seeds
    }


def _at_depth(plan, network, depth):
    setting = dataclasses.replace(plan.setting, network=functools.partial(network, depth=depth))
    return dataclasses.replace(plan, setting=setting)


def _job(name: str, depth: int, plan: Plan, seed: int, directory: pathlib.Path) -> dict[str, Any]:
    # The attack of this protocol, PGD-10 on the cross-entropy, costs little beside the audit.
    return {"depth": depth, **one_job("emr", name, METHODS[name], plan, seed, directory)}


def _by_depth(records: Mapping[str, dict]) -> dict[int, dict[str, list[dict]]]:
    """The records of all seeds, by depth and method."""
    grouped: dict[int, dict[str, list[dict]]] = {}
    for record in records.values():
        of_depth = grouped.setdefault(record["depth"], {})
        of_depth.setdefault(record["method"], []).append(record)
    return grouped


def _accuracies(record: dict) -> dict[str, float | None]:
    """Accuracy on clean images, under a naive attack and under the strong audit."""
    eps = record["standard"][0]["eps"]
    return {
        "clean": record["clean_acc"],
        "PGD-20": standard(record, eps, "naive"),
        "robust": standard(record, eps),
    }


def _tables(records: Mapping[str, dict]) -> Iterator[Table]:
    first = next(iter(records.values()))
    columns = [(name, what) for name in _COMPARED for what in _accuracies(first)]
    rows = tuple(
        (
            str(depth),
            *(percent(_accuracies(r)[what] for r in found.get(name, [])) for name, what in columns),
        )
        for depth, found in _by_depth(records).items()
    )
    note = (
        f"Accuracy in percent on the first {first['num_images']} test images, L-infinity, eps "
        f"{first_radius(records):.4g}: without an attack, under PGD-20 on the cross-entropy, and "
        f"under the suite {first['standard'][0]['suite']!r}. Depth counts the layers with weights."
    )
    header = ("depth", *(f"{name}: {what}" for name, what in columns))
    yield Table("Accuracy by depth", header, rows, note)


def _conclusion(records: Mapping[str, dict]) -> str:
    words = "; ".join(
        f"at depth {depth} "
        + ", ".join(f"{n} {percent(map(_robust, seeds))} %" for n, seeds in found.items())
        for depth, found in _by_depth(records).items()
    )
    return (
        f"Robust accuracy under the strong audit at {first_radius(records):.4g} is {words}. "
        "Neither is trained against attacks."
    )


def _robust(record):
    return _accuracies(record)["robust"]


def _pictures(records: Mapping[str, dict], directory: pathlib.Path) -> None:
    """Accuracy against depth, means over seeds: a color a method, a line an attack."""
    figure = matplotlib.figure.Figure(figsize=(7, 5), layout="constrained")
    axes, grouped = figure.subplots(), _by_depth(records)
    for number, name in enumerate(_COMPARED):
        depths = [depth for depth, found in grouped.items() if name in found]
        for line, what in zip(("-", "--", ":"), ("clean", "PGD-20", "robust"), strict=True):
            seeds = [[_accuracies(r)[what] for r in grouped[depth][name]] for depth in depths]
            means = [100 * np.mean(np.array(values, float)) for values in seeds]
            style: dict[str, Any] = {
                "color": f"C{number}",
                "linestyle": line,
                "marker": "os"[number],
            }
            axes.plot(depths, means, label=f"{name}: {what}", **style)
    axes.set_xticks(list(grouped))
    axes.set_xlabel("depth")
    axes.set_ylabel(f"accuracy in %, eps {first_radius(records):.3g}")
    axes.set_ylim(-2, 102)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(directory / "depth.png", dpi=110)


EXPERIMENTS = {
    "mmc_depth": Experiment(
        "mmc_depth",
        PAPER,
        "Does the depth of the network matter to what fixed, far-apart centers do?",
        _jobs,
        _tables,
        _conclusion,
        _pictures,
    )
}
