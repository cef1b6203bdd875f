"""Where the channels of images are, for attacks that see which pixels lie side by side."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

_CHANNELS = (1, 3)


def is_channels_first(shape: Sequence[int | None]) -> bool:
    """Whether images of that shape `(N, ...)` are `(N, C, H, W)`: 1 or 3 channels, there alone."""
    return len(shape) == 4 and shape[1] in _CHANNELS and shape[3] not in _CHANNELS


def sees_channels_last(run: Callable) -> Callable:
    """Decorates `Attack.run` so that images `(N, C, H, W)` reach it as `(N, H, W, C)`."""

    @functools.wraps(run)
    def laid_out(self: Any, score_fn: Callable, x: tf.Tensor, *args: Any, **more: Any) -> tf.Tensor:
        if not is_channels_first(x.shape):
            return run(self, score_fn, x, *args, **more)

        def scores_of_last(x):
            return score_fn(_to_first(x))

        return _to_first(run(self, scores_of_last, _to_last(x), *args, **more))

    return laid_out


def _to_first(x):
    return tf.transpose(x, [0, 3, 1, 2])


def _to_last(x):
    return tf.transpose(x, [0, 2, 3, 1])
