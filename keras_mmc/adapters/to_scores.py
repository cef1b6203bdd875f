"""The door for models of others: what they return becomes scores `(N, K)`."""

import dataclasses
import warnings
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_mmc._real_arrays import real_array
from keras_mmc._validation import check
from keras_mmc.adapters._answers import CLOSE, are_probabilities
from keras_mmc.adapters._endings import SOFTMAX, ends_in_scores, without_ending
from keras_mmc.adapters._tails import LogProbabilities, TwoScores
from keras_mmc.adapters.structure import (
    check_takes,
    draw_images,
    followed_by,
    returned,
    with_one_tensor,
)

_NUM_SEEN = 128
SATURATES = (
    "The model returns probabilities that no layer could be taken from; it is attacked on their "
    "logarithm in float32. Where they are exactly 0 or 1 it has no gradient: robust accuracy under "
    "attacks with gradients can be too high there. Give it a way to return what goes into its "
    "softmax."
)


@dataclasses.dataclass(frozen=True)
class Opened:
    """A model that returns scores, and what was done for it.

    Attributes:
        model: a Keras model from images to scores `(N, K)`.
        notes: sentences that a report shows.
    """

    model: keras.Model
    notes: tuple[str, ...] = ()


def to_scores(model: keras.Model, images: ArrayLike | None = None) -> keras.Model:
    """The classifier as a model that returns scores `(N, K)`, on the same layers and weights.

    - A model that ends in a softmax or sigmoid is taken without it: the activation of its last
      layer, a `Softmax` or `Activation` layer, an operation of `keras.ops`, or that of a nested
      model. The scores are those that went into it.
    - One output, a logit or the sigmoid of one, becomes the scores `[0, logit]` of two classes.
    - A task with a `preprocessor`, such as an `ImageClassifier` of KerasHub, becomes the
      `image_converter` of it and its network: the task itself, when called, skips the former.
    - Probabilities that no layer can be taken from, as a subclassed model may return, become their
      logarithm in float32, with a warning: where they are 0 or 1 there is no gradient.
    - A model that returns scores is returned as it is.

    The model that came stays as it was. Its weights are shared: training one trains the other.

    Args:
        model: a Keras classifier of one tensor of images.
        images: some of its images `(N, ...)`; needed if the model does not know their shape.

    Raises:
        ValueError: for several inputs or outputs, outputs that are not `(N, K)`, images of another
            shape than the model takes, or a model that does not know the shape of its images and
            comes without any.

    Example:
    >>> network = keras.applications.MobileNetV3Small(weights=None, classes=10)
    >>> scores = keras_mmc.to_scores(network)
    >>> report = keras_mmc.audit(scores, x_test, y_test, eps=2.0, box=(0.0, 255.0))
    """
    opened = open_model(model, images)
    if SATURATES in opened.notes:
        warnings.warn(SATURATES, stacklevel=2)
    return opened.model


def open_model(model: Any, images: ArrayLike | None = None) -> Opened:
    """`to_scores`, with what was done in words; arguments and errors are the same."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"A Keras model from images to scores is needed; received {model!r}. Wrap a function "
            "into `keras.Sequential([keras.layers.Lambda(fn)])`."
        )
    seen = None if images is None else _some_of(images)
    converter = getattr(getattr(model, "preprocessor", None), "image_converter", None)
    model = with_one_tensor(model)
    if converter is None:
        return _opened(model, seen)
    converted = None if seen is None else keras.ops.convert_to_numpy(converter(seen))
    network = _opened(model, converted)
    shape = (*converter.image_size, model.input_shape[-1]) if seen is None else seen.shape[1:]
    inputs = keras.Input(shape, name="images")
    whole = keras.Model(inputs, network.model(converter(inputs)), name=model.name)
    note = f"The {type(converter).__name__} of the model's preprocessor comes before the network."
    return Opened(whole, (note, *network.notes))


def _some_of(images: ArrayLike) -> np.ndarray:
    """The first few images, as float32."""
    seen = real_array("to_scores", "images", images)
    check("to_scores", "images", seen, seen.ndim > 1, "a batch of images (N, ...)")
    return seen[:_NUM_SEEN].astype("float32")


def _opened(model: keras.Model, seen: np.ndarray | None) -> Opened:
    """The network without a preprocessor; what the graph does not say, its outputs say."""
    if seen is not None:
        check_takes(model, seen)
    scores = model.built and ends_in_scores(model)
    if scores and len(model.output_shape) == 2 and model.output_shape[1] > 1:
        return Opened(model)
    images = draw_images(model) if seen is None else seen
    if images is None:
        raise ValueError(
            f"The model {model.name!r} does not know the shape of its images. Pass some of them: "
            "`keras_mmc.to_scores(model, images)`."
        )
    found = without_ending(model)
    if found is not None and found[1] == SOFTMAX and model.output_shape[-1] == 1:
        raise ValueError(
            f"The model {model.name!r} ends in a softmax over one output, which is always 1. "
            "End it in a sigmoid, or in a softmax over two outputs."
        )
    outputs = returned(model, images)
    single = outputs.shape[1] == 1
    if found is not None and _agree(*found, model, images, outputs):
        network, ending = found
        if single:
            network = followed_by(network, TwoScores(), images.shape[1:])
        return Opened(network, (f"The model ends in a {ending}; it is attacked without it.",))
    if not scores and are_probabilities(outputs):
        if single and seen is None:
            raise ValueError(
                f"The model {model.name!r} has one output, and its graph does not say whether that "
                "is a logit or a probability. Pass images: `keras_mmc.to_scores(model, images)`."
            )
        return Opened(followed_by(model, LogProbabilities(), images.shape[1:]), (SATURATES,))
    if single:
        note = "The model has one output; it is taken for the logit of class 1."
        return Opened(followed_by(model, TwoScores(), images.shape[1:]), (note,))
    return Opened(model)


def _agree(network, ending, model, images, outputs):
    """Whether the network and its ending, as precise as it was, return what the model does."""
    ends = keras.ops.softmax if ending == SOFTMAX else keras.ops.sigmoid
    scores = keras.ops.cast(returned(network, images), model.outputs[0].dtype)
    again = keras.ops.convert_to_numpy(keras.ops.cast(ends(scores), "float32"))
    return np.allclose(again, outputs, rtol=0, atol=CLOSE)
