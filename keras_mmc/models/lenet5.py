"""LeNet-5 as the GCE paper trains it."""

import keras

from keras_mmc.models.base import PerChannel, Shape, classifier, normalized_input


def lenet5(
    input_shape: Shape,
    num_classes: int | None = None,
    head: keras.layers.Layer | None = None,
    feature_dim: int = 84,
    mean: PerChannel = 0.0,
    std: PerChannel = 1.0,
    name: str = "lenet5",
) -> keras.Model:
    """LeNet-5: convolutions 6@5x5 and 16@5x5 with max-pooling, dense 120, linear features.

    With a dense head the feature layer is followed by ReLU, which makes it LeNet-5's dense layer
    of 84; a head with centers takes the linear features themselves.

    Arguments, result and errors are those of every builder, see `keras_mmc.models`. Images
    have at least 12 x 12 pixels.

    Source: LeCun et al., 1998; layout of Chen et al., ICCV 2019, arXiv 1903.09799.

    Example:
    >>> keras_mmc.models.lenet5((28, 28, 1), num_classes=10).output_shape
    (None, 10)
    """
    inputs, x = normalized_input(input_shape, mean, std)
    x = keras.layers.Conv2D(6, 5, padding="same", activation="relu")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(16, 5, activation="relu")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(120, activation="relu")(x)
    activation = "relu" if head is None else None
    return classifier(inputs, x, head, num_classes, feature_dim, name, activation)
