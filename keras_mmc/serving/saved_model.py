"""SavedModels that plain TensorFlow serves, without this package."""

import pathlib
from collections.abc import Sequence

import keras
from numpy.typing import ArrayLike

from keras_mmc._files import PathLike
from keras_mmc.evaluation import Rejection
from keras_mmc.serving._prepared import export_directory, prepared


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
    * `distances` `(N, K)` and `distance` `(N,)`, float32, those of the features to each center and
      to the predicted one, for a head that gives distances; for others
      `one_minus_max_probability` `(N,)`;
    * `accepted` `(N,)`, bool, and `reason` `(N,)`, int32, why not: a code of
      `keras_mmc.serving.REASONS`.

    An image with a pixel that is not finite or lies outside the box, or whose scores are not
    finite, has no answer: label -1, an empty name, NaN everywhere else, not accepted. One that
    `rejection` finds too far from what the model knows keeps its answer and is not accepted. Images
    of another shape, and files that are no images, are an `InvalidArgumentError`.

    Beside the graph `keras_mmc.json` holds names, box, shape, temperature, threshold, and what that
    rejected of the images that `rejection` was calibrated on and tested with.

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
    served = prepared(model, class_names, box, calibrate, rejection)
    with export_directory(path, served, overwrite, "SavedModel") as (directory, _):
        archive = keras.export.ExportArchive()
        archive.track(served.model)
        for name, (function, spec) in served.endpoints().items():
            archive.add_endpoint(name, function, input_signature=[spec])
        archive.write_out(str(directory), verbose=False)
    return pathlib.Path(path)
