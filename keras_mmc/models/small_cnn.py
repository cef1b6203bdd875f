"""A small convolutional network for images of one channel."""

import keras

from keras_mmc.models.base import classifier, normalized_input


def small_cnn(
    input_shape,
    num_classes=None,
    head=None,
    feature_dim=256,
    mean=0.0,
    std=1.0,
    name="small_cnn",
):
    """Four 3x3 convolutions (32, 32, 64, 64) in two pooled stages, and a linear feature layer.

    Args:
        input_shape: `(H, W, C)`, at least 4 x 4 pixels.
        num_classes: number of classes K, needed without a `head`.
        head: layer from features to scores, or `None` for a dense layer of logits.
        feature_dim: width d of the feature layer before the head.
        mean: mean to subtract inside the model, a number or one per channel.
        std: standard deviation to divide by inside the model, a number or one per channel.
        name: name of the model.

    Returns:
        A `keras.Model` from images `(N, H, W, C)` to float32 scores `(N, K)`.

    Raises:
        ValueError: if the arguments contradict each other or the image is too small.

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
    # and features that start near 0, the middle of the centres, instead of beyond them.
    x = keras.layers.LayerNormalization()(x)
    x = keras.layers.ReLU()(x)
    small = keras.initializers.VarianceScaling(0.02, "fan_in", "truncated_normal")
    return classifier(inputs, x, head, num_classes, feature_dim, name, kernel_initializer=small)
