"""Doors for models that were not made for this package."""

from keras_mmc.adapters.replace_head import replace_head
from keras_mmc.adapters.to_scores import to_scores

__all__ = ["replace_head", "to_scores"]
