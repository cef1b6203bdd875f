"""A model that computes for a while with other weights than its own."""

import contextlib
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf


def reduced_gradients(model: keras.Model, value: Callable[[], tf.Tensor]) -> list[tf.Tensor]:
    """Gradients of a scalar in the trainable weights, summed over replicas.

    What the model changes meanwhile, batch statistics and random states, is dropped: the pass that
    follows sees the same and changes it once.

    Args:
        model: Keras model.
        value: function without arguments that computes the scalar with the model.

    Returns:
        One tensor for each trainable weight, 0 where the scalar does not depend on it.
    """
    weights = [weight.value for weight in model.trainable_variables]
    with keras.StatelessScope(), tf.GradientTape() as tape:
        total = value()
    gradients = tape.gradient(total, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return tf.distribute.get_replica_context().all_reduce("sum", gradients)


@contextlib.contextmanager
def moved_weights(model: keras.Model, offsets: list[tf.Tensor]) -> Iterator[None]:
    """Within it, the model computes with trainable weights moved by constants.

    No variable is assigned to move it, so none can stay moved. What the model changes by itself,
    such as batch statistics, is assigned at the end.

    Args:
        model: Keras model.
        offsets: tensors in the shapes of its trainable weights.
    """
    moved = [
        (weight, tf.convert_to_tensor(weight.value) + tf.stop_gradient(offset))
        for weight, offset in zip(model.trainable_variables, offsets, strict=True)
    ]
    with keras.StatelessScope(moved, collect_losses=True) as scope:
        yield
    for variable in model.non_trainable_variables:
        value = scope.get_current_value(variable)
        if value is not None:
            variable.assign(value)
