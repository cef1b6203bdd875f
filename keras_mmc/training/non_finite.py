"""Stop at a loss that is no longer a number, and say what to change."""

import keras
import numpy as np


class StopOnNonFinite(keras.callbacks.Callback):
    """Raise as soon as the loss of a training batch is NaN or infinite.

    Raises:
        FloatingPointError: at the end of the batch; the message names the batch and what to try.

    Example:
    >>> model.fit(train, callbacks=[keras_mmc.training.StopOnNonFinite()])
    """

    def __init__(self):
        super().__init__()
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Remember the epoch for the message."""
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Look at the running mean of the loss, which stays non-finite once it is."""
        loss = (logs or {}).get("loss")
        if loss is None or np.isfinite(loss):
            return
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        raise FloatingPointError(
            f"The loss is {loss} in epoch {self._epoch + 1}, batch {batch + 1}. Try, in this "
            f"order: a learning rate below the present {rate:g} (a tenth of it), or the optimizer "
            "'adam'; `clipnorm=1.0` in the optimizer; a smaller `scale` of the centres. A label "
            "outside [0, num_classes) or a NaN pixel gives a NaN loss at once: check the data "
            "with keras_mmc.datasets.check_images(x, y, num_classes)."
        )
