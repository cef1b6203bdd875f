"""The base class of regularizers of an `AdversarialModel`."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import tensorflow as tf

from keras_mmc._backend import require_tensorflow
from keras_mmc._gradients import ScoreFn
from keras_mmc._serialization import Configurable

require_tensorflow("keras_mmc.regularizers")


@dataclasses.dataclass(frozen=True)
class Regularizer(Configurable):
    """Base class of regularizers: a frozen dataclass of parameters, without state.

    A subclass overrides `penalty`, which is added to the loss, or `perturbations`, which says where
    in weight space the gradient is taken; the latter sets `perturbs_weights`. A field that does not
    fit raises a `ValueError`.
    """

    perturbs_weights: ClassVar[bool] = False

    def penalty(self, score_fn: ScoreFn, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor | float:
        """What is added to the loss of every sample, `(N,)`; differentiable in the weights.

        Args:
            score_fn: maps images to scores `(N, K)`, the model in inference mode.
            x: the images trained on, perturbed where the defense has an attack.
            y: labels, `int32`, `(N,)`.
        """
        return 0.0

    def perturbations(
        self, weights: Sequence, gradients: Sequence[tf.Tensor], epoch: tf.Tensor
    ) -> list[tf.Tensor]:
        """What is added to the weights, as a constant, while the training gradient is taken.

        The result has the shapes of the trainable `weights`. The `gradients` are those of the loss
        of the defense, summed over all replicas, times a positive factor under loss scaling; 0
        where it does not depend on a weight. `epoch` is an `int32` scalar, from 0.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `perturbations`.")
