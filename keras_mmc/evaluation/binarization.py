"""The binarisation test: can an attack find an adversarial point that is known to exist?"""

import dataclasses
import warnings

import keras
import numpy as np
import tensorflow as tf
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from keras_mmc.attacks import Attack, checks
from keras_mmc.attacks._engine.projections import (
    clip_to_box,
    normal_noise,
    random_start,
    steepest_step,
)
from keras_mmc.attacks.base import misclassified, norm_of
from keras_mmc.attacks.graphs import NUMBER, SEED, batches, images_spec, traced
from keras_mmc.evaluation.inputs import allowed, check_eps, some_images

# Radius of the inner points in units of eps: a gap to the surface, as in the reference code.
_INNER = 0.95
# Where the readout's boundary lies between the outermost inner point (0) and the boundary point
# (1): close to the latter, so that chance does not find what an attack should.
_CLOSENESS = 0.9
# This package's own limits: below the first the attack is too weak, above the second random points
# succeed so often that the test is no test.
_ENOUGH = 0.95
_TOO_EASY = 0.5


@dataclasses.dataclass(frozen=True)
class BinarizationResult:
    """Result of `binarization_test`.

    Attributes:
        success_rate: fraction of the images on which the attack found an adversarial point.
        random_success_rate: the same for random points of the surface of the ball, as many per
            image as `queries`.
        num_images: number of images the rates are about.
        num_skipped: number of further images whose boundary point no readout separates.
        queries: the largest number of points the attack asked the model about for one image, at
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
        """Success rate of the attack minus that of random points."""
        return self.success_rate - self.random_success_rate

    @property
    def finding(self) -> str:
        """What follows for the attack, in plain words."""
        if not self.num_images:
            return "No readout separates a boundary point, so the test says nothing."
        if self.success_rate < _ENOUGH:
            return (
                "The attack is too weak to judge this model: it misses adversarial points that are "
                f"known to exist on {100 * (1 - self.success_rate):.1f} % of the images. A robust "
                "accuracy measured with it cannot be trusted."
            )
        if self.random_success_rate > _TOO_EASY:
            return (
                "The test is too easy to say much: random points succeed on "
                f"{100 * self.random_success_rate:.1f} % of the images as well."
            )
        return "Passed: the attack finds what is known to exist. This does not prove it strong."

    def __str__(self):
        return "\n".join(
            [
                f"Binarisation test of {self.attack}",
                f"  attack      {100 * self.success_rate:6.2f} %  of {self.num_images} images "
                f"({self.num_skipped} skipped)",
                f"  random      {100 * self.random_success_rate:6.2f} %  with {self.queries} "
                "queries per image",
                f"  difference  {100 * self.advantage:6.2f} %",
                f"Finding: {self.finding}",
            ]
        )


def binarization_test(
    model,
    x,
    attack: Attack,
    *,
    features: str | None = None,
    num_inner: int = 999,
    batch_size: int = 128,
    seed: int = 0,
) -> BinarizationResult:
    """Test an attack where the answer is known.

    For every image the head of the model is replaced by a linear readout with two classes: class 0
    for the image and random points around it, class 1 for one random point on the surface of the
    ball. The features stay those of the model. An adversarial point inside the ball is then known
    to exist, so an attack that does not find one is too weak to judge the model. Scores of the
    readout span the range of the model's own on the same points, so that gradients that vanish
    because scores are large vanish here too.

    Args:
        model: Keras model from images to scores `(N, K)`.
        x: images `(N, ...)`, floats inside the box of the attack.
        attack: the attack under test, with an `eps` above 0.
        features: name of the layer whose output the readout sees, flattened; `None` takes the input
            of the last layer.
        num_inner: number of points of class 0 per image, itself among them.
        batch_size: points per pass.
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
    checks.check_call(attack, model, None, batch_size, seed)
    check_eps(attack)
    if not isinstance(num_inner, int) or num_inner < 1:
        raise ValueError(f"`num_inner` must be a positive integer; received {num_inner!r}.")
    x = some_images(x, attack.box)
    binarised = _Binarised(_to_features_and_scores(model, features), attack, x.shape, batch_size)
    found, kept = [], []
    for i, image in enumerate(x):
        # Four seeds an image: inner points, boundary point, attack, random points.
        inner = _inner(image, attack, num_inner, [seed, 4 * i])
        boundary = _surface(image, attack, 1, [seed, 4 * i + 1])
        readout = _readout(*binarised.look(np.concatenate([inner, boundary])))
        ends = np.concatenate([image[None], boundary])
        if readout is None or binarised.fooled(ends, readout).tolist() != [False, True]:
            continue
        point = binarised.search(image[None], readout, [seed, 4 * i + 2])
        inside = allowed(point, image[None], attack.eps, norm_of(attack), attack.box)
        found.append((inside & binarised.fooled(point, readout)).item())
        kept.append((i, readout))
    queries = binarised.most_queries
    by_chance = [
        binarised.fooled(_surface(x[i], attack, queries, [seed, 4 * i + 3]), readout).any()
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


class _Binarised:
    """A model with readouts in place of its head; the readout is an input of every graph.

    A readout is a kernel `(d,)` and a bias; the scores of its classes are `-h` and `h` with
    `h = <features, kernel> + bias`. All images are of class 0.
    """

    def __init__(self, model, attack, shape, batch_size):
        self.most_queries = 1
        self._batch_size = batch_size
        self._queries = queries = tf.Variable(0)
        images = images_spec(shape)
        readout = tf.TensorSpec([None], tf.float32), NUMBER

        def outputs(x):
            features, scores = (tf.cast(t, tf.float32) for t in model(x, training=False))
            return tf.reshape(features, [tf.shape(x)[0], -1]), scores

        def readout_scores(x, kernel, bias):
            height = tf.linalg.matvec(outputs(x)[0], kernel) + bias
            return tf.stack([-height, height], axis=1)

        def answers(x, kernel, bias):
            return misclassified(readout_scores(x, kernel, bias), _class_0(x))

        def search(x, kernel, bias, seed):
            def score_fn(x):
                queries.assign_add(tf.shape(x)[0])
                return readout_scores(x, kernel, bias)

            return attack.search(score_fn, x, _class_0(x), seed)

        self._outputs = traced(outputs, images)
        self._answers = traced(answers, images, *readout)
        self._search = traced(search, images, *readout, SEED)

    def look(self, points) -> list[np.ndarray]:
        """Features `(n, d)` and the model's own scores `(n, K)` of points."""
        parts = [self._outputs(points[b]) for b in batches(len(points), self._batch_size)]
        return [np.concatenate(tensors) for tensors in zip(*parts, strict=True)]

    def fooled(self, points, readout) -> np.ndarray:
        """Boolean `(n,)`: the readout answers class 1."""
        parts = [self._answers(points[b], *readout) for b in batches(len(points), self._batch_size)]
        return np.concatenate(parts)

    def search(self, image, readout, seed) -> np.ndarray:
        """What the attack finds, `(1, ...)`."""
        self._queries.assign(0)
        point = self._search(image, *readout, seed)
        self.most_queries = max(self.most_queries, int(self._queries))
        return point


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


def _inner(image, attack, count, seed):
    """The image and random points of the inner ball, `count` in all."""
    copies = tf.repeat(image[None], count - 1, axis=0)
    eps = _INNER * attack.eps
    points = random_start(copies, eps, norm_of(attack), attack.box, tf.constant(seed))
    return np.concatenate([image[None], points])


def _surface(image, attack, count, seed):
    """Random points where a linear function may be largest: corners of a cube, or of a sphere.

    The box may cut them off.
    """
    noise = normal_noise([count, *image.shape], tf.constant(seed), tf.float32)
    step = steepest_step(noise, attack.eps, norm_of(attack))
    return clip_to_box(image + step, attack.box).numpy()


def _readout(features, scores):
    """A kernel and bias with the last point on one side and all others on the other, or `None`."""
    features = features.astype("float64")
    if not np.isfinite(features).all():
        return None
    spread = features.std(axis=0)
    spread[spread == 0] = 1
    standard = (features - features.mean(axis=0)) / spread
    fit = LogisticRegression(C=1e6, class_weight="balanced", max_iter=1000)
    with warnings.catch_warnings():
        # Whether the points are separated is looked at below.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit.fit(standard, np.arange(len(standard)) == len(standard) - 1)
    kernel = fit.coef_[0] / spread
    heights = features @ kernel
    outermost, boundary = heights[:-1].max(), heights[-1]
    if boundary <= outermost:
        return None
    bias = -(outermost + _CLOSENESS * (boundary - outermost))
    stretch = np.ptp(scores) / (2 * np.abs(heights + bias).max())
    return (stretch * kernel).astype("float32"), np.float32(stretch * bias)
