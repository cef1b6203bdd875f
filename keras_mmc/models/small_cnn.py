"""A small convolutional network for images of one channel."""

import keras

from keras_mmc.models.base import PerChannel, Shape, classifier, normalized_input


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

    Arguments, result and errors are those of every builder, see `keras_mmc.models`. Images
    have at least 4 x 4 pixels.

    Example:
    >>> model = keras_mmc.models.small_cnn((28, 28, 1), head=keras_mmc.MaxMahalanobisCenters(10))
    >>> model.output_shape
    (None, 10)
    """
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
