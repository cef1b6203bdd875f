"""Effective margin and effective weight norm in the logs of training."""

import warnings
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_mmc import _arrays as arrays
from keras_mmc._tracing import CLASSES, batches, images_spec, traced
from keras_mmc._validation import check_count
from keras_mmc.evaluation import EffectiveMargin, EffectiveWeightNorm
from keras_mmc.training import AdversarialModel


class LogEffectiveMargin(keras.callbacks.Callback):
    """Measures effective margin and effective weight norm after every epoch.

    Adds `val_effective_margin` and `val_effective_weight_norm`, means over the images, to the logs,
    and warns of images around which the scores are constant. List it before callbacks that read
    the values. The model, plain or an `AdversarialModel`, runs in inference mode.

    Args:
        x: validation images `(N, ...)`, floats.
        y: integer labels `(N,)`.
        batch_size: images per pass.

    Raises:
        ValueError: in `fit`, if the images or labels do not fit the model.

    Source: Liu & Chan, BMVC 2022, arXiv 2210.05118.

    Example:
    >>> log = keras_mmc.callbacks.LogEffectiveMargin(x_val, y_val)
    >>> history = robust.fit(train, validation_data=val, epochs=10, callbacks=[log])
    >>> history.history["val_effective_margin"]
    """

    def __init__(self, x: ArrayLike, y: ArrayLike, batch_size: int = 128):
        super().__init__()
        self.x: Any = x
        self.y: Any = y
        self.batch_size = check_count(self, "batch_size", batch_size)

    def on_train_begin(self, logs=None):
        margin = EffectiveMargin(self.model, "val_effective_margin")
        self._metrics = (margin, EffectiveWeightNorm(self.model, "val_effective_weight_norm"))
        box = self.model.box if isinstance(self.model, AdversarialModel) else (-np.inf, np.inf)
        self.x = arrays.check_images(self.x, box)
        self.y = arrays.check_classes(self.y, len(self.x), margin.num_classes, "y")

        def update(x, y):
            for metric in self._metrics:
                metric.update_state(y, x)
            return ()

        self._update = traced(update, images_spec(self.x.shape), CLASSES)

    def on_epoch_end(self, epoch, logs):
        for metric in self._metrics:
            metric.reset_state()
        for rows in batches(len(self.x), self.batch_size):
            self._update(self.x[rows], self.y[rows])
        logs |= {metric.name: float(metric.result()) for metric in self._metrics}
        flat = int(self._metrics[0].flat)
        if flat:
            warnings.warn(
                f"Epoch {epoch + 1}: the scores do not change about {flat} of {len(self.x)} "
                "images, which have no effective margin and are left out of its mean.",
                stacklevel=2,
            )
