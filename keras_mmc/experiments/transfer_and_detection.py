"""What needs all networks of an MMC experiment: transfer, detection, density near the centers."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import matplotlib.figure
import numpy as np

from keras_mmc import attacks, datasets, evaluation, plotting
from keras_mmc.experiments import features
from keras_mmc.experiments.base import Table
from keras_mmc.experiments.jobs import Plan, job_name

NAME = "transfer-and-detection"
EPS = 8 / 255
PERCENT = (1, 5, 10, 25, 50, 75, 90, 95, 99)
RADII = (0.1, 0.25, 0.5, 1.0)


def job(methods: tuple[str, ...], plan: Plan, directory: pathlib.Path) -> dict[str, Any]:
    """Transfer of MIM between the networks of the first seed, detection of its images, density."""
    found = {
        name: keras.models.load_model(
            directory.parent / job_name(name, plan.seeds[0]) / "model.keras"
        )
        for name in methods
    }
    count = plan.cost.num_images
    images = datasets.load_arrays(plan.setting.dataset, "test")
    x, y = (part[:count] for part in images)
    steps: dict[str, Any] = {"steps": 2 if plan.cost.short else 10, "step_size": 2 / 256}
    record: dict[str, Any] = {"networks": methods, "num_images": len(x), "eps": EPS, "transfer": {}}
    for objective, targeted in (("distance", False), ("targeted_distance", True)):
        mim = attacks.MIM(EPS, **steps, objective=objective, targeted=targeted)
        matrix = evaluation.transfer_matrix(found, x, y, mim)
        record["transfer"][objective] = matrix.accuracy
    auc, density = {}, {}
    first, labels = (part[:1000] for part in images)
    for name, model in found.items():
        attack = attacks.PGD(EPS, **steps, objective="cross_entropy")
        x_adv = attacks.Runner(model).generate(attack, x, y.astype("int32"))
        auc[name] = evaluation.detection_auc(model, x, x_adv).auc
        values = features.features_of(model, first)
        centers = features.centers_of(model, values, labels)
        density[name] = near_centers(features.own_over_half_gap(values, labels, centers))
        path = directory.parent / f"features-{job_name(name, 0)}.png"
        plotting.plot_features(path, values, labels, centers, name)
    about = {"num_images": len(first), "percent": PERCENT, "radii": RADII}
    return record | {"detection_auc": auc, "center_density": about | {"networks": density}}


def near_centers(distances: np.ndarray) -> dict[str, Any]:
    """Quantiles of distances at `PERCENT`, and the fraction of them below each of `RADII`."""
    return {
        "quantiles": np.percentile(distances, PERCENT),
        "fraction_within": [np.mean(distances < radius) for radius in RADII],
    }


def tables(record: dict) -> Iterator[Table]:
    """The transfer matrices, the AUC of detection, and the density near the centers."""
    names = tuple(record["networks"])
    for objective, matrix in record["transfer"].items():
        rows = (
            (name, *(f"{100 * value:.2f}" for value in row))
            for name, row in zip(names, matrix, strict=True)
        )
        yield Table(
            f"Transfer, {objective.replace('_', ' ')}",
            ("crafted on", *names),
            tuple(rows),
            f"Accuracy in percent on {record['num_images']} images under MIM of 10 steps of 2/256 "
            f"at {record['eps']:.4g}; a column is the network they are tried on.",
        )
    auc = tuple((name, f"{value:.3f}") for name, value in record["detection_auc"].items())
    note = "Clean against PGD-10 on the cross-entropy, by the largest score; 0.5 is guessing."
    yield Table("Detection", ("network", "AUC"), auc, note)
    if "center_density" in record:  # which the first records do not have
        yield _density_table(record["center_density"])


def _density_table(density):
    header = ["network", *(f"below {radius:g}, %" for radius in density["radii"])]
    header += [f"{percent} % quantile" for percent in density["percent"]]
    rows = tuple(
        (
            name,
            *(f"{100 * fraction:.1f}" for fraction in found["fraction_within"]),
            *(f"{value:.3g}" for value in found["quantiles"]),
        )
        for name, found in density["networks"].items()
    )
    note = (
        f"Features of the first {density['num_images']} test images: distance to the center of "
        "their class, in units of half the smallest distance between two centers. Below 1 no "
        "other center is nearer. Networks without centers have the class means of these features."
    )
    return Table("Density near the centers", tuple(header), rows, note)


def pictures(record: Mapping[str, Any], directory: pathlib.Path) -> None:
    """The transfer matrices as heat maps, and the density near the centers as curves."""
    for objective, matrix in record["transfer"].items():
        figure = matplotlib.figure.Figure(figsize=(8, 7), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(100 * np.asarray(matrix), vmin=0, vmax=100, cmap="viridis")
        ticks = range(len(record["networks"]))
        axes.set_xticks(ticks, record["networks"], rotation=45, ha="right")
        axes.set_yticks(ticks, record["networks"])
        axes.set_xlabel("tried on")
        axes.set_ylabel("crafted on")
        axes.set_title(f"accuracy in %, MIM, {objective.replace('_', ' ')}")
        figure.colorbar(image)
        figure.savefig(directory / f"transfer-{objective}.png", dpi=110)
    if "center_density" in record:
        _density_picture(record["center_density"], directory / "density.png")


def _density_picture(density, path):
    figure = matplotlib.figure.Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for name, found in density["networks"].items():
        axes.semilogx(found["quantiles"], density["percent"], marker="o", markersize=4, label=name)
    axes.axvline(1, color="black", linewidth=1, linestyle="--")
    axes.set_xlabel("distance to the own center / half the smallest distance between two centers")
    axes.set_ylabel("test images within it, %")
    axes.set_ylim(0, 100)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)
