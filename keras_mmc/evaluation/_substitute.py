"""A substitute of a black box, distilled from its answers."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mmc.attacks import Ball, Runner, image_seeds
from keras_mmc.models import small_cnn

STEPS = 300
COPIES = 4
_BATCH = 64
_LEAST_SIDE = 4


def new_substitute(
    image_shape: tuple[int, ...], num_classes: int, box: tuple[float, float], seed: int
) -> keras.Model:
    """A small network with random weights that depend on the seed alone.

    `small_cnn` of images `(H, W, C)` of at least 4 x 4 pixels; of anything else two dense layers.
    """
    middle, width = (box[0] + box[1]) / 2, box[1] - box[0]
    if len(image_shape) == 3 and min(image_shape[:2]) >= _LEAST_SIDE:
        model = small_cnn(image_shape, num_classes, mean=middle, std=width / 4, name="substitute")
    else:
        model = keras.Sequential(
            [
                keras.Input(image_shape),
                keras.layers.Rescaling(4 / width, -4 * middle / width),
                keras.layers.Flatten(),
                keras.layers.Dense(128, activation="relu"),
                keras.layers.Dense(128, activation="relu"),
                keras.layers.Dense(num_classes, dtype="float32"),
            ],
            name="substitute",
        )
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        if len(weight.shape) > 1:  # as he_normal, without the global seed of Keras
            fan_in = np.prod(weight.shape[:-1])
            weight.assign(rng.normal(0, np.sqrt(2 / fan_in), weight.shape))
    return model


def distill(
    substitute: keras.Model, runner: Runner, ball: Ball, x: np.ndarray, scores: np.ndarray
) -> int:
    """Trains a substitute to predict what a black box answers, on images and noisy copies of them.

    Each image is asked about `COPIES` times more, at points drawn from the ball around it, and the
    substitute learns the predicted classes in `STEPS` steps of Adam. Its weights are kept where the
    runner remembers its batches.

    Args:
        substitute: what `new_substitute` made; it is trained in place.
        runner: asks the black box, and gives the seed.
        ball: where the copies lie.
        x: images `(N, ...)`, float32.
        scores: scores `(N, K)` of them, which were asked for before.

    Returns:
        How many images the black box was asked about.

    Source: Papernot et al., 2016, arXiv 1602.02697, with noise in the place of its gradients.
    """

    def trained(rows: np.ndarray) -> Iterator[dict[str, Any]]:
        if not len(rows):
            return
        seeds = image_seeds(runner.seed, runner.first_index + np.arange(len(x)))
        images, answers = [x], [scores]
        for copy in range(COPIES):
            noisy = ball.random_start(tf.constant(x), image_seeds(copy, seeds)).numpy()
            images.append(noisy)
            answers.append(runner.scores(noisy))
        _fit(
            substitute,
            np.concatenate(images),
            np.concatenate(answers).argmax(axis=1),
            np.random.default_rng(runner.seed),
        )
        weights = {f"weight {i}": w for i, w in enumerate(substitute.get_weights())}
        yield weights | {"rows": rows, "queries": np.asarray(COPIES * len(x))}

    (kept,) = runner.remember("substitute", np.arange(len(x)), trained)
    substitute.set_weights([kept[f"weight {i}"] for i in range(len(substitute.weights))])
    return int(kept["queries"])


def _fit(model, x, y, rng):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    for _ in range(STEPS):
        rows = rng.integers(len(x), size=_BATCH)
        model.train_on_batch(x[rows], y[rows])
