"""SavedModels that plain TensorFlow serves, without this package."""

import pathlib
import shutil
import tempfile

import keras
import tensorflow as tf

from keras_mmc._backend import require_tensorflow
from keras_mmc._scores import center_distances
from keras_mmc.layers import LearnedCenters, MaxMahalanobisCenters

require_tensorflow("keras_mmc.export_saved_model")


def export_saved_model(model: keras.Model, path, overwrite: bool = False) -> pathlib.Path:
    """Export a classifier as a SavedModel with the signature `serving_default`.

    The signature takes `images` `(N, H, W, C)`, float32 in the box the model was trained on (the
    normalisation is part of the model), for any N, and returns

    * `scores` `(N, K)`, float32;
    * `probabilities` `(N, K)`, the softmax of the scores;
    * `label` `(N,)`, int32, the class of the largest score;
    * `distance` `(N,)`, float32, the distance of the features to the predicted centre; only for a
      model whose last layer is `MaxMahalanobisCenters` or `LearnedCenters`.

    The directory appears only once it is complete.

    Args:
        model: built classifier with one input and scores `(N, K)`.
        path: directory to write.
        overwrite: replace an existing directory.

    Returns:
        The path.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is not set.
        ValueError: if the model is not built or does not map one input to scores `(N, K)`.

    Example:
    >>> keras_mmc.export_saved_model(model, "serving/1")
    >>> served = tf.saved_model.load("serving/1").signatures["serving_default"]
    >>> served(images=tf.zeros((1, 28, 28, 1)))["label"]
    """
    path = pathlib.Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Choose another path, or pass overwrite=True.")
    signature = _input_signature(model)
    has_centers = isinstance(model.layers[-1], LearnedCenters | MaxMahalanobisCenters)

    def serve(images):
        scores = tf.cast(model(images, training=False), tf.float32)
        outputs = {
            "scores": scores,
            "probabilities": tf.nn.softmax(scores),
            "label": tf.argmax(scores, axis=-1, output_type=tf.int32),
        }
        if has_centers:
            outputs["distance"] = center_distances(tf.reduce_max(scores, axis=-1))
        return outputs

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", serve, input_signature=[signature])
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as staging:
        complete = pathlib.Path(staging) / path.name
        archive.write_out(str(complete), verbose=False)
        if path.exists():
            shutil.rmtree(path)
        complete.rename(path)
    return path


def _input_signature(model):
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
