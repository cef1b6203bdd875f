"""Endings of networks that turn scores into probabilities, and the same networks without them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_mmc.layers import ScoreHead

SOFTMAX, SIGMOID, LINEAR = "softmax", "sigmoid", "linear"
# Functions by their own name; TensorFlow calls its softmax "softmax_v2".
_ENDINGS = {"softmax": SOFTMAX, "softmax_v2": SOFTMAX, "sigmoid": SIGMOID}


def ends_in_scores(model: keras.Model) -> bool:
    """Whether the graph shows that the last layer is a head, or one without activation."""
    last = model
    while isinstance(last, keras.Model) and steps_of(last):
        last = steps_of(last)[-1]
    if isinstance(last, ScoreHead):
        return True
    return getattr(getattr(last, "activation", None), "__name__", "") == LINEAR


def without_ending(model: keras.Model) -> tuple[keras.Model, str] | None:
    """The model up to its softmax or sigmoid, on the same layers and weights, and which it was.

    `None` if it ends in neither, or if its ending cannot be told from the graph: a model that is
    subclassed, or whose last layer is. The ending is the `activation` of the last layer, a
    `Softmax` or `Activation` layer, an operation of `keras.ops`, or that of a nested model.
    """
    if not steps_of(model) or not model.built:
        return None
    last = steps_of(model)[-1]
    replaced = _last_without(last)
    if replaced is None:
        return None
    twin, ending = replaced

    def same_or_twin(layer):
        return twin if layer is last else layer

    def call(layer, inputs, *args, **kwargs):  # a Softmax takes a mask, which its twin does not
        return layer(inputs) if layer is twin else layer(inputs, *args, **kwargs)

    if isinstance(model, keras.Sequential):
        return keras.models.clone_model(model, clone_function=same_or_twin), ending
    return keras.models.clone_model(model, clone_function=same_or_twin, call_function=call), ending


def steps_of(model: keras.Model) -> Sequence[Any]:
    """The layers and operations of a model in order; none of a subclassed one."""
    if isinstance(model, keras.Sequential):
        return model.layers
    return getattr(model, "operations", ())


def _last_without(last: Any) -> tuple[Any, str] | None:
    """What takes the place of the last operation of a model, and which ending that removes."""
    if isinstance(last, keras.Model):
        return without_ending(last)
    if not isinstance(last, keras.Layer):  # an operation such as keras.ops.softmax
        ending = _ENDINGS.get(type(last).__name__.lower())
        return (keras.layers.Activation("linear"), ending) if ending else None
    if isinstance(last, keras.layers.Softmax):
        return _nothing_instead(last), SOFTMAX
    ending = _ENDINGS.get(getattr(getattr(last, "activation", None), "__name__", ""))
    if ending is None:
        return None
    if isinstance(last, keras.layers.Activation):
        return _nothing_instead(last), ending
    twin = _with_shared_weights(last, activation="linear")
    return (twin, ending) if twin else None


def _nothing_instead(layer: keras.Layer) -> keras.Layer:
    return keras.layers.Activation("linear", name=layer.name, dtype="float32")


def _with_shared_weights(layer: keras.Layer, **changes: Any) -> keras.Layer | None:
    """A layer of the same class and weights with another configuration.

    `None` if the class does not make its weights by `add_weight` while it is built, so that they
    cannot be handed to it.
    """
    twin = type(layer).from_config({**layer.get_config(), **changes})
    weights = {weight.name: weight for weight in layer.weights}
    twin.add_weight = _handing_out(weights)
    try:
        twin.build_from_config(layer.get_build_config())
    except KeyError:
        return None
    del twin.add_weight
    return None if weights else twin


def _handing_out(weights: dict[str, keras.Variable]) -> Callable[..., keras.Variable]:
    def add_weight(*args: Any, name: str = "", **kwargs: Any) -> keras.Variable:
        return weights.pop(name)

    return add_weight
