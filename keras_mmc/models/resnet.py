"""Residual networks: those of the MMC reference, and those that leaderboards compare on.

The reference has basic blocks (v1) and pre-activation bottlenecks (v2), both with weight decay; the
leaderboards have pre-activation ResNet-18 and wide residual networks (WRN).
"""

from typing import Any

import keras

from keras_mmc._backend import Tensor
from keras_mmc.models.base import PerChannel, Shape, batch_norm_relu, classifier, normalized_input


def resnet_v1(
    input_shape: Shape,
    num_classes: int | None = None,
    depth: int = 20,
    head: keras.layers.Layer | None = None,
    feature_dim: int | None = 64,
    mean: PerChannel = 0.0,
    std: PerChannel = 1.0,
    name: str | None = None,
) -> keras.Model:
    """ResNet with basic blocks: three stages of `(depth - 2) / 6` blocks, 16 to 64 filters.

    Arguments as in `keras_mmc.models`; `feature_dim` may be `None`. `depth` is the number of
    weighted layers, `6n + 2`: 8, 14, 20, 32, 44, 56, 110, ...; the name is "resnet{depth}_v1" by
    default.

    Source: He et al., CVPR 2016, arXiv 1512.03385, the CIFAR networks of Section 4.2.

    Example:
    >>> keras_mmc.models.resnet_v1((32, 32, 3), num_classes=10, depth=20).name
    'resnet20_v1'
    """
    blocks = _blocks_per_stage(depth, 6, "resnet_v1")
    inputs, x = normalized_input(input_shape, mean, std)
    x = batch_norm_relu(_decayed_conv(16)(x))
    for filters in (16, 32, 64):
        for block in range(blocks):
            strides = 2 if block == 0 and filters > 16 else 1
            y = batch_norm_relu(_decayed_conv(filters, strides=strides)(x))
            y = keras.layers.BatchNormalization()(_decayed_conv(filters)(y))
            if strides == 2:
                x = _decayed_conv(filters, 1, strides)(x)
            x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return classifier(inputs, x, head, num_classes, feature_dim, name or f"resnet{depth}_v1")


def resnet_v2(
    input_shape: Shape,
    num_classes: int | None = None,
    depth: int = 29,
    head: keras.layers.Layer | None = None,
    feature_dim: int | None = 256,
    mean: PerChannel = 0.0,
    std: PerChannel = 1.0,
    name: str | None = None,
) -> keras.Model:
    """Pre-activation bottleneck ResNet: three stages of `(depth - 2) / 9` blocks, 64 to 256 maps.

    Arguments as in `keras_mmc.models`; `feature_dim` may be `None`. `depth` is the number of
    weighted layers, `9n + 2`: 11, 20, 29, 47, 56, 110, 164, ...; the name is "resnet{depth}_v2" by
    default. The names of the reference count differently: its "resnet32v2" is `depth=47` here and
    its "ResNet110" `depth=164`.

    Source: He et al., *Identity Mappings in Deep Residual Networks*, ECCV 2016, arXiv 1603.05027.

    Example:
    >>> head = keras_mmc.MaxMahalanobisCenters(10)
    >>> keras_mmc.models.resnet_v2((32, 32, 3), depth=29, head=head).name
    'resnet29_v2'
    """
    blocks = _blocks_per_stage(depth, 9, "resnet_v2")
    inputs, x = normalized_input(input_shape, mean, std)
    x = batch_norm_relu(_decayed_conv(16)(x))
    for stage, filters in enumerate((16, 64, 128)):
        out_filters = 64 if stage == 0 else 2 * filters
        for block in range(blocks):
            strides = 2 if block == 0 and stage > 0 else 1
            first = stage == 0 and block == 0  # its input is already normalized and activated
            y = _decayed_conv(filters, 1, strides)(x if first else batch_norm_relu(x))
            y = _decayed_conv(filters)(batch_norm_relu(y))
            y = _decayed_conv(out_filters, 1)(batch_norm_relu(y))
            if block == 0:
                x = _decayed_conv(out_filters, 1, strides)(x)
            x = keras.layers.Add()([x, y])
    x = keras.layers.GlobalAveragePooling2D()(batch_norm_relu(x))
    return classifier(inputs, x, head, num_classes, feature_dim, name or f"resnet{depth}_v2")


def preact_resnet18(
    input_shape: Shape,
    num_classes: int | None = None,
    head: keras.layers.Layer | None = None,
    feature_dim: int | None = 256,
    mean: PerChannel = 0.0,
    std: PerChannel = 1.0,
    name: str = "preact_resnet18",
) -> keras.Model:
    """Pre-activation ResNet-18: four stages of two basic blocks, 64 to 512 filters.

    Arguments as in `keras_mmc.models`; `feature_dim` may be `None`.

    Source: He et al., ECCV 2016, arXiv 1603.05027.

    Example:
    >>> keras_mmc.models.preact_resnet18((32, 32, 3), num_classes=10).output_shape
    (None, 10)
    """
    inputs, x = normalized_input(input_shape, mean, std)
    x = _basic_blocks(_plain_conv(64)(x), (64, 128, 256, 512), blocks=2)
    return classifier(inputs, x, head, num_classes, feature_dim, name)


def wide_resnet(
    input_shape: Shape,
    num_classes: int | None = None,
    depth: int = 34,
    width: int = 10,
    head: keras.layers.Layer | None = None,
    feature_dim: int | None = 256,
    mean: PerChannel = 0.0,
    std: PerChannel = 1.0,
    name: str | None = None,
) -> keras.Model:
    """Wide residual network WRN-`depth`-`width`: three stages of `(depth - 4) / 6` basic blocks.

    Arguments as in `keras_mmc.models`; `feature_dim=None` makes the standard network. `depth` is
    `6n + 4`: 10, 16, 22, 28, 34, 70, ..., and `width`, at least 1, a factor on the filters 16, 32
    and 64 of the stages; the name is "wrn_{depth}_{width}" by default.

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
    x = _basic_blocks(_plain_conv(16)(x), (16 * width, 32 * width, 64 * width), blocks)
    return classifier(inputs, x, head, num_classes, feature_dim, name or f"wrn_{depth}_{width}")


def _blocks_per_stage(depth: int, step: int, name: str) -> int:
    blocks, rest = divmod(depth - 2, step)
    if rest or blocks < 1:
        options = ", ".join(str(step * n + 2) for n in (1, 2, 3, 4))
        raise ValueError(
            f"{name}: `depth` must be {step}n + 2 with n at least 1 ({options}, ...); received "
            f"{depth!r}."
        )
    return blocks


def _basic_blocks(x: Tensor, widths: tuple[int, ...], blocks: int) -> Tensor:
    """Stages of pre-activation blocks, pooled; a block that changes size projects its shortcut."""
    for stage, filters in enumerate(widths):
        for block in range(blocks):
            strides = 2 if stage > 0 and block == 0 else 1
            activated = batch_norm_relu(x)
            y = _plain_conv(filters, strides=strides)(activated)
            y = _plain_conv(filters)(batch_norm_relu(y))
            if strides == 2 or x.shape[-1] != filters:
                x = _plain_conv(filters, 1, strides)(activated)
            x = keras.layers.Add()([x, y])
    return keras.layers.GlobalAveragePooling2D()(batch_norm_relu(x))


def _decayed_conv(filters: int, size: int = 3, strides: int = 1) -> keras.layers.Layer:
    decay = keras.regularizers.L2(1e-4)
    return _plain_conv(filters, size, strides, use_bias=True, kernel_regularizer=decay)


def _plain_conv(
    filters: int, size: int = 3, strides: int = 1, use_bias: bool = False, **more: Any
) -> keras.layers.Layer:
    options = {"padding": "same", "kernel_initializer": "he_normal", "use_bias": use_bias}
    return keras.layers.Conv2D(filters, size, strides, **options, **more)
