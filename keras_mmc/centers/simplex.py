"""Max-Mahalanobis centers: the vertices of a regular simplex, in closed form."""

import numpy as np

from keras_mmc.centers.checks import check_sphere
from keras_mmc.centers.spherical import spherical_code


def max_mahalanobis_centers(
    num_classes: int, dim: int, scale: float = 10.0, seed: int = 0
) -> np.ndarray:
    """Class centers of equal norm whose largest inner product is as small as it can be.

    The Max-Mahalanobis centers solve `argmin_mu max_{i != j} <mu_i, mu_j>` under
    `||mu_k|| = scale`. For K <= d + 1 they are the vertices of a regular simplex, in closed form:
    every inner product is `-scale^2 / (K - 1)`, every distance `scale * sqrt(2 K / (K - 1))`, and
    the centers sum to 0. For K > d + 1 no closed form is known for general K and d;
    `spherical_code` searches numerically.

    Args:
        num_classes: number of classes K >= 2.
        dim: number of features d >= 1.
        scale: norm C_MM of every center, in units of the feature space.
        seed: non-negative integer; used only where the centers are searched for (K > d + 1).

    Returns:
        float64 array `(K, d)`.

    Raises:
        ValueError: if an argument is out of range, or K > 2 classes are to be told apart in d = 1.

    Source: Pang et al., ICLR 2020 (arXiv 1905.10626); Pang et al., ICML 2018 (arXiv 1802.09308),
        whose convention is `||mu_k||^2 = C`: C = 100 there is scale = 10 here.

    Example:
    >>> max_mahalanobis_centers(num_classes=2, dim=3)
    array([[ 10.,   0.,   0.],
           [-10.,   0.,   0.]])
    """
    num_classes, dim, scale, seed = check_sphere(num_classes, dim, scale, seed)
    if num_classes > dim + 1:
        return spherical_code(num_classes, dim, scale, seed)
    centers = np.zeros((num_classes, dim))
    centers[:, : num_classes - 1] = scale * unit_simplex(num_classes)
    return centers


def unit_simplex(num_vertices: int) -> np.ndarray:
    """Vertices of the regular simplex on the unit sphere, shape `(n, n - 1)`.

    The row-by-row construction of the papers sets `v_k[j] = -(1/(n-1) + <v_k, v_j>) / v_j[j]`
    for j < k over the coordinates filled so far, and `v_k[k] = sqrt(1 - ||v_k||^2)`. Its entries
    have a closed form: counting from j = 0, `v_j[j] = sqrt(n (n-1-j) / ((n-1) (n-j)))`, and all
    later rows share the entry `-v_j[j] / (n-1-j)` in column j.
    """
    remaining = np.arange(num_vertices - 1, 0, -1)  # rows still to come after row j: n - 1 - j
    # Both products are exact in int64.
    diagonal = np.sqrt(num_vertices * remaining / ((num_vertices - 1) * (remaining + 1)))
    below = np.tri(num_vertices, num_vertices - 1, k=-1)
    return np.eye(num_vertices, num_vertices - 1) * diagonal - below * (diagonal / remaining)
