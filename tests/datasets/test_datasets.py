"""Data sets: splits, order, augmentation, real pixels, and refusals."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc import datasets

REAL = ["mnist", "fashion_mnist", "cifar10"]


def test_digits_splits_are_disjoint_and_complete():
    """Fails if an image is lost or stands in two splits."""
    parts = [datasets.load_arrays("digits", split) for split in ("train", "validation", "test")]
    assert [len(y) for _, y in parts] == [1293, 144, 360]
    images = np.concatenate([x for x, _ in parts])
    assert images.shape == (1797, 8, 8, 1)
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0.0, 1.0)
    assert len(np.unique(images.reshape(1797, -1), axis=0)) == 1797


def test_validation_depends_on_the_seed_alone():
    """Fails if the validation split is not reproducible, or ignores its seed."""
    first, again, other = (datasets.load_arrays("digits", "validation", s)[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_batches_are_shuffled_by_seed_and_anew_each_epoch():
    """Fails if two runs of a seed differ, or if two epochs see the same order."""

    def labels(seed):
        data = datasets.load("digits", "train", batch_size=100, seed=seed)
        return [np.concatenate([y.numpy() for _, y in data]) for _ in range(2)]

    one, two = labels(3), labels(3)
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one[0], one[1])
    np.testing.assert_array_equal(np.bincount(one[0]), np.bincount(one[1]))


def test_test_split_keeps_its_order():
    """Fails if evaluation data are shuffled."""
    batches = datasets.load("digits", "test", batch_size=100)
    together = np.concatenate([x.numpy() for x, _ in batches])
    np.testing.assert_array_equal(together, datasets.load_arrays("digits", "test")[0])


def test_crop_and_flip_longhand(rng):
    """Fails if a crop is not a window of the zero-padded image, or a flip not its mirror image."""
    images = rng.uniform(0.1, 1, size=(64, 6, 5, 2)).astype("float32")
    result = datasets.crop_and_flip(images, tf.constant([1, 2]), padding=2).numpy()
    padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)])
    seen = set()
    for image, wide in zip(result, padded, strict=True):
        matches = [
            (row, column, flip)
            for row in range(5)
            for column in range(5)
            for flip in (1, -1)
            if np.array_equal(image, wide[row : row + 6, column : column + 5][:, ::flip])
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert {row for row, _, _ in seen} == {column for _, column, _ in seen} == set(range(5))
    assert {flip for _, _, flip in seen} == {1, -1}


def test_augmentation_is_seeded_and_differs_between_epochs(rng):
    """Fails if augmentation repeats in every epoch or between seeds does not repeat."""
    x, y = rng.uniform(size=(8, 8, 8, 3)).astype("float32"), np.arange(8)

    def epochs(seed):
        data = datasets.batches(x, y, 8, batch_size=8, augment=True, seed=seed)
        return [images.numpy() for _ in range(2) for images, _ in data]

    first, again = epochs(5), epochs(5)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])


GOOD = np.full((2, 4, 4, 1), 0.5, "float32")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 4, 1), "uint8"), None, "floating point.*uint8.*255"),
        (GOOD[0], None, r"\(N, H, W, C\).*\(4, 4, 1\)"),
        (np.where(np.arange(16).reshape(4, 4, 1) == 3, np.nan, GOOD), None, "2 pixels are NaN"),
        (GOOD * 255, None, r"\[0, 1\]; received values from 127.5"),
        (GOOD - 1, None, "from -0.5"),
        (GOOD, [0, 3], r"\[0, 3\).*from 0 to 3"),
        (GOOD, [0, 1, 2], "2 images but 3 labels"),
    ],
)
def test_check_dataset_refusals(images, labels, message):
    """Fails if bad pixels or labels get through, or the message does not name them."""
    with pytest.raises(ValueError, match=message):
        datasets.check_dataset(images, labels, num_classes=3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: datasets.load("svhn", "train"), "Unknown data set 'svhn'; known are cifar10"),
        (lambda: datasets.load("digits", "dev"), "Unknown split 'dev'.*validation"),
        (lambda: datasets.load("digits", "train", augment=True), "meant for.*CIFAR"),
        (lambda: datasets.load("cifar10", "test", augment=True), "'cifar10', 'test'"),
        (lambda: datasets.load("digits", "test", batch_size=0), "at least 1; received 0"),
    ],
)
def test_load_refusals(make, message):
    """Fails if a wrong request is answered with some other data."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_real_pixels_have_the_documented_statistics(name):
    """Fails if a set is another one in disguise or the statistics of `info` are not its own."""
    x, y = datasets.load_arrays(name, "test")
    info = datasets.info(name)
    assert x.shape[1:] == info.image_shape
    assert set(np.unique(y)) == set(range(info.num_classes))
    np.testing.assert_allclose(x.mean(axis=(0, 1, 2)), info.mean, atol=0.01)
    np.testing.assert_allclose(x.std(axis=(0, 1, 2)), info.std, atol=0.01)


@pytest.mark.real_data
def test_mnist_and_fashion_mnist_differ():
    """Fails if both were prepared from the same files: pixel means 33.3 and 72.9 of 255."""
    means = [255 * datasets.load_arrays(name, "train")[0].mean() for name in REAL[:2]]
    np.testing.assert_allclose(means, [33.3, 72.9], atol=0.2)


def test_cifar100_is_read_through_tfds(monkeypatch):
    """Fails if CIFAR-100 is not asked for by its TFDS name, split and fine label."""
    asked = []

    def load(name, split, batch_size, shuffle_files):
        asked.append((name, split, batch_size, shuffle_files))
        pixels = np.full((10, 32, 32, 3), 51, "uint8")
        return {"image": tf.constant(pixels), "label": tf.range(90, 100, dtype=tf.int64)}

    monkeypatch.setattr("tensorflow_datasets.load", load)
    x, y = datasets.load_arrays("cifar100", "train")
    assert asked == [("cifar100", "train", -1, False)]
    assert x.shape == (9, 32, 32, 3)
    np.testing.assert_array_equal(np.unique(x), np.float32(0.2))
    assert set(y) < set(range(90, 100))
