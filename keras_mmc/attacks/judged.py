"""Attacks on some images of many, batch by batch, each point judged outside the attack."""

import functools
import time
from collections.abc import Callable

import keras
import numpy as np

from keras_mmc.attacks.base import Attack, in_dtype_of, misclassified, score_function, scores_of
from keras_mmc.attacks.graphs import CLASSES, SEED, batches, images_spec, traced

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
    graph = functools.cache(lambda: _search_graph(attack, model, x.shape))

    def attacked(part):
        began = time.perf_counter()
        batch = rows[part]
        found = graph()(x[batch], labels[batch], [seed, part.start])
        found = in_dtype_of(x[batch], found, attack.box)
        broken = misclassified(scores_of(model, found, batch_size), labels[batch]).numpy()
        seconds = np.asarray(time.perf_counter() - began)
        return {"rows": batch[broken], "points": found[broken], "seconds": seconds}

    if verbose:
        print(f"{name}: {len(rows)} of {len(x)} images stand", flush=True)
    progress = keras.utils.Progbar(len(rows), verbose=verbose, unit_name="image")
    parts = []
    for part in batches(len(rows), batch_size):
        parts.append(remember(f"{name} {part.start}", lambda part=part: attacked(part)))
        progress.update(part.stop)
    broken, points = (np.concatenate([part[key] for part in parts]) for key in ("rows", "points"))
    return broken, points, float(sum(part["seconds"] for part in parts))


def _search_graph(attack, model, shape):
    """The evaluation view of an attack; a targeted one draws its targets."""
    score_fn = score_function(model)

    def search(x, y, seed):
        return attack.search(score_fn, x, y, seed)

    return traced(search, images_spec(shape), CLASSES, SEED)
