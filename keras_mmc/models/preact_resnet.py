"""The two networks that robustness leaderboards compare on: pre-activation ResNet-18 and WRN."""

import keras

from keras_mmc.models.base import classifier, normalized_input


def preact_resnet18(
    input_shape,
    num_classes=None,
    head=None,
    feature_dim=256,
    mean=0.0,
    std=1.0,
    name="preact_resnet18",
):
    """Pre-activation ResNet-18: four stages of two basic blocks, 64 to 512 filters.

    Args:
        input_shape: `(H, W, C)`.
        num_classes: number of classes K, needed without a `head`.
        head: layer from features to scores, or `None` for a dense layer of logits.
        feature_dim: width d of the feature layer before the head.
        mean: mean to subtract inside the model, a number or one per channel.
        std: standard deviation to divide by inside the model, a number or one per channel.
        name: name of the model.

    Returns:
        A `keras.Model` from images `(N, H, W, C)` to float32 scores `(N, K)`.

    Raises:
        ValueError: if the arguments contradict each other.

    Source: He et al., ECCV 2016, arXiv 1603.05027.

    Example:
    >>> keras_mmc.models.preact_resnet18((32, 32, 3), num_classes=10).output_shape
    (None, 10)
    """
    inputs, x = normalized_input(input_shape, mean, std)
    x = _conv(64)(x)
    for filters in (64, 128, 256, 512):
        x = _stage(x, filters, blocks=2, strides=1 if filters == 64 else 2)
    x = keras.layers.GlobalAveragePooling2D()(_activated(x))
    return classifier(inputs, x, head, num_classes, feature_dim, name)


def wide_resnet(
    input_shape,
    num_classes=None,
    depth=34,
    width=10,
    head=None,
    feature_dim=256,
    mean=0.0,
    std=1.0,
    name=None,
):
    """Wide residual network WRN-`depth`-`width`: three stages of `(depth - 4) / 6` basic blocks.

    Args:
        input_shape: `(H, W, C)`.
        num_classes: number of classes K, needed without a `head`.
        depth: `6n + 4`: 10, 16, 22, 28, 34, 70, ...
        width: factor on the filters 16, 32 and 64 of the stages.
        head: layer from features to scores, or `None` for a dense layer of logits.
        feature_dim: width d of the feature layer before the head.
        mean: mean to subtract inside the model, a number or one per channel.
        std: standard deviation to divide by inside the model, a number or one per channel.
        name: name of the model; "wrn_{depth}_{width}" by default.

    Returns:
        A `keras.Model` from images `(N, H, W, C)` to float32 scores `(N, K)`.

    Raises:
        ValueError: if `depth` is not `6n + 4`, `width < 1`, or the arguments contradict each other.

    Source: Zagoruyko & Komodakis, *Wide Residual Networks*, BMVC 2016, arXiv 1605.07146.

    Example:
    >>> keras_mmc.models.wide_resnet((32, 32, 3), num_classes=10, depth=10, width=1).name
    'wrn_10_1'
    """
    blocks, rest = divmod(depth - 4, 6)
    if rest or blocks < 1 or width < 1:
        raise ValueError(
            "wide_resnet: `depth` must be 6n + 4 (10, 16, 22, 28, 34, ...) and `width` at least "
            f"1; received depth={depth!r}, width={width!r}."
        )
    inputs, x = normalized_input(input_shape, mean, std)
    x = _conv(16)(x)
    for filters in (16, 32, 64):
        x = _stage(x, filters * width, blocks, strides=1 if filters == 16 else 2)
    x = keras.layers.GlobalAveragePooling2D()(_activated(x))
    return classifier(inputs, x, head, num_classes, feature_dim, name or f"wrn_{depth}_{width}")


def _stage(x, filters, blocks, strides):
    """Pre-activation basic blocks; the first changes size and so projects its shortcut."""
    for block in range(blocks):
        step = strides if block == 0 else 1
        activated = _activated(x)
        y = _conv(filters, step)(activated)
        y = _conv(filters)(_activated(y))
        if step != 1 or x.shape[-1] != filters:
            x = _conv(filters, step, size=1)(activated)
        x = keras.layers.Add()([x, y])
    return x


def _conv(filters, strides=1, size=3):
    return keras.layers.Conv2D(
        filters, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )


def _activated(x):
    return keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
