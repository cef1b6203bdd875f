"""Centers on disk: NumPy's `.npy`, and the `.mat` files of the reference implementation."""

import os
import pathlib

import numpy as np
from scipy.io import savemat

from keras_mmc._files import PathLike, replacing
from keras_mmc._stored_arrays import read_npy
from keras_mmc._validation import shown
from keras_mmc.centers.geometry import check_centers, check_norms, check_scale
from keras_mmc.centers.mat import read_mat

MAT_KEY = "mean_logits"


def save_centers(path: PathLike, centers: np.typing.ArrayLike) -> None:
    """Write centers to a `.npy` or `.mat` file, replacing an older one as a whole.

    A reader sees the old file or the new one, never a part of it. The values `(K, d)` are stored as
    they are, in float64, in `.mat` under the key `mean_logits`; files for the reference
    implementation hold rows of norm 1, `centers / scale`.

    Example:
    >>> save_centers("centers.mat", max_mahalanobis_centers(10, 256, scale=1.0))
    """
    path = _check_path(path)
    centers = check_centers(centers)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with replacing(path, partial), open(partial, "wb") as file:
        if path.suffix == ".npy":
            np.save(file, centers)
        else:
            savemat(file, {MAT_KEY: centers})


def load_centers(path: PathLike, scale: float | None = None) -> np.ndarray:
    """Read centers `(K, d)`, float64, from a `.npy` or `.mat` file as `save_centers` writes it.

    Every row is rescaled to the norm `scale`, such as 10 for reference files, whose rows have norm
    1; `None` leaves the rows as they are. A row of 0 cannot be rescaled. A damaged file is refused
    with one `ValueError` that names it; nothing in it is executed, and a `.mat` file is read in a
    process of its own, since SciPy's reader crashes on some.

    Example:
    >>> centers = load_centers("centers.mat", scale=10.0)
    """
    path = _check_path(path)
    scale = None if scale is None else check_scale(scale)
    try:
        stored = read_npy(path) if path.suffix == ".npy" else read_mat(path, MAT_KEY)
        centers = check_centers(stored)
        if scale is None:
            return centers
        return check_centers(centers * (scale / check_norms(centers)[:, None]))
    except ValueError as error:
        raise ValueError(f"Cannot read centers from {path}: {error}") from error


def _check_path(path: PathLike) -> pathlib.Path:
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"Centers are stored in files; received the path {shown(path)}.")
    path = pathlib.Path(path)
    if path.suffix not in (".npy", ".mat"):
        raise ValueError(
            f"Centers are stored in .npy or .mat files; received {str(path)!r}. "
            "Change the suffix of the file name."
        )
    return path
