"""Stop at a value that is no longer a number, and say what to change."""

import keras
import numpy as np
import tensorflow as tf


class StopOnNonFinite(keras.callbacks.Callback):
    """Raises as soon as the loss, a metric or a weight is NaN or infinite after a training batch.

    A metric can hide what the loss shows, and both can hide NaN weights, so all three are checked.

    Raises:
        FloatingPointError: at the end of the batch; the message names the batch, what is not
            finite, and what to try.

    Example:
    >>> model.fit(train, callbacks=[keras_mmc.callbacks.StopOnNonFinite()])
    """

    def on_train_begin(self, logs=None):
        weights = [w for w in self.model.weights if keras.backend.is_float_dtype(w.dtype)]
        self._paths = [w.path for w in weights]
        self._finite = tf.function(
            lambda: [tf.reduce_all(tf.math.is_finite(w.value)) for w in weights], autograph=False
        )

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        # Loss and metrics are running means: once they are not finite they stay so.
        values = (logs or {}).items()
        broken = [f"{name} is {value}" for name, value in values if not np.isfinite(value).all()]
        if not broken:
            weights = zip(self._paths, self._finite(), strict=True)
            broken = [f"weight {path} is not finite" for path, finite in weights if not finite]
        if not broken:
            return
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        raise FloatingPointError(
            f"The {', the '.join(broken)} in epoch {self._epoch + 1}, batch {batch + 1}. Try, in "
            f"this order: a learning rate below the present {rate:g} (a tenth of it), or the "
            "optimizer 'adam'; `clipnorm=1.0` in the optimizer; a smaller `scale` of the centers. "
            "A label outside [0, num_classes) or a NaN pixel gives a NaN loss at once: check the "
            "data with keras_mmc.datasets.check_dataset(x, y, num_classes)."
        )
