"""ONNX files, for onnxruntime and its many hosts."""

import logging
import pathlib
import types
from collections.abc import Sequence
from typing import Any

import keras
from numpy.typing import ArrayLike

from keras_mmc._extras import require
from keras_mmc._files import PathLike
from keras_mmc.evaluation import Rejection
from keras_mmc.serving._converted import check_equal, check_float32, compared, frozen_answers
from keras_mmc.serving._prepared import export_directory, prepared

_OPSET = 18


def export_onnx(
    model: keras.Model,
    path: PathLike,
    class_names: Sequence[str] | None = None,
    *,
    box: tuple[float, float] = (0.0, 1.0),
    calibrate: tuple[ArrayLike, ArrayLike] | None = None,
    rejection: Rejection | None = None,
    overwrite: bool = False,
) -> pathlib.Path:
    """Export a classifier as a directory with `model.onnx` and `keras_mmc.json`.

    One input, `images` `(N, ...)`, float32 in the box, for one image or more; the outputs are those
    of `export_saved_model` without `class_name`: the names are in `keras_mmc.json`. The file is run
    by onnxruntime before it is written, and refused if its scores are not those of the model.
    Needs the extra `onnx`: tf2onnx, onnx and onnxruntime.

    Args:
        model: as for `export_saved_model`, and so are the others.
        path: the directory.
        class_names: names of the K classes.
        box: where the images live.
        calibrate: images and labels for the temperature.
        rejection: what `calibrate_rejection` returned.
        overwrite: replace an earlier export.

    Returns:
        The path of the directory.

    Raises:
        ImportError: if the extra is not installed.
        ValueError: as `export_saved_model`; if a layer cannot be converted.
        FileExistsError, BlockingIOError, OSError: as `export_saved_model`.

    Example:
    >>> keras_mmc.export_onnx(model, "onnx")
    >>> session = onnxruntime.InferenceSession("onnx/model.onnx")
    >>> (label,) = session.run(["label"], {"images": x_test[:1]})
    """
    tf2onnx = require("tf2onnx.convert", "onnx", "export_onnx")
    runtime = require("onnxruntime", "onnx", "export_onnx")
    served = prepared(model, class_names, box, calibrate, rejection)
    check_float32(served.model, "ONNX")
    with export_directory(path, served, overwrite, "ONNX") as (directory, facts):
        file = directory / "model.onnx"
        file.write_bytes(_converted(tf2onnx, frozen_answers(served)))
        session = _session(runtime, file)
        facts["parity"] = compared(
            served, lambda images: session.run(["scores"], {"images": images})[0]
        )
        check_equal(facts["parity"], "ONNX")
    return pathlib.Path(path)


def _converted(convert: types.ModuleType, function: Any) -> bytes:
    """The bytes of the ONNX form of a `tf.function` with one signature and named outputs."""
    chatter = logging.getLogger("tf2onnx")  # it prints what its optimizer gives up, with traceback
    level = chatter.level
    chatter.setLevel(logging.CRITICAL)
    try:
        proto, _ = convert.from_function(function, function.input_signature, opset=_OPSET)
    finally:
        chatter.setLevel(level)
    return proto.SerializeToString()


def _session(runtime, file):
    try:
        return runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no public base class
        raise ValueError(
            f"The model cannot be exported to ONNX, opset {_OPSET}: a layer has no such form. "
            f"onnxruntime says: {error}"
        ) from error
