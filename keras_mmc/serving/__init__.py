"""Classifiers that leave this package: SavedModels and files of other runtimes."""

from keras_mmc._backend import require_tensorflow

require_tensorflow("keras_mmc.serving")

from keras_mmc.serving._graph import REASONS  # noqa: E402
from keras_mmc.serving.litert import export_litert  # noqa: E402
from keras_mmc.serving.onnx import export_onnx  # noqa: E402
from keras_mmc.serving.openvino import export_openvino  # noqa: E402
from keras_mmc.serving.saved_model import export_saved_model  # noqa: E402

__all__ = ["REASONS", "export_litert", "export_onnx", "export_openvino", "export_saved_model"]
