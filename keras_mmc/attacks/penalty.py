"""Smallest perturbations by a penalty: size of the perturbation plus a constant times a loss.

The smaller the constant, the smaller the perturbation, until it fools nobody: each image looks
for its own constant by bisection.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._validation import check_choice, check_count, check_number
from keras_mmc.attacks._engine.fields import of_width
from keras_mmc.attacks._engine.loops import per_image, repeat
from keras_mmc.attacks._engine.predictions import misclassified, reached
from keras_mmc.attacks.base import Attack

_GROWTH = 10.0
_LARGEST = 1e10
_CHECKS = 10
_PATIENCE = 10
_STALLED = 0.9999


class Evaluation(NamedTuple):
    """What one step evaluates; every tensor has one row per image."""

    x_adv: tf.Tensor
    """Images, inside the box."""
    size: tf.Tensor
    """What is minimized over the images that fool the model, `(N,)`."""
    loss: tf.Tensor
    """What the steps descend, `(N,)`."""
    scores: tf.Tensor


@dataclasses.dataclass(frozen=True)
class PenaltyAttack(Attack):
    """Base class of attacks that minimize `size + constant * hinge`, the constant bisected.

    A subclass implements `begin` and `step`.

    Args:
        steps: number of steps for each constant.
        learning_rate: of the steps.
        binary_search_steps: number of constants tried for each image.
        initial_const: the first constant, in input units squared over units of scores; it grows
            tenfold until the image is broken. Default: 0.01 of the squared width of the box.
        confidence: by how much, in scores, an image must fool the model to count.
        abort_early: whether an image whose lowest loss fell by less than 0.01 % in a tenth of the
            steps, at least 10, goes on to its next constant; the original stops whole batches.
        targeted: whether to reach a target instead of leaving the label.
        box: `(low, high)`, where images live.

    Source: Carlini & Wagner, S&P 2017, arXiv 1608.04644, section V.
    """

    steps: int = 1000
    learning_rate: float = 0.01
    binary_search_steps: int = 9
    initial_const: float | None = None
    confidence: float = 0.0
    abort_early: bool = True
    targeted: bool = False
    box: tuple[float, float] = (0.0, 1.0)

    first_const = 1e-2  # not annotated, so not a field

    def __post_init__(self):
        super().__post_init__()
        check_count(self, "binary_search_steps", self.binary_search_steps)
        check_number(self, "learning_rate", self.learning_rate, above=0)
        check_number(self, "initial_const", self.initial_const, above=0, optional=True)
        check_number(self, "confidence", self.confidence, at_least=0)
        check_choice(self, "abort_early", self.abort_early, (True, False))

    def begin(self, x: tf.Tensor) -> Any:
        """Where each round starts: any structure of tensors."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `begin`.")

    def step(
        self,
        score_fn: Callable,
        i: tf.Tensor,
        variables: Any,
        x: tf.Tensor,
        goal: tf.Tensor,
        constant: tf.Tensor,
    ) -> tuple[Any, Evaluation]:
        """Evaluates an image and makes the step from there; evaluation `i` comes after `i` steps.

        Args:
            score_fn: maps images to scores `(N, K)`.
            i: scalar integer tensor.
            variables: as `begin` returns them.
            x: clean images.
            goal: targets `(N,)` of a targeted attack, labels of an untargeted one.
            constant: weight of the hinge, `(N,)`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `step`.")

    def run(self, score_fn, x, y, seed, targets, early_stop):
        """Per image the smallest adversarial example found, else the clean image.

        In evaluation images that stall leave the batch until the next constant.
        """
        zero = tf.ensure_shape(tf.zeros(tf.shape(x)[:1]), x.shape[:1])
        # Constants weigh scores against squared distances.
        first = of_width(self.initial_const, self.first_const, self.box, power=2)
        largest = of_width(None, _LARGEST, self.box, power=2)

        def one_round(low, high, constant, best, size):
            best, size, won = self._round(score_fn, x, targets, constant, best, size, early_stop)
            high = tf.where(won, tf.minimum(high, constant), high)
            low = tf.where(won, low, tf.maximum(low, constant))
            larger = tf.minimum(_GROWTH * constant, largest)
            constant = tf.where(tf.math.is_inf(high), larger, (low + high) / 2)
            return low, high, constant, best, size

        infinite = zero + float("inf")
        return tf.while_loop(
            lambda *state: True,
            one_round,
            (zero, infinite, zero + first, tf.identity(x), infinite),
            maximum_iterations=self.binary_search_steps,
        )[3]

    def _round(self, score_fn, x, goal, constant, best, size, early_stop):
        """Descends with one constant: the best images, their sizes, and who was fooled."""
        none = tf.zeros_like(size, tf.bool)
        infinite = tf.fill(tf.shape(size), float("inf"))
        progress = (best, size, none, infinite, infinite, none)
        found = repeat(
            self.steps + 1,
            lambda i, state: self._evaluate(score_fn, i, state),
            ((x, goal, constant), self.begin(x), progress),
            lambda state: state[2][:3],
            early_stop,
        )
        return map(tf.ensure_shape, found, (x.shape, x.shape[:1], x.shape[:1]))

    def _evaluate(self, score_fn, i, state):
        (x, goal, constant), variables, progress = state
        best, size, won, lowest, checked, stalled = progress
        variables, found = self.step(score_fn, i, variables, x, goal, constant)
        fooled = ~stalled & self._fools(found.scores, goal)
        smaller = fooled & (found.size < size)
        best = tf.where(per_image(smaller, x), found.x_adv, best)
        size = tf.where(smaller, found.size, size)
        if self.abort_early:
            # The lowest loss so far, since Adam may just be swinging past the boundary.
            lowest = tf.minimum(lowest, found.loss)
            check = i % max(self.steps // _CHECKS, _PATIENCE) == 0
            stalled |= check & (lowest > _STALLED * checked)
            checked = tf.where(check, lowest, checked)
        progress = (best, size, won | fooled, lowest, checked, stalled)
        return ((x, goal, constant), variables, progress), stalled

    def hinge(self, scores: tf.Tensor, goal: tf.Tensor) -> tf.Tensor:
        """How far the scores are from fooling the model with the attack's `confidence`, `(N,)`.

        `max(s_y - max_{k != y} s_k + confidence, 0)`, with a target
        `max(max_{k != t} s_k - s_t + confidence, 0)`.

        Source: Carlini & Wagner, S&P 2017, arXiv 1608.04644, the function `f_6` on scores.
        """
        margin = objectives.margin(scores, goal)
        return tf.nn.relu((margin if self.targeted else -margin) + self.confidence)

    def _fools(self, scores, goal):
        """Boolean `(N,)`: the model is fooled even if `confidence` is added against the attack."""
        against = -self.confidence if self.targeted else self.confidence
        scores += against * tf.one_hot(goal, scores.shape[-1])
        return reached(scores, goal) if self.targeted else misclassified(scores, goal)
