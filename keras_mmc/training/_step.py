"""One update of the weights of an `AdversarialModel`."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_mmc.defenses import SampleLosses
from keras_mmc.training._batch import Batch
from keras_mmc.training._features import FeaturePasses
from keras_mmc.training._replicas import everywhere, on_all_replicas, replicas


class WeightUpdate:
    """Updates the weights of an `AdversarialModel` on one batch; see `Defense.update`."""

    def __init__(self, robust: Any, batch: Batch, passes: FeaturePasses | None):
        self._robust = robust
        self._batch = batch
        self._passes = passes
        self._lost = tf.constant(False)

    def __call__(
        self,
        loss: Callable[[tf.Tensor], SampleLosses],
        x: tf.Tensor,
        input_gradient: bool = False,
        optimizer: int = 0,
    ) -> tuple[SampleLosses, tf.Tensor | None]:
        """One optimizer step along the gradient of the mean of `loss(x)` and what belongs to it."""
        robust, is_first = self._robust, optimizer == 0
        regularizer = robust.regularizer if is_first else None
        chosen = robust.optimizers[optimizer]
        variables = robust.model.trainable_variables
        perturbed = contextlib.nullcontext()
        if regularizer is not None and regularizer.perturbs_weights:
            perturbed = self._perturbed_weights(lambda: self._share(loss(x).values))
        with tf.GradientTape() as tape, perturbed:
            if input_gradient:
                tape.watch(x)
            if self._passes is not None:
                self._passes.forget()  # what the search for a perturbation of weights saw
            losses = loss(x)
            # Before another forward pass replaces them.
            of_layers = [tf.cast(value, tf.float32) for value in robust.losses if is_first]
            values = losses.values
            if regularizer is not None:
                penalty = regularizer.penalty(robust.score_fn(False), x, self._batch.y)
                values += robust.regularizer_scale * tf.cast(penalty, tf.float32)
            # What the gradients of all replicas add up to: unequal parts count by their samples.
            share = self._share(values) + sum(of_layers) / replicas()
            scaled = chosen.scale_loss(share)
        gradients = tape.gradient(scaled, [*variables, x] if input_gradient else variables)
        gradient = gradients.pop() if input_gradient else None
        stepped = self._apply(chosen, gradients, variables, share)
        if is_first:
            if self._passes is not None:
                self._passes.move_centers(stepped)
            count = tf.cast(self._batch.count, values.dtype)
            mean = tf.math.divide_no_nan(self._batch.total(values), count) + sum(of_layers)
            robust.loss_tracker.update_state(mean, sample_weight=count)
        return losses, gradient

    def _share(self, values):
        """What this replica adds to the weighted mean over all samples that can be used."""
        whole = tf.cast(self._batch.whole, values.dtype)
        return tf.math.divide_no_nan(self._batch.total(values), whole)

    def _perturbed_weights(self, loss):
        robust, model = self._robust, self._robust.model
        gradients = reduced_gradients(model, lambda: robust.optimizer.scale_loss(loss()))
        perturbations = robust.regularizer.perturbations(
            model.trainable_variables, gradients, robust.epoch + 0
        )
        return perturbed_weights(model, perturbations)

    def _apply(self, optimizer, gradients, variables, share):
        """One step of the optimizer; none, and the batch counts as skipped, where it has no use.

        That is where no replica has a usable sample or a gradient on one of them is not finite. A
        loss-scaling optimizer meets such gradients regularly and skips them itself; there the loss
        decides what counts as skipped. Returns whether the step was made.
        """
        known = [g for g in gradients if g is not None]
        steps = everywhere(tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in known]))
        scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        finite = everywhere(tf.math.is_finite(share)) if scales else steps
        newly_lost = tf.where(finite | self._lost, tf.constant(0, tf.int64), self._batch.count)
        self._lost |= ~finite
        self._robust.counts.lose(newly_lost)
        usable = finite & (self._batch.whole > 0)
        if not optimizer.built:
            optimizer.build(variables)

        def apply(known):
            remaining = iter(known)
            applied = [g if g is None else next(remaining) for g in gradients]
            optimizer.apply_gradients(zip(applied, variables, strict=True))

        on_all_replicas(usable, apply, known)
        return usable & steps


def reduced_gradients(model: keras.Model, value: Callable[[], tf.Tensor]) -> list[tf.Tensor]:
    """Gradients of a scalar in the trainable weights, summed over replicas.

    They are 0 where the scalar does not depend on a weight. What the model changes meanwhile, batch
    statistics and random states, is dropped: the pass that follows sees the same and changes it
    once.
    """
    weights = [weight.value for weight in model.trainable_variables]
    with keras.StatelessScope(), tf.GradientTape() as tape:
        total = value()
    gradients = tape.gradient(total, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return tf.distribute.get_replica_context().all_reduce("sum", gradients)


@contextlib.contextmanager
def perturbed_weights(model: keras.Model, perturbations: list[tf.Tensor]) -> Iterator[None]:
    """Within it, the model computes with a constant added to each trainable weight.

    No variable is assigned to perturb it, so none can stay perturbed. What the model changes by
    itself, such as batch statistics, is assigned at the end.
    """
    values = [
        (weight, tf.convert_to_tensor(weight.value) + tf.stop_gradient(perturbation))
        for weight, perturbation in zip(model.trainable_variables, perturbations, strict=True)
    ]
    with keras.StatelessScope(values, collect_losses=True) as scope:
        yield
    for variable in model.non_trainable_variables:
        value = scope.get_current_value(variable)
        if value is not None:
            variable.assign(value)
