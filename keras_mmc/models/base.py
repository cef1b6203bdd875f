"""What every network shares: normalisation inside the model, and the way features get scored."""

import keras
import numpy as np


def normalized_input(input_shape, mean, std):
    """An image input and its normalisation `(x - mean) / std`.

    The normalisation is a float32 layer of the model, so that images, attacks and served requests
    all live in the same box.

    Args:
        input_shape: `(H, W, C)`.
        mean: a number, or one per channel, in units of the input.
        std: a number, or one per channel, above 0.

    Returns:
        The pair of symbolic tensors `(inputs, normalised)`.

    Raises:
        ValueError: if the shape is not `(H, W, C)`, or `mean` and `std` do not fit the channels.
    """
    if len(input_shape) != 3 or None in tuple(input_shape):
        raise ValueError(
            f"Expected `input_shape` (height, width, channels) without the batch; received "
            f"{tuple(input_shape)}."
        )
    channels = input_shape[-1]
    inputs = keras.Input(input_shape, name="image")
    normalise = keras.layers.Normalization(
        mean=_per_channel("mean", mean, channels),
        variance=np.square(_per_channel("std", std, channels, positive=True)),
        dtype="float32",
        name="normalisation",
    )
    return inputs, normalise(inputs)


def classifier(
    inputs,
    features,
    head,
    num_classes,
    feature_dim,
    name,
    activation=None,
    kernel_initializer="he_normal",
):
    """End a network in a linear feature layer and a head, and make it a model.

    Args:
        inputs: symbolic input of the network.
        features: symbolic activations `(N, m)`.
        head: layer from features `(N, feature_dim)` to scores `(N, K)`, or `None` for a dense
            layer of logits.
        num_classes: number of classes; needed, and only taken, without a head.
        feature_dim: width of the feature layer.
        name: name of the model.
        activation: activation of the feature layer; none before a head with centres.
        kernel_initializer: initializer of the feature layer.

    Returns:
        A `keras.Model` that maps images to float32 scores; its layer "features" gives features.

    Raises:
        ValueError: if neither or both of `head` and `num_classes` are given, or `head` is not a
            layer.
    """
    if head is None:
        if not isinstance(num_classes, int) or num_classes < 2:
            raise ValueError(
                f"{name}: without a `head`, `num_classes` must be an integer of at least 2; "
                f"received {num_classes!r}."
            )
        head = keras.layers.Dense(num_classes, dtype="float32", name="scores")
    elif not isinstance(head, keras.layers.Layer):
        raise ValueError(
            f"{name}: `head` must be a Keras layer such as "
            f"keras_mmc.MaxMahalanobisCenters(10), or None; received {head!r}."
        )
    elif num_classes is not None:
        raise ValueError(
            f"{name}: the `head` fixes the number of classes; leave `num_classes` out "
            f"(received {num_classes!r})."
        )
    features = keras.layers.Dense(
        feature_dim, activation=activation, kernel_initializer=kernel_initializer, name="features"
    )(features)
    return keras.Model(inputs, head(features), name=name)


def _per_channel(name, value, channels, positive=False):
    values = np.asarray(value, dtype="float64").reshape(-1)
    if len(values) == 1:
        values = np.repeat(values, channels)
    if len(values) != channels or not np.all(np.isfinite(values)):
        raise ValueError(
            f"`{name}` must be a finite number or one per channel ({channels}); received {value!r}."
        )
    if positive and np.any(values <= 0):
        raise ValueError(f"`{name}` must be above 0; received {value!r}.")
    return values
