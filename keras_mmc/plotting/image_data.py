"""An image as a `data:` address, for an `<img>` of a page that loads nothing."""

import base64
import io

import matplotlib.image
import numpy as np


def image_data(image: np.ndarray, box: tuple[float, float]) -> str:
    """An image `(H, W, 1)` or `(H, W, 3)` as a PNG; `box` holds the values of black and white."""
    pixels = np.clip((np.asarray(image, "float64") - box[0]) / (box[1] - box[0]), 0, 1)
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    file = io.BytesIO()
    matplotlib.image.imsave(file, pixels, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
