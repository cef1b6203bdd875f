"""Layers that make scores of what other classifiers return."""

import keras
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc.adapters._answers import TINY


@keras.saving.register_keras_serializable("keras_mmc")
class TwoScores(keras.layers.Layer):
    """Scores `[0, s]` `(N, 2)` of one logit `s` `(N, 1)`, that of class 1; float32."""

    def call(self, inputs: Tensor) -> Tensor:
        logit = ops.cast(inputs, "float32")
        return ops.concatenate([ops.zeros_like(logit), logit], axis=-1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], 2)


@keras.saving.register_keras_serializable("keras_mmc")
class LogProbabilities(keras.layers.Layer):
    """Scores `log p` `(N, K)` of probabilities; `[log(1 - p), log p]` of a single one; float32."""

    def call(self, inputs: Tensor) -> Tensor:
        p = ops.cast(inputs, "float32")
        if p.shape[-1] == 1:
            p = ops.concatenate([1 - p, p], axis=-1)
        return ops.log(ops.maximum(p, TINY))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], max(2, input_shape[-1]))
