"""How tight classes are in feature space, and how far apart."""

from typing import NamedTuple

import numpy as np


class ClassDistances(NamedTuple):
    """Result of `class_distances`.

    Attributes:
        intra: mean distance of a sample to the mean of its class.
        inter: mean distance between the means of two classes.
    """

    intra: float
    inter: float


def class_distances(features: np.typing.ArrayLike, labels: np.typing.ArrayLike) -> ClassDistances:
    """Intra-class and inter-class distances of features `(N, d)`, in units of the feature space.

    Only their ratio compares networks: features can be scaled at will. Classes that do not occur
    among the integer labels `(N,)` are left out.

    Raises:
        ValueError: if the shapes do not fit, a label is NaN, or fewer than two classes occur.

    Example:
    >>> keras_mmc.metrics.class_distances([[0.0], [2.0], [10.0]], [0, 0, 1])
    ClassDistances(intra=0.6666666666666666, inter=9.0)
    """
    values, classes = np.asarray(features, dtype="float64"), np.asarray(labels).reshape(-1)
    if values.ndim != 2 or len(values) != len(classes):
        raise ValueError(
            f"Expected features (N, d) and labels (N,); received {values.shape} and "
            f"{np.shape(labels)}."
        )
    if classes.dtype.kind == "f" and np.isnan(classes).any():
        raise ValueError(
            f"Labels must be integers; received NaN in {np.isnan(classes).sum()} rows."
        )
    found, index = np.unique(classes, return_inverse=True)
    if len(found) < 2:
        raise ValueError(f"Distances between classes need two of them; received {len(found)}.")
    means = np.stack([values[index == k].mean(axis=0) for k in range(len(found))])
    intra = np.linalg.norm(values - means[index], axis=1).mean()
    gaps = np.linalg.norm(means[:, None] - means[None, :], axis=-1)
    inter = gaps.sum() / (len(found) * (len(found) - 1))
    return ClassDistances(float(intra), float(inter))
