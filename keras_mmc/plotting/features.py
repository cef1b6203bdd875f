"""A picture of features around their centers."""

import os

import numpy as np
from scipy.spatial.distance import pdist

from keras_mmc._extras import require


def plot_features(
    path: str | os.PathLike[str],
    features: np.ndarray,
    labels: np.ndarray,
    centers: np.ndarray,
    title: str = "",
) -> None:
    """Save a picture of features about class centers as PNG.

    Left: an orthogonal projection; if the centers are a simplex, to the plane in which they form a
    regular polygon, else to the two directions in which they differ most. Right: histograms of
    each sample's distance to its own center and to the nearest other one; where they overlap, the
    decision is uncertain.

    Args:
        path: file to write.
        features: array `(N, d)`.
        labels: integers `(N,)`.
        centers: array `(K, d)`, row k for class k; d at least 2.
        title: title of the picture.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if features and centers differ in width.
    """
    features, centers = np.asarray(features, "float64"), np.asarray(centers, "float64")
    if features.ndim != 2 or centers.ndim != 2 or not 2 <= features.shape[1] == centers.shape[1]:
        raise ValueError(
            "Expected features (N, d) and centers (K, d) with d >= 2; received "
            f"{features.shape} and {centers.shape}."
        )
    labels = np.asarray(labels)
    drawing = require("matplotlib.figure", "plots", "plot_features")
    figure = drawing.Figure(figsize=(12, 5), layout="constrained")
    plane, histogram = figure.subplots(1, 2)
    figure.suptitle(title)
    _scatter(plane, features, labels, centers)
    _distances(histogram, features, labels, centers)
    figure.savefig(path, dpi=110)


def _scatter(axes, features, labels, centers):
    plane = _plane(centers)
    for k, center in enumerate(centers @ plane):
        color = f"C{k % 10}"
        axes.scatter(*(features[labels == k] @ plane).T, s=8, alpha=0.5, color=color, linewidths=0)
        axes.scatter(*center, marker="X", s=90, color=color, edgecolors="black", zorder=3)
        axes.annotate(str(k), center, (6, 6), textcoords="offset points", weight="bold")
    axes.set_aspect("equal", "datalim")
    axes.set_xlabel("first direction of the plane")
    axes.set_ylabel("second direction of the plane")
    axes.set_title("features (dots) and centers (crosses)")


def _plane(centers):
    """Basis `(d, 2)` of the polygon of a simplex, else of the directions of the largest spread."""
    distances = pdist(centers)
    if np.ptp(distances) <= 0.05 * distances.max():
        return _polygon_plane(centers)
    return np.linalg.svd(centers - centers.mean(axis=0), full_matrices=False)[2][:2].T


def _polygon_plane(centers):
    """Orthonormal basis `(d, 2)` of the plane where the centers come closest to a regular polygon.

    With one corner u_k per class it spans `sum_k u_k mu_k`; a simplex projects to the polygon
    exactly, since its centers have equal inner products and the corners sum to 0.
    """
    angles = 2 * np.pi * np.arange(len(centers)) / len(centers)
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    basis, _ = np.linalg.qr((centers - centers.mean(axis=0)).T @ corners)
    return basis


def _distances(axes, features, labels, centers):
    distances = np.linalg.norm(features[:, None] - centers[None], axis=-1)
    rows = np.arange(len(labels))
    own = distances[rows, labels]
    distances[rows, labels] = np.inf
    nearest_wrong = distances.min(axis=1)
    bins = np.linspace(0, max(own.max(), nearest_wrong.max()), 60)
    axes.hist(own, bins, alpha=0.6, label="own center")
    axes.hist(nearest_wrong, bins, alpha=0.6, label="nearest other center")
    axes.set_xlabel("distance in feature space")
    axes.set_ylabel("samples")
    axes.set_title("distances to the centers")
    axes.legend()
