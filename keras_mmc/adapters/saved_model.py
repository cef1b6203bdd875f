"""A SavedModel as a black box."""

import os
import pathlib

import numpy as np

from keras_mmc._digests import digest_of_files
from keras_mmc.adapters._answers import chosen
from keras_mmc.adapters._batches import in_batches_of, to_dtype
from keras_mmc.adapters.black_box import BlackBox


def from_saved_model(
    path: str | os.PathLike[str],
    signature: str = "serving_default",
    input: str | None = None,
    output: str | None = None,
    num_classes: int | None = None,
) -> BlackBox:
    """A signature of a SavedModel as a black box, whatever it was exported from.

    Its digest is that of all files of the directory. Images go in as float32, or as whole numbers,
    rounded, where the signature takes those. A signature of a fixed batch gets batches of that
    size.

    Args:
        path: directory of the SavedModel.
        signature: name of the signature.
        input: name of the input that takes the images; needed if there are several.
        output: name of the output that answers, scores, probabilities or labels; without it the
            only one, or `"scores"`, as `keras_mmc.export_saved_model` names them.
        num_classes: number of classes; needed if the output is labels.

    Raises:
        ValueError: if there is no SavedModel, or no such signature, input or output.

    Example:
    >>> box = keras_mmc.adapters.from_saved_model("serving/1")
    >>> print(keras_mmc.audit(box, x_test, y_test, eps=8 / 255, suite="black_box"))
    """
    import tensorflow as tf

    path = pathlib.Path(path)
    if not tf.saved_model.contains_saved_model(path):
        raise ValueError(f"from_saved_model: {str(path)!r} is no directory of a SavedModel.")
    loaded = tf.saved_model.load(str(path))
    signature = chosen("from_saved_model", "signature", signature, list(loaded.signatures))
    served = loaded.signatures[signature]
    inputs, outputs = served.structured_input_signature[1], served.structured_outputs
    input = chosen("from_saved_model", "input", input, list(inputs))
    output = chosen("from_saved_model", "output", output, list(outputs))
    spec = inputs[input]

    def ask(images: np.ndarray) -> np.ndarray:
        batch = tf.constant(to_dtype(images, spec.dtype.as_numpy_dtype))
        # Not `served`: a signature does not keep the variables of its model alive.
        return loaded.signatures[signature](**{input: batch})[output].numpy()

    def predict(images: np.ndarray) -> np.ndarray:
        return in_batches_of(spec.shape[0], ask, images)

    return BlackBox(predict, num_classes, digest=digest_of_files(path))
