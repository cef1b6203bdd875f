"""When a classifier should not answer: a threshold, and what it costs and catches."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping

import keras
import numpy as np
from scipy.special import softmax

from keras_mmc._files import replacing
from keras_mmc._tables import Column, Tabular, percent
from keras_mmc.adapters.structure import distances_of
from keras_mmc.evaluation.checkpoint import digest_of_weights
from keras_mmc.evaluation.rows import Detection

DISTANCE, UNSURE = "distance", "one_minus_max_probability"


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
        detections: what the threshold costs and catches; the first row is about the images that it
            was calibrated on.
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
            Column("false rejection", [row.false_rejection for row in rows], percent),
            Column("coverage", [row.coverage for row in rows], percent),
            Column("accuracy", [row.accuracy for row in rows], percent),
            Column("correct or rejected", [row.correct_or_rejected for row in rows], percent),
        )

    def _notes(self):
        clean = self.detections[0]
        yield (
            f"At most {percent(self.false_rejection)} of right answers should be rejected, on "
            f"images like those of the calibration: {clean.falsely_rejected} of its "
            f"{clean.images - clean.wrong} are. Of other images more may be."
        )
        yield (
            "Coverage is the fraction that is accepted, accuracy that of right answers among them. "
            "Who rejects all is never wrong: read no column without coverage."
        )
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
