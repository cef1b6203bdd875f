"""The base class of attacks: what people call, and the two views that attacks implement."""

import dataclasses
import weakref
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_mmc._backend import require_tensorflow
from keras_mmc._serialization import Configurable
from keras_mmc.attacks import checks
from keras_mmc.attacks.graphs import CLASSES, SEED, batches, images_spec, traced

require_tensorflow("keras_mmc.attacks")

ScoreFn = Callable[[tf.Tensor], tf.Tensor]

RANDOM = (
    "Two forward passes of the same images differ: the model is random at inference. Fix its seed "
    "or turn the random layers off; these attacks do not average over noise."
)

_COMPILED: "weakref.WeakKeyDictionary[keras.Layer, dict]" = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True)
class Attack(Configurable):
    """Base class of attacks: a frozen dataclass of parameters, without state.

    A subclass declares its fields and implements `generate`; it overrides `search` where stopping
    early or keeping the best point makes a difference. Fields that attacks share have one name
    everywhere, are checked here, and come in this order: `eps`, `steps`, `step_size`, `norm`,
    `objective`, `targeted`, `random_start`, `restarts`, `box`.

    The arguments of `generate` and `search` are the same:

    - `score_fn`: maps images to scores `(N, K)`, float32, the model in inference mode.
    - `x`: images `(N, ...)` of rank 2 or more, floats inside the box.
    - `y`: labels, `int32`, `(N,)`.
    - `seed`: `int32` of shape `(2,)`; the same seed gives the same bits on CPU.
    - `targets`: classes to reach, `int32`, `(N,)`; a targeted attack without them draws them.

    Example:
    >>> attack = keras_mmc.attacks.PGD(eps=8 / 255, steps=50, restarts=5)
    >>> x_adv = attack(model, x_test, y_test)
    """

    # Not annotated, so not fields: the values of attacks that do not declare the field.
    targeted = False
    box = (0.0, 1.0)

    def __post_init__(self):
        checks.check_fields(self)
        checks.check_objective(self)

    def generate(self, score_fn: ScoreFn, x, y, seed, targets=None) -> tf.Tensor:
        """The training view: a fixed number of steps, and the batch they end in.

        Pure TensorFlow: it runs eagerly, in a graph, under XLA and in a Keras `train_step`, and
        no gradient flows through it.

        Returns:
            Adversarial images in the shape and dtype of `x`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `generate`.")

    def search(self, score_fn: ScoreFn, x, y, seed, targets=None) -> tf.Tensor:
        """The evaluation view: per sample the first point found that fools the model.

        A targeted attack has fooled the model where it answers with the target. Samples that are
        fooled stop costing; those that never are get the last or best point. Pure TensorFlow.

        Returns:
            Adversarial images in the shape and dtype of `x`.
        """
        return self.generate(score_fn, x, y, seed, targets)

    def __call__(
        self,
        model: keras.Model,
        x,
        y=None,
        *,
        targets=None,
        batch_size: int = 128,
        seed: int = 0,
        verbose: int = 0,
    ) -> np.ndarray:
        """Attacks a model; images that fool it as they are come back unchanged.

        The attack is traced once per model and image shape, whatever the number of images.

        Args:
            model: Keras model from images to scores `(N, K)`; it runs in inference mode.
            x: images `(N, ...)`, NumPy or tensor, float32 or float64, inside the box.
            y: integer labels `(N,)`; `None` takes the model's own predictions.
            targets: integer classes `(N,)`, for a targeted attack; `None` draws them by `seed`
                uniformly among the wrong classes.
            batch_size: images attacked at a time.
            seed: integer; the same seed gives the same bits on CPU.
            verbose: 1 shows a progress bar.

        Returns:
            NumPy array in the shape and dtype of `x`.

        Raises:
            ValueError: if images, labels, targets or the model's scores do not fit; see
                `keras_mmc.attacks.checks`.
        """
        x = checks.check_images(x, self.box)
        checks.check_call(self, model, targets, batch_size, seed)
        if not len(x):
            return x.copy()
        score = _compiled(model, x.shape[1:], lambda fn: traced(fn, images_spec(x.shape)))
        scores = np.concatenate([score(x[rows]) for rows in batches(len(x), batch_size)])
        labels, count = labels_or_answers(y, scores), len(x)
        targets = self._targets(targets, labels, scores.shape[1], seed)
        fooled = (reached if self.targeted else misclassified)(scores, labels, targets).numpy()
        standing = np.flatnonzero(~fooled)
        progress = keras.utils.Progbar(count, verbose=verbose, unit_name="image")
        progress.update(count - len(standing))
        run = _compiled(model, (self, x.shape[1:]), lambda fn: _search_graph(self, fn, x.shape))
        result = x.copy()
        for part in batches(len(standing), batch_size):
            rows = standing[part]
            found = run(x[rows], labels[rows], [seed, rows[0]], targets[rows])
            result[rows] = in_dtype_of(x[rows], found, self.box)
            progress.add(len(rows))
        return result

    def _targets(self, targets, labels, num_classes, seed):
        """Targets of a targeted attack; the labels, unused, if it is not."""
        if not self.targeted:
            return labels
        if targets is None:
            return draw_targets(labels, num_classes, tf.constant([seed, 0])).numpy()
        targets = checks.check_classes(targets, len(labels), num_classes, "targets")
        checks.check_targets(targets, labels)
        return targets


def score_function(model: keras.Model) -> ScoreFn:
    """The score function of a model: inference mode, float32 whatever the model computes in."""
    return lambda x: tf.cast(model(x, training=False), tf.float32)


def scores_of(model: keras.Model, x, batch_size: int) -> np.ndarray:
    """Scores `(N, K)` of images, batch by batch, in a fresh forward pass outside any attack."""
    score_fn = score_function(model)
    images = (tf.constant(x[rows], tf.float32) for rows in batches(len(x), batch_size))
    return np.concatenate([score_fn(batch).numpy() for batch in images])


def differs_again(model: keras.Model, x, scores, batch_size: int) -> bool:
    """Whether the first batch gets other scores `(N, K)` in one more forward pass; see `RANDOM`."""
    again = scores_of(model, x[:batch_size], batch_size)
    return not np.array_equal(scores[:batch_size], again, equal_nan=True)


def labels_or_answers(y, scores: np.ndarray) -> np.ndarray:
    """Checked labels `(N,)`, int32: `y`, or the classes of the scores `(N, K)` if it is `None`.

    Raises:
        ValueError: if the scores of clean images are none, or the labels do not fit them.
    """
    checks.check_scores(scores)
    if y is None:
        return scores.argmax(axis=-1).astype("int32")
    return checks.check_classes(y, *scores.shape, "y")


def in_dtype_of(x: np.ndarray, found: np.ndarray, box: tuple[float, float]) -> np.ndarray:
    """Attacked images, float32, in the dtype of `x`; pixels that did not move keep all digits."""
    if x.dtype == found.dtype:
        return found
    moved = found != x.astype(found.dtype)
    return np.where(moved, np.clip(found.astype(x.dtype), *box), x)


def norm_of(attack: Attack) -> str:
    """The norm of an attack's ball; attacks that do not name one stay in an L-infinity ball."""
    return getattr(attack, "norm", "linf")


def misclassified(scores, y, targets=None) -> tf.Tensor:
    """Boolean `(N,)`: another class than `y` has the largest score, or a score is NaN."""
    answers = tf.argmax(scores, axis=-1, output_type=tf.int32)
    broken = tf.reduce_any(tf.math.is_nan(scores), axis=-1)
    return (answers != tf.cast(y, tf.int32)) | broken


def reached(scores, y, targets) -> tf.Tensor:
    """Boolean `(N,)`: the target has the largest score."""
    return ~misclassified(scores, targets)


def likely_wrong(scores: tf.Tensor, y: tf.Tensor, count: int) -> tf.Tensor:
    """The `count` most likely wrong classes of each sample, all of them if there are fewer.

    Args:
        scores: tensor `(N, K)`.
        y: labels `(N,)`.
        count: number of classes.

    Returns:
        `int32` tensor `(N, min(count, K - 1))`, the most likely class first.
    """
    num_classes = scores.shape[-1]
    is_label = tf.one_hot(y, num_classes, on_value=True, off_value=False)
    masked = tf.where(is_label, -float("inf"), scores)
    return tf.math.top_k(masked, min(count, num_classes - 1)).indices


def draw_targets(y, num_classes: int, seed) -> tf.Tensor:
    """Draws `int32` targets `(N,)` uniformly among the `num_classes - 1` wrong classes."""
    y = tf.cast(y, tf.int32)
    shift = tf.random.stateless_uniform(tf.shape(y), seed, 1, num_classes, tf.int32)
    return (y + shift) % num_classes


def targets_or_drawn(attack: Attack, score_fn: ScoreFn, x, y, seed, targets) -> tf.Tensor:
    """The targets of a targeted attack, drawn if not given; `y` for an untargeted one."""
    if not attack.targeted:
        return y
    if targets is not None:
        return targets
    # Only the static shape of these scores is used: in a graph they are never computed.
    return draw_targets(y, score_fn(x).shape[-1], seed)


def _search_graph(attack, score_fn, shape):
    def search(x, y, seed, targets):
        return attack.search(score_fn, x, y, seed, targets if attack.targeted else None)

    return traced(search, images_spec(shape), CLASSES, SEED, CLASSES)


def _compiled(model, key, make):
    """The graph of a model and key, traced once, at the first use.

    A graph holds the model's weights but not the model, so both go together.
    """
    graphs = _COMPILED.setdefault(model, {})
    if key not in graphs:
        graphs[key] = make(score_function(model))
    return graphs[key]
