"""What every export begins and ends with: a checked classifier, and a directory with its facts."""

import contextlib
import dataclasses
import json
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from numpy.typing import ArrayLike

from keras_mmc._arrays import check_images
from keras_mmc._files import Kind, PathLike, results_directory
from keras_mmc._validation import check_box
from keras_mmc._version import __version__
from keras_mmc.adapters import to_scores
from keras_mmc.adapters.structure import broken_weights, softmax_temperature
from keras_mmc.attacks import Runner
from keras_mmc.evaluation import Detection, Rejection, fit_temperature
from keras_mmc.evaluation.rejection import UNSURE
from keras_mmc.serving._graph import REASONS, Served, names_of
from keras_mmc.training import AdversarialModel

FACTS = "keras_mmc.json"
_KIND = Kind(
    "export",
    marker=FACTS,
    signature='"exported_by": "keras_mmc',
    files=(
        *(FACTS, "saved_model.pb", "fingerprint.pb", "keras_metadata.pb"),
        *("variables/*", "assets/*"),
        *("model.onnx", "model.tflite", "model.xml", "model.bin"),
    ),
)


def prepared(
    model: keras.Model,
    class_names: Sequence[str] | None,
    box: tuple[float, float],
    calibrate: tuple[ArrayLike, ArrayLike] | None,
    rejection: Rejection | None,
) -> Served:
    """The classifier of scores in what came, with all that its answers need.

    Raises:
        ValueError: as `export_saved_model` says.
    """
    model = _classifier(model)
    check_box("An export", box)
    names = names_of(class_names, model.output_shape[-1])
    temperature, threshold, false_rejection = softmax_temperature(model), math.inf, None
    if rejection is not None:
        rejection.check_fits(model)
        temperature, threshold = rejection.temperature, rejection.threshold
        false_rejection = rejection.false_rejection
    if calibrate is not None:
        if rejection is not None and rejection.statistic == UNSURE:
            raise ValueError(
                "An export: the threshold of `rejection` is about probabilities at its own "
                "temperature, which was fitted as `calibrate` would. Leave `calibrate` out."
            )
        x, y = calibrate
        runner = Runner(model)
        scores = runner.scores(check_images(x, box))
        temperature = fit_temperature(scores, runner.labels(y, scores))
    low, high = map(float, box)
    is_fitted = calibrate is not None or rejection is not None
    return Served(
        *(model, (low, high), names, temperature, is_fitted, threshold, false_rejection),
        () if rejection is None else rejection.detections,
    )


@contextlib.contextmanager
def export_directory(
    path: PathLike, served: Served, overwrite: bool, format: str
) -> Iterator[tuple[pathlib.Path, dict[str, Any]]]:
    """Yields an empty directory and more facts to add; it takes its place at the end, complete."""
    more: dict[str, Any] = {}
    with results_directory(path, _KIND, overwrite) as directory:
        yield directory, more
        text = json.dumps(_facts(served) | {"format": format} | more, indent=1)
        (directory / FACTS).write_text(text + "\n", encoding="utf-8")


def _facts(served: Served) -> dict[str, Any]:
    return {
        "exported_by": f"keras_mmc {__version__}",
        "class_names": served.class_names,
        "image_shape": served.image_shape,
        "box": served.box,
        "temperature": served.temperature,
        "temperature_from": "validation images" if served.is_calibrated else "the head",
        "statistic": served.statistic,
        "threshold": served.threshold if math.isfinite(served.threshold) else None,
        "false_rejection": served.false_rejection,
        "detections": [_measured(row) for row in served.detections],
        "reasons": REASONS,
    }


def _measured(row: Detection) -> dict[str, Any]:
    names = ("false_rejection", "coverage", "accuracy")
    return dataclasses.asdict(row) | {name: getattr(row, name) for name in names}


def _classifier(model: keras.Model) -> keras.Model:
    if isinstance(model, AdversarialModel):
        model = model.model
    if isinstance(model, keras.Model) and model.built:
        model = to_scores(model)
    _check_signature(model)
    _check_weights(model)
    return model


def _check_weights(model: keras.Model) -> None:
    broken = broken_weights(model)
    if broken:
        raise ValueError(
            f"An export: {len(broken)} of {len(model.weights)} weights hold NaN or infinity, such "
            f"as {broken[0]!r}: training has diverged. Export an earlier checkpoint; "
            "keras_mmc.callbacks.StopOnNonFinite ends such a training at once."
        )


def _check_signature(model: keras.Model) -> None:
    is_built = isinstance(model, keras.Model) and model.built
    if not is_built or len(getattr(model, "inputs", None) or ()) != 1:
        raise ValueError(
            "An export needs a built model with one input. Build a functional or Sequential model "
            "with keras.Input, or call the model on a batch first."
        )
    if len(model.output_shape) != 2 or model.output_shape[-1] < 2:
        raise ValueError(
            "An export needs a model that gives scores (N, K) of two classes or more; received "
            f"output shape {model.output_shape}."
        )
