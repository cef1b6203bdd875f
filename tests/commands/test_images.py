"""Images of a folder, a file or a name: pixels in the box, labels beside their images."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.commands import images
from keras_mmc.commands.training_data import prepare
from keras_mmc.datasets import load_arrays, to_arrays

CLASSES = ("cat", "dog", "eel")
COUNTS = (4, 12, 25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of one color, class k with a red of 50 + k and a green that counts."""
    place = tmp_path_factory.mktemp("photos")
    for k, (name, count) in enumerate(zip(CLASSES, COUNTS, strict=True)):
        (place / name).mkdir()
        for i in range(count):
            pixels = np.full((6, 6, 3), (50 + k, i, 255), "uint8")
            (place / name / f"{i}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    return str(place)


def test_a_folder_by_class(folder):
    """Fails if an image gets the label of another, a pixel is not scaled, or one is lost."""
    found = images.test_images(folder, (-1.0, 1.0), (6, 6))
    assert found.x.dtype == "float32" and found.x.shape == (sum(COUNTS), 6, 6, 3)
    pixels = np.round((found.x + 1) * 127.5).astype(int)
    np.testing.assert_allclose(found.x, pixels / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(pixels[:, 0, 0, 0], 50 + found.y)
    counted = {(int(y), int(p[0, 0, 1])) for p, y in zip(pixels, found.y, strict=True)}
    assert counted == {(k, i) for k, count in enumerate(COUNTS) for i in range(count)}
    assert len(set(found.y[:10].tolist())) > 1  # the first images are not all of one class
    x, y, class_names = to_arrays(found)
    assert class_names == CLASSES and x is not found.x and len(y) == len(x)


def test_a_wide_box_keeps_pixels(folder):
    """Fails if pixels are rounded, or an image of one channel is not made gray."""
    found = images.test_images(folder, (0.0, 255.0), (6, 6))
    np.testing.assert_array_equal(found.x, np.round(found.x))
    assert found.x[..., 2].min() == 255
    assert images.test_images(folder, (0.0, 1.0), (3, 3), channels=1).x.shape[1:] == (3, 3, 1)
    with pytest.raises(ValueError, match="--image_size=64,64"):
        images.test_images(folder, (0.0, 1.0))


def test_a_tenth_of_every_class_is_held_out(folder):
    """Fails if a class is missing from validation, an image is in two splits, or chance rules."""
    splits = images.training_splits(folder, (0.0, 1.0), (6, 6), seed=3)
    assert splits.keys() == {"train", "validation"}
    assert np.bincount(splits["validation"].y).tolist() == [1, 1, 2]
    greens = [
        {(int(y), round(float(x[0, 0, 1]) * 255)) for x, y in zip(part.x, part.y, strict=True)}
        for part in splits.values()
    ]
    assert not greens[0] & greens[1] and len(greens[0] | greens[1]) == sum(COUNTS)
    again = images.training_splits(folder, (0.0, 1.0), (6, 6), seed=3)
    np.testing.assert_array_equal(again["validation"].x, splits["validation"].x)
    data = prepare(folder, splits, (0.0, 1.0), None, 8, None, 0)
    assert (data.info.num_classes, data.info.image_shape) == (3, (6, 6, 3))
    np.testing.assert_allclose(data.info.mean, splits["train"].x.mean(axis=(0, 1, 2)), rtol=1e-4)
    assert data.info.std[2] > 0  # a channel that never changes can be divided by
    assert "held out" in data.tested_on
    np.testing.assert_array_equal(data.splits["test"].x, splits["validation"].x)


@pytest.mark.parametrize("box", [(0.0, 1.0), (0.0, 255.0)])
def test_a_file_as_keras_has_them(box, rng, tmp_path):
    """Fails if test images are trained on, pixels are not scaled, or the channel is missing."""
    parts = {"x_train": (40, 5, 5), "x_test": (7, 5, 5)}
    arrays = {name: rng.integers(0, 256, shape, "uint8") for name, shape in parts.items()}
    arrays |= {"y_train": np.arange(40) % 4, "y_test": np.arange(7)[:, None] % 4}
    path = str(tmp_path / "data.npz")
    np.savez(path, **arrays)
    found = images.test_images(path, box)
    expected = arrays["x_test"][..., None] / 255 * box[1]
    np.testing.assert_allclose(found.x, expected, rtol=1e-6)
    splits = images.training_splits(path, box, None, seed=0)
    assert [len(splits[name].y) for name in ("train", "validation", "test")] == [36, 4, 7]
    np.testing.assert_array_equal(splits["test"].x, found.x)
    data = prepare(path, splits, box, None, 8, True, 0)
    x, y = next(iter(data.batches["test"]))
    np.testing.assert_array_equal(x, found.x)
    np.testing.assert_array_equal(y, np.arange(7) % 4)
    assert float(tf.reduce_max(next(iter(data.train.starting()))[0])) <= box[1]


def test_a_file_with_x_and_y(tmp_path):
    """Fails if floats are scaled, or a file without labeled images is not told apart."""
    path = str(tmp_path / "data.npz")
    x = np.linspace(0, 1, 2 * 9, dtype="float64").reshape(2, 3, 3, 1)
    np.savez(path, x=x, y=[1, 0])
    np.testing.assert_array_equal(images.test_images(path, (0.0, 1.0)).x, x.astype("float32"))
    np.savez(path, images=x, y=[1, 0])
    with pytest.raises(ValueError, match=r"x_test or x, and y likewise; it holds images, y"):
        images.test_images(path, (0.0, 1.0))
    (tmp_path / "data.npz").write_text("no file of NumPy")
    with pytest.raises(ValueError, match=r"no \.npz file, or a damaged one"):
        images.test_images(path, (0.0, 1.0))


def test_a_class_with_one_image(tmp_path):
    """Fails if a class is only trained on, or only tested on, without a word."""
    path = str(tmp_path / "data.npz")
    np.savez(path, x=np.zeros((3, 4, 4, 1), "uint8"), y=[0, 0, 5])
    with pytest.raises(ValueError, match="has one image of class 5"):
        images.training_splits(path, (0.0, 1.0), None, seed=0)


def test_a_known_name():
    """Fails if the images of a name are others than they were, or leave the box."""
    x, y = load_arrays("digits", "test")
    found = images.test_images("digits", (0.0, 1.0))
    np.testing.assert_array_equal(found.x, x)
    np.testing.assert_array_equal(found.y, y)
    wide = images.training_splits("digits", (0.0, 255.0), None, seed=1)
    for split, part in wide.items():
        np.testing.assert_allclose(part.x, 255 * load_arrays("digits", split, 1)[0], rtol=1e-6)
    data = prepare("digits", wide, (0.0, 255.0), (3, 8), 10, None, 1)
    assert data.info.num_classes == 2 and data.info.mean[0] == pytest.approx(0.3053 * 255)
    assert set(np.unique(data.splits["train"].y)) == {0, 1}
    _, labels = next(iter(data.train.starting()))
    assert int(tf.reduce_sum(labels)) == 5  # as many of either class


def test_a_damaged_image(tmp_path):
    """Fails if a file that is no image ends in the words of TensorFlow's graph."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="holds a file that is no image"):
        images.test_images(str(tmp_path), (0.0, 1.0), (6, 6))
