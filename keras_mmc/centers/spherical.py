"""Centers on a sphere: a simplex in closed form, a spherical code by search, or random ones."""

import functools

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from keras_mmc.centers.geometry import check_memory, check_sphere

# Sharpness of the energy, beta: a soft start finds the symmetric codes, a sharper one the crowded
# irregular ones, so the searches take turns. Each stage is sharper than the one before, until the
# energy sees only the closest pairs: beta times (1 - largest cosine) reaches FINAL_SHARPNESS.
FIRST_SHARPNESS = (1.0, 4.0, 16.0)
SHARPNESS_FACTOR = 4.0
FINAL_SHARPNESS = 1e4
STEPS_PER_STAGE = 400
TOLERANCE = 1e-13

# Independent searches: at most MAX_STARTS, fewer where the K^2 pairs are many, and no more once the
# best was found ENOUGH_HITS times. Largest cosines closer than AGREEMENT count as the same optimum.
MAX_STARTS = 12
PAIRS_BUDGET = 5e5
ENOUGH_HITS = 3
AGREEMENT = 1e-5


def max_mahalanobis_centers(
    num_classes: int, dim: int, scale: float = 10.0, seed: int = 0
) -> np.ndarray:
    """Class centers of equal norm whose largest inner product is as small as it can be.

    The Max-Mahalanobis centers solve `argmin_mu max_{i != j} <mu_i, mu_j>` under
    `||mu_k|| = scale`. For K <= d + 1 they are the vertices of a regular simplex, in closed form:
    every inner product is `-scale^2 / (K - 1)`, every distance `scale * sqrt(2 K / (K - 1))`, and
    the centers sum to 0. For K > d + 1, where none is known, `spherical_code` searches.

    Args:
        num_classes: number of classes K >= 2.
        dim: number of features d >= 1, or 2 for more than two classes.
        scale: norm C_MM of every center, in units of the feature space.
        seed: non-negative integer; used only where the centers are searched for (K > d + 1).

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


def random_centers(num_classes: int, dim: int, scale: float = 10.0, seed: int = 0) -> np.ndarray:
    """Centers in random directions: the control that shows what optimized centers gain.

    Gaussian directions, uniform on the sphere; arguments as in `max_mahalanobis_centers`.

    Source: the ablation with random centers of Pang et al., ICLR 2020 (arXiv 1905.10626).

    Example:
    >>> np.linalg.norm(random_centers(num_classes=3, dim=8), axis=1)
    array([10., 10., 10.])
    """
    num_classes, dim, scale, seed = check_sphere(num_classes, dim, scale, seed)
    rng = np.random.default_rng(seed)
    return scale * _normalized(rng.standard_normal((num_classes, dim)))


def spherical_code(num_classes: int, dim: int, scale: float = 10.0, seed: int = 0) -> np.ndarray:
    """Centers on a sphere with the smallest angle as large as a numerical search can make it.

    For K > d + 1 only, where no regular simplex fits. In the plane the answer is the regular
    polygon. Elsewhere the search minimizes `log sum_{i != j} exp(beta <u_i, u_j>) / beta` over unit
    vectors by L-BFGS, with beta rising until only the closest pairs count. It starts from several
    random placements, fixed by the seed, and stops once it has found its best three times. Like
    every search it may end below the optimum; `gram_report` shows what was reached. One evaluation
    takes `O(K^2 d)` time and `O(K^2)` memory.

    Repeated calls on one machine give the same bits; another machine's linear algebra may round
    differently and settle in a rotated copy or, for large K, in another optimum, so store the
    centers with the model. Arguments, result and errors as in `max_mahalanobis_centers`.

    Source: Pang et al., ICLR 2020 (arXiv 1905.10626), whose code minimizes the plain maximum.

    Example:
    >>> round(minimum_angle(spherical_code(num_classes=6, dim=3)), 2)
    90.0
    """
    num_classes, dim, scale, seed = check_sphere(num_classes, dim, scale, seed)
    if num_classes <= dim + 1:
        raise ValueError(
            f"A spherical code is searched for only if num_classes > dim + 1; received "
            f"num_classes={num_classes}, dim={dim}, which a regular simplex solves exactly. "
            f"Call max_mahalanobis_centers({num_classes}, {dim})."
        )
    if dim == 1:
        raise ValueError(
            f"On a line (dim=1) there are two directions; received num_classes={num_classes}. "
            f"Use dim >= 2, best dim >= {num_classes - 1}."
        )
    if dim == 2:
        angles = 2 * np.pi * np.arange(num_classes) / num_classes
        return scale * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    check_memory(num_classes, num_classes)
    # One thread: the matrices of L-BFGS are so small that threads only wait for each other.
    with threadpool_limits(1):
        return scale * _best_of_several(num_classes, dim, np.random.default_rng(seed))


def _best_of_several(num_classes: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """The best of several searches; stop once the best was found often enough."""
    best, best_cosine, hits = np.empty(0), np.inf, 0
    for start in range(int(np.clip(PAIRS_BUDGET / num_classes**2, 1, MAX_STARTS))):
        sharpness = FIRST_SHARPNESS[start % len(FIRST_SHARPNESS)]
        directions = _anneal(_normalized(rng.standard_normal((num_classes, dim))), sharpness)
        cosine = _cosines(directions).max()
        if abs(cosine - best_cosine) < AGREEMENT:
            hits += 1
        elif cosine < best_cosine:
            best, best_cosine, hits = directions, cosine, 1
        if hits == ENOUGH_HITS:
            break
    return best


def _anneal(points: np.ndarray, sharpness: float) -> np.ndarray:
    """Minimize ever sharper energies, each from the optimum of the one before."""
    options = {"maxiter": STEPS_PER_STAGE, "ftol": TOLERANCE, "gtol": 0.0}
    while True:
        energy = functools.partial(_energy, shape=points.shape, sharpness=sharpness)
        found = minimize(energy, points.ravel(), jac=True, method="L-BFGS-B", options=options)
        points = _normalized(found.x.reshape(points.shape))
        if sharpness * (1.0 - _cosines(points).max()) >= FINAL_SHARPNESS:
            return points
        sharpness *= SHARPNESS_FACTOR


def _energy(flat: np.ndarray, shape: tuple[int, ...], sharpness: float) -> tuple[float, np.ndarray]:
    """`log sum_{i != j} exp(sharpness * cos_ij) / sharpness` and its gradient in the points."""
    points = flat.reshape(shape)
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    units = points / norms
    weights = _cosines(units)
    largest = weights.max()
    weights -= largest
    weights *= sharpness
    np.exp(weights, out=weights)
    total = weights.sum()
    pull = (weights @ units) * (2 / total)
    tangent = pull - (pull * units).sum(axis=1, keepdims=True) * units
    return largest + np.log(total) / sharpness, (tangent / norms).ravel()


def _cosines(units: np.ndarray) -> np.ndarray:
    """Inner products of unit vectors, -inf on the diagonal."""
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    return cosines


def _normalized(points: np.ndarray) -> np.ndarray:
    return points / np.linalg.norm(points, axis=1, keepdims=True)
