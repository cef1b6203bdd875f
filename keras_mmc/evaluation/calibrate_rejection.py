"""Finds the threshold beyond which a classifier should not answer."""

import dataclasses
import math

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_mmc._validation import is_number
from keras_mmc.adapters.structure import softmax_temperature
from keras_mmc.attacks import APGD, Ball, Runner
from keras_mmc.evaluation._detector_attacks import STEPS, detection, judged, under_attack
from keras_mmc.evaluation._inputs import labeled_images, some_images
from keras_mmc.evaluation.calibration import fit_temperature
from keras_mmc.evaluation.checkpoint import digest_of_weights
from keras_mmc.evaluation.rejection import Rejection, TradeOff, statistic_of, statistics_of

_POINTS = 21  # of the trade-off


def calibrate_rejection(
    model: keras.Model,
    x: ArrayLike,
    y: ArrayLike | None = None,
    false_rejection: float = 0.01,
    *,
    eps: float | None = None,
    norm: str = "linf",
    box: tuple[float, float] = (0.0, 1.0),
    test: tuple[ArrayLike, ArrayLike] | None = None,
    foreign: ArrayLike | None = None,
    num_attacked: int = 200,
    batch_size: int = 128,
    seed: int = 0,
) -> Rejection:
    """Find the threshold beyond which a classifier should not answer, and what it is worth.

    An image is rejected if it lies too far from what the model knows: by the distance of its
    features to the predicted center, for heads that give distances, else by one minus the largest
    probability. The threshold is the smallest that rejects at most `false_rejection` of images as
    these that are predicted right. Of images of another kind it may reject many more: with `test` a
    row says how many of those it does.

    With `eps` three rows say what it catches of adversarial examples: of an attack that only wants
    a wrong answer; of one that knows the detector and wants a wrong answer that is accepted; and,
    image by image, of the stronger of the two. With `foreign` a row says what it catches of images
    that belong to no class.

    Args:
        model: Keras classifier of scores, or any that `to_scores` opens.
        x: images `(N, ...)` that the model was not trained on, or a data set of them with labels.
        y: labels `(N,)`; `None` beside a data set.
        false_rejection: fraction of correctly classified clean images that may be rejected, in
            (0, 1).
        eps: radius of the ball of the attacks, in input units; `None` attacks nothing.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`, where images live.
        test: images and labels that neither training nor this threshold has seen.
        foreign: images of other things `(M, ...)`, of the same shape.
        num_attacked: number of first images that are attacked.
        batch_size: images per pass.
        seed: integer, seed of the attacks.

    Returns:
        A `Rejection`.

    Raises:
        ValueError: for a fraction outside (0, 1), or too few images that are predicted right, about
            `1 / false_rejection`; if images, labels or scores do not fit.

    Source: the threshold is that of split conformal prediction (Vovk et al., 2005). That detectors
    fall to attacks that know them: Carlini & Wagner, AISec 2017, arXiv 1705.07263.

    Example:
    >>> rejection = keras_mmc.calibrate_rejection(model, x_val, y_val, eps=8 / 255)
    >>> print(rejection)
    >>> keras_mmc.export_saved_model(model, "serving/1", rejection=rejection)
    """
    if not (is_number(false_rejection) and 0 < false_rejection < 1):
        raise ValueError(
            f"`false_rejection` must be a fraction in (0, 1); received {false_rejection!r}."
        )
    runner = Runner(model, batch_size, seed)
    x, labels, scores = labeled_images(runner, x, y, box)
    model, right = runner.model, scores.argmax(axis=1) == labels
    is_certain = right.all() or not right.any()
    temperature = softmax_temperature(model) if is_certain else fit_temperature(scores, labels)
    statistics = statistics_of(model, scores, temperature)
    threshold = _threshold(statistics[right], false_rejection)
    calibration = detection("calibration images", ~right, statistics <= threshold)
    found = Rejection(
        statistic_of(model),
        threshold,
        temperature,
        float(false_rejection),
        len(x),
        digest_of_weights(model),
        None if eps is None else float(eps),
        _trade_off(statistics, right),
        (calibration,),
    )
    detections = [calibration]
    if test is not None:
        _, tested, given = labeled_images(runner, *test, box)
        detections.append(judged(found, model, "test images", given, tested))
    if eps is not None:
        x, labels, within = x[:num_attacked], labels[:num_attacked], Ball(float(eps), norm, box)
        blind = APGD(steps=STEPS, **dataclasses.asdict(within))
        ordinary = "apgd (margin)", runner.scores(runner.generate(blind, x, labels))
        detections += under_attack(runner, found, within, x, labels, ordinary)
    if foreign is not None:
        strangers = runner.scores(some_images(foreign, box))
        accepted = found.accepts(model, strangers)
        detections.append(detection("foreign images", np.ones(len(accepted), bool), accepted))
    return dataclasses.replace(found, detections=tuple(detections))


def _threshold(statistics: np.ndarray, false_rejection: float) -> float:
    """The conformal quantile: exchangeable images exceed it at most that often."""
    rank = math.ceil((len(statistics) + 1) * (1 - false_rejection))
    if rank > len(statistics):
        raise ValueError(
            f"A false rejection of {false_rejection:g} needs at least "
            f"{math.ceil(1 / false_rejection) - 1} images that are predicted right; received "
            f"{len(statistics)}. Pass more images, or allow more rejections."
        )
    return float(np.sort(statistics)[rank - 1])


def _trade_off(statistics, right):
    order = np.argsort(statistics, kind="stable")
    kept = np.unique(np.linspace(1, len(order), _POINTS).round().astype(int))
    hits = np.cumsum(right[order])
    return tuple(
        TradeOff(
            float(statistics[order[count - 1]]), count / len(order), float(hits[count - 1] / count)
        )
        for count in kept.tolist()
    )
