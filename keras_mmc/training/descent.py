"""One update of the weights of an `AdversarialModel`."""

import contextlib

import keras
import tensorflow as tf

from keras_mmc.training.moved_weights import moved_weights, reduced_gradients
from keras_mmc.training.samples import Batch


class Descent:
    """Updates the weights of an `AdversarialModel` on one batch; see `Defense.update`.

    Args:
        robust: the `AdversarialModel`.
        batch: the batch of the step.
    """

    def __init__(self, robust, batch: Batch):
        self._robust = robust
        self._batch = batch

    def __call__(self, loss, points, input_gradient=False, second=False):
        """Moves the weights down the gradient of the mean of `loss(points)` and what belongs to it.

        Returns:
            The losses, and the gradient of the points or `None`.
        """
        robust = self._robust
        regularizer = None if second else robust.regularizer
        optimizer = robust.second_optimizer if second else robust.optimizer
        variables = robust.model.trainable_variables
        moved = contextlib.nullcontext()
        if regularizer is not None and regularizer.moves_weights:
            moved = self._moved_weights(lambda: self._mean(loss(points).values))
        with tf.GradientTape() as tape, moved:
            if input_gradient:
                tape.watch(points)
            losses = loss(points)
            # Before another forward pass replaces them.
            of_layers = [] if second else [tf.cast(value, tf.float32) for value in robust.losses]
            values = losses.values
            if regularizer is not None:
                penalty = regularizer.penalty(robust.score_fn(False), points, self._batch.y)
                values += robust.regularizer_scale * penalty
            total = self._mean(values) + sum(of_layers)
            scaled = optimizer.scale_loss(total / replicas())
        gradients = tape.gradient(scaled, [*variables, points] if input_gradient else variables)
        gradient = gradients.pop() if input_gradient else None
        optimizer.apply_gradients(zip(self._finite(gradients, optimizer), variables, strict=True))
        if not second:
            robust.loss_tracker.update_state(total, sample_weight=self._batch.count)
        return losses, gradient

    def _mean(self, values):
        """The weighted mean over the samples that can be used."""
        # Not a product: 0 * NaN is NaN.
        values = tf.where(self._batch.usable, self._batch.weight * values, 0.0)
        return tf.math.divide_no_nan(
            tf.reduce_sum(values), tf.cast(self._batch.count, values.dtype)
        )

    def _moved_weights(self, loss):
        """A context in which the model computes with its weights moved by the regularizer."""
        robust = self._robust
        gradients = reduced_gradients(robust.model, lambda: robust.optimizer.scale_loss(loss()))
        offsets = robust.regularizer.offsets(
            robust.model.trainable_variables, gradients, robust.epoch + 0
        )
        return moved_weights(robust.model, offsets)

    def _finite(self, gradients, optimizer):
        """The gradients, all 0 if one is not finite; the batch then counts as skipped.

        A loss-scaling optimizer meets such gradients regularly and skips them itself.
        """
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            return gradients
        known = [gradient for gradient in gradients if gradient is not None]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in known])
        usable = finite & (self._batch.count > 0)
        lost = tf.where(finite, 0, self._batch.count)
        self._robust.used.assign_add(-lost)
        self._robust.skipped.assign_add(lost)
        return [g if g is None else tf.where(usable, g, tf.zeros_like(g)) for g in gradients]


def replicas() -> int:
    """Number of replicas whose gradients are summed."""
    return tf.distribute.get_strategy().num_replicas_in_sync
