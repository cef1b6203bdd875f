"""What evaluations of one attack check at the door."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_mmc import _arrays as arrays
from keras_mmc.adapters.structure import with_channel
from keras_mmc.attacks import Attack, Ball, Runner
from keras_mmc.datasets import to_arrays


def labeled_arrays(
    model: Any, x: Any, y: ArrayLike | None, box: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...] | None]:
    """Checked images in float32, labels as they came, and the names of classes if data know them.

    Images without the one channel that a Keras model takes get it.

    Raises:
        ValueError: if there is no image or no label, or images or a data set do not fit.
    """
    x, y, class_names = to_arrays(x, y)
    if y is None:
        raise ValueError("Images are needed with their labels; pass `y`, or a data set of both.")
    return with_channel(model, some_images(x, box)), y, class_names


def labeled_images(
    runner: Runner, x: Any, y: ArrayLike | None, box: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Checked images in float32, labels in int32, and scores `(N, K)` of the images as they are.

    Raises:
        ValueError: if images, labels or the model's scores do not fit, there is no image, or the
            model is random at inference.
    """
    x, y, _ = labeled_arrays(runner.given, x, y, box)
    scores = runner.scores(x)
    arrays.check_scores(scores)
    labels = arrays.check_classes(y, len(scores), scores.shape[1], "y")
    if runner.is_random(x, scores):
        raise ValueError(arrays.RANDOM)
    return x, labels, scores


def some_images(x: ArrayLike, box: tuple[float, float]) -> np.ndarray:
    """At least one checked image, as float32."""
    x = arrays.check_images(x, box)
    if not len(x):
        raise ValueError("At least one image is needed to report on; received none.")
    return x.astype("float32", copy=False)


def ball_of(attack: Any) -> Ball:
    """The ball of an attack whose radius can be given at run time.

    Raises:
        ValueError: if there is none.
    """
    if not isinstance(attack, Attack) or attack.ball is None or attack.fixed_eps:
        raise ValueError(
            f"An attack inside a ball of radius `eps` is needed, such as PGD(8 / 255); received "
            f"{attack!r}."
        )
    return attack.ball
