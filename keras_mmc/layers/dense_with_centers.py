"""The head of center loss: a dense classifier, and a center of every class beside it."""

from typing import Any

import keras
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._scores import center_scores
from keras_mmc._validation import check_count, check_number
from keras_mmc.layers.heads import ScoreHead


@keras.saving.register_keras_serializable("keras_mmc")
class DenseWithCenters(ScoreHead):
    """Dense head, scores `z W + b`, with class centers beside it that follow the features.

    Meant for `CenterLoss` in an `AdversarialModel`, whose scores it gives and whose features it
    pulls to its `centers` `(K, d)`. These start at 0 and take no gradient: after each optimizer
    step, with the features `z_i` of the images whose loss it lowered,
    `c_k <- c_k - rate * sum_{i: y_i = k} (c_k - z_i) / (1 + n_k)`, where `n_k` counts the images of
    class k, on all replicas. With sample weights an image counts as often as it weighs; a defense
    that lowers the loss of clean and of adversarial images counts both; skipped images and skipped
    steps move nothing. With any other loss it is a dense layer.

    Args:
        num_classes: number of classes K, at least 2.
        rate: how far a center moves, `alpha` in the paper, from 0 to 1. The default is remembered
            as that of the paper, not compared with its text; so is the update above.
        initializer: Keras initializer of the weights `W` `(d, K)`.

    Source: Wen et al., *A Discriminative Feature Learning Approach for Deep Face Recognition*,
    ECCV 2016.

    Example:
    >>> keras_mmc.DenseWithCenters(10)(np.zeros((1, 64), "float32")).shape
    (1, 10)
    """

    config_fields = ("num_classes", "rate", "initializer")
    gives_pulls = True

    def __init__(
        self,
        num_classes: int,
        rate: float = 0.5,
        initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_classes = check_count(self, "num_classes", num_classes, least=2)
        check_number(self, "rate", rate, at_least=0, at_most=1)
        self.rate = rate
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        dim = self.check_features(input_shape)
        self.kernel = self.add_weight((dim, self.num_classes), self.initializer, name="kernel")
        self.bias = self.add_weight((self.num_classes,), "zeros", name="bias")
        self.centers = self.add_weight(
            (self.num_classes, dim),
            "zeros",
            trainable=False,
            aggregation="only_first_replica",  # all move them alike
            name="centers",
        )

    def call(self, inputs: Tensor) -> Tensor:
        return ops.matmul(inputs, self.kernel) + self.bias

    def pull(self, features: Tensor) -> Tensor:
        """`1/2 ||z - c_k||^2`, `(N, K)`, of features `(N, d)`, in the dtype of the head."""
        return -center_scores(ops.cast(features, self.compute_dtype), self.centers)

    def move_centers(self, sums: Tensor, counts: Tensor) -> None:
        """Move the centers toward features of their class: sums `(K, d)` of `counts` `(K,)` ones.

        A class without features stays where it is.
        """
        counts = ops.expand_dims(counts, axis=-1)
        self.centers.assign_add(self.rate * (sums - counts * self.centers) / (1 + counts))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.num_classes)
