"""One tensor in, one tensor out: what attacks need of a model, and how to ask for it."""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_mmc.layers import ScoreHead

_NUM_DRAWN = 8
_UNKNOWN = 32  # what an unknown extent of an image is drawn with


def image_shape(model: keras.Layer) -> tuple[int | None, ...] | None:
    """The shape of one image, as the graph or the call that built the model says; else `None`."""
    shape = getattr(model, "input_shape", None)
    if shape is None and model.built:  # subclassed
        shape = (model.get_build_config() or {}).get("input_shape")
    return tuple(shape[1:]) if isinstance(shape, (tuple, list)) else None


def draw_images(model: keras.Model, box: tuple[float, float] = (0.0, 1.0)) -> np.ndarray | None:
    """A few random images of a box for a model that knows their shape, else `None`."""
    shape = image_shape(model)
    if shape is None:
        return None
    sizes = [_UNKNOWN if size is None else size for size in shape]
    drawn = np.random.default_rng(0).uniform(*box, (_NUM_DRAWN, *sizes))
    return drawn.astype("float32")


def last_layer(model: keras.Model) -> keras.Layer:
    """The layer whose outputs a model returns, also where it lies in a nested model."""
    last = model.layers[-1]
    return last_layer(last) if isinstance(last, keras.Model) else last


def score_head(model: keras.Model) -> ScoreHead | None:
    """The head of this package that a model ends in, or `None`."""
    last = last_layer(model)
    return last if isinstance(last, ScoreHead) else None


def distances_of(model: keras.Model) -> Callable[[Any], Any] | None:
    """What makes distances to the centers of scores `(N, K)` of a model; `None` without any."""
    head = score_head(model)
    return head.distances if head is not None and head.gives_distances else None


def broken_weights(model: keras.Layer) -> list[str]:
    """The paths of the weights that hold NaN or infinity."""
    return [weight.path for weight in model.weights if not _is_finite(weight)]


def _is_finite(weight):
    values = keras.ops.convert_to_numpy(weight)
    return values.dtype.kind not in "fV" or bool(np.isfinite(values.astype("float64")).all())


def softmax_temperature(model: keras.Model) -> float:
    """The temperature of the softmax that the model's head asks for; 1 if it says nothing."""
    head = score_head(model)
    return 1.0 if head is None else head.softmax_temperature


def with_channel(model: Any, images: np.ndarray) -> np.ndarray:
    """Images `(N, H, W)` as `(N, H, W, 1)` for a Keras model that takes these; others as they are.

    Keras does the same in `predict` and `evaluate`.
    """
    shape = image_shape(model) if isinstance(model, keras.Model) else None
    if shape and len(shape) == 3 == images.ndim and shape[-1] == 1:
        return images[..., np.newaxis]
    return images


def check_takes(model: keras.Model, images: np.ndarray) -> None:
    """Refuses images of another shape than the graph of a model takes; `ValueError`."""
    shape = image_shape(model) if getattr(model, "inputs", None) else None
    if shape is None:
        return
    given = with_channel(model, images).shape[1:]
    alike = len(given) == len(shape)
    if not alike or any(a not in (None, b) for a, b in zip(shape, given, strict=True)):
        raise ValueError(
            f"The model {model.name!r} takes images of shape {shape}; received shape {given}. "
            "Resize them, or move their axes, before they come here."
        )


def with_one_tensor(model: keras.Model) -> keras.Model:
    """The model with one tensor as its input and its output, on the same layers.

    Raises:
        ValueError: if its graph has several of either.
    """
    inputs: list = getattr(model, "inputs", None) or []
    outputs: list = getattr(model, "outputs", None) or []
    for found, what in ((inputs, "inputs"), (outputs, "outputs")):
        if found and len(found) > 1:
            raise ValueError(
                f"The model {model.name!r} has {len(found)} {what}, "
                f"{[tensor.name for tensor in found]}; attacks change one tensor of images and "
                "read one of scores (N, K). Make a model of those two, such as "
                "`keras.Model(model.inputs[0], model.outputs[0])`; other inputs must be constants "
                "of it."
            )
    is_nested = inputs and not isinstance(model, keras.Sequential)  # which has no dicts
    if is_nested and not (_is_tensor(model.input) and _is_tensor(model.output)):
        return keras.Model(inputs[0], outputs[0], name=model.name)
    return model


def returned(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """What a model returns for images, `(N, K)`, as float32.

    Raises:
        ValueError: if it cannot be called on them, or returns anything else.
    """
    try:
        found = model(images, training=False)
    except Exception as error:
        raise ValueError(
            f"The model {model.name!r} cannot be called on one tensor of images of shape "
            f"{images.shape}, dtype {images.dtype}. It says: {_first_line(error)}"
        ) from error
    if not keras.ops.is_tensor(found):
        raise ValueError(
            f"The model {model.name!r} returns {_described(found)}; attacks need one tensor of "
            "scores (N, K). Wrap it into a model whose `call` returns that one."
        )
    if len(found.shape) == 1:
        raise ValueError(
            f"The model {model.name!r} must return scores of shape (N, K); received shape "
            f"{tuple(found.shape)}. One output for each image needs shape (N, 1): end the model in "
            "`keras.layers.Reshape((1,))`."
        )
    if len(found.shape) != 2:
        raise ValueError(
            f"The model {model.name!r} must return scores of shape (N, K); received shape "
            f"{tuple(found.shape)} for images of shape {images.shape}. Pool or flatten them."
        )
    return keras.ops.convert_to_numpy(keras.ops.cast(found, "float32"))


def followed_by(model: keras.Model, tail: keras.Layer, shape: tuple) -> keras.Model:
    """The model with one more layer, on the same layers; `shape` of an image if it has no graph."""
    if getattr(model, "inputs", None):
        return keras.Model(model.inputs[0], tail(model.outputs[0]), name=model.name)
    inputs = keras.Input(shape, name="images")
    return keras.Model(inputs, tail(model(inputs)), name=f"{model.name}_scores")


def _is_tensor(value: Any) -> bool:
    return isinstance(value, keras.KerasTensor)


def _described(found):
    if isinstance(found, dict):
        return f"a dict with the keys {sorted(map(str, found))}"
    if isinstance(found, (list, tuple)):
        return f"{len(found)} outputs"
    return f"a {type(found).__name__}"


def _first_line(error):
    """What went wrong, without the colors and the frame that Keras puts around it."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith("Exception encountered")]
    return told[0] if told else type(error).__name__
