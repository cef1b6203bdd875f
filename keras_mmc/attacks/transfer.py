"""Transfer: adversarial examples crafted on one model, tried on another."""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_mmc import _arrays as arrays
from keras_mmc._validation import check
from keras_mmc.adapters import to_scores
from keras_mmc.attacks._engine.predictions import score_function
from keras_mmc.attacks.ball import Ball
from keras_mmc.attacks.base import Attack


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class Transfer(Attack):
    """Crafts adversarial examples on a substitute model and shows them to the attacked one.

    The attacked model gives scores of clean images and nothing else: if adversarial examples of a
    substitute fool it more often than its own gradients do, those gradients are masked.

    The training view of the attack crafts them, since it makes all its steps: the first image that
    fools the substitute is barely across its boundary and would transfer badly.

    Args:
        attack: the attack run on the substitute; what it says of itself holds here too.
        substitute: Keras classifier of the same images and classes; called with images, the attack
            takes it by its scores, as `keras_mmc.to_scores` does.

    Raises:
        ValueError: if `attack` is not an attack or `substitute` not a Keras model; in a call, if
            the substitute returns something else than scores of the same classes.

    Source: Papernot et al., 2016, arXiv 1605.07277.

    Example:
    >>> attack = keras_mmc.attacks.Transfer(keras_mmc.attacks.MIM(8 / 255), substitute)
    >>> x_adv = attack(model, x_test, y_test)
    """

    attack: Attack
    substitute: keras.Model

    uses_gradients = False

    def __post_init__(self):
        is_attack = isinstance(self.attack, Attack) and self.attack.trains
        check(self, "attack", self.attack, is_attack, "an attack, such as PGD(8 / 255)")
        is_model = isinstance(self.substitute, keras.Layer)
        check(self, "substitute", self.substitute, is_model, "a Keras model")

    targeted = property(lambda self: self.attack.targeted)
    box = property(lambda self: self.attack.box)
    starts_at_random = property(lambda self: self.attack.starts_at_random)
    fixed_eps = property(lambda self: self.attack.fixed_eps)
    fixed_steps = property(lambda self: self.attack.fixed_steps)
    eps = property(lambda self: self.attack.eps)
    steps = property(lambda self: self.attack.steps)

    @property
    def ball(self) -> Ball | None:
        return self.attack.ball

    def run(self, score_fn, x, y, seed, targets, early_stop, **budget):
        """What the attack makes on the substitute; scores of the attacked model are not used."""
        # Only static shapes are used: never computed in a graph, one image of a black box.
        substitute_fn = score_function(self.substitute)
        expected, received = score_fn(x[:1]).shape[-1], substitute_fn(x[:1]).shape[-1]
        if expected != received:
            raise ValueError(
                f"Transfer: the substitute must know the classes of the attacked model, "
                f"{expected}; it returns scores of {received} classes."
            )
        return self.attack.run(substitute_fn, x, y, seed, targets, False, **budget)

    def __call__(
        self, model: Any, x: ArrayLike, y: ArrayLike | None = None, **options: Any
    ) -> np.ndarray:
        """As of every attack: images that fool the model as they are come back unchanged."""
        x = arrays.check_images(x, self.box)
        if not len(x):
            return super().__call__(model, x, y, **options)
        opened = dataclasses.replace(self, substitute=to_scores(self.substitute, x[:1]))
        arrays.check_scores(score_function(opened.substitute)(tf.constant(x[:1])).numpy())
        return super(Transfer, opened).__call__(model, x, y, **options)
