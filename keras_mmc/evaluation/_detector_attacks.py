"""Attacks that know the detector, and what it catches of them."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc.adapters.structure import distances_of
from keras_mmc.attacks import APGD, Ball, Runner
from keras_mmc.evaluation.rejection import Rejection
from keras_mmc.evaluation.rows import Detection

STEPS = 100


def detection(name: str, wrong: np.ndarray, accepted: np.ndarray) -> Detection:
    """How many images are wrong, of these rejected, and accepted in all, of booleans `(N,)`."""
    counts = wrong.sum(), (wrong & ~accepted).sum(), accepted.sum()
    return Detection(name, len(wrong), *map(int, counts))


def judged(
    rejection: Rejection, model: keras.Model, name: str, scores: np.ndarray, labels: np.ndarray
) -> Detection:
    """What a threshold makes of scores `(N, K)`; NaN scores are no answer at all."""
    wrong = ~(scores.argmax(axis=1) == labels)
    return detection(name, wrong, rejection.accepts(model, scores))


def under_attack(
    runner: Runner,
    rejection: Rejection,
    within: Ball,
    x: np.ndarray,
    labels: np.ndarray,
    ordinary: tuple[str, np.ndarray],
) -> tuple[Detection, ...]:
    """What is caught of an ordinary attack, of one that knows the detector, and of both.

    Args:
        runner: runs the attacks on the model that `rejection` belongs to, which `check_fits` says.
        rejection: the threshold.
        within: the ball that attacks search.
        x: checked images `(N, ...)`.
        labels: checked labels `(N,)`.
        ordinary: name of the ordinary attack, and the scores `(N, K)` of what it made.
    """
    ball = dataclasses.asdict(within)
    aware = APGD(steps=STEPS, objective=knowing(runner.model, rejection), **ball)
    known = "apgd that knows the detector", runner.scores(runner.generate(aware, x, labels))
    rows = [judged(rejection, runner.model, *found, labels) for found in (ordinary, known)]
    wrongs = [~(scores.argmax(axis=1) == labels) for _, scores in (ordinary, known)]
    accepted = [rejection.accepts(runner.model, scores) for _, scores in (ordinary, known)]
    missed = (wrongs[0] & accepted[0]) | (wrongs[1] & accepted[1])
    accepted_twice = accepted[0] & accepted[1]
    either = np.logical_or(*wrongs)
    return (*rows, detection("the stronger of the two", either, missed | accepted_twice))


def knowing(model: keras.Model, rejection: Rejection) -> Callable[[Any, Any], Any]:
    """The objective of an attacker who knows the detector, of `(scores, labels)`.

    It is above 0 exactly where the answer is wrong and accepted: the smaller of the margin and of
    what is left below the threshold for the likeliest wrong class.
    """
    to_centers = distances_of(model)
    if to_centers is not None:
        limit = rejection.threshold**2 / 2

        def slack(scores, labels):
            own = tf.one_hot(labels, scores.shape[-1], on_value=-math.inf, off_value=0.0)
            wrong = tf.argmax(scores + own, axis=-1)
            distances = tf.gather(to_centers(scores), wrong, batch_dims=1)
            return limit - tf.square(distances) / 2
    else:
        limit = math.log1p(-rejection.threshold)  # which is below 1 - 1 / K

        def slack(scores, labels):
            log_p = tf.nn.log_softmax(scores / rejection.temperature)
            return objectives.nearest_wrong(log_p, labels) - limit

    def objective(scores, labels):
        return tf.minimum(objectives.margin(scores, labels), slack(scores, labels))

    return objective
