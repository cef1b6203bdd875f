"""LiteRT (TensorFlow Lite) files, for phones and small devices."""

import pathlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_mmc._arrays import check_images
from keras_mmc._extras import require
from keras_mmc._files import PathLike
from keras_mmc._validation import check, check_choice
from keras_mmc.adapters.structure import check_takes
from keras_mmc.adapters.tflite import answering
from keras_mmc.evaluation import Rejection
from keras_mmc.serving._converted import check_equal, check_float32, compared, saved
from keras_mmc.serving._graph import Served
from keras_mmc.serving._prepared import export_directory, prepared

_NAME = "export_litert"


def export_litert(
    model: keras.Model,
    path: PathLike,
    class_names: Sequence[str] | None = None,
    *,
    quantize: Literal["dynamic", "int8"] | None = None,
    representative: ArrayLike | None = None,
    box: tuple[float, float] = (0.0, 1.0),
    calibrate: tuple[ArrayLike, ArrayLike] | None = None,
    rejection: Rejection | None = None,
    overwrite: bool = False,
) -> pathlib.Path:
    """Export a classifier as a directory with `model.tflite` and `keras_mmc.json`.

    One input, `images` `(N, ...)`, float32 in the box, for one image or more; the outputs are those
    of `export_saved_model` without `class_name`: the names are in `keras_mmc.json`. The file is run
    before it is written, and `parity` in `keras_mmc.json` says how its scores compare with those of
    the model; one in floats is refused if they differ. Needs the extra `litert`.

    Args:
        model: as for `export_saved_model`, and so are all but `quantize` and `representative`.
        path: the directory.
        class_names: names of the K classes.
        quantize: `None` keeps float32; `"dynamic"` keeps the weights in 8 bits and computes in
            floats; `"int8"` keeps and computes all in 8 bits, images and scores too, by the scale
            and zero point of the file. Its one output is `scores`: a distance of rounded scores
            would say nothing, so there is no `accepted`.
        representative: images `(N, ...)` as the model will meet them, some hundred, which set the
            ranges of `"int8"`; `parity` is measured on them.
        box: where the images live.
        calibrate: images and labels for the temperature.
        rejection: what `calibrate_rejection` returned.
        overwrite: replace an earlier export.

    Returns:
        The path of the directory.

    Raises:
        ImportError: if the extra is not installed.
        ValueError: as `export_saved_model`; if a layer cannot be converted; for `"int8"` without
            images, or with a rejection.
        FileExistsError, BlockingIOError, OSError: as `export_saved_model`.

    Example:
    >>> keras_mmc.export_litert(model, "litert", quantize="int8", representative=x_train[:300])
    >>> box = keras_mmc.adapters.from_tflite("litert/model.tflite")
    >>> print(keras_mmc.audit(box, x_test, y_test, eps=8 / 255, suite="black_box"))
    """
    check_choice(_NAME, "quantize", quantize, (None, "dynamic", "int8"))
    require("ai_edge_litert.interpreter", "litert", _NAME)
    served = prepared(model, class_names, box, calibrate, rejection)
    check_float32(served.model, "LiteRT")
    images = None if representative is None else check_images(representative, box).astype("float32")
    if images is not None:
        check_takes(served.model, images)
    if quantize == "int8":
        expected = "some hundred images, as the model will meet them"
        check(_NAME, "representative", None, images is not None and len(images) > 0, expected)
        expected = "None beside quantize='int8', whose scores are too coarse for a threshold"
        check(_NAME, "rejection", rejection, rejection is None, expected)
    with export_directory(path, served, overwrite, "LiteRT") as (directory, facts):
        file = directory / "model.tflite"
        file.write_bytes(_converted(served, quantize, images))
        scores_of = answering(file, "scores")
        facts["quantized"] = quantize
        facts["parity"] = compared(served, scores_of, images)
        if quantize is None:
            check_equal(facts["parity"], "LiteRT")
    return pathlib.Path(path)


def _converted(served: Served, quantize: str | None, images: np.ndarray | None) -> bytes:
    with saved(served, only_scores=quantize == "int8") as directory:
        converter = tf.lite.TFLiteConverter.from_saved_model(directory)
        if quantize is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if images is not None and quantize == "int8":
            converter.representative_dataset = lambda: _one_by_one(images)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        with warnings.catch_warnings():  # of the converter, about itself
            warnings.simplefilter("ignore")
            try:
                return converter.convert()
            except Exception as error:  # its exceptions have no public base class
                raise ValueError(
                    "The model cannot be exported to LiteRT: a layer has no such form. The "
                    f"converter says: {str(error).strip().splitlines()[-1]}"
                ) from error


def _one_by_one(images: np.ndarray) -> Iterator[list[np.ndarray]]:
    for image in images:
        yield [image[np.newaxis]]
