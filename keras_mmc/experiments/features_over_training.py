"""How the features of a network gather about their centers, epoch by epoch."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_mmc import datasets, plotting
from keras_mmc.experiments import features
from keras_mmc.experiments.base import Table
from keras_mmc.experiments.jobs import Plan, job_name
from keras_mmc.experiments.training import Method, train

NAME = "features-over-training"


class FollowFeatures(keras.callbacks.Callback):
    """Adds `distance_ratio` to the logs of every epoch, and draws the features after some.

    The ratio is the mean, over images, of the distance of their features to the center of their
    class over that to the nearest other one: above 1, most are nearer to a wrong one.

    Args:
        images: images `(N, H, W, C)`.
        labels: integers `(N,)`; every class must occur if the head has no centers.
        draw: saves a picture of features, labels and centers after an epoch, which counts from 1.
        epochs: the epochs to draw.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        draw: Callable[[int, np.ndarray, np.ndarray, np.ndarray], None],
        epochs: tuple[int, ...],
    ):
        super().__init__()
        self.images, self.labels, self.draw, self.epochs = images, labels, draw, epochs

    def on_train_begin(self, logs=None):
        self._to_features = features.to_features(self.model)

    def on_epoch_end(self, epoch, logs):
        values = self._to_features.predict(self.images, verbose=0)
        centers = features.centers_of(self.model, values, self.labels)
        ratios = features.own_over_nearest_other(values, self.labels, centers)
        logs["distance_ratio"] = float(ratios.mean())
        if epoch + 1 in self.epochs:
            self.draw(epoch + 1, values, self.labels, centers)


def shown_epochs(epochs: int) -> tuple[int, ...]:
    """The first epoch, the middle one and the last."""
    return tuple(sorted({1, (epochs + 1) // 2, epochs}))


def job(methods: Mapping[str, Method], plan: Plan, directory: pathlib.Path) -> dict[str, Any]:
    """Train the methods with the first seed once more, and follow their features."""
    seed, epochs = plan.seeds[0], plan.setting.epochs
    images, labels = (part[:1000] for part in datasets.load_arrays(plan.setting.dataset, "test"))
    ratios = {}
    for name, method in methods.items():
        network = job_name(name, seed)

        def draw(epoch, z, y, centers, name=name, network=network):
            path = directory.parent / f"{NAME}-{network}-epoch-{epoch:0{len(str(epochs))}}.png"
            plotting.plot_features(path, z, y, centers, f"{name}, epoch {epoch}")

        follow = FollowFeatures(images, labels, draw, shown_epochs(epochs))
        path = directory / f"{network}.keras"
        _, facts = train(method, plan.setting, seed, path, [follow])
        ratios[name] = facts["distance_ratio"]
    return {"networks": tuple(methods), "num_images": len(images), "distance_ratio": ratios}


def table(record: dict) -> Table:
    """The ratio of distances after the first epoch, the middle one and the last."""
    shown = shown_epochs(len(next(iter(record["distance_ratio"].values()))))
    rows = tuple(
        (name, *(f"{ratios[epoch - 1]:.3f}" for epoch in shown))
        for name, ratios in record["distance_ratio"].items()
    )
    note = (
        f"Features of the first {record['num_images']} test images: distance to the center of "
        "their class, over that to the nearest other center; the mean. A dense layer has the "
        "class means of these features for centers."
    )
    header = ("network", *(f"epoch {epoch}" for epoch in shown))
    return Table("Features over training", header, rows, note)


def picture(record: dict, directory: pathlib.Path) -> None:
    """The ratio of distances over the epochs."""
    curves = {
        name: (np.arange(1, len(ratios) + 1), ratios)
        for name, ratios in record["distance_ratio"].items()
    }
    words = "distance to own center / to nearest other"
    plotting.plot_curves(directory / "distance-ratio.png", curves, "epoch", words)
