"""How well the size of the scores tells adversarial images from clean ones."""

import dataclasses

import keras
import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from keras_mmc._arrays import check_scores
from keras_mmc.attacks import Runner
from keras_mmc.evaluation._inputs import some_images


def _margin(scores):
    top = np.sort(scores, axis=1)
    return top[:, -1] - top[:, -2]


_CONFIDENCES = {"max_score": lambda scores: scores.max(axis=1), "margin": _margin}


@dataclasses.dataclass(frozen=True)
class DetectionAUC:
    """Result of `detection_auc`.

    Attributes:
        auc: probability that a clean image has a higher confidence than an adversarial one, ties
            counted half: 1 tells them apart, 0.5 is guessing, below 0.5 the adversarial ones look
            more confident.
        score: `"max_score"` or `"margin"`.
        num_clean: number of clean images.
        num_adversarial: number of adversarial images.
    """

    auc: float
    score: str
    num_clean: int
    num_adversarial: int

    def __str__(self):
        return (
            f"Detection by {self.score}: AUC {self.auc:.4f} "
            f"({self.num_clean} clean, {self.num_adversarial} adversarial images)"
        )


def detection_auc(
    model: keras.Model,
    x_clean: ArrayLike,
    x_adv: ArrayLike,
    score: str = "max_score",
    *,
    box: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 128,
) -> DetectionAUC:
    """Area under the ROC curve of telling clean from adversarial images by the model's confidence.

    It says nothing about an attacker who knows the detector: such an attacker raises the score of
    the wrong class until both look alike.

    Args:
        model: Keras model from images to scores `(N, K)`.
        x_clean: images `(N, ...)`, floats inside the box.
        x_adv: adversarial images `(M, ...)`, floats inside the box.
        score: confidence of an image: `"max_score"`, the largest score, or `"margin"`, the largest
            minus the second largest.
        box: `(low, high)`, where images live.
        batch_size: images per pass.

    Returns:
        A `DetectionAUC`.

    Raises:
        ValueError: for an unknown `score`, or if images or the model's scores do not fit.

    Source: Pang et al., ICLR 2020 (arXiv 1905.10626), detection by the largest score.

    Example:
    >>> x_adv = keras_mmc.attacks.PGD(8 / 255)(model, x_test, y_test)
    >>> print(keras_mmc.evaluation.detection_auc(model, x_test, x_adv))
    """
    if score not in _CONFIDENCES:
        raise ValueError(f"`score` must be one of {sorted(_CONFIDENCES)}; received {score!r}.")

    runner = Runner(model, batch_size)

    def confidence(x):
        scores = runner.scores(some_images(x, box))
        check_scores(scores)
        return _CONFIDENCES[score](scores)

    clean, adversarial = confidence(x_clean), confidence(x_adv)
    # The ranks of the clean images, less those they have among themselves, count the pairs.
    ranks = rankdata(np.concatenate([clean, adversarial]))[: len(clean)]
    pairs = ranks.sum() - len(clean) * (len(clean) + 1) / 2
    auc = pairs / (len(clean) * len(adversarial))
    return DetectionAUC(float(auc), score, len(clean), len(adversarial))
