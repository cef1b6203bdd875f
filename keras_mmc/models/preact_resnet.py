"""The two networks that robustness leaderboards compare on: pre-activation ResNet-18 and WRN."""

import keras

from keras_mmc._backend import Tensor
from keras_mmc.models.base import PerChannel, Shape, batch_norm_relu, classifier, normalized_input


def preact_resnet18(
    input_shape: Shape,
    num_classes: int | None = None,
    head: keras.layers.Layer | None = None,
    feature_dim: int = 256,
    mean: PerChannel = 0.0,
    std: PerChannel = 1.0,
    name: str = "preact_resnet18",
) -> keras.Model:
    """Pre-activation ResNet-18: four stages of two basic blocks, 64 to 512 filters.

    Arguments as in `keras_mmc.models`.

    Source: He et al., ECCV 2016, arXiv 1603.05027.

    Example:
    >>> keras_mmc.models.preact_resnet18((32, 32, 3), num_classes=10).output_shape
    (None, 10)
    """
    inputs, x = normalized_input(input_shape, mean, std)
    x = _conv(64)(x)
    for filters in (64, 128, 256, 512):
        x = _stage(x, filters, blocks=2, strides=1 if filters == 64 else 2)
    x = keras.layers.GlobalAveragePooling2D()(batch_norm_relu(x))
    return classifier(inputs, x, head, num_classes, feature_dim, name)


def wide_resnet(
    input_shape: Shape,
    num_classes: int | None = None,
    depth: int = 34,
    width: int = 10,
    head: keras.layers.Layer | None = None,
    feature_dim: int = 256,
    mean: PerChannel = 0.0,
    std: PerChannel = 1.0,
    name: str | None = None,
) -> keras.Model:
    """Wide residual network WRN-`depth`-`width`: three stages of `(depth - 4) / 6` basic blocks.

    Arguments as in `keras_mmc.models`. `depth` is `6n + 4`: 10, 16, 22, 28, 34, 70, ..., and
    `width`, at least 1, a factor on the filters 16, 32 and 64 of the stages; the name is
    "wrn_{depth}_{width}" by default.

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
    x = keras.layers.GlobalAveragePooling2D()(batch_norm_relu(x))
    return classifier(inputs, x, head, num_classes, feature_dim, name or f"wrn_{depth}_{width}")


def _stage(x: Tensor, filters: int, blocks: int, strides: int) -> Tensor:
    """Pre-activation basic blocks; the first changes size and so projects its shortcut."""
    for block in range(blocks):
        step = strides if block == 0 else 1
        activated = batch_norm_relu(x)
        y = _conv(filters, step)(activated)
        y = _conv(filters)(batch_norm_relu(y))
        if step != 1 or x.shape[-1] != filters:
            x = _conv(filters, step, size=1)(activated)
        x = keras.layers.Add()([x, y])
    return x


def _conv(filters: int, strides: int = 1, size: int = 3) -> keras.layers.Layer:
    return keras.layers.Conv2D(
        filters, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )
