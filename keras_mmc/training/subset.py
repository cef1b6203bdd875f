"""What callbacks share that look at the classifier in training, and attack the same images."""

import keras
import numpy as np

from keras_mmc._validation import check_count
from keras_mmc.attacks import Attack, checks
from keras_mmc.defenses.base import check_attack
from keras_mmc.training.adversarial_model import AdversarialModel


def classifier_of(model: keras.Model) -> keras.Model:
    """The plain classifier of a model in training: `model.model` of an `AdversarialModel`."""
    return model.model if isinstance(model, AdversarialModel) else model


class SubsetCallback(keras.callbacks.Callback):
    """Base class of callbacks that attack the same images after every few epochs.

    A subclass implements `on_epoch_end` and asks `due` in it, once per epoch; its `model` is the
    plain classifier, whatever is fitted.

    Args:
        attack: the attack; it is traced once for all epochs.
        x: images `(N, ...)`, floats inside the box of the attack.
        y: integer labels `(N,)`.
        every: number of epochs from one attack to the next; the first epoch is attacked.

    Raises:
        ValueError: for something else than an attack, one with `eps=0`, images or labels that do
            not fit, or `every < 1`.
    """

    def __init__(self, attack: Attack, x, y, every: int):
        super().__init__()
        owner = type(self).__name__
        check_attack(owner, attack)
        self.attack = attack
        self.x = checks.check_images(x, attack.box)
        self.y = np.asarray(y)
        if not len(self.x) or self.y.shape[:1] != (len(self.x),):
            raise ValueError(
                f"{owner}: images with one label each are needed; received {len(self.x)} images "
                f"and labels of shape {self.y.shape}."
            )
        self.every = every
        check_count(self, "every", self.every)

    def set_model(self, model):
        super().set_model(classifier_of(model))

    def on_train_begin(self, logs=None):
        """Count epochs from here, and check the labels: the attack would only do so later."""
        self._epochs = 0
        shape = getattr(self.model, "output_shape", None)
        if shape is not None:
            checks.check_classes(self.y, len(self.x), shape[-1], "y")

    def due(self) -> bool:
        """Whether the epoch that ends is one of those that are attacked."""
        self._epochs += 1
        return (self._epochs - 1) % self.every == 0
