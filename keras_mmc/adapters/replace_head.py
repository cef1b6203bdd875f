"""Another head on a trained network."""

import keras

from keras_mmc._validation import check_count
from keras_mmc.adapters._endings import steps_of
from keras_mmc.adapters.to_scores import SATURATES, open_model


def replace_head(
    model: keras.Model, head: keras.layers.Layer, feature_dim: int = 256
) -> keras.Model:
    """A copy of a classifier that ends in another head, such as fixed centers.

    The last layer with weights, the classifier of the network, and all that follows it give way to
    a dense layer of `feature_dim` units *without* activation, which is new and untrained, and the
    head: centers need features that may be negative. The other weights are copied: the model that
    came stays as it was, and training the copy does not touch it.

    Args:
        model: a functional or Sequential Keras classifier that is built; `keras_mmc.to_scores` is
            applied first.
        head: a layer from features `(N, feature_dim)` to scores `(N, K)`, such as
            `MaxMahalanobisCenters(K)`.
        feature_dim: width of the features, at least K - 1 for a simplex of centers.

    Returns:
        A Keras model from images to scores `(N, K)`.

    Raises:
        ValueError: for a subclassed model, whose layers cannot be told apart, or one without
            weights.

    Example:
    >>> network = keras.applications.MobileNetV3Small(weights="imagenet")
    >>> robust = keras_mmc.replace_head(network, keras_mmc.MaxMahalanobisCenters(10))
    >>> robust.compile("adam", loss=keras_mmc.MMCLoss(), metrics=["accuracy"])
    """
    check_count("replace_head", "feature_dim", feature_dim, least=1)
    opened = open_model(model)
    if SATURATES in opened.notes:
        raise ValueError(_refusal(model))
    trunk = _without_classifier(_copied(opened.model))
    x = trunk.outputs[0]
    if len(x.shape) > 2:
        x = keras.layers.Flatten(name="flat_features")(x)
    name = None if any(layer.name == "features" for layer in trunk.layers) else "features"
    x = keras.layers.Dense(feature_dim, kernel_initializer="he_normal", name=name)(x)
    return keras.Model(trunk.inputs[0], head(x), name=model.name)


def _copied(model):
    if not model.built or not steps_of(model):
        raise ValueError(_refusal(model))
    try:
        copy = keras.models.clone_model(model)
    except TypeError as error:  # a part without a config
        raise ValueError(_refusal(model)) from error
    if not copy.built:
        copy.build(model.input_shape)
    copy.set_weights(model.get_weights())
    return copy


def _refusal(model):
    return (
        f"replace_head needs a built functional or Sequential model; the layers of {model.name!r} "
        "cannot be told apart. Put its network, without the last layer, and the head into "
        "`keras.Sequential([...])`."
    )


def _without_classifier(model):
    """The model up to the last layer with weights, without it; a nested last model is opened."""
    steps = steps_of(model)
    weighted = [step for step in steps if getattr(step, "weights", ())]
    if not weighted:
        raise ValueError(f"replace_head: no layer of {model.name!r} has weights.")
    last = weighted[-1]
    if isinstance(last, keras.Model) and steps_of(last):
        inner = _without_classifier(last)
        return keras.models.clone_model(
            model, clone_function=lambda layer: inner if layer is last else layer
        )
    if isinstance(model, keras.Sequential):
        x = model.inputs[0]
        for layer in model.layers[: model.layers.index(last)]:
            x = layer(x)
        return keras.Model(model.inputs[0], x, name=model.name)
    return keras.Model(model.inputs[0], last.input, name=model.name)
