"""An image as a `data:` address, for an `<img>` of a page that loads nothing."""

import base64

import numpy as np


def image_data(image: np.ndarray, box: tuple[float, float]) -> str:
    """An image `(H, W, 1)` or `(H, W, 3)` as a PNG; `box` holds the values of black and white."""
    import tensorflow as tf  # curves and features are drawn without it

    values = np.clip((np.asarray(image, "float64") - box[0]) / (box[1] - box[0]), 0, 1)
    pixels = np.round(255 * values).astype("uint8")
    content = tf.io.encode_png(pixels).numpy()
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
