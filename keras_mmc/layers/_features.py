"""What the graph says of the features that a head gets."""

from typing import Any

import keras

_NOT_NEGATIVE = ("relu", "relu6", "softplus", "sigmoid", "hard_sigmoid", "softmax", "exponential")
# They leave features that are not negative so.
_PASSING = (
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.MaxPooling2D,
)


def activation_before(features: Any) -> str | None:
    """The activation that keeps features from being negative, by name, or `None`.

    Of the features of a functional model the layers before are looked at, through pooling and the
    like; of anything else nothing is known.
    """
    history = getattr(features, "_keras_history", None)
    while history is not None:
        layer = history.operation
        if isinstance(layer, keras.Model):
            history = getattr(layer.outputs[0], "_keras_history", None)
            continue
        if isinstance(layer, keras.layers.ReLU) or type(layer).__name__ == "Relu":
            return "relu"  # the layer, or the operation of `keras.ops.relu`
        if not isinstance(layer, _PASSING):
            name = getattr(getattr(layer, "activation", None), "__name__", None)
            return name if name in _NOT_NEGATIVE else None
        history = getattr(layer.input, "_keras_history", None)
    return None
