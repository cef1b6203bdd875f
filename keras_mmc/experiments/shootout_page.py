"""The page of the shoot-out: a paired comparison with intervals, and the figure to remember."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib.figure
import numpy as np

from keras_mmc.experiments.base import Table
from keras_mmc.experiments.jobs import audit_table
from keras_mmc.experiments.summaries import (
    by_method,
    first_radius,
    paired_difference,
    percent,
    seeds_in_words,
    standard,
)

BASELINE = "softmax AT"


def _audited(records):
    return {name: record for name, record in records.items() if "standard" in record}


def tables(records: Mapping[str, dict]) -> Iterator[Table]:
    """The audit, differences from the baseline with intervals, and the rates that were tried."""
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


def conclusion(records: Mapping[str, dict]) -> str:
    """Who leads, and who can be told from the baseline."""
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
        f"Of {len(grouped)} trainings, {seeds_in_words(records)}, {best} has the highest "
        f"mean robust accuracy under the strong audit at {eps:.4g}, {100 * means[best]:.2f} %; "
        f"{BASELINE} has {100 * means[BASELINE]:.2f} %. By the 95 % intervals of the paired "
        f"differences, in points, {words} told from {BASELINE}."
    )


def pictures(records: Mapping[str, dict], directory: pathlib.Path) -> None:
    """Robust against clean accuracy: a point a seed, a mark a method."""
    figure = matplotlib.figure.Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    records = _audited(records)
    eps = first_radius(records)
    for number, (name, seeds) in enumerate(by_method(records).items()):
        clean = 100 * np.array([record["clean_acc"] for record in seeds])
        robust = 100 * np.array([standard(record, eps) for record in seeds])
        marks: dict[str, Any] = {"color": f"C{number % 7}", "marker": "osD^"[number // 7]}
        axes.scatter(clean, robust, s=18, alpha=0.4, linewidths=0, **marks)
        axes.scatter(clean.mean(), robust.mean(), s=90, edgecolors="black", label=name, **marks)
    axes.set_xlabel("clean accuracy, %")
    axes.set_ylabel(f"robust accuracy, %, eps {eps:.3g}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(directory / "clean-against-robust.png", dpi=110)
