"""What every loss of scores and labels shares: checks, dtype, serialization, and what it needs."""

from typing import Any

import keras

from keras_mmc._backend import Tensor, snake_case
from keras_mmc._labels import as_tensor, check_labels, check_rows, concrete


class ScoreLoss(keras.losses.Loss):
    """Base class of losses that are functions of labels and scores `(N, K)`.

    A subclass implements `call(y_true, scores)` and returns one value per sample; reduction and
    sample weights are Keras'. Labels may be integers `(N,)` or `(N, 1)`, or one-hot rows `(N, K)`;
    `keras_mmc.losses.label_distribution` makes rows of all of them. A subclass with parameters
    passes `**kwargs` on, names its parameters in `config_fields` or extends `get_config`, and is
    registered with `keras.saving.register_keras_serializable`. The other class attributes tell
    heads, defenses and attacks what the loss needs, so that a combination that cannot work is
    refused before it trains.

    Losses compute in float32 or wider, even if `dtype` has 16 bits: bfloat16 cannot hold labels
    above 256, and `1/2 ||z - mu||^2` overflows float16 from a distance of 363 on.

    Attributes:
        config_fields: names of the parameters that are saved, each an attribute as well.
        needs_distances: whether the scores must be `-1/2 ||z - mu_k||^2`, because the loss has no
            lower bound, or no meaning, on free logits.
        needs_fixed_centers: whether the loss only pulls features to their center: centers that
            learn would all collapse into one point.
        needs_offsets: whether the head must have trainable offsets of its centers, with a prior.
        needs_features: whether the loss needs more than scores: what pulls the features to the
            centers of the head. Its value is `call_with_pulls`, and `call` the part that is a
            function of scores, for attacks. Only an `AdversarialModel` can train with it.
        pairwise: whether the value of a sample depends on the others of its batch, so that a batch
            must hold several classes and one bad sample spoils it.
        min_classes: the smallest number of classes with which the loss is not constant.
        says_true_class: whether the loss depends on the score of the true class; if not, it cannot
            train a classifier on its own.
        from_features: whether the loss takes features `(N, d)` in place of scores, and so leaves a
            model without scores to attack.

    Args:
        name: name of the loss; by default the name of the class in snake case.
        reduction: as in `keras.losses.Loss`.
        dtype: dtype of the computation; 16-bit dtypes are widened to float32.

    Raises:
        ValueError: for a parameter outside the range its class gives; when called, for scores that
            are not `(N, K)`, too few classes, or labels that are not one class id per row.

    Example:
    >>> class BrierLoss(keras_mmc.losses.ScoreLoss):
    ...     def call(self, y_true, scores):
    ...         targets = keras_mmc.losses.label_distribution(y_true, scores)
    ...         return keras.ops.sum((keras.ops.softmax(scores) - targets) ** 2, axis=-1)
    >>> BrierLoss()([0], [[0.0, 0.0]])
    0.5
    """

    config_fields: tuple[str, ...] = ()
    needs_distances = False
    needs_fixed_centers = False
    needs_offsets = False
    needs_features = False
    pairwise = False
    min_classes = 2
    says_true_class = True
    from_features = False

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ):
        computed_in = keras.dtype_policies.get(dtype or keras.config.floatx()).compute_dtype
        widened = "float32" if computed_in in ("float16", "bfloat16") else computed_in
        super().__init__(name or snake_case(type(self).__name__), reduction, widened)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        if self.needs_features:
            raise ValueError(
                f"{type(self).__name__} needs features, and a compiled loss gets scores alone: it "
                "would train without its centers. End the model in DenseWithCenters, and compile "
                "and fit keras_mmc.AdversarialModel(model). A model with LearnedCenters, as "
                "CenterLoss had in 0.1.0, trains with LGMLoss(margin=0, weight=...)."
            )
        y_pred = as_tensor(y_pred, "Scores")
        check_rows(y_true, y_pred)
        num_classes = self._num_classes(y_pred)
        self.check_classes(num_classes)
        labels = concrete(y_true)
        if labels is not None:
            check_labels(labels, num_classes)
        return super().__call__(y_true, y_pred, sample_weight)

    def call_with_pulls(self, y_true: Tensor, scores: Tensor, pulls: Tensor) -> Tensor:
        """The value of a loss that `needs_features`, `(N,)`, of scores and pulls `(N, K)`.

        The pulls are `1/2 ||z - c_k||^2` from the features to the centers of the head.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `call_with_pulls`.")

    def check_classes(self, num_classes: int) -> None:
        """Refuses with a `ValueError` fewer classes than `min_classes`."""
        if num_classes < self.min_classes:
            raise ValueError(
                f"{type(self).__name__} needs at least {self.min_classes} classes; received scores "
                f"of {num_classes}. With fewer it is constant: use another loss."
            )

    def _num_classes(self, y_pred: Tensor) -> int:
        return y_pred.shape[-1]

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self.config_fields}
        return {**super().get_config(), "dtype": self.dtype, **own}
