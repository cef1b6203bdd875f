"""Doors for models that were not made for this package."""

from keras_mmc.adapters._structure import draw_images, image_shape
from keras_mmc.adapters.replace_head import replace_head
from keras_mmc.adapters.to_scores import Opened, open_model, to_scores

__all__ = ["Opened", "draw_images", "image_shape", "open_model", "replace_head", "to_scores"]
