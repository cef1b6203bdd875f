"""SavedModels that plain TensorFlow serves, without this package."""

import json
import math
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_mmc._backend import require_tensorflow
from keras_mmc._files import Kind, PathLike, results_directory
from keras_mmc._version import __version__
from keras_mmc.adapters import to_scores
from keras_mmc.layers import ScoreHead
from keras_mmc.training import AdversarialModel

require_tensorflow("keras_mmc.export_saved_model")

_KIND = Kind(
    "export",
    marker="keras_mmc.json",
    signature='"exported_by": "keras_mmc',
    files=(
        *("keras_mmc.json", "saved_model.pb", "fingerprint.pb", "keras_metadata.pb"),
        *("variables/*", "assets/*"),
    ),
)


def export_saved_model(model: keras.Model, path: PathLike, overwrite: bool = False) -> pathlib.Path:
    """Export a classifier as a SavedModel with the signature `serving_default`.

    The signature takes `images` `(N, H, W, C)`, float32 in the box the model was trained on (the
    normalization is part of the model), for any N, and returns

    * `scores` `(N, K)`, float32, and `probabilities` `(N, K)`, their softmax;
    * `label` `(N,)`, int32, the class of the largest score;
    * `distance` `(N,)`, float32, the distance of the features to the predicted center; only for a
      model whose last layer gives distances, as `MaxMahalanobisCenters` and `LearnedCenters` do.

    An image with a pixel that is NaN or infinite, or whose largest score is, gets the label -1 and
    NaN everywhere else: a client must look at the label before it uses it.

    The model must be built and have one input; of an `AdversarialModel` the classifier is exported,
    and one that ends in a softmax by the scores before it, as `to_scores` says. The directory
    `path`, which is returned, appears only once it is complete; its `keras_mmc.json` says who has
    written it. With `overwrite` an earlier export is replaced; nothing else is ever deleted.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is not set, or holds anything else than an
            export of this package, or is the working directory or the like.
        BlockingIOError, OSError: if another process exports there, or `path` cannot be written.
        ValueError: if the model is not built, does not map one input to scores `(N, K)`, or has
            weights that are not finite.

    Example:
    >>> keras_mmc.export_saved_model(model, "serving/1")
    >>> served = tf.saved_model.load("serving/1").signatures["serving_default"]
    >>> served(images=tf.zeros((1, 28, 28, 1)))["label"]
    """
    if isinstance(model, AdversarialModel):
        model = model.model
    if isinstance(model, keras.Model) and model.built:
        model = to_scores(model)
    signature = _input_signature(model)
    _check_weights(model)
    with results_directory(path, _KIND, overwrite) as directory:
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("serving_default", _serving(model), input_signature=[signature])
        archive.write_out(str(directory), verbose=False)
        facts = json.dumps({"exported_by": f"keras_mmc {__version__}"})
        (directory / "keras_mmc.json").write_text(facts + "\n", encoding="utf-8")
    return pathlib.Path(path)


def _serving(model: keras.Model) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """The function that is served: images to a dict of outputs."""
    head = model.layers[-1]
    gives_distances = isinstance(head, ScoreHead) and head.gives_distances

    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = tf.cast(model(images, training=False), tf.float32)
        pixel_axes = list(range(1, images.shape.rank))
        pixels_finite = tf.reduce_all(tf.math.is_finite(images), axis=pixel_axes)
        largest = tf.reduce_max(scores, axis=-1)
        label = tf.argmax(scores, axis=-1, output_type=tf.int32)
        is_nan = tf.reduce_any(tf.math.is_nan(scores), axis=-1)
        valid = pixels_finite & tf.math.is_finite(largest) & ~is_nan
        scores = tf.where(valid[:, None], scores, math.nan)
        outputs = {
            "scores": scores,
            "probabilities": tf.nn.softmax(scores),
            "label": tf.where(valid, label, -1),
        }
        if gives_distances:
            outputs["distance"] = tf.gather(head.distances(scores), label, axis=1, batch_dims=1)
        return outputs

    return serve


def _check_weights(model: keras.Model) -> None:
    broken = [
        weight.path
        for weight in model.weights
        if not np.isfinite(keras.ops.convert_to_numpy(weight).astype("float64")).all()
    ]
    if broken:
        raise ValueError(
            f"export_saved_model: {len(broken)} of {len(model.weights)} weights hold NaN or "
            f"infinity, such as {broken[0]!r}: training has diverged. Export an earlier "
            "checkpoint; keras_mmc.callbacks.StopOnNonFinite ends such a training at once."
        )


def _input_signature(model: keras.Model) -> tf.TensorSpec:
    if not model.built or len(getattr(model, "inputs", None) or ()) != 1:
        raise ValueError(
            "export_saved_model needs a built model with one input. Build a functional or "
            "Sequential model with keras.Input, or call the model on a batch first."
        )
    if len(model.output_shape) != 2:
        raise ValueError(
            "export_saved_model needs a model that gives scores (N, K); received output shape "
            f"{model.output_shape}."
        )
    return tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="images")
