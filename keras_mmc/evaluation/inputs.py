"""What evaluations share: checks at the door, graphs and batches, a check of points afterwards."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from keras_mmc.attacks import checks
from keras_mmc.attacks.judged import scores_of

CLASSES = tf.TensorSpec([None], tf.int32)
SEED = tf.TensorSpec([2], tf.int32)
NUMBER = tf.TensorSpec([], tf.float32)


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
        ValueError: if images, labels or the model's scores do not fit, or there is no image.
    """
    checks.check_call(attack, model, None, batch_size, seed)
    x = some_images(x, attack.box)
    scores = scores_of(model, x, batch_size)
    checks.check_scores(scores)
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


def images_spec(shape) -> tf.TensorSpec:
    """Any number of images of that shape `(N, ...)`, float32."""
    return tf.TensorSpec([None, *shape[1:]], tf.float32)


def traced(fn: Callable, *signature: tf.TensorSpec) -> Callable:
    """A function of tensors as one of NumPy arrays, traced here and never again.

    Args:
        fn: function of tensors.
        *signature: shape and dtype of each argument.

    Returns:
        A function of arrays that returns what `fn` does, as NumPy arrays.
    """
    graph = tf.function(fn, autograph=False).get_concrete_function(*signature)

    def run(*arrays):
        tensors = map(tf.constant, arrays, [spec.dtype for spec in signature])
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), graph(*tensors))

    return run


def batches(count: int, batch_size: int) -> Iterator[slice]:
    """The rows of one batch after the other."""
    for first in range(0, count, batch_size):
        yield slice(first, min(first + batch_size, count))


def norm_of(attack) -> str:
    """The norm of an attack's ball; attacks that do not name one stay in an L-infinity ball."""
    return getattr(attack, "norm", "linf")


def sizes_of(points, clean, norm: str) -> np.ndarray:
    """Sizes of perturbations in float64, `(N,)`, in input units."""
    offsets = (np.asarray(points, "float64") - clean).reshape(len(clean), -1)
    return np.linalg.norm(offsets, np.inf if norm == "linf" else 2, axis=1)


def allowed(points, clean, eps, norm: str, box: tuple[float, float]) -> np.ndarray:
    """Boolean `(N,)`: finite, in the box and, up to float32 rounding, in the ball."""
    axes = tuple(range(1, points.ndim))
    inside = ((points >= box[0]) & (points <= box[1])).all(axis=axes)
    return inside & (sizes_of(points, clean, norm) <= np.asarray(eps) * (1 + 1e-4) + 1e-6)
