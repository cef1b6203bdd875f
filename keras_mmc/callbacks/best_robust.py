"""The most robust epoch's classifier, on disk."""

import os
import pathlib

from keras_mmc._files import PathLike, check_writable, replacing
from keras_mmc.callbacks.base import RobustnessMonitor, classifier_of


class BestRobustCheckpoint(RobustnessMonitor):
    """Saves the plain classifier after every epoch that is more robust than all before.

    It is saved with `model.save`, and replaces the file of an earlier run. A reader sees the older
    file or the new one, never a part.

    Args:
        filepath: file to write, ending in `.keras`; missing folders are made.
        monitor: name of the value in the logs that must rise, such as that of `RobustAccuracy`.

    Raises:
        ValueError: for another suffix, or if the logs do not hold the value.
        OSError: if the file cannot be written.

    Example:
    >>> best = keras_mmc.callbacks.BestRobustCheckpoint("runs/best.keras")
    >>> robust.fit(train, validation_data=validation, epochs=100, callbacks=[best])
    >>> model = keras.models.load_model("runs/best.keras")
    """

    def __init__(self, filepath: PathLike, monitor: str = "val_robust_accuracy"):
        super().__init__(monitor)
        self.filepath = pathlib.Path(filepath)
        if self.filepath.suffix != ".keras":
            raise ValueError(
                f"BestRobustCheckpoint: `filepath` must end in .keras; received {str(filepath)!r}."
            )

    def on_train_begin(self, logs=None):
        # Now, so that a wrong path shows before the first epoch.
        check_writable(self.filepath.parent)
        self.filepath.parent.mkdir(parents=True, exist_ok=True)

    def on_best(self):
        partial = self.filepath.with_name(f".{self.filepath.stem}.{os.getpid()}.partial.keras")
        with replacing(self.filepath, partial):
            classifier_of(self.model).save(partial)
