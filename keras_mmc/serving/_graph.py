"""What an exported classifier computes, as functions that TensorFlow traces."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_mmc.adapters.structure import distances_of
from keras_mmc.evaluation import Detection
from keras_mmc.evaluation.rejection import statistic_of

# By its code, why an image is not accepted.
REASONS = (
    "accepted",
    "a pixel is NaN or infinite",
    "a pixel lies outside the box",
    "the scores are not finite",
    "rejected: too far from what the model knows",
)
_NOT_FINITE, _OUTSIDE, _NO_SCORES, _REJECTED = range(1, 5)
_ROUNDING = 1e-5  # of the width of the box


@dataclasses.dataclass(frozen=True)
class Served:
    """A classifier with what its answers need.

    Attributes:
        model: Keras model from images to scores `(N, K)`.
        box: `(low, high)`, where its images live.
        class_names: names of the classes.
        temperature: that of the softmax of the scores.
        is_calibrated: whether it was fitted on images.
        threshold: largest `statistic` that is accepted; infinity accepts every image.
        false_rejection: fraction of correctly classified images that it was to reject at most.
        detections: what it rejected of the images that it was calibrated on, and of others.
    """

    model: keras.Model
    box: tuple[float, float]
    class_names: tuple[str, ...]
    temperature: float
    is_calibrated: bool
    threshold: float
    false_rejection: float | None
    detections: tuple[Detection, ...] = ()

    @property
    def image_shape(self) -> tuple:
        """The shape of an image."""
        return tuple(self.model.input_shape[1:])

    @property
    def statistic(self) -> str:
        """What says how far an image is from what the model knows, the larger the farther."""
        return statistic_of(self.model)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of all outputs."""
        distances = ("distances",) if distances_of(self.model) else ()
        return (
            *("scores", "probabilities", "label", "class_name"),
            *(*distances, self.statistic, "accepted", "reason"),
        )

    def answer(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """All outputs for float images `(N, ...)`, for any N."""
        # What is known of the shape would be taken for checked, and never be looked at.
        images = tf.compat.v1.placeholder_with_default(images, None)
        images = tf.ensure_shape(images, (None, *self.image_shape))
        shape = tf.shape(images)
        # Some kernels fail on an empty batch.
        filling = tf.cast(shape[:1] == 0, tf.int32)
        filled = tf.concat([images, tf.zeros(tf.concat([filling, shape[1:]], 0))], 0)
        return {name: value[: shape[0]] for name, value in self.answer_some(filled).items()}

    def answer_some(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """All outputs for float images of the right shape, one or more."""
        low, high = self.box
        slack = _ROUNDING * (high - low)
        axes = list(range(1, images.shape.rank))
        finite = tf.reduce_all(tf.math.is_finite(images), axes)
        inside = tf.reduce_all((images >= low - slack) & (images <= high + slack), axes)
        scores = tf.cast(self.model(images, training=False), tf.float32)
        known = tf.reduce_all(tf.math.is_finite(scores), axis=-1)
        label = tf.argmax(scores, axis=-1, output_type=tf.int32)
        probabilities = tf.nn.softmax(scores / self.temperature)
        to_centers = distances_of(self.model)
        if to_centers is None:
            to_each = {}
            far = 1 - tf.reduce_max(probabilities, axis=-1)
        else:
            to_each = {"distances": to_centers(scores)}
            far = tf.gather(to_each["distances"], label, batch_dims=1)
        reason = tf.where(far > self.threshold, _REJECTED, 0)
        for fits, code in ((known, _NO_SCORES), (inside, _OUTSIDE), (finite, _NOT_FINITE)):
            reason = tf.where(fits, reason, code)
        answered = (reason == 0) | (reason == _REJECTED)
        names = tf.constant(self.class_names)
        rows = {"scores": scores, "probabilities": probabilities, **to_each}
        return {
            **{name: tf.where(answered[:, None], row, math.nan) for name, row in rows.items()},
            "label": tf.where(answered, label, -1),
            "class_name": tf.where(answered, tf.gather(names, label), ""),
            self.statistic: tf.where(answered, far, math.nan),
            "accepted": reason == 0,
            "reason": reason,
        }

    def endpoints(self) -> dict[str, tuple[Callable, tf.TensorSpec]]:
        """By the name of a signature, its function and what goes in."""
        shape = self.image_shape
        found = {
            "serving_default": (self.answer, tf.TensorSpec((None, *shape), tf.float32, "images")),
            "serving_uint8": (self._of_pixels, tf.TensorSpec((None, *shape), tf.uint8, "images")),
        }
        if len(shape) == 3 and all(shape) and shape[-1] in (1, 3, 4):
            spec = tf.TensorSpec((None,), tf.string, "image_bytes")
            found["serving_bytes"] = self._of_files, spec
        return found

    def _of_pixels(self, images):
        """`answer` for pixels from 0 to 255, which become the ends of the box."""
        low, high = self.box
        return self.answer(low + tf.cast(images, tf.float32) * ((high - low) / 255))

    def _of_files(self, image_bytes):
        """`answer` for PNG and JPEG files, resized to what the model takes."""
        height, width, channels = self.image_shape

        def pixels(file):
            decoded = tf.io.decode_image(file, channels, expand_animations=False)
            return tf.image.resize(decoded, (height, width))

        spec = tf.TensorSpec((height, width, channels), tf.float32)
        return self._of_pixels(tf.map_fn(pixels, image_bytes, fn_output_signature=spec))


def names_of(class_names: Sequence[str] | None, num_classes: int) -> tuple[str, ...]:
    """Checked names of the classes; their numbers if there are none.

    Raises:
        ValueError: unless there is one text for each class.
    """
    if class_names is None:
        return tuple(map(str, range(num_classes)))
    names = tuple(np.asarray(class_names).tolist()) if not isinstance(class_names, str) else ()
    if len(names) != num_classes or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"`class_names` must be {num_classes} texts, one for each class; received "
            f"{class_names!r}."
        )
    return names
