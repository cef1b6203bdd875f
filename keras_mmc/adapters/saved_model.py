"""A SavedModel as a black box."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from keras_mmc.adapters._batches import in_batches_of, to_dtype
from keras_mmc.adapters._digests import digest_of_files
from keras_mmc.adapters.black_box import BlackBox

_PREFERRED = "scores"


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
    signature = _chosen("signature", signature, list(loaded.signatures))
    served = loaded.signatures[signature]
    inputs, outputs = served.structured_input_signature[1], served.structured_outputs
    input = _chosen("input", input, list(inputs))
    output = _chosen("output", output, list(outputs), _PREFERRED)
    spec = inputs[input]

    def ask(images: np.ndarray) -> np.ndarray:
        batch = tf.constant(to_dtype(images, spec.dtype.as_numpy_dtype))
        # Not `served`: a signature does not keep the variables of its model alive.
        return loaded.signatures[signature](**{input: batch})[output].numpy()

    def predict(images: np.ndarray) -> np.ndarray:
        return in_batches_of(spec.shape[0], ask, images)

    return BlackBox(predict, num_classes, digest=digest_of_files(path))


def _chosen(what: str, name: str | None, names: Sequence[str], preferred: str = "") -> str:
    """The name asked for; else the only one, or the preferred one."""
    if name is None and (len(names) == 1 or preferred in names):
        name = preferred if preferred in names else names[0]
    if name is None or name not in names:
        asked = f"has no {what} {name!r}" if name else f"has several {what}s"
        raise ValueError(
            f"from_saved_model: the SavedModel {asked}; it has {sorted(names)}. Pass one of them "
            f"as `{what}`."
        )
    return name
