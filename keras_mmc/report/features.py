"""A picture of features around their centres."""

import matplotlib.figure
import numpy as np


def plot_features(path, features, labels, centers, title=""):
    """Save a picture of features about class centres as PNG.

    Left: features and centres in the plane of the two largest principal components of the
    centres and features together. Right: histograms of each sample's distance to its own centre
    and to the nearest other one; where they overlap, the decision is uncertain.

    Args:
        path: file to write.
        features: array `(N, d)`.
        labels: integers `(N,)`.
        centers: array `(K, d)`, row k for class k.
        title: title of the picture.

    Raises:
        ValueError: if features and centres differ in width.
    """
    features, centers = np.asarray(features, "float64"), np.asarray(centers, "float64")
    if features.ndim != 2 or centers.ndim != 2 or features.shape[1] != centers.shape[1]:
        raise ValueError(
            f"Expected features (N, d) and centers (K, d); received {features.shape} and "
            f"{centers.shape}."
        )
    labels = np.asarray(labels)
    figure = matplotlib.figure.Figure(figsize=(12, 5), layout="constrained")
    plane, histogram = figure.subplots(1, 2)
    figure.suptitle(title)
    _scatter(plane, features, labels, centers)
    _distances(histogram, features, labels, centers)
    figure.savefig(path, dpi=110)


def _scatter(axes, features, labels, centers):
    points = np.concatenate([features, centers])
    middle = points.mean(axis=0)
    _, _, directions = np.linalg.svd(points - middle, full_matrices=False)
    projected, projected_centers = (
        (points - middle) @ directions[:2].T for points in (features, centers)
    )
    for k, center in enumerate(projected_centers):
        color = f"C{k % 10}"
        axes.scatter(*projected[labels == k].T, s=8, alpha=0.5, color=color, linewidths=0)
        axes.scatter(*center, marker="X", s=90, color=color, edgecolors="black")
        axes.annotate(str(k), center, (6, 6), textcoords="offset points", weight="bold")
    axes.set_aspect("equal", "datalim")
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    axes.set_title("features (dots) and centres (crosses)")


def _distances(axes, features, labels, centers):
    distances = np.linalg.norm(features[:, None] - centers[None], axis=-1)
    rows = np.arange(len(labels))
    own = distances[rows, labels]
    distances[rows, labels] = np.inf
    nearest_wrong = distances.min(axis=1)
    bins = np.linspace(0, max(own.max(), nearest_wrong.max()), 60)
    axes.hist(own, bins, alpha=0.6, label="own centre")
    axes.hist(nearest_wrong, bins, alpha=0.6, label="nearest other centre")
    axes.set_xlabel("distance in feature space")
    axes.set_ylabel("samples")
    axes.set_title("distances to the centres")
    axes.legend()
