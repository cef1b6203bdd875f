"""Signs that a robust accuracy comes from masked gradients or weak attacks, not from robustness."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_mmc import _arrays as arrays
from keras_mmc import objectives
from keras_mmc._gradients import value_gradient_aux
from keras_mmc._tracing import CLASSES, batches, filled, images_spec, traced
from keras_mmc.adapters import BlackBox
from keras_mmc.attacks import (
    FGSM,
    PGD,
    SPSA,
    Attack,
    AttackResult,
    Ball,
    Runner,
    image_seeds,
    misclassified,
    score_function,
)
from keras_mmc.evaluation import checks, mistakes
from keras_mmc.evaluation.rows import Diagnostic

_PROBE_IMAGES = 200
_SEEN_IMAGES = 128
_BLACK_BOX_IMAGES = 32


def zero_gradient_fraction(
    model: keras.Model, x: ArrayLike, y: ArrayLike, batch_size: int = 128
) -> float:
    """Fraction of images at which the gradient of the cross-entropy is exactly 0.

    An attack on the cross-entropy that starts at such an image cannot leave it. TensorFlow rounds
    numbers below 1e-38 to 0, so gradients vanish a little earlier than in exact arithmetic.

    Args:
        model: Keras model from images to scores `(N, K)`.
        x: images `(N, ...)`, float32.
        y: integer labels `(N,)`.
        batch_size: images per pass.

    Returns:
        Fraction in `[0, 1]`.

    Raises:
        ValueError: if images are not finite, or images, labels or the model's scores do not fit.

    Example:
    >>> keras_mmc.evaluation.zero_gradient_fraction(model, x_test, y_test)
    """
    runner = Runner(model, batch_size)
    x = arrays.check_images(x, (-np.inf, np.inf))
    return _zero_gradients(model, x, runner.labels(y, runner.scores(x)), batch_size)


def _zero_gradients(model, x, y, batch_size):
    """As `zero_gradient_fraction`, for images that were checked; NaN scores have no gradient."""
    score_fn = score_function(model)

    def vanishes(x, y):
        def cross_entropy(x):
            scores = score_fn(x)
            return objectives.cross_entropy(scores, y), scores

        _, gradient, scores = value_gradient_aux(cross_entropy, x)
        zero = tf.reduce_all(gradient == 0, axis=list(range(1, x.shape.rank)))
        return zero & tf.reduce_all(tf.math.is_finite(scores), axis=1)

    run = filled(traced(vanishes, images_spec(x.shape), CLASSES))
    flags = [run(x[rows], y[rows]) for rows in batches(len(x), batch_size)]
    return float(np.mean(np.concatenate(flags)))


def diagnose(
    runner: Runner,
    ball: Ball,
    x: np.ndarray,
    y: np.ndarray,
    first: np.ndarray,
    after: np.ndarray,
    attacks: Mapping[str, Attack],
    result: AttackResult,
) -> dict[str, Diagnostic]:
    """Measure what must hold if an audit is to be believed, and say what does not.

    Args:
        runner: what attacked the model; it runs the probes too.
        ball: the ball of the audit.
        x: images `(N, ...)`, float32.
        y: integer labels `(N,)`.
        first: scores `(N, K)` of the images in the first forward pass.
        after: scores `(N, K)` of the attacked images, in a pass of their own.
        attacks: the attacks of the suite, by name, the naive control first.
        result: what they did.

    Returns:
        Diagnostics by name, in the order a report shows them. Of a black box those that take
        gradients, or look at the size of its scores, are left out.
    """
    again, turned = runner.scores(x), runner.scores(x[::-1])[::-1]
    part = slice(_SEEN_IMAGES)
    seen = x[part], first[part].argmax(axis=1)
    model_checks = {
        "nan_scores": checks.nan_scores(after),
        "random_at_inference": checks.random_at_inference(first, again),
        "depends_on_batch": checks.depends_on_batch(first, again, turned),
        "confirmed_once_more": checks.confirmed(after, y, ~result.robust),
        "broken_weights": mistakes.broken_weights(runner.model),
        "tiny_ball": mistakes.tiny_ball(ball),
        "near_chance": mistakes.near_chance(first.argmax(axis=1) == y, y),
        "predict_disagrees": mistakes.predict_disagrees(runner.given, *seen),
        "evaluate_disagrees": mistakes.evaluate_disagrees(runner.given, seen[0], y[part], seen[1]),
    }
    if isinstance(runner.model, BlackBox):
        return model_checks
    model_checks["pixel_range"] = mistakes.pixel_range(runner.scores, x, y, ball.box)
    model_checks["probabilities"] = checks.probabilities(first)
    seeds = image_seeds(runner.seed, runner.first_index + np.arange(len(x)))
    starts = ball.random_start(tf.constant(x), seeds).numpy()
    evidence = {
        "zero_gradients": checks.zero_gradients(
            _zero_gradients(runner.model, x, y, runner.batch_size),
            _zero_gradients(runner.model, starts, y, runner.batch_size),
        ),
        **_black_boxes(runner, ball, x, y, attacks, result),
        **_probes(runner, ball, x, y, first),
    }
    masked = any(check.grade == checks.MASKED for check in evidence.values())
    naive = result.accuracy[next(iter(attacks))]
    difference = checks.naive_minus_best(naive, result.robust_accuracy, masked)
    return model_checks | {"naive_minus_best": difference} | evidence


def _black_boxes(runner, ball, x, y, attacks, result):
    """What attacks without gradients break after all with them; SPSA where the suite has none."""
    found, before = {}, result.accuracy["clean"]
    for name, attack in attacks.items():
        after = result.accuracy[name]
        if not attack.uses_gradients:
            broken, left = round((before - after) * len(x)), round(before * len(x))
            found[f"black_box: {name}"] = checks.black_box(name, broken, left, before)
        before = after
    if found:
        return found
    # SPSA knows L-inf balls: this one lies inside the ball of the audit.
    inner = ball.eps if ball.norm == "linf" else ball.eps / np.sqrt(x[0].size)
    probe = SPSA(inner, steps=20, learning_rate=inner / 5, box=ball.box)
    left = np.flatnonzero(result.robust)[:_BLACK_BOX_IMAGES]
    broken = len(runner.run(probe, x, y, left, name="check: spsa").rows)
    final = result.robust_accuracy
    return {"black_box: spsa": checks.black_box("spsa", broken, len(left), final)}


def _probes(runner, ball, x, y, first):
    """One step against many, and ever larger balls, on a few of the images."""
    drawn = np.random.default_rng(runner.seed).permutation(len(x))[:_PROBE_IMAGES]
    drawn = np.sort(drawn)
    rows = drawn[~misclassified(first[drawn], y[drawn]).numpy()]

    def robust(name, attack, eps=None):
        broken = runner.run(attack, x, y, rows, name=f"check: {name}", eps=eps).rows
        return np.setdiff1d(rows, broken)

    shape = {"norm": ball.norm, "box": ball.box}
    single = robust("fgsm", FGSM(ball.eps, **shape, objective="cross_entropy"))
    iterated = robust("pgd-20", PGD(ball.eps, 20, **shape, objective="cross_entropy"))
    width = ball.box[1] - ball.box[0]
    whole_box = float(width if ball.norm == "linf" else np.sqrt(x[0].size) * width)
    radii = sorted({min(r, whole_box) for r in (ball.eps / 2, ball.eps, 2 * ball.eps, whole_box)})
    pgd = PGD(ball.eps, 50, **shape)
    curve = [len(robust(f"pgd-50, eps {r:.4g}", pgd, r)) / len(drawn) for r in radii]
    return {
        "iterative_against_single_step": checks.more_steps(
            len(single) / len(drawn),
            len(iterated) / len(drawn),
            len(drawn),
            len(np.setdiff1d(iterated, single)),
            len(np.setdiff1d(single, iterated)),
        ),
        "accuracy_against_eps": checks.falls_with_eps(
            [0.0, *radii], [len(rows) / len(drawn), *curve], len(drawn)
        ),
        "whole_box": checks.whole_box_breaks(curve[-1]),
    }
