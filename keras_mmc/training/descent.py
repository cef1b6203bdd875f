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
        self._lost = tf.constant(False)

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
                values += robust.regularizer_scale * tf.cast(penalty, tf.float32)
            total = self._mean(values) + sum(of_layers)
            scaled = optimizer.scale_loss(total / replicas())
        gradients = tape.gradient(scaled, [*variables, points] if input_gradient else variables)
        gradient = gradients.pop() if input_gradient else None
        self._apply(optimizer, gradients, variables, total)
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

    def _apply(self, optimizer, gradients, variables, total):
        """One step of the optimizer; none, and the batch counts as skipped, where it has no use.

        That is where the batch has no usable sample or a gradient is not finite. A loss-scaling
        optimizer meets such gradients regularly and skips them itself; there the loss decides.
        """
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            finite = tf.math.is_finite(total)
        else:
            known = [gradient for gradient in gradients if gradient is not None]
            finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in known])
        newly_lost = tf.where(finite | self._lost, tf.constant(0, tf.int64), self._batch.count)
        self._lost |= ~finite
        self._robust.used.assign_add(-newly_lost)
        self._robust.skipped.assign_add(newly_lost)
        usable = finite & (self._batch.count > 0)
        if not optimizer.built:
            optimizer.build(variables)
        if replicas() == 1:
            pairs = list(zip(gradients, variables, strict=True))
            tf.cond(usable, lambda: _nothing(optimizer.apply_gradients(pairs)), _nothing)
            return
        # Replicas step together: one without use adds nothing to the sum of the gradients.
        gradients = [g if g is None else tf.where(usable, g, tf.zeros_like(g)) for g in gradients]
        optimizer.apply_gradients(zip(gradients, variables, strict=True))


def replicas() -> int:
    """Number of replicas whose gradients are summed."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def _nothing(*_):
    """The result of both branches of a condition that only acts."""
    return tf.constant(0)
