"""Classifiers that leave this package: SavedModels that TensorFlow serves alone."""

from keras_mmc._backend import require_tensorflow

require_tensorflow("keras_mmc.serving")

from keras_mmc.serving._graph import REASONS  # noqa: E402
from keras_mmc.serving.export import export_saved_model  # noqa: E402

__all__ = ["REASONS", "export_saved_model"]
