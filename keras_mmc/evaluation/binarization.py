"""The binarization test: can an attack find an adversarial example that is known to exist?"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_mmc._arrays import check_call
from keras_mmc._tracing import NUMBER, NUMBERS, SEED, batches, images_spec, traced
from keras_mmc._validation import check_count
from keras_mmc.attacks import Attack, image_seeds, misclassified
from keras_mmc.evaluation._inputs import ball_of, some_images
from keras_mmc.evaluation._readout import readout_of

# Radius of the inner images in units of eps: a gap to the surface, as in the reference code.
_INNER = 0.95
# This package's own limits: below the first the attack is too weak, above the second random images
# succeed so often that the test is no test.
_ENOUGH = 0.95
_TOO_EASY = 0.5


@dataclasses.dataclass(frozen=True)
class BinarizationResult:
    """Result of `binarization_test`.

    Attributes:
        success_rate: fraction of the images on which the attack found an adversarial example.
        random_success_rate: the same for random images on the surface of the ball, as many per
            image as `queries`.
        num_images: number of images the rates are about.
        num_skipped: number of further images whose boundary image no readout separates.
        queries: the largest number of images the attack asked the model about for one image, at
            least 1.
        attack: the attack as Python would write it.
    """

    success_rate: float
    random_success_rate: float
    num_images: int
    num_skipped: int
    queries: int
    attack: str

    @property
    def advantage(self) -> float:
        """Success rate of the attack minus that of random images."""
        return self.success_rate - self.random_success_rate

    @property
    def finding(self) -> str:
        """What follows for the attack, in plain words."""
        if not self.num_images:
            return "No readout separates a boundary image, so the test says nothing."
        if self.success_rate < _ENOUGH:
            return (
                "The attack is too weak to judge this model: it misses adversarial examples that "
                f"are known to exist on {100 * (1 - self.success_rate):.1f} % of the images. A "
                "robust accuracy measured with it cannot be trusted."
            )
        if self.random_success_rate > _TOO_EASY:
            return (
                "The test is too easy to say much: random images succeed on "
                f"{100 * self.random_success_rate:.1f} % of the images as well."
            )
        return "Passed: the attack finds what is known to exist. This does not prove it strong."

    def __str__(self):
        return "\n".join(
            [
                f"Binarization test of {self.attack}",
                f"  attack      {100 * self.success_rate:6.2f} %  of {self.num_images} images "
                f"({self.num_skipped} skipped)",
                f"  random      {100 * self.random_success_rate:6.2f} %  with {self.queries} "
                "queries per image",
                f"  difference  {100 * self.advantage:6.2f} %",
                f"Finding: {self.finding}",
            ]
        )


def binarization_test(
    model: keras.Model,
    x: ArrayLike,
    attack: Attack,
    *,
    features: str | None = None,
    num_inner: int = 999,
    batch_size: int = 128,
    seed: int = 0,
) -> BinarizationResult:
    """Test an attack where the answer is known.

    For every image the head of the model is replaced by a linear readout with two classes: class 0
    for the image and random ones around it, class 1 for one random image on the surface of the
    ball. The features stay those of the model. An adversarial example inside the ball is then known
    to exist, so an attack that does not find one is too weak to judge the model. Scores of the
    readout span the range of the model's own on the same images, so that gradients that vanish
    because scores are large vanish here too.

    Args:
        model: Keras model from images to scores `(N, K)`.
        x: images `(N, ...)`, floats inside the box of the attack.
        attack: the attack under test, with an `eps` above 0.
        features: name of the layer whose output the readout sees, flattened; `None` takes the input
            of the last layer.
        num_inner: number of images of class 0 per image, itself among them.
        batch_size: images per pass.
        seed: integer; the same seed gives the same result on CPU.

    Returns:
        A `BinarizationResult`; `print` it for the rates and what follows from them.

    Raises:
        ValueError: if there is no such layer, the attack has no `eps`, or images or another
            argument do not fit.

    Source: Zimmermann et al., *Increasing Confidence in Adversarial Robustness Evaluations*,
    NeurIPS 2022, arXiv 2206.13991.

    Example:
    >>> attack = keras_mmc.attacks.PGD(8 / 255)
    >>> print(keras_mmc.evaluation.binarization_test(model, x_test[:100], attack))
    """
    check_call(model, batch_size, seed)
    ball = ball_of(attack)
    check_count("binarization_test", "num_inner", num_inner)
    x = some_images(x, ball.box)
    binarized = _Binarized(_to_features_and_scores(model, features), attack, x.shape, batch_size)
    found, kept = [], []

    for i, image in enumerate(x):
        # Four seeds an image: inner images, boundary, attack, random ones.
        inner = _inner(image, ball, num_inner, [seed, 4 * i])
        boundary = _surface(image, ball, 1, [seed, 4 * i + 1])
        readout = readout_of(*binarized.features_and_scores(np.concatenate([inner, boundary])))
        ends = np.concatenate([image[None], boundary])
        if readout is None or binarized.fooled(ends, readout).tolist() != [False, True]:
            continue
        x_adv = binarized.search(image[None], readout, image_seeds([seed, 4 * i + 2], 0))
        inside = ball.holds(x_adv, image[None])
        found.append((inside & binarized.fooled(x_adv, readout)).item())
        kept.append((i, readout))
    queries = binarized.most_queries
    by_chance = [
        binarized.fooled(_surface(x[i], ball, queries, [seed, 4 * i + 3]), readout).any()
        for i, readout in kept
    ]
    return BinarizationResult(
        success_rate=float(np.mean(found)) if found else float("nan"),
        random_success_rate=float(np.mean(by_chance)) if found else float("nan"),
        num_images=len(found),
        num_skipped=len(x) - len(found),
        queries=queries,
        attack=repr(attack),
    )


class _Binarized:
    """A model with readouts in place of its head; the readout is an input of every graph.

    A readout is a kernel `(d,)` and a bias; the scores of its classes are `-h` and `h` with
    `h = <features, kernel> + bias`. All images are of class 0.
    """

    def __init__(self, model, attack, shape, batch_size):
        self.most_queries = 1
        self._batch_size = batch_size
        self._queries = queries = tf.Variable(0)
        images = images_spec(shape)
        readout = NUMBERS, NUMBER

        def outputs(x):
            features, scores = (tf.cast(t, tf.float32) for t in model(x, training=False))
            return tf.reshape(features, [tf.shape(x)[0], -1]), scores

        def readout_scores(x, kernel, bias):
            height = tf.linalg.matvec(outputs(x)[0], kernel) + bias
            return tf.stack([-height, height], axis=1)

        def fooled(x, kernel, bias):
            return misclassified(readout_scores(x, kernel, bias), _class_0(x))

        def search(x, kernel, bias, seed):
            def score_fn(x):
                queries.assign_add(tf.shape(x)[0])
                return readout_scores(x, kernel, bias)

            return attack.search(score_fn, x, _class_0(x), seed)

        self._outputs = traced(outputs, images)
        self._fooled = traced(fooled, images, *readout)
        self._search = traced(search, images, *readout, SEED)

    def features_and_scores(self, images: np.ndarray) -> list[np.ndarray]:
        """Features `(n, d)` and the model's own scores `(n, K)` of images."""
        parts = [self._outputs(images[b]) for b in batches(len(images), self._batch_size)]
        return [np.concatenate(tensors) for tensors in zip(*parts, strict=True)]

    def fooled(self, images: np.ndarray, readout: tuple) -> np.ndarray:
        """Boolean `(n,)`: the readout predicts class 1."""
        parts = [self._fooled(images[b], *readout) for b in batches(len(images), self._batch_size)]
        return np.concatenate(parts)

    def search(self, image: np.ndarray, readout: tuple, seed: Any) -> np.ndarray:
        """What the attack finds, `(1, ...)`."""
        self._queries.assign(0)
        x_adv = self._search(image, *readout, seed)
        self.most_queries = max(self.most_queries, int(self._queries))
        return x_adv


def _class_0(x):
    return tf.zeros(tf.shape(x)[:1], tf.int32)


def _to_features_and_scores(model, features):
    try:
        tensor = model.layers[-1].input if features is None else model.get_layer(features).output
        return keras.Model(model.inputs, [tensor, model.outputs[0]])
    except (AttributeError, ValueError) as error:
        wanted = "the input of the last layer" if features is None else f"layer {features!r}"
        raise ValueError(
            f"The features, {wanted}, cannot be reached from the model's input: {error} Pass "
            "`features`, the name of a layer of a functional or sequential model. If its layers "
            "are part of another model too, give it its own with keras.models.clone_model."
        ) from error


def _inner(image, ball, count, seed):
    """The image and random ones of the inner ball, `count` in all."""
    copies = tf.repeat(image[None], count - 1, axis=0)
    seeds = image_seeds(seed, range(count - 1))
    return np.concatenate([image[None], ball.random_start(copies, seeds, _INNER * ball.eps)])


def _surface(image, ball, count, seed):
    """Random images where a linear function may be largest."""
    copies = tf.repeat(image[None], count, axis=0)
    return ball.random_corner(copies, image_seeds(seed, range(count))).numpy()
