"""Mistakes of those who ask: figures that are right and answer another question than was meant."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from scipy.stats import binomtest

from keras_mmc.adapters import structure
from keras_mmc.attacks import Ball
from keras_mmc.evaluation.rows import MODEL, SETTINGS, Diagnostic, diagnostic

Range = tuple[float, float]
_SIGNIFICANT = 0.01
# Ranges that pixels have, how many images are asked about them, and what counts as better.
_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
_ASKED = 200
_GAIN = 0.1
# What a model overrides that does more in `predict` than in a call.
_PREDICTING = ("predict", "predict_step", "predict_on_batch", "make_predict_function")


def tiny_ball(ball: Ball) -> Diagnostic:
    """The radius as a fraction of the width of the box."""
    low, high = ball.box
    fraction = ball.eps / (high - low)
    text = (
        f"eps={ball.eps:.4g} is less than a thousandth of the box [{low:g}, {high:g}]: images "
        "hardly change, and robust accuracy is clean accuracy. eps is in the units of the images: "
        "8, not 8 / 255, for pixels up to 255."
    )
    return diagnostic({"fraction": fraction}, ball.is_tiny, SETTINGS, text)


def near_chance(correct: np.ndarray, labels: np.ndarray) -> Diagnostic:
    """Clean accuracy beside that of always answering the most frequent class.

    Args:
        correct: booleans `(N,)`, whether the model is right on the images as they are.
        labels: integers `(N,)`.
    """
    clean, most = float(correct.mean()), float(np.bincount(labels).max() / len(labels))
    chance = binomtest(int(correct.sum()), len(correct), min(most, 1.0), alternative="greater")
    text = (
        f"Clean accuracy is {100 * clean:.1f} %, no better than always answering the most frequent "
        f"class ({100 * most:.1f} %). Are pixels in the range that the model was trained on, and "
        "labels in its order?"
    )
    figures = {"clean": clean, "most_frequent": most, "images": len(labels)}
    fired = most < 1 and chance.pvalue > _SIGNIFICANT
    return diagnostic(figures, fired, SETTINGS, text)


def pixel_range(
    scores_of: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    labels: np.ndarray,
    box: Range,
) -> Diagnostic:
    """Clean accuracy beside the best on the same images, moved into another range of pixels.

    Args:
        scores_of: scores `(n, K)` of images.
        x: images `(N, ...)`, of which the first 200 are asked about.
        labels: integers `(N,)`.
        box: where images are said to live.
    """
    x, labels = x[:_ASKED].astype("float64"), labels[:_ASKED]

    def right(start: Range, end: Range) -> np.ndarray:
        moved = end[0] + (x - start[0]) * ((end[1] - end[0]) / (start[1] - start[0]))
        return scores_of(moved.astype("float32")).argmax(axis=1) == labels

    own = (float(box[0]), float(box[1]))
    starts = {own}
    if x.min() >= 0 and x.max() <= 1:
        starts.add((0.0, 1.0))  # whatever the box
    here = right(own, own)
    moves = [(a, b) for a in sorted(starts) for b in dict.fromkeys((*_RANGES, own)) if a != b]
    found = {move: right(*move) for move in moves}
    start, end = max(moves, key=lambda move: found[move].sum())
    there = found[start, end]
    gained, lost = int((there & ~here).sum()), int((here & ~there).sum())
    clean, moved = float(here.mean()), float(there.mean())
    certain = gained > lost and binomtest(gained, gained + lost).pvalue < _SIGNIFICANT
    text = (
        f"Clean accuracy is {100 * clean:.1f} %, but {100 * moved:.1f} % if the values of the "
        f"images are moved from [{start[0]:g}, {start[1]:g}] to [{end[0]:g}, {end[1]:g}]: the "
        "model was trained on that range. Give it such images, with that `box` and an `eps` in "
        "its units."
    )
    figures = {"clean": clean, "moved": moved}
    return diagnostic(figures, certain and moved > clean + _GAIN, SETTINGS, text)


def predict_disagrees(model: Any, x: np.ndarray, predictions: np.ndarray) -> Diagnostic:
    """The fraction of images that `model.predict` puts into another class than the scores do.

    Only a model that overrides what `predict` does is asked: others call themselves.

    Args:
        model: the model as it was given.
        x: images `(n, ...)`.
        predictions: classes `(n,)` of the scores that were attacked.
    """
    overridden = isinstance(model, keras.Model) and any(
        getattr(type(model), name) is not getattr(keras.Model, name) for name in _PREDICTING
    )
    fraction = 0.0
    if overridden:
        found = np.asarray(model.predict(x, verbose=0))
        if found.ndim == 2 and found.shape[1] > 1:
            fraction = float(np.mean(found.argmax(axis=1) != predictions))
    text = (
        f"`predict` of {type(model).__name__} puts {100 * fraction:.1f} % of the images into "
        "another class than calling the model does: it does something before or after, which "
        "attacks do not see. Make a model of both parts, and attack that."
    )
    return diagnostic({"fraction": fraction}, fraction > 0.01, SETTINGS, text)


def evaluate_disagrees(
    model: Any, x: np.ndarray, labels: np.ndarray, predictions: np.ndarray
) -> Diagnostic:
    """The accuracy that `model.evaluate` reports, beside that of the scores.

    Only a compiled model with a `test_step` of the user's is asked: others report on what a call
    returns.

    Args:
        model: the model as it was given.
        x: images `(n, ...)`.
        labels: integers `(n,)`.
        predictions: classes `(n,)` of the scores that were attacked.
    """
    clean = told = float(np.mean(predictions == labels))
    step = type(model).test_step if isinstance(model, keras.Model) else keras.Model.test_step
    own = step is not keras.Model.test_step and not step.__module__.startswith("keras_mmc.")
    if own and model.compiled:
        told = _evaluated(model, x, labels, clean)
    text = (
        f"`evaluate` of {type(model).__name__} reports an accuracy of {100 * told:.1f} %, its "
        f"scores have {100 * clean:.1f} %: its `test_step` does something to the images that "
        "attacks do not see. Make a model of both parts, and attack that."
    )
    return diagnostic({"clean": clean, "evaluate": told}, told > clean + _GAIN, SETTINGS, text)


def _evaluated(model, x, labels, otherwise):
    """The first accuracy among the metrics; `otherwise` where there is none, or it fails."""
    loss = getattr(model.loss, "name", model.loss)
    if str(loss).startswith("categorical"):
        labels = np.eye(model.output_shape[-1])[labels]
    try:
        logs = model.evaluate(x, labels, verbose=0, return_dict=True)
    except Exception:  # what a step of the user's raises is not known
        return otherwise
    return next((float(logs[name]) for name in logs if "accuracy" in name), otherwise)


def broken_weights(model: keras.Layer) -> Diagnostic:
    """The number of weights with NaN or infinity: a ReLU behind them hides it from the scores."""
    broken = structure.broken_weights(model)
    text = (
        f"{len(broken)} of {len(model.weights)} weights hold NaN or infinity, such as "
        f"{broken[0] if broken else ''!r}: training has diverged, whatever the scores say."
    )
    return diagnostic({"weights": len(broken)}, bool(broken), MODEL, text)
