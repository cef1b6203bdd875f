"""What every head shares: float32 scores, the check of its input, and its configuration."""

from typing import Any

import keras


class ScoreHead(keras.layers.Layer):
    """Base class of heads: from features `(N, d)` to scores `(N, K)` in float32 or wider.

    A subclass makes its weights in `build`, for the width that `check_features` returns, and
    computes the scores in `call`. It is registered with
    `keras.saving.register_keras_serializable`, and names its parameters in `config_fields` or
    extends `get_config`. Input shape: `(N, d)`. Output shape: `(N, K)`.

    Attributes:
        config_fields: names of the parameters that are saved, each an attribute as well.
        gives_distances: set it to `True` if the scores are `-1/2 ||z - mu_k||^2` and so never
            above 0, as losses with `needs_distances` ask for.

    Args:
        dtype: "float32" (also under mixed precision) or "float64". Scores of a 16-bit dtype would
            lose the small differences that decide, and attacks would be blind.
        **kwargs: `name` and `trainable`, as for every Keras layer.

    Raises:
        ValueError: for another dtype or an argument out of range; when built, for features of
            another shape.
    """

    config_fields: tuple[str, ...] = ()
    gives_distances = False

    def __init__(self, dtype: Any = "float32", **kwargs: Any):
        super().__init__(dtype=dtype, **kwargs)
        if self.compute_dtype not in ("float32", "float64"):
            raise ValueError(
                f"{type(self).__name__} computes in float32 or float64; received dtype {dtype!r}. "
                "Leave `dtype` out: the head stays in float32 under a mixed-precision policy."
            )

    @property
    def softmax_temperature(self) -> float:
        """The temperature at which a softmax of the scores of a trained network is not one-hot.

        Terms that compare probabilities, such as the divergence of TRADES, divide scores by it.
        """
        return 1.0

    def check_features(self, input_shape: tuple[int | None, ...]) -> int:
        """Return the width d of features of shape `(N, d)`; refuse any other shape."""
        if len(input_shape) != 2 or input_shape[-1] is None:
            raise ValueError(
                f"{type(self).__name__} expects features of shape (N, d) with a known width d; "
                f"received shape {tuple(input_shape)}. Put a Flatten or GlobalAveragePooling2D and "
                "a Dense layer before it."
            )
        return input_shape[-1]

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self.config_fields}
        return {**super().get_config(), **keras.saving.serialize_keras_object(own)}
