"""Stop where single-step adversarial training collapses."""

import warnings

from keras_mmc._validation import check_number
from keras_mmc.callbacks.base import RobustnessMonitor, classifier_of

# A network that predicts one class whatever it sees has a robust accuracy of 1 / K, which it
# loses as soon as it learns. Until the best is well above that, nothing is judged.
_ABOVE_CHANCE = 1.5


class StopOnCatastrophicOverfitting(RobustnessMonitor):
    """Stops single-step adversarial training once it is robust to its own step alone.

    The sign of that: on validation images, under an attack of many steps, the robust accuracy falls
    below a fraction of its best, while on training images, under the single step, it is at least
    what it was in that best epoch. A network that gets worse at both trains on, and so does one
    whose best is below 1.5 times chance. At the end the model gets the weights of the best epoch
    back, and a warning says so.

    Args:
        monitor: name of the robust accuracy on validation images in the logs of the epoch.
        training_monitor: name of the robust accuracy on training images.
        fraction: fraction of the best, above 0 and below 1.

    Raises:
        ValueError: for a `fraction` out of range, or if the logs do not hold a value.

    Source: Wong et al., *Fast is better than free*, ICLR 2020, arXiv 2001.03994, stop early in the
    same way on a few training images; the fraction and the second condition are this package's.

    Example:
    >>> defense = keras_mmc.defenses.FastAdversarialTraining(eps=8 / 255)
    >>> robust = keras_mmc.AdversarialModel(model, defense)
    >>> stop = keras_mmc.callbacks.StopOnCatastrophicOverfitting()
    >>> robust.fit(train, validation_data=validation, epochs=30, callbacks=[stop])
    """

    def __init__(
        self,
        monitor: str = "val_robust_accuracy",
        training_monitor: str = "robust_accuracy",
        fraction: float = 0.5,
    ):
        super().__init__(monitor)
        self.training_monitor = training_monitor
        self.fraction = fraction
        check_number(self, "fraction", fraction, above=0, below=1)

    def on_train_begin(self, logs=None):
        # An earlier training may have been that of another network.
        self.best = self.best_epoch = self._put_back = None

    def on_epoch_end(self, epoch, logs=None):
        training = self.read(logs, self.training_monitor)
        if training is not None:
            self._training = training
            super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs=None):
        # At the very end, after Keras has set averaged weights.
        if self._put_back is not None:
            classifier_of(self.model).set_weights(self._put_back)

    def on_best(self):
        self._best_training = self._training
        self._weights = classifier_of(self.model).get_weights()

    def on_other(self, epoch, value):
        assert self.best is not None and self.best_epoch is not None  # `on_best` came before
        judged = self.best * self.model.output_shape[-1] > _ABOVE_CHANCE
        fell = value < self.fraction * self.best
        if not (judged and fell and self._training >= self._best_training):
            return
        self._put_back = self._weights
        self.model.stop_training = True
        warnings.warn(
            f"Catastrophic overfitting in epoch {epoch + 1}: under the single step of training "
            f"{self.training_monitor} is {self._training:.4f}, but {self.monitor} fell to "
            f"{value:.4f}, from {self.best:.4f} in epoch {self.best_epoch + 1}. Training stops, "
            f"and the model gets the weights of epoch {self.best_epoch + 1} back. To get further, "
            "try a smaller `step_size` or a lower learning rate, or AdversarialTraining with a "
            "PGD attack of several steps.",
            stacklevel=2,
        )
