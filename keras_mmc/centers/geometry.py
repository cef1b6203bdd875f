"""What a set of centers must be, checked, and what it looks like, measured."""

import dataclasses
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist

from keras_mmc._validation import LARGEST, check_count, is_number, shown

_MOST_NUMBERS = 2**30
_LEAST_SCALE = 1e-12  # coordinates are smaller than norms, and 1e-18 is the least difference


def check_centers(centers: np.typing.ArrayLike) -> np.ndarray:
    """Check an array of class centers and return a copy as float64.

    It must hold finite real numbers, one row per class: `(K, d)` with K >= 2 and d >= 1. Squared
    distances must be finite in float32, which heads and losses compute in, and no two rows may be
    one point there: a norm is at most 1e18, and rows differ by 1e-18 at least.

    Example:
    >>> check_centers([[1, 0], [-1, 0]])
    array([[ 1.,  0.],
           [-1.,  0.]])
    """
    try:
        values = np.asarray(centers)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"Centers must form a matrix (K, d); received rows that do not line up ({error}). "
            "Give every class the same number of coordinates."
        ) from error
    if values.dtype.kind not in "iuf":
        raise ValueError(
            f"Centers must be real numbers; received dtype {values.dtype}. "
            "Pass an array of floats of shape (K, d)."
        )
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 1:
        raise ValueError(
            f"Centers must have shape (K, d) with K >= 2 classes and d >= 1 coordinates; received "
            f"shape {values.shape}. Put one center in each row."
        )
    with np.errstate(over="ignore"):  # of long doubles
        centers = values.astype("float64")
    bad = np.flatnonzero(~np.isfinite(centers).all(axis=1))
    if bad.size:
        raise ValueError(
            f"Centers must be finite; received NaN or infinity in {bad.size} of {len(values)} rows,"
            f" the first in row {bad[0]}. Look at how this row was computed or stored."
        )
    _check_sizes(centers)
    return centers


def _check_sizes(centers: np.ndarray) -> None:
    """Refuses centers that overflow float32, or that are one point in it."""
    largest = np.abs(centers).max(axis=1)  # whose square, unlike that of a norm, is not needed
    norms = largest * np.sqrt(np.square(centers / np.maximum(largest, 1)[:, None]).sum(axis=1))
    if (norms > LARGEST).any():
        raise ValueError(
            f"Centers must have norms of at most {LARGEST:g}, so that squared distances are finite "
            f"in float32; received {norms.max():g} in row {int(norms.argmax())}. Rescale them."
        )
    points = np.rint(centers.astype("float32").astype("float64") * LARGEST)
    _, first, same = np.unique(points, axis=0, return_index=True, return_inverse=True)
    doubled = np.flatnonzero(first[same.reshape(-1)] != np.arange(len(centers)))
    if doubled.size:
        row = int(doubled[0])
        raise ValueError(
            f"Centers must be distinct in float32, by {1 / LARGEST:g} at least; received "
            f"{doubled.size} of {len(centers)} rows that are a second time there, the first of "
            f"them row {row}, like row {int(first[same.reshape(-1)[row]])}. Classes of one center "
            "cannot be told apart: give every class its own."
        )


def check_scale(scale: Any) -> float:
    """Return a norm for the centers, C_MM, as a Python `float`, from 1e-12 to 1e18."""
    if not (is_number(scale) and scale >= _LEAST_SCALE):
        raise ValueError(
            "`scale`, the norm of every center, must be a positive finite number from "
            f"{_LEAST_SCALE:g} to {LARGEST:g}, so that squared distances are neither infinite nor "
            f"0 in float32; received {shown(scale)}. The papers use scale=10 and scale=100."
        )
    return float(scale)


def check_sphere(
    num_classes: int, dim: int, scale: float, seed: int
) -> tuple[int, int, float, int]:
    """The four numbers that describe centers on a sphere, checked: K >= 2, d >= 1, seed >= 0.

    Refuses centers that would take more than 8 GiB.
    """
    num_classes = check_count("Centers", "num_classes", num_classes, least=2)
    dim, seed = check_count("Centers", "dim", dim), check_count("Centers", "seed", seed, least=0)
    check_memory(num_classes, dim)
    return num_classes, dim, check_scale(scale), seed


def check_memory(num_classes: int, dim: int) -> None:
    """Refuses a matrix `(num_classes, dim)` of more than 8 GiB before it is made."""
    if num_classes * dim > _MOST_NUMBERS:
        raise ValueError(
            f"Centers or weights of {num_classes} classes would need {num_classes} x {dim} "
            "numbers, "
            f"{num_classes * dim / 2**27:.3g} GiB; expected 8 GiB at most. Take fewer classes or "
            "features."
        )


def check_norms(centers: np.ndarray) -> np.ndarray:
    """Return the norms `(K,)` of centers; refuse a center at the origin: it has no direction."""
    norms = np.linalg.norm(centers, axis=1)
    if (norms < 1 / LARGEST).any():
        raise ValueError(
            f"Center {int(np.argmin(norms))} lies at the origin and has no direction; expected "
            "every center to have a positive norm. Move it or leave it out."
        )
    return norms


@dataclasses.dataclass(frozen=True)
class GramReport:
    """Geometry of a set of class centers; see `gram_report`.

    Attributes:
        num_classes, dim: number of classes K and of features d.
        min_norm, max_norm: smallest and largest norm of a center.
        min_inner_product, max_inner_product, min_distance, max_distance: extremes over the pairs
            of distinct centers.
        minimum_angle: smallest angle between two centers, in degrees.
        sum_norm: norm of the sum of all centers, 0 for a simplex.
        ideal_inner_product: `-C^2 / (K - 1)` with C^2 the mean squared norm. No set of K centers
            has a smaller `max_inner_product`, and only a regular simplex attains it.
    """

    num_classes: int
    dim: int
    min_norm: float
    max_norm: float
    min_inner_product: float
    max_inner_product: float
    min_distance: float
    max_distance: float
    minimum_angle: float
    sum_norm: float
    ideal_inner_product: float

    def __str__(self) -> str:
        return (
            f"{self.num_classes} centers in {self.dim} dimensions\n"
            f"  norms           {self.min_norm:.4f} .. {self.max_norm:.4f}\n"
            f"  inner products  {self.min_inner_product:.4f} .. {self.max_inner_product:.4f}"
            f"  (simplex {self.ideal_inner_product:.4f})\n"
            f"  distances       {self.min_distance:.4f} .. {self.max_distance:.4f}\n"
            f"  minimum angle   {self.minimum_angle:.4f} degrees\n"
            f"  norm of sum     {self.sum_norm:.4f}"
        )


def gram_report(centers: np.typing.ArrayLike) -> GramReport:
    """Measure class centers `(K, d)`, none at the origin; `print` the result for a summary.

    Example:
    >>> print(gram_report(max_mahalanobis_centers(num_classes=10, dim=64)))
    10 centers in 64 dimensions
      norms           10.0000 .. 10.0000
      inner products  -11.1111 .. -11.1111  (simplex -11.1111)
      distances       14.9071 .. 14.9071
      minimum angle   96.3794 degrees
      norm of sum     0.0000
    """
    centers = check_centers(centers)
    norms = check_norms(centers)
    num_classes, dim = centers.shape
    products = (centers @ centers.T)[np.triu_indices(num_classes, k=1)]
    distances = pdist(centers)
    return GramReport(
        num_classes=num_classes,
        dim=dim,
        min_norm=float(norms.min()),
        max_norm=float(norms.max()),
        min_inner_product=float(products.min()),
        max_inner_product=float(products.max()),
        min_distance=float(distances.min()),
        max_distance=float(distances.max()),
        minimum_angle=minimum_angle(centers),
        sum_norm=float(np.linalg.norm(centers.sum(axis=0))),
        ideal_inner_product=-float(np.mean(norms**2)) / (num_classes - 1),
    )


def minimum_angle(centers: np.typing.ArrayLike) -> float:
    """The smallest angle between two centers, in degrees: 180 at most, 0 if two have one direction.

    The norms of the centers `(K, d)` do not matter, but that none is 0.

    Example:
    >>> round(minimum_angle([[1.0, 0.0], [0.0, 5.0], [-1.0, -1.0]]), 6)
    90.0
    """
    centers = check_centers(centers)
    units = centers / check_norms(centers)[:, None]
    chord = min(1.0, pdist(units).min() / 2)
    return float(np.degrees(2 * np.arcsin(chord)))
