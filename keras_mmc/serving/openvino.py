"""OpenVINO files, for processors and graphics of Intel."""

import pathlib
from collections.abc import Sequence

import keras
from numpy.typing import ArrayLike

from keras_mmc._extras import require
from keras_mmc._files import PathLike
from keras_mmc.evaluation import Rejection
from keras_mmc.serving._converted import check_equal, check_float32, compared, saved
from keras_mmc.serving._prepared import export_directory, prepared

# Without it the runtime computes in bfloat16 where the processor can.
_COMPILE_WITH = {"INFERENCE_PRECISION_HINT": "f32"}


def export_openvino(
    model: keras.Model,
    path: PathLike,
    class_names: Sequence[str] | None = None,
    *,
    box: tuple[float, float] = (0.0, 1.0),
    calibrate: tuple[ArrayLike, ArrayLike] | None = None,
    rejection: Rejection | None = None,
    overwrite: bool = False,
) -> pathlib.Path:
    """Export a classifier as a directory with `model.xml`, `model.bin` and `keras_mmc.json`.

    One input, `images` `(N, ...)`, float32 in the box, for one image or more; the outputs are those
    of `export_saved_model` without `class_name`: the names are in `keras_mmc.json`. OpenVINO
    computes in bfloat16 where the processor can, with other scores: compile the file as
    `compile_with` in `keras_mmc.json` says. It is run so before it is written, and refused if its
    scores are not those of the model. Needs the extra `openvino`.

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
    >>> keras_mmc.export_openvino(model, "ov")
    >>> facts = json.loads(pathlib.Path("ov/keras_mmc.json").read_text())
    >>> compiled = openvino.compile_model("ov/model.xml", "CPU", facts["compile_with"])
    >>> label = compiled(x_test[:1])["label"]
    """
    openvino = require("openvino", "openvino", "export_openvino")
    served = prepared(model, class_names, box, calibrate, rejection)
    check_float32(served.model, "OpenVINO")
    with export_directory(path, served, overwrite, "OpenVINO") as (directory, facts):
        file = directory / "model.xml"
        with saved(served) as source:
            try:
                converted = openvino.convert_model(source)
            except Exception as error:  # its exceptions have no public base class
                raise ValueError(
                    "The model cannot be exported to OpenVINO: a layer has no such form. The "
                    f"converter says: {error}"
                ) from error
            openvino.save_model(converted, file, compress_to_fp16=False)
        compiled = openvino.compile_model(file, "CPU", _COMPILE_WITH)
        facts["compile_with"] = _COMPILE_WITH
        facts["parity"] = compared(served, lambda images: compiled(images)["scores"])
        check_equal(facts["parity"], "OpenVINO")
    return pathlib.Path(path)
