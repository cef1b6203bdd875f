"""Transfer: points crafted on one model, tried on another."""

import dataclasses
import weakref

import keras
import numpy as np
import tensorflow as tf

from keras_mmc.attacks import checks
from keras_mmc.attacks.base import Attack, score_function


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class Transfer(Attack):
    """Crafts adversarial points on a substitute model and shows them to the attacked one.

    The attacked model gives scores of clean images and nothing else: if points of a substitute
    fool it more often than its own gradients do, those gradients are masked.

    The training view of the attack crafts the points, since it goes all its way: the first point
    that fools the substitute is barely across its boundary and would transfer badly.

    Args:
        attack: the attack run on the substitute; its `targeted` and `box` hold here too.
        substitute: Keras model from the same images to scores of the same classes.

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

    def __post_init__(self):
        if not isinstance(self.attack, Attack):
            raise ValueError(
                f"Transfer: `attack` must be an attack, such as PGD(8 / 255); received "
                f"{self.attack!r}."
            )
        if not isinstance(self.substitute, keras.Layer):
            raise ValueError(
                f"Transfer: `substitute` must be a Keras model; received {self.substitute!r}."
            )

    @property
    def targeted(self) -> bool:
        return self.attack.targeted

    @property
    def box(self) -> tuple[float, float]:
        return self.attack.box

    def generate(self, score_fn, x, y, seed, targets=None):
        """What the attack generates on the substitute; `score_fn` is never computed."""
        return self._weak().generate(score_fn, x, y, seed, targets)

    def __call__(self, model, x, y=None, **options) -> np.ndarray:
        """As of every attack: images that fool the model as they are come back unchanged."""
        x = checks.check_images(x, self.box)
        if len(x):
            checks.check_scores(score_function(self.substitute)(tf.constant(x[:1])).numpy())
        return self._weak()(model, x, y, **options)

    def _weak(self):
        return _Transfer(self.attack, weakref.ref(self.substitute))


@dataclasses.dataclass(frozen=True)
class _Transfer(Attack):
    """The transfer as it is remembered along with its graph, for as long as the attacked model.

    It must not keep the substitute alive that long, let alone, where a model is its own
    substitute, for ever.
    """

    attack: Attack
    substitute: "weakref.ref[keras.Model]"

    def __post_init__(self):
        """The fields are those of a `Transfer`, checked there."""

    targeted = property(lambda self: self.attack.targeted)
    box = property(lambda self: self.attack.box)

    def generate(self, score_fn, x, y, seed, targets=None):
        substitute_fn = score_function(self.substitute())
        # Only static shapes are used: in a graph these scores are never computed.
        expected, received = score_fn(x).shape[-1], substitute_fn(x).shape[-1]
        if expected != received:
            raise ValueError(
                f"Transfer: the substitute must know the classes of the attacked model, "
                f"{expected}; it returns scores of {received} classes."
            )
        return self.attack.generate(substitute_fn, x, y, seed, targets)
