"""What callbacks share: the classifier in training, a value to follow, images to attack."""

import math
import warnings
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_mmc import _arrays as arrays
from keras_mmc._backend import require_tensorflow
from keras_mmc._validation import check_count
from keras_mmc.attacks import Attack, Runner
from keras_mmc.defenses.base import check_attack
from keras_mmc.training import AdversarialModel

require_tensorflow("keras_mmc.callbacks")


def classifier_of(model: keras.Model) -> keras.Model:
    """The plain classifier of a model in training: `model.model` of an `AdversarialModel`."""
    return model.model if isinstance(model, AdversarialModel) else model


class RobustnessMonitor(keras.callbacks.Callback):
    """Base class of callbacks that act on a value in the logs and on its best epoch.

    Epochs without validation and values of NaN are passed over. `best` and `best_epoch`, from 0,
    are `None` until there was a value.

    Args:
        monitor: name of the value; larger is better.

    Raises:
        ValueError: at the end of the first epoch, if the logs do not hold the value.
    """

    def __init__(self, monitor: str):
        super().__init__()
        self.monitor = monitor
        self.best: float | None = None
        self.best_epoch: int | None = None

    def on_best(self) -> None:
        """What to do at the end of an epoch that is better than all before."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `on_best`.")

    def on_other(self, epoch: int, value: float) -> None:
        """What to do at the end of any other epoch."""

    def on_epoch_end(self, epoch, logs):
        value = self.read(logs, self.monitor)
        if value is None:
            return
        if self.best is None or value > self.best:
            self.on_best()
            self.best, self.best_epoch = value, epoch
        else:
            self.on_other(epoch, value)

    def on_train_end(self, logs=None):
        if self.best is None:
            warnings.warn(
                f"{type(self).__name__} did nothing: no epoch had a value {self.monitor!r}. Pass "
                "`validation_data` to `fit`, or monitor another value.",
                stacklevel=2,
            )

    def read(self, logs: dict[str, Any], name: str) -> float | None:
        """A value of the logs, `None` if it is NaN or this epoch was not validated."""
        if name in logs:
            return None if math.isnan(logs[name]) else logs[name]
        if name.startswith("val_") and not any(key.startswith("val_") for key in logs):
            return None
        raise ValueError(
            f"{type(self).__name__}: the logs hold no value {name!r}, only {sorted(logs)}. Name "
            "one of these; a callback that computes the value must come earlier in the list."
        )


class SubsetCallback(keras.callbacks.Callback):
    """Base class of callbacks that attack the same images after every few epochs.

    A subclass implements `on_epoch_end` and asks `due` in it, once per epoch. `model` is the plain
    classifier, whatever is fitted; in `fit`, `runner` attacks it. Arguments are as for
    `RobustAccuracy`.

    Raises:
        ValueError: for anything but an attack, one with `eps=0`, images or labels that do not fit,
            or counts below 1; in `fit`, for labels that are no classes of the model.
    """

    runner: Runner

    def __init__(self, attack: Attack, x: ArrayLike, y: ArrayLike, every: int, batch_size: int):
        super().__init__()
        owner = type(self).__name__
        check_attack(owner, attack, in_training=False)
        self.attack = attack
        self.x = arrays.check_images(x, attack.box)
        self.y = np.asarray(y)
        if not len(self.x) or self.y.shape[:1] != (len(self.x),):
            raise ValueError(
                f"{owner}: images with one label each are needed; received {len(self.x)} images "
                f"and labels of shape {self.y.shape}."
            )
        self.every = check_count(self, "every", every)
        self.batch_size = check_count(self, "batch_size", batch_size)

    def set_model(self, model):
        super().set_model(classifier_of(model))

    def on_train_begin(self, logs=None):
        self._epochs = 0
        self.runner = Runner(self.model, self.batch_size)
        shape = getattr(self.model, "output_shape", None)
        if shape is not None:
            self.y = arrays.check_classes(self.y, len(self.x), shape[-1], "y")

    def on_train_end(self, logs=None):
        del self.runner  # and its graphs

    def due(self) -> bool:
        """Whether the epoch that ends is one of those that are attacked."""
        self._epochs += 1
        return (self._epochs - 1) % self.every == 0
