"""SavedModels that plain TensorFlow serves, without this package."""

import json
import math
import pathlib
from collections.abc import Sequence

import keras
from numpy.typing import ArrayLike

from keras_mmc._arrays import check_images
from keras_mmc._files import Kind, PathLike, results_directory
from keras_mmc._validation import check_box
from keras_mmc._version import __version__
from keras_mmc.adapters import to_scores
from keras_mmc.adapters.structure import broken_weights, softmax_temperature
from keras_mmc.attacks import Runner
from keras_mmc.evaluation import Rejection, fit_temperature
from keras_mmc.evaluation.rejection import UNSURE
from keras_mmc.serving._graph import REASONS, Served, names_of
from keras_mmc.training import AdversarialModel

_KIND = Kind(
    "export",
    marker="keras_mmc.json",
    signature='"exported_by": "keras_mmc',
    files=(
        *("keras_mmc.json", "saved_model.pb", "fingerprint.pb", "keras_metadata.pb"),
        *("variables/*", "assets/*"),
    ),
)


def export_saved_model(
    model: keras.Model,
    path: PathLike,
    class_names: Sequence[str] | None = None,
    *,
    box: tuple[float, float] = (0.0, 1.0),
    calibrate: tuple[ArrayLike, ArrayLike] | None = None,
    rejection: Rejection | None = None,
    overwrite: bool = False,
) -> pathlib.Path:
    """Export a classifier as a SavedModel that TensorFlow serves without this package and Keras.

    Three signatures answer for any number N of images:

    * `serving_default` takes `images` `(N, ...)`, float32 in the box (the normalization is part of
      the model);
    * `serving_uint8` takes `images` `(N, ...)`, pixels from 0 to 255, which become the ends of the
      box;
    * `serving_bytes` takes `image_bytes` `(N,)`, PNG or JPEG files, which are decoded and resized;
      for models of images `(H, W, C)` of one known size with 1, 3 or 4 channels.

    Each returns

    * `scores` `(N, K)`, float32, and `probabilities` `(N, K)`, the softmax of scores divided by the
      temperature: that which is best on `calibrate`, or that of `rejection`, or the head's own;
    * `label` `(N,)`, int32, the class of the largest score, and `class_name` `(N,)`, its name;
    * `distance` `(N,)`, float32, the distance of the features to the predicted center, for a head
      that gives distances; for others `one_minus_max_probability`;
    * `accepted` `(N,)`, bool, and `reason` `(N,)`, int32, why not: a code of
      `keras_mmc.serving.REASONS`.

    An image with a pixel that is not finite or lies outside the box, or whose scores are not
    finite, has no answer: label -1, an empty name, NaN everywhere else, not accepted. One that
    `rejection` finds too far from what the model knows keeps its answer and is not accepted. Images
    of another shape, and files that are no images, are an `InvalidArgumentError`.

    Beside the graph `keras_mmc.json` holds names, box, shape, temperature and threshold.

    Args:
        model: a built classifier with one input; of an `AdversarialModel` the classifier is
            exported, and one that ends in a softmax by the scores before it, as `to_scores` says.
        path: the directory, which appears only once it is complete.
        class_names: names of the K classes; their numbers if left out.
        box: `(low, high)`, where the images of the model live.
        calibrate: images `(N, ...)` and labels `(N,)` that the model was not trained on, for the
            temperature.
        rejection: what `calibrate_rejection` returned for this model.
        overwrite: replace an earlier export; nothing else is ever deleted.

    Returns:
        The path.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is not set, or holds anything else than an
            export of this package, or is the working directory or the like.
        BlockingIOError, OSError: if another process exports there, or `path` cannot be written.
        ValueError: if the model is not built, does not map one input to scores `(N, K)`, or has
            weights that are not finite; for names, a box, images or a rejection that do not fit.

    Example:
    >>> keras_mmc.export_saved_model(model, "serving/1", calibrate=(x_val, y_val))
    >>> served = tf.saved_model.load("serving/1").signatures["serving_default"]
    >>> served(images=tf.zeros((1, 28, 28, 1)))["label"]
    """
    model = _classifier(model)
    check_box("export_saved_model", box)
    served = _served(model, box, class_names, calibrate, rejection)
    with results_directory(path, _KIND, overwrite) as directory:
        archive = keras.export.ExportArchive()
        archive.track(model)
        for name, (function, spec) in served.endpoints().items():
            archive.add_endpoint(name, function, input_signature=[spec])
        archive.write_out(str(directory), verbose=False)
        facts = json.dumps(_facts(served, calibrate, rejection), indent=1)
        (directory / "keras_mmc.json").write_text(facts + "\n", encoding="utf-8")
    return pathlib.Path(path)


def _classifier(model: keras.Model) -> keras.Model:
    """The classifier of scores in what came, looked at before anything is written."""
    if isinstance(model, AdversarialModel):
        model = model.model
    if isinstance(model, keras.Model) and model.built:
        model = to_scores(model)
    _check_signature(model)
    _check_weights(model)
    return model


def _served(model, box, class_names, calibrate, rejection):
    names = names_of(class_names, model.output_shape[-1])
    temperature, threshold = softmax_temperature(model), math.inf
    if rejection is not None:
        rejection.check_fits(model)
        temperature, threshold = rejection.temperature, rejection.threshold
    if calibrate is not None:
        if rejection is not None and rejection.statistic == UNSURE:
            raise ValueError(
                "export_saved_model: the threshold of `rejection` is about probabilities at its "
                "own temperature, which was fitted as `calibrate` would. Leave `calibrate` out."
            )
        x, y = calibrate
        runner = Runner(model)
        scores = runner.scores(check_images(x, box))
        temperature = fit_temperature(scores, runner.labels(y, scores))
    low, high = map(float, box)
    return Served(model, (low, high), names, temperature, threshold)


def _facts(served, calibrate, rejection):
    fitted = calibrate is not None or rejection is not None
    return {
        "exported_by": f"keras_mmc {__version__}",
        "class_names": served.class_names,
        "image_shape": served.image_shape,
        "box": served.box,
        "temperature": served.temperature,
        "temperature_from": "validation images" if fitted else "the head",
        "statistic": served.statistic,
        "threshold": None if rejection is None else served.threshold,
        "false_rejection": None if rejection is None else rejection.false_rejection,
        "reasons": REASONS,
    }


def _check_weights(model: keras.Model) -> None:
    broken = broken_weights(model)
    if broken:
        raise ValueError(
            f"export_saved_model: {len(broken)} of {len(model.weights)} weights hold NaN or "
            f"infinity, such as {broken[0]!r}: training has diverged. Export an earlier "
            "checkpoint; keras_mmc.callbacks.StopOnNonFinite ends such a training at once."
        )


def _check_signature(model: keras.Model) -> None:
    is_built = isinstance(model, keras.Model) and model.built
    if not is_built or len(getattr(model, "inputs", None) or ()) != 1:
        raise ValueError(
            "export_saved_model needs a built model with one input. Build a functional or "
            "Sequential model with keras.Input, or call the model on a batch first."
        )
    if len(model.output_shape) != 2 or model.output_shape[-1] < 2:
        raise ValueError(
            "export_saved_model needs a model that gives scores (N, K) of two classes or more; "
            f"received output shape {model.output_shape}."
        )
