"""Small convolutional networks without residual connections."""

import keras

from keras_mmc._validation import check_count
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
    of 84; a head with centers takes the linear features themselves. Arguments as in
    `keras_mmc.models`. Images have at least 12 x 12 pixels.

    Source: LeCun et al., 1998; layout of Chen et al., ICCV 2019, arXiv 1903.09799.

    Example:
    >>> keras_mmc.models.lenet5((28, 28, 1), num_classes=10).output_shape
    (None, 10)
    """
    check_count(name, "feature_dim", feature_dim)
    inputs, x = normalized_input(input_shape, mean, std)
    x = keras.layers.Conv2D(6, 5, padding="same", activation="relu")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(16, 5, activation="relu")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(120, activation="relu")(x)
    activation = "relu" if head is None else None
    return classifier(inputs, x, head, num_classes, feature_dim, name, activation)


def small_cnn(
    input_shape: Shape,
    num_classes: int | None = None,
    head: keras.layers.Layer | None = None,
    feature_dim: int = 256,
    mean: PerChannel = 0.0,
    std: PerChannel = 1.0,
    name: str = "small_cnn",
) -> keras.Model:
    """Four 3x3 convolutions (32, 32, 64, 64) in two pooled stages, and a linear feature layer.

    Arguments as in `keras_mmc.models`. Images have at least 4 x 4 pixels.

    Example:
    >>> model = keras_mmc.models.small_cnn((28, 28, 1), head=keras_mmc.MaxMahalanobisCenters(10))
    >>> model.output_shape
    (None, 10)
    """
    check_count(name, "feature_dim", feature_dim)
    inputs, x = normalized_input(input_shape, mean, std)
    for filters in (32, 64):
        for _ in range(2):
            x = keras.layers.Conv2D(
                filters, 3, padding="same", activation="relu", kernel_initializer="he_normal"
            )(x)
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(200, kernel_initializer="he_normal")(x)
    # Two things keep the quadratic MMC loss stable under SGD with rate 0.01: bounded activations,
    # and features that start near 0, the middle of the centers, instead of beyond them.
    x = keras.layers.LayerNormalization()(x)
    x = keras.layers.ReLU()(x)
    small = keras.initializers.VarianceScaling(0.02, "fan_in", "truncated_normal")
    return classifier(inputs, x, head, num_classes, feature_dim, name, kernel_initializer=small)
