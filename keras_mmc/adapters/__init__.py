"""Doors for models that were not made for this package."""

from keras_mmc.adapters.black_box import BlackBox, BlackBoxError
from keras_mmc.adapters.replace_head import replace_head
from keras_mmc.adapters.saved_model import from_saved_model
from keras_mmc.adapters.tflite import from_tflite
from keras_mmc.adapters.to_scores import to_scores

__all__ = [
    "BlackBox",
    "BlackBoxError",
    "from_saved_model",
    "from_tflite",
    "replace_head",
    "to_scores",
]
