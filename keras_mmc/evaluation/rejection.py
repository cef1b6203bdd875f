"""When a classifier should not answer: a threshold, and what it costs and catches."""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from scipy.special import softmax

from keras_mmc import objectives
from keras_mmc._files import replacing
from keras_mmc._tables import Column, Tabular, percent
from keras_mmc._validation import is_number
from keras_mmc.adapters.structure import distances_of, softmax_temperature
from keras_mmc.attacks import APGD, Ball, Runner
from keras_mmc.evaluation._inputs import labeled_images, some_images
from keras_mmc.evaluation.calibration import fit_temperature
from keras_mmc.evaluation.checkpoint import digest_of_weights
from keras_mmc.evaluation.rows import Detection

DISTANCE, UNSURE = "distance", "one_minus_max_probability"
_STEPS = 100
_POINTS = 21


@dataclasses.dataclass(frozen=True)
class TradeOff:
    """What a threshold would cost and give on clean images.

    Attributes:
        threshold: largest statistic that is accepted.
        coverage: fraction of the images that are accepted.
        accuracy: fraction of the accepted images that are predicted right.
    """

    threshold: float
    coverage: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class Rejection(Tabular):
    """When a classifier should not answer; what `calibrate_rejection` returns.

    Attributes:
        statistic: `"distance"`, of the features to the predicted center, or
            `"one_minus_max_probability"`, for heads without distances.
        threshold: an image is accepted if its statistic is at most this.
        temperature: of the softmax of the probabilities, fitted on the same images; that of the
            head if all of them are predicted right.
        false_rejection: fraction of correctly classified clean images that may be rejected.
        num_images: number of images it was calibrated on.
        digest: SHA-256 of the weights of the classifier.
        eps: radius of the attacks of `detections`, or `None` without attacks.
        trade_off: what other thresholds would give, the smallest first.
        detections: what the threshold catches.
    """

    statistic: str
    threshold: float
    temperature: float
    false_rejection: float
    num_images: int
    digest: str
    eps: float | None
    trade_off: tuple[TradeOff, ...]
    detections: tuple[Detection, ...]

    def accepts(self, model: keras.Model, scores: np.ndarray) -> np.ndarray:
        """Which images `(N,)` of scores `(N, K)` of the classifier are accepted."""
        return statistics_of(model, scores, self.temperature) <= self.threshold

    def check_fits(self, model: keras.Model) -> None:
        """Refuses another classifier than the one it was calibrated for; `ValueError`."""
        if digest_of_weights(model) != self.digest:
            raise ValueError(
                "The rejection was calibrated for other weights than this model has. Call "
                "`keras_mmc.calibrate_rejection` for it."
            )

    def _title(self):
        return (
            f"Accepted up to {self.statistic} {self.threshold:.4g}, calibrated on "
            f"{self.num_images} images, temperature {self.temperature:.3g}"
        )

    def _columns(self):
        rows = self.detections
        return (
            Column("images", [row.name for row in rows]),
            Column("number", [row.images for row in rows]),
            Column("wrong", [row.wrong for row in rows]),
            Column("of them rejected", [row.rejected for row in rows]),
            Column("correct or rejected", [row.correct_or_rejected for row in rows], percent),
        )

    def _notes(self):
        if self.eps is not None:
            yield (
                f"Attacks within eps {self.eps:g}. The last of them is what rejection is worth: an "
                "attacker who knows the detector has both."
            )

    def save(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write it as JSON, for `load`; return the path."""
        path = pathlib.Path(path)
        partial = path.with_name(f"{path.name}.partial")
        with replacing(path, partial):
            partial.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n", "utf-8")
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Rejection":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it holds something else.
        """
        text = pathlib.Path(path).read_text(encoding="utf-8")
        try:
            facts = json.loads(text)
            parts: Mapping[str, type] = {"trade_off": TradeOff, "detections": Detection}
            rows = {name: tuple(part(**row) for row in facts[name]) for name, part in parts.items()}
            return cls(**facts | rows)
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(
                f"{path} is no rejection that `Rejection.save` wrote: {error}"
            ) from error

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Save a picture, as PNG, of the accuracy of accepted images against their fraction."""
        # It imports matplotlib, which nothing else here needs.
        from keras_mmc import plotting

        coverage, accuracy = (
            [getattr(point, name) for point in self.trade_off] for name in ("coverage", "accuracy")
        )
        plotting.plot_curves(
            path,
            {"clean images": (coverage, accuracy)},
            "fraction of images that are accepted",
            "accuracy of accepted images",
            f"rejection by {self.statistic}",
        )


def calibrate_rejection(
    model: keras.Model,
    x: ArrayLike,
    y: ArrayLike | None = None,
    false_rejection: float = 0.01,
    *,
    eps: float | None = None,
    norm: str = "linf",
    box: tuple[float, float] = (0.0, 1.0),
    foreign: ArrayLike | None = None,
    num_attacked: int = 200,
    batch_size: int = 128,
    seed: int = 0,
) -> Rejection:
    """Find the threshold beyond which a classifier should not answer, and what it is worth.

    An image is rejected if it lies too far from what the model knows: by the distance of its
    features to the predicted center, for heads that give distances, else by one minus the largest
    probability. The threshold is the smallest that rejects at most `false_rejection` of images as
    these that are predicted right.

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
    found = Rejection(
        statistic_of(model),
        threshold,
        temperature,
        float(false_rejection),
        len(x),
        digest_of_weights(model),
        None if eps is None else float(eps),
        _trade_off(statistics, right),
        (_detection("clean images", ~right, statistics > threshold),),
    )
    detections = list(found.detections)
    if eps is not None:
        x, labels, within = x[:num_attacked], labels[:num_attacked], Ball(float(eps), norm, box)
        blind = APGD(steps=_STEPS, **dataclasses.asdict(within))
        ordinary = "apgd (margin)", runner.scores(runner.generate(blind, x, labels))
        detections += under_attack(runner, found, within, x, labels, ordinary)
    if foreign is not None:
        strangers = runner.scores(some_images(foreign, box))
        rejected = ~found.accepts(model, strangers)
        detections.append(_detection("foreign images", np.ones(len(rejected), bool), rejected))
    return dataclasses.replace(found, detections=tuple(detections))


def statistic_of(model: keras.Model) -> str:
    """The name of what says how far an image is from what a model knows."""
    return UNSURE if distances_of(model) is None else DISTANCE


def statistics_of(model: keras.Model, scores: np.ndarray, temperature: float) -> np.ndarray:
    """That statistic `(N,)`, the larger the farther, of scores `(N, K)`."""
    to_centers = distances_of(model)
    if to_centers is not None:
        distances = keras.ops.convert_to_numpy(to_centers(scores))
        return distances[np.arange(len(scores)), scores.argmax(axis=1)].astype("float64")
    return 1 - softmax(scores.astype("float64") / temperature, axis=1).max(axis=1)


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


def _detection(name, wrong, rejected):
    return Detection(name, len(wrong), int(wrong.sum()), int((wrong & rejected).sum()))


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
    aware = APGD(steps=_STEPS, objective=knowing(runner.model, rejection), **ball)
    known = "apgd that knows the detector", runner.scores(runner.generate(aware, x, labels))
    rows, wrongs, misses = [], [], []
    for name, scores in (ordinary, known):
        # NaN scores are no answer at all.
        wrong = ~(scores.argmax(axis=1) == labels)
        rejected = ~rejection.accepts(runner.model, scores)
        rows.append(_detection(name, wrong, rejected))
        wrongs.append(wrong)
        misses.append(wrong & ~rejected)
    both = _detection("the stronger of the two", np.logical_or(*wrongs), ~np.logical_or(*misses))
    return (*rows, both)


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
