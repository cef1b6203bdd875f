"""What every network shares: normalization inside the model, and the way features get scored."""

import keras
import numpy as np

from keras_mmc._backend import Tensor
from keras_mmc._validation import check, check_count, is_count

Shape = tuple[int, int, int]
PerChannel = float | tuple[float, ...] | np.ndarray


def normalized_input(
    input_shape: Shape, mean: PerChannel, std: PerChannel
) -> tuple[Tensor, Tensor]:
    """An image input and its normalization `(x - mean) / std`, two symbolic tensors.

    The normalization is a float32 layer of the model, so that images, attacks and served requests
    all live in the same box. Arguments as in `keras_mmc.models`; a `ValueError` refuses a shape
    that is not `(H, W, C)`, and a `mean` or `std` that does not fit the channels.
    """
    if len(input_shape) != 3 or None in tuple(input_shape):
        raise ValueError(
            f"Expected `input_shape` (height, width, channels) without the batch; received "
            f"{tuple(input_shape)}."
        )
    channels = input_shape[-1]
    inputs = keras.Input(input_shape, name="image")
    means = _per_channel("mean", mean, channels)
    variances = np.square(_per_channel("std", std, channels, positive=True))
    normalize = keras.layers.Normalization(
        mean=means, variance=variances, dtype="float32", name="normalization"
    )
    return inputs, normalize(inputs)


def batch_norm_relu(x: Tensor) -> Tensor:
    """Batch normalization and ReLU."""
    return keras.layers.ReLU()(keras.layers.BatchNormalization()(x))


def classifier(
    inputs: Tensor,
    features: Tensor,
    head: keras.layers.Layer | None,
    num_classes: int | None,
    feature_dim: int | None,
    name: str,
    activation: str | None = None,
    kernel_initializer: str | keras.initializers.Initializer = "he_normal",
) -> keras.Model:
    """End a network in a layer "features" and a head, and make it a model of float32 scores.

    `features` are symbolic activations `(N, m)` for the feature layer, which takes `activation`,
    none before a head with centers, and `kernel_initializer`; without one, `feature_dim=None`, they
    get its name. The rest as in `keras_mmc.models`. A `ValueError` refuses neither or both of
    `head` and `num_classes`, a head of another type, and a `feature_dim` that is no count.
    """
    if head is None:
        expected = "an integer of at least 2 without a `head`"
        check(name, "num_classes", num_classes, is_count(num_classes, 2), expected)
        head = keras.layers.Dense(num_classes, dtype="float32", name="scores")
    else:
        expected = "a Keras layer such as keras_mmc.MaxMahalanobisCenters(10), or None"
        check(name, "head", head, isinstance(head, keras.layers.Layer), expected)
        if num_classes is not None:
            raise ValueError(
                f"{name}: the `head` fixes the number of classes; leave `num_classes` out "
                f"(received {num_classes!r})."
            )
    if feature_dim is None:
        features = keras.layers.Identity(name="features")(features)
    else:
        units = check_count(name, "feature_dim", feature_dim)
        options = {"activation": activation, "kernel_initializer": kernel_initializer}
        features = keras.layers.Dense(units, name="features", **options)(features)
    return keras.Model(inputs, head(features), name=name)


def _per_channel(name: str, value: PerChannel, channels: int, positive: bool = False) -> np.ndarray:
    values = np.asarray(value, dtype="float64").reshape(-1)
    if len(values) not in (1, channels) or not np.all(np.isfinite(values)):
        raise ValueError(
            f"`{name}` must be a finite number or one per channel ({channels}); received {value!r}."
        )
    if positive and np.any(values <= 0):
        raise ValueError(f"`{name}` must be above 0; received {value!r}.")
    return np.resize(values, channels)
