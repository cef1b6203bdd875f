"""Differential training of linear classifiers on toy sets, beside the hard-margin SVM."""

import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib.figure
import numpy as np
from sklearn.svm import SVC

from keras_mmc.experiments.base import Experiment, Paper, Table
from keras_mmc.layers import best_threshold

PAPER = Paper(
    "Nar, Ocal, Sastry, Ramchandran",
    "Cross-Entropy Loss and Low-Rank Features Have Responsibility for Adversarial Examples",
    "arXiv 2019",
    "https://arxiv.org/abs/1901.08360",
)


def _line() -> tuple[np.ndarray, np.ndarray]:
    """20 and 20 points on the line y = 10 + 20 x, which does not pass through the origin."""
    rng = np.random.default_rng(0)
    x = np.sort(np.concatenate([rng.uniform(-2, -0.6, 20), rng.uniform(0.6, 2, 20)]))
    return np.stack([x, 10 + 20 * x], axis=1), (np.arange(40) >= 20).astype(int)


def _gaussians() -> tuple[np.ndarray, np.ndarray]:
    """10 points about (2, 12) and 10 about (40, 50), of standard deviation 5."""
    rng = np.random.default_rng(0)
    points = [rng.normal(mean, 5.0, (10, 2)) for mean in ((2, 12), (40, 50))]
    return np.concatenate(points), (np.arange(20) >= 10).astype(int)


TOYS = {"line": _line, "gaussians": _gaussians}


def svm(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Direction and margin of the hard-margin SVM."""
    machine = SVC(C=1e10, kernel="linear", tol=1e-10).fit(x, y)
    weights = machine.coef_[0]
    return weights, margin(weights, x, y)


def margin(weights: np.ndarray, x: np.ndarray, y: np.ndarray, bias: float | None = None) -> float:
    """Distance of the nearest point to the boundary; the best threshold if there is no bias."""
    scores = x @ weights
    if bias is None:
        bias = -best_threshold(scores, y)
    signed = np.where(y == 1, 1, -1) * (scores + bias)
    return float(signed.min() / np.linalg.norm(weights))


def descend(x: np.ndarray, y: np.ndarray, pairs: bool, steps: int) -> tuple[np.ndarray, float]:
    """Weights and bias after normalized full-batch gradient descent.

    Args:
        x: points `(N, d)`.
        y: classes 0 and 1, `(N,)`.
        pairs: the differential loss, without a bias, or cross-entropy with a bias.
        steps: number of steps of length 0.1; the loss of pairs is that of the differences.

    Returns:
        Weights `(d,)` and bias, 0 with pairs.
    """
    if pairs:
        rows = (x[y == 1][:, None] - x[y == 0][None]).reshape(-1, x.shape[1])
    else:
        rows = np.where(y == 1, 1, -1)[:, None] * np.column_stack([x, np.ones(len(x))])
    weights = np.zeros(rows.shape[1])
    for _ in range(steps):
        logits = rows @ weights
        share = np.exp(-np.logaddexp(0, logits) + logits.min())  # common factors do not count
        gradient = share @ rows
        weights += 0.1 * gradient / np.linalg.norm(gradient)
    return (weights, 0.0) if pairs else (weights[:-1], float(weights[-1]))


def _margin_jobs(budget: str) -> dict[str, Any]:
    steps = {"smoke": 20000, "cpu": 200000, "full": 1000000}[budget]
    return {name: functools.partial(_margin_job, name, steps) for name in TOYS}


def _margin_job(name: str, steps: int, directory: pathlib.Path) -> dict[str, Any]:
    x, y = TOYS[name]()
    machine, widest = svm(x, y)
    record: dict[str, Any] = {"set": name, "steps": steps, "svm": widest}
    for key, pairs in (("cross-entropy", False), ("differential", True)):
        weights, bias = descend(x, y, pairs, steps)
        found = margin(weights, x, y, None if pairs else bias)
        cosine = weights @ machine / np.linalg.norm(weights) / np.linalg.norm(machine)
        degrees = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
        record[key] = {"margin": found, "degrees": degrees, "weights": weights, "bias": bias}
    return record


def _margin_tables(records: Mapping[str, dict]) -> Iterator[Table]:
    keys = ("cross-entropy", "differential")
    rows = []
    for record in records.values():
        cells = [f"{record[k]['margin']:.3f} ({record[k]['degrees']:.2f} degrees)" for k in keys]
        rows.append((record["set"], f"{record['svm']:.3f}", *cells))
    note = "Margin in input units; in brackets the angle to the direction of the SVM."
    yield Table("Margins", ("set", "hard-margin SVM", *keys), tuple(rows), note)


def _margin_conclusion(records: Mapping[str, dict]) -> str:
    worst = max(abs(r["differential"]["margin"] / r["svm"] - 1) for r in records.values())
    lost = ", ".join(
        f"{100 * (1 - r['cross-entropy']['margin'] / r['svm']):.0f} % on {r['set']}"
        for r in records.values()
    )
    return (
        f"Differential training reaches the margin of the hard-margin SVM within {100 * worst:.2g} "
        f"%. Cross-entropy with a bias loses {lost}."
    )


def _margin_pictures(records: Mapping[str, dict], directory: pathlib.Path) -> None:
    figure = matplotlib.figure.Figure(figsize=(11, 5), layout="constrained")
    for axes, record in zip(figure.subplots(1, len(records)), records.values(), strict=True):
        x, y = TOYS[record["set"]]()
        for label in (0, 1):
            axes.scatter(*x[y == label].T, s=16)
        reach = np.array([x[:, 0].min() - 5, x[:, 0].max() + 5])
        for key, color in (("cross-entropy", "#c05a00"), ("differential", "#1f4e79")):
            weights, bias = np.asarray(record[key]["weights"]), record[key]["bias"]
            if key == "differential":
                bias = -best_threshold(x @ weights, y)
            across = -(weights[0] * reach + bias) / weights[1]
            axes.plot(reach, across, color=color, label=key)
        axes.set_xlim(*reach)
        axes.set_ylim(x[:, 1].min() - 10, x[:, 1].max() + 10)
        axes.set_title(record["set"])
        axes.legend()
    figure.savefig(directory / "margins.png", dpi=110)


EXPERIMENTS = {
    "differential_margin": Experiment(
        "differential_margin",
        PAPER,
        "How large is the margin of a linear classifier, beside that of the SVM?",
        _margin_jobs,
        _margin_tables,
        _margin_conclusion,
        _margin_pictures,
    ),
}
