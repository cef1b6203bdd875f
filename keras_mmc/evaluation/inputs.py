"""What evaluations share: checks at the door, and a check of points afterwards."""

import numpy as np

from keras_mmc.attacks import checks
from keras_mmc.attacks.base import RANDOM, differs_again, scores_of


def labelled_images(model, x, y, attack, batch_size, seed):
    """Checked images and labels, and the scores of the images as they are.

    Args:
        model: Keras model from images to scores `(N, K)`.
        x: images `(N, ...)`, floats inside the box of the attack.
        y: integer labels `(N,)`.
        attack: the attack, for its box.
        batch_size: images per pass.
        seed: integer.

    Returns:
        Images in float32, labels in int32 and scores `(N, K)`, NumPy arrays.

    Raises:
        ValueError: if images, labels or the model's scores do not fit, there is no image, or the
            model is random at inference.
    """
    checks.check_call(attack, model, None, batch_size, seed)
    x = some_images(x, attack.box)
    scores = scores_of(model, x, batch_size)
    checks.check_scores(scores)
    if differs_again(model, x, scores, batch_size):
        raise ValueError(RANDOM)
    return x, checks.check_classes(y, len(x), scores.shape[1], "y"), scores


def some_images(x, box: tuple[float, float]) -> np.ndarray:
    """At least one checked image, as float32.

    Raises:
        ValueError: if there is none, or they do not fit; see `keras_mmc.attacks.checks`.
    """
    x = checks.check_images(x, box)
    if not len(x):
        raise ValueError("At least one image is needed to report on; received none.")
    return x.astype("float32", copy=False)


def check_eps(attack) -> None:
    """Refuses attacks that do not stay in a ball of a given radius.

    Raises:
        ValueError: if the attack has no `eps`, or it is `None`.
    """
    if getattr(attack, "eps", None) is None:
        raise ValueError(
            f"An attack inside a ball of radius `eps` is needed, such as PGD(8 / 255); received "
            f"{attack!r}."
        )


def sizes_of(points, clean, norm: str) -> np.ndarray:
    """Sizes of perturbations in float64, `(N,)`, in input units."""
    offsets = (np.asarray(points, "float64") - clean).reshape(len(clean), -1)
    return np.linalg.norm(offsets, np.inf if norm == "linf" else 2, axis=1)


def allowed(points, clean, eps, norm: str, box: tuple[float, float]) -> np.ndarray:
    """Boolean `(N,)`: finite, in the box and, up to float32 rounding, in the ball."""
    axes = tuple(range(1, points.ndim))
    inside = ((points >= box[0]) & (points <= box[1])).all(axis=axes)
    return inside & (sizes_of(points, clean, norm) <= np.asarray(eps) * (1 + 1e-4) + 1e-6)


def check_points(points, clean, eps, norm: str, box: tuple[float, float]) -> None:
    """Refuses points that left the ball or the box: a figure on them would be about another eps.

    Raises:
        ValueError: with the largest perturbation.
    """
    if not allowed(points, clean, eps, norm, box).all():
        raise ValueError(
            f"An attack returned a point that is not finite or outside the {norm} ball of radius "
            f"{eps:g} or box {box}: largest perturbation {sizes_of(points, clean, norm).max():g}. "
            "This is a defect of the attack; nothing is reported."
        )
