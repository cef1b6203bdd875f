"""Smallest perturbations by a penalty: size of the perturbation plus a constant times a loss.

The smaller the constant, the smaller the perturbation, until it fools nobody: each sample looks
for its own constant by bisection.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._validation import check_choice, check_count, check_number
from keras_mmc.attacks import checks
from keras_mmc.attacks.ascent import per_sample
from keras_mmc.attacks.base import Attack, misclassified, reached
from keras_mmc.attacks.loops import repeat

_GROWTH = 10.0
_LARGEST = 1e10
_CHECKS = 10
_PATIENCE = 10
_STALLED = 0.9999


class Look(NamedTuple):
    """What one step sees; every tensor has one row per sample."""

    point: tf.Tensor
    """Images, inside the box."""
    size: tf.Tensor
    """What is minimised over the points that fool the model, `(N,)`."""
    loss: tf.Tensor
    """What the steps descend, `(N,)`."""
    scores: tf.Tensor


@dataclasses.dataclass(frozen=True)
class ConstantSearch:
    """Minimises `size + constant * hinge` for a constant of each sample that is bisected.

    Attributes:
        attack: the attack, for its fields `steps`, `binary_search_steps`, `initial_const`,
            `confidence`, `abort_early` and `targeted`.
        begin: `x -> variables`, any structure of tensors, where each round starts.
        step: `(i, variables, x, goal, constant) -> (variables, Look)`, a look at a point and the
            step from there. Look `i` comes after `i` steps.

    Source: Carlini & Wagner, S&P 2017, arXiv 1608.04644, section V.
    """

    attack: Attack
    begin: Callable
    step: Callable

    def run(self, x, goal, compact: bool) -> tf.Tensor:
        """The smallest point found that fools the model; `x` where none was found.

        Args:
            x: images `(N, ...)`.
            goal: targets `(N,)` of a targeted attack, labels of an untargeted one.
            compact: whether samples that stall leave the batch in a round.

        Returns:
            Tensor like `x`.
        """
        zero = tf.zeros(tf.shape(x)[:1])
        zero = tf.ensure_shape(zero, x.shape[:1])
        constant = zero + self.attack.initial_const

        def one_round(low, high, constant, best, size):
            best, size, won = self._round(x, goal, constant, best, size, compact)
            high = tf.where(won, tf.minimum(high, constant), high)
            low = tf.where(won, low, tf.maximum(low, constant))
            larger = tf.minimum(_GROWTH * constant, _LARGEST)
            constant = tf.where(tf.math.is_inf(high), larger, (low + high) / 2)
            return low, high, constant, best, size

        infinite = zero + float("inf")
        _, _, _, best, _ = tf.while_loop(
            lambda *state: True,
            one_round,
            (zero, infinite, constant, tf.identity(x), infinite),
            maximum_iterations=self.attack.binary_search_steps,
        )
        return tf.stop_gradient(best)

    def _round(self, x, goal, constant, best, size, compact):
        """Descends with one constant: the best points, their sizes, and who was fooled."""
        none = tf.zeros_like(size, tf.bool)
        infinite = tf.fill(tf.shape(size), float("inf"))
        progress = (best, size, none, infinite, infinite, none)
        best, size, won = repeat(
            self.attack.steps + 1,
            self._step,
            ((x, goal, constant), self.begin(x), progress),
            outcome=lambda state: state[2][:3],
            compact=compact,
        )
        shapes = x.shape, x.shape[:1], x.shape[:1]
        return map(tf.ensure_shape, (best, size, won), shapes)

    def _step(self, i, state):
        (x, goal, constant), variables, progress = state
        best, size, won, lowest, checked, stalled = progress
        variables, look = self.step(i, variables, x, goal, constant)
        fooled = ~stalled & fools(self.attack, look.scores, goal)
        smaller = fooled & (look.size < size)
        best = tf.where(per_sample(smaller, x), look.point, best)
        size = tf.where(smaller, look.size, size)
        if self.attack.abort_early:
            # The lowest loss so far, since Adam may just be swinging past the boundary.
            lowest = tf.minimum(lowest, look.loss)
            check = i % max(self.attack.steps // _CHECKS, _PATIENCE) == 0
            stalled |= check & (lowest > _STALLED * checked)
            checked = tf.where(check, lowest, checked)
        progress = (best, size, won | fooled, lowest, checked, stalled)
        return ((x, goal, constant), variables, progress), stalled


def hinge(attack: Attack, scores: tf.Tensor, goal: tf.Tensor) -> tf.Tensor:
    """How far the scores are from fooling the model with the attack's `confidence`.

    `max(s_y - max_{k != y} s_k + confidence, 0)`, with a target
    `max(max_{k != t} s_k - s_t + confidence, 0)`.

    Source: Carlini & Wagner, S&P 2017, arXiv 1608.04644, the function `f_6` on scores.
    """
    margin = objectives.margin(scores, goal)
    return tf.nn.relu((margin if attack.targeted else -margin) + attack.confidence)


def fools(attack: Attack, scores: tf.Tensor, goal: tf.Tensor) -> tf.Tensor:
    """Boolean `(N,)`: the model is fooled even if `confidence` is added against the attack."""
    against = -attack.confidence if attack.targeted else attack.confidence
    scores += against * tf.one_hot(goal, scores.shape[-1])
    return reached(scores, None, goal) if attack.targeted else misclassified(scores, goal)


def check_constant_search(attack: Any) -> None:
    """Checks the fields of an attack that `ConstantSearch` uses.

    Raises:
        ValueError: naming the attack, the field, what was expected and what came.
    """
    checks.check_fields(attack)
    check_count(attack, "binary_search_steps", attack.binary_search_steps)
    check_number(attack, "learning_rate", attack.learning_rate, above=0)
    check_number(attack, "initial_const", attack.initial_const, above=0)
    check_number(attack, "confidence", attack.confidence, at_least=0)
    check_choice(attack, "abort_early", attack.abort_early, (True, False))
