"""Images as addresses: gray values, places and colors."""

import base64
import io

import matplotlib.image
import numpy as np

from keras_mmc.plotting.image_data import image_data


def decoded(address):
    prefix = "data:image/png;base64,"
    assert address.startswith(prefix)
    return base64.b64decode(address[len(prefix) :])


def test_images_are_drawn_to_the_pixel():
    """Fails if the box is mapped to other gray values, or rows and columns are swapped."""
    image = np.array([[[-1.0], [0.0], [1.0]], [[0.5], [-0.5], [2.0]]])
    content = decoded(image_data(image, (-1.0, 1.0)))
    pixels = matplotlib.image.imread(io.BytesIO(content))
    expected = np.array([[0, 0.5, 1], [0.75, 0.25, 1]])
    np.testing.assert_allclose(pixels, expected, atol=1 / 255)


def test_colors_are_kept():
    """Fails if red, green and blue change places."""
    image = np.array([[[1.0, 0.5, 0.0]]])
    content = decoded(image_data(image, (0.0, 1.0)))
    pixel = matplotlib.image.imread(io.BytesIO(content))[0, 0, :3]
    np.testing.assert_allclose(pixel, [1, 0.5, 0], atol=1 / 255)
