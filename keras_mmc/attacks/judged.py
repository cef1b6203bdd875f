"""Attacks on some images of many, batch by batch, each point judged outside the attack."""

import functools
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_mmc.attacks.base import Attack, misclassified, score_function

Remember = Callable[[str, Callable[[], dict[str, np.ndarray]]], dict[str, np.ndarray]]


def compute_anew(key: str, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """A memory that holds nothing."""
    return compute()


def attack_rows(
    name: str,
    attack: Attack,
    model,
    x,
    labels,
    rows,
    *,
    batch_size: int,
    seed: int,
    verbose: int,
    remember: Remember = compute_anew,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Attacks some images batch by batch and judges the points in a fresh forward pass.

    Args:
        name: name of the attack, for the progress bar and `remember`.
        attack: the attack; it is traced once, at the first batch.
        model: Keras model from images to scores `(N, K)`.
        x: checked images `(N, ...)`.
        labels: checked labels `(N,)`.
        rows: indices `(n,)` of the images to attack.
        batch_size: images attacked at a time.
        seed: integer; the same seed gives the same bits on CPU.
        verbose: 1 shows the name of the attack and a progress bar.
        remember: called with the name of each batch and a function that computes its arrays; an
            audit that resumes returns those of an earlier run instead.

    Returns:
        Rows `(m,)` of the images that are misclassified now, their points `(m, ...)` in the dtype
        of `x`, and the wall time in seconds, tracing included.
    """
    if not len(rows):
        return rows, x[rows], 0.0
    # Traced at the first batch that is not remembered.
    graph = functools.cache(lambda: _search_graph(attack, model, x.shape[1:]))

    def attacked(first):
        began = time.perf_counter()
        batch = rows[first : first + batch_size]
        images, classes = tf.constant(x[batch], tf.float32), tf.constant(labels[batch])
        found = graph()(images, classes, tf.constant([seed, first], tf.int32))
        found = found.numpy().astype(x.dtype, copy=False)
        broken = misclassified(scores_of(model, found, batch_size), classes).numpy()
        seconds = np.asarray(time.perf_counter() - began)
        return {"rows": batch[broken], "points": found[broken], "seconds": seconds}

    if verbose:
        print(f"{name}: {len(rows)} of {len(x)} images stand", flush=True)
    progress = keras.utils.Progbar(len(rows), verbose=verbose, unit_name="image")
    parts = []
    for first in range(0, len(rows), batch_size):
        parts.append(remember(f"{name} {first}", lambda first=first: attacked(first)))
        progress.update(min(first + batch_size, len(rows)))
    broken, points = (np.concatenate([part[key] for part in parts]) for key in ("rows", "points"))
    return broken, points, float(sum(part["seconds"] for part in parts))


def scores_of(model, x, batch_size: int) -> np.ndarray:
    """Scores `(N, K)` of images, batch by batch, in a fresh forward pass outside any attack."""
    score_fn = score_function(model)
    batches = [x[first : first + batch_size] for first in range(0, len(x), batch_size)]
    return np.concatenate([score_fn(tf.constant(batch, tf.float32)).numpy() for batch in batches])


def _search_graph(attack, model, shape):
    """The evaluation view of an attack as a graph for batches of any size."""
    score_fn = score_function(model)

    def search(x, y, seed):
        return attack.search(score_fn, x, y, seed)

    return tf.function(search, autograph=False).get_concrete_function(
        tf.TensorSpec([None, *shape], tf.float32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([2], tf.int32),
    )
