"""The head of g-SCE: a quadratic form of the features for every class, all of it trained."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._validation import check_count
from keras_mmc.centers.geometry import check_memory
from keras_mmc.layers.heads import ScoreHead


def _half(shape, dtype=None):
    """The factors of half a unit matrix of every class, as a Keras initializer."""
    half = np.broadcast_to(np.eye(shape[-1]) / np.sqrt(2), shape)
    return ops.convert_to_tensor(half, dtype=dtype)


@keras.saving.register_keras_serializable("keras_mmc")
class QuadraticHead(ScoreHead):
    """Head with quadratic logits `h_k = -(z - mu_k)^T Sigma_k (z - mu_k) + B_k`, all trained.

    With softmax cross-entropy it is g-SCE, the family that contains the softmax of a dense layer
    (all `Sigma_k` equal), MM-LDA and L-GM without its margin (`Sigma_k = I/2`, `B_k = 0`).
    `Sigma_k = A_k^T A_k` is symmetric and positive semi-definite for any `factors` `A` `(K, d, d)`,
    which start at `Sigma_k = I/2`: the scores are those of `LearnedCenters` then. The `centers`
    `mu` are `(K, d)`; the `biases` `B` `(K,)` start at 0, and let scores rise above 0.

    It has `K d^2` weights more than a dense layer: put it on narrow features.

    Args:
        num_classes: number of classes K, at least 2.
        initializer: Keras initializer of the centers.

    Source: Pang et al., ICLR 2020, arXiv 1905.10626, the generalized softmax cross-entropy
    (g-SCE). The factors and where they start are choices of this package.

    Example:
    >>> head = keras_mmc.QuadraticHead(10)
    >>> model = keras_mmc.models.lenet5((28, 28, 1), head=head)
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    """

    config_fields = ("num_classes", "initializer")

    def __init__(self, num_classes: int, initializer: Any = "glorot_uniform", **kwargs: Any):
        super().__init__(**kwargs)
        self.num_classes = check_count(self, "num_classes", num_classes, least=2)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        dim = self.check_features(input_shape)
        self.centers = self.add_weight((self.num_classes, dim), self.initializer, name="centers")
        shape = (self.num_classes, dim, dim)
        check_memory(self.num_classes, dim * dim)
        self.factors = self.add_weight(shape, _half, name="factors")
        self.biases = self.add_weight((self.num_classes,), "zeros", name="biases")

    def call(self, inputs: Tensor) -> Tensor:
        offsets = ops.expand_dims(inputs, axis=1) - self.centers  # (N, K, d)
        lengths = ops.square(ops.einsum("kij,nkj->nki", self.factors, offsets))
        return self.biases - ops.sum(lengths, axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.num_classes)
