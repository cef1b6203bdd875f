"""What callbacks share that follow a robust accuracy from epoch to epoch."""

import math
import warnings

import keras


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
        self.best = None
        self.best_epoch = None

    def on_best(self) -> None:
        """What to do at the end of an epoch that is better than all before."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `on_best`.")

    def on_other(self, epoch: int, value: float) -> None:
        """What to do at the end of any other epoch."""

    def on_epoch_end(self, epoch, logs=None):
        """Compare the value with the best."""
        value = self.read(logs, self.monitor)
        if value is None:
            return
        if self.best is None or value > self.best:
            self.on_best()
            self.best, self.best_epoch = value, epoch
        else:
            self.on_other(epoch, value)

    def on_train_end(self, logs=None):
        """Warn if there was nothing to act on."""
        if self.best is None:
            warnings.warn(
                f"{type(self).__name__} did nothing: no epoch had a value {self.monitor!r}. Pass "
                "`validation_data` to `fit`, or monitor another value.",
                stacklevel=2,
            )

    def read(self, logs: dict, name: str) -> float | None:
        """A value of the logs, `None` if it is NaN or this epoch was not validated."""
        if name in logs:
            return None if math.isnan(logs[name]) else logs[name]
        if name.startswith("val_") and not any(key.startswith("val_") for key in logs):
            return None
        raise ValueError(
            f"{type(self).__name__}: the logs hold no value {name!r}, only {sorted(logs)}. Name "
            "one of these; a callback that computes the value must come earlier in the list."
        )
