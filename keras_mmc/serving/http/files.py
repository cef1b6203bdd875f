"""Image files of requests: what their headers say before they are decoded, and what ails them."""

import io
from collections.abc import Sequence

import PIL.Image
import tensorflow as tf

from keras_mmc.serving.http.limits import RefusedError

_FORMATS = ("PNG", "JPEG")


def check_headers(files: Sequence[bytes], most_pixels: int) -> None:
    """Refuses files that are no images, or have more pixels together, before any is decoded."""
    left = most_pixels
    for i, file in enumerate(files):
        try:
            with PIL.Image.open(io.BytesIO(file), formats=_FORMATS) as image:
                width, height = image.size
        except PIL.Image.DecompressionBombError:
            left = -1
        except Exception as error:  # of a file that is anything at all
            raise RefusedError(400, f"File {i} is no PNG or JPEG image.") from error
        else:
            left -= width * height
        if left < 0:
            raise RefusedError(
                413,
                f"The images of a request may have at most {most_pixels} pixels together; file {i} "
                "goes beyond.",
            )


def decoded(file: bytes, channels: int, number: int = 0) -> tf.Tensor:
    """The pixels `(H, W, channels)`, uint8, of a file, as an exported graph decodes it.

    Raises:
        RefusedError: 400 if TensorFlow cannot decode it, with what is known of the reason.
    """
    try:
        return tf.io.decode_image(file, channels, expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        raise RefusedError(400, f"File {number} {_ailment(file, channels)}.") from error


def _ailment(file, channels):
    try:
        with PIL.Image.open(io.BytesIO(file), formats=_FORMATS) as image:
            image.load()
    except Exception:  # of a file that is anything at all
        return "is no whole PNG or JPEG"
    if channels == 4 and image.format == "JPEG":
        return "is a JPEG, which has no 4 channels; send a PNG"
    return f"is a {image.mode} {image.format}; send RGB or gray images"
