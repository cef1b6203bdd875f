"""Data in the forms that users of Keras hold them: the same arrays, or one clear error."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc import datasets
from tests.loaders import InBatches, Loader

NAMES = ["bird", "cat", "dog"]


@pytest.fixture
def data(rng):
    return rng.integers(0, 256, (7, 4, 4, 3)).astype("uint8"), np.arange(7) % 3


def batches(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(3)


FORMS = {
    "tuples": batches,
    "triples": lambda x, y: batches(x, y).map(lambda x, y: (x, y, tf.ones_like(y))),
    "dicts": lambda x, y: batches(x, y).map(lambda x, y: {"image": x, "label": y, "id": y}),
    "prefetched": lambda x, y: batches(x, y).cache().prefetch(1),
    "PyDataset": InBatches,
    "loader": Loader,
    "arrays": lambda x, y: (x, y),
    "tensors": lambda x, y: (tf.constant(x), tf.constant(y)),
    "lists": lambda x, y: (x.tolist(), y.tolist()),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_arrays(form, data):
    """Fails if images, their order or their labels are other ones."""
    made = FORMS[form](*data)
    x, y, names = datasets.to_arrays(*(made if isinstance(made, tuple) else (made,)))
    np.testing.assert_array_equal(x, data[0])
    np.testing.assert_array_equal(y, data[1])
    assert x.shape == data[0].shape and names is None


@pytest.fixture
def folder(data, tmp_path):
    """A folder of PNGs, one subfolder per class."""
    for number, (image, label) in enumerate(zip(*data, strict=True)):
        path = tmp_path / "photos" / NAMES[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(path, image, scale=False)
    return keras.utils.image_dataset_from_directory(
        tmp_path / "photos", image_size=(4, 4), batch_size=3, shuffle=False, verbose=False
    )


def test_a_folder_of_images(folder, data):
    """Fails if pixels or names of classes are lost on the way."""
    x, y, names = datasets.to_arrays(folder)
    order = np.argsort(data[1], kind="stable")
    np.testing.assert_array_equal(x, data[0][order])
    np.testing.assert_array_equal(y, data[1][order])
    assert names == tuple(NAMES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x, y: ((x[:3], y[:3]) for _ in range(2)), "received generator, which may never"),
        (lambda x, y: batches(x, y).map(lambda x, y: {"a": x}), r"received the keys \['a'\]"),
        (lambda x, y: batches(x, y).map(lambda x, y: ((x, x), y)), "tuples of tuples of"),
        (lambda x, y: batches(x, y).unbatch(), "must be batches; received single images"),
        (lambda x, y: batches(x, y).take(0), "data set is empty"),
        (lambda x, y: batches(x, y).repeat(), "never ends"),
    ],
)
def test_what_is_no_labeled_data(make, message, data):
    """Fails if it dies with words of another library, or is read without end."""
    with pytest.raises(ValueError, match=message):
        datasets.to_arrays(make(*data))


def test_labels_beside_a_data_set(data):
    """Fails if one of two sets of labels is chosen silently."""
    with pytest.raises(ValueError, match="leave `y` as None"):
        datasets.to_arrays(batches(*data), data[1])


def test_sizes_that_differ(data):
    """Fails if images of several sizes end in an error of NumPy."""
    both = [batches(*data), batches(data[0][:, :3], data[1])]
    mixed = both[0].concatenate(both[1].map(lambda x, y: (x, y)))
    with pytest.raises(ValueError, match=r"2 sizes, such as \(3, 4, 3\) and \(4, 4, 3\)"):
        datasets.to_arrays(mixed)
