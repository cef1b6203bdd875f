"""Center loss: cross-entropy of a classifier, and a pull of its features to separate centers."""

from typing import Any

import keras

from keras_mmc._backend import Tensor
from keras_mmc._labels import as_scores, label_distribution
from keras_mmc._validation import check_number
from keras_mmc.losses.base import ScoreLoss
from keras_mmc.losses.cross_entropy import softmax_cross_entropy
from keras_mmc.losses.mmc import mmc


def center(y_true: Tensor, scores: Tensor, pulls: Tensor, weight: float) -> Tensor:
    """Softmax cross-entropy of scores `(N, K)` plus `weight` times the pull of the own center.

    The `pulls` `(N, K)`, of the dtype of the scores, are `1/2 ||z - c_k||^2`, as
    `keras_mmc.layers.DenseWithCenters.pull` gives them.

    Source: Wen et al., *A Discriminative Feature Learning Approach for Deep Face Recognition*,
    ECCV 2016.

    Example:
    >>> scores, pulls = keras.ops.array([[1.0, 1.0]]), keras.ops.array([[2.0, 8.0]])
    >>> keras_mmc.losses.center([0], scores, pulls, weight=0.5)
    [1.6931472]
    """
    check_number("center", "weight", weight, at_least=0)
    scores, pulls = as_scores(scores), as_scores(pulls, "Pulls")
    targets = label_distribution(y_true, scores)
    return softmax_cross_entropy(targets, scores) + weight * mmc(targets, -pulls)


@keras.saving.register_keras_serializable("keras_mmc")
class CenterLoss(ScoreLoss):
    """Center loss: softmax cross-entropy, and a pull of the features to the center of their class.

    `CE(s, y) + weight / 2 ||z - c_y||^2`. The classifier and the centers are separate, both in the
    head `keras_mmc.layers.DenseWithCenters`, which also says how the centers move. The second term
    needs the features `z`, which a compiled loss does not get: the loss trains inside an
    `AdversarialModel` only, without a defense too, and refuses to be called by a plain
    `model.compile`. Attacks see scores; those that climb this loss, such as
    `objective="training_loss"`, climb the cross-entropy alone.

    With classifier and centers in one, which this class was in 0.1.0, it is
    `LGMLoss(margin=0, weight=weight)` on `LearnedCenters`.

    Args:
        weight: weight `lambda` of `1/2 ||z - c_y||^2`, at least 0. The default is remembered as
            that of the paper, not compared with its text.

    Source: Wen et al., ECCV 2016; see `keras_mmc.losses.center`.

    Raises:
        ValueError: when called as a Keras loss.

    Example:
    >>> model = keras_mmc.models.lenet5((28, 28, 1), head=keras_mmc.DenseWithCenters(10))
    >>> robust = keras_mmc.AdversarialModel(model)
    >>> robust.compile(optimizer="adam", loss=keras_mmc.CenterLoss(), metrics=["accuracy"])
    """

    config_fields = ("weight",)
    needs_features = True

    def __init__(self, weight: float = 0.003, **kwargs: Any):
        super().__init__(**kwargs)
        check_number(self, "weight", weight, at_least=0)
        self.weight = weight

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return softmax_cross_entropy(label_distribution(y_true, y_pred), y_pred)

    def call_with_pulls(self, y_true: Tensor, scores: Tensor, pulls: Tensor) -> Tensor:
        return center(y_true, scores, pulls, self.weight)
