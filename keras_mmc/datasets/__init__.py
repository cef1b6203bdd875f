"""Data sets as `tf.data` batches or arrays: float32 images in [0, 1], int32 labels `(N,)`.

Every function raises a `ValueError` that says which argument, sample or label does not fit.
"""

from keras_mmc.datasets.arrays import DatasetInfo, info, load_arrays
from keras_mmc.datasets.epochs import Epochs, balanced_epochs, shuffled_epochs
from keras_mmc.datasets.pipeline import (
    balanced_batches,
    batches,
    check_dataset,
    crop_and_flip,
    load,
    working_set,
)
from keras_mmc.datasets.to_arrays import to_arrays

__all__ = [
    "DatasetInfo",
    "Epochs",
    "balanced_batches",
    "balanced_epochs",
    "batches",
    "check_dataset",
    "crop_and_flip",
    "info",
    "load",
    "load_arrays",
    "shuffled_epochs",
    "to_arrays",
    "working_set",
]
