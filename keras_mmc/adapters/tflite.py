"""A `.tflite` file as a black box."""

import importlib
import os
import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_mmc._digests import digest_of_files
from keras_mmc.adapters._answers import chosen
from keras_mmc.adapters._batches import in_batches_of, to_dtype
from keras_mmc.adapters.black_box import BlackBox


def from_tflite(
    path: str | os.PathLike[str], num_classes: int | None = None, output: str | None = None
) -> BlackBox:
    """A `.tflite` (LiteRT) file with one input as a black box.

    Its digest is the SHA-256 of the file. Quantized inputs and outputs are taken by their scale
    and zero point: images and answers are floats. A file that fixes its batch gets batches of that
    size. The interpreter is that of the package `ai-edge-litert`, else the one in TensorFlow.

    Args:
        path: the file.
        num_classes: number of classes; needed if the output is labels.
        output: name of the output that answers, scores, probabilities or labels; without it the
            only one, or `"scores"`, as `keras_mmc.export_litert` names them.

    Raises:
        ValueError: if there is no such file or output, or it has several inputs.
        ImportError: if there is no interpreter.

    Example:
    >>> box = keras_mmc.adapters.from_tflite("litert/model.tflite")
    >>> print(keras_mmc.audit(box, x_test, y_test, eps=8 / 255, suite="black_box"))
    """
    path = pathlib.Path(path)
    return BlackBox(answering(path, output), num_classes, digest=digest_of_files(path))


def answering(path: pathlib.Path, output: str | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """What a file answers at one of its outputs, as a function of float images `(n, ...)`.

    Errors are those of `from_tflite`.
    """
    if not path.is_file():
        raise ValueError(f"from_tflite: {str(path)!r} is no file.")
    interpreter = _interpreter(path)
    inputs, outputs = interpreter.get_input_details(), _outputs(interpreter)
    if len(inputs) != 1:
        raise ValueError(
            f"from_tflite: {str(path)!r} has {len(inputs)} inputs; one is needed, images. Convert "
            "a model with one."
        )
    (taken,), given = inputs, outputs[chosen("from_tflite", "output", output, list(outputs))]
    fixed = int(taken["shape_signature"][0])

    def ask(images: np.ndarray) -> np.ndarray:
        shape = interpreter.get_input_details()[0]["shape"]
        if shape[0] != len(images):
            interpreter.resize_tensor_input(taken["index"], images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], quantized(images, taken))
        interpreter.invoke()
        return dequantized(interpreter.get_tensor(given["index"]), given)

    interpreter.allocate_tensors()
    return lambda images: in_batches_of(fixed if fixed > 0 else None, ask, images)


def quantized(images: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Float images as a tensor takes them: `q = round(x / scale) + zero_point`."""
    scale, zero_point = details["quantization"]
    return to_dtype(images / scale + zero_point if scale else images, details["dtype"])


def dequantized(answer: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """What a tensor means: `x = scale * (q - zero_point)`, float32; as it is without a scale."""
    scale, zero_point = details["quantization"]
    return ((answer.astype("float32") - zero_point) * scale) if scale else answer


def _outputs(interpreter: Any) -> dict[str, dict[str, Any]]:
    """The outputs by the names that their signature gives, else by those of the tensors."""
    for signature in interpreter.get_signature_list():
        return interpreter.get_signature_runner(signature).get_output_details()
    return {details["name"]: details for details in interpreter.get_output_details()}


def _interpreter(path):
    with warnings.catch_warnings():
        # TensorFlow announces that its interpreter moves to ai-edge-litert.
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated", UserWarning)
        try:
            return _interpreter_class()(model_path=str(path))
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"from_tflite: {str(path)!r} cannot be read as a .tflite file: {error}"
            ) from error


def _interpreter_class() -> Any:
    try:
        return importlib.import_module("ai_edge_litert.interpreter").Interpreter
    except ImportError:
        pass
    try:
        return importlib.import_module("tensorflow").lite.Interpreter
    except (ImportError, AttributeError) as error:
        raise ImportError(
            "from_tflite needs an interpreter, and there is none in this TensorFlow. Install one: "
            "`pip install ai-edge-litert`."
        ) from error
