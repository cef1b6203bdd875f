"""Labeled images of a known data set, of a folder with a subfolder for each class, of a file."""

from __future__ import annotations

import dataclasses
import pathlib

import keras
import numpy as np
import tensorflow as tf

from keras_mmc import datasets
from keras_mmc._choices import DATASETS
from keras_mmc._stored_arrays import names_in, read_npz
from keras_mmc.datasets.arrays import SPLITS

_MODES = {1: "grayscale", 3: "rgb", 4: "rgba"}
_TOP = 255  # of pixels in files


@dataclasses.dataclass(frozen=True)
class Images:
    """Images and their labels; as a data set, one batch with the names of the classes.

    Attributes:
        x: images `(N, H, W, C)`, float32, inside the box.
        y: labels `(N,)`, or one-hot rows.
        class_names: names of the classes, if the data know them.
    """

    x: np.ndarray
    y: np.ndarray
    class_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return 1

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        return self.x, self.y

    def rows(self, chosen: np.ndarray | slice) -> Images:
        """Some of the images."""
        return dataclasses.replace(self, x=self.x[chosen], y=self.y[chosen])


def test_images(
    data: str,
    box: tuple[float, float],
    size: tuple[int, int] | None = None,
    channels: int = 3,
) -> Images:
    """The test images of a data set or file, or all that there are.

    Args:
        data: name of a data set, folder or .npz file.
        box: what pixels from 0 to 255 are scaled into.
        size: height and width that images of a folder get.
        channels: 1, 3 or 4 that images of a folder get.

    Raises:
        ValueError: for a folder without `size`, or files that do not hold labeled images.
    """
    if data in DATASETS:
        x, y = datasets.load_arrays(data, "test")
        return Images(_into(box, x), y)
    if not pathlib.Path(data).is_dir():
        return _file(data, ("x_test", "x"), box)
    found = _folder(data, box, size, channels)
    # Files come class by class: the first images of a drawn order stand for all.
    return found.rows(np.random.default_rng(0).permutation(len(found.y)))


def training_splits(
    data: str, box: tuple[float, float], size: tuple[int, int] | None, seed: int
) -> dict[str, Images]:
    """The images of "train", of "validation", and of "test" if there are any.

    A tenth of the training images, that `seed` draws, is for validation; of a folder or file it is
    a tenth of every class, one image at least. Arguments and errors are those of `test_images`;
    images of a folder get three channels.
    """
    if data in DATASETS:
        parts = {split: datasets.load_arrays(data, split, seed) for split in SPLITS}
        return {split: Images(_into(box, x), y) for split, (x, y) in parts.items()}
    is_file = not pathlib.Path(data).is_dir()
    found = _file(data, ("x_train", "x"), box) if is_file else _folder(data, box, size, 3)
    held_out = _held_out(data, found.y, seed)
    splits = {"train": found.rows(~held_out), "validation": found.rows(held_out)}
    if is_file and "x_test" in _keys(data):
        splits["test"] = _file(data, ("x_test",), box)
    return splits


def _held_out(data, labels, seed):
    """Which of the images are for validation, as booleans `(N,)`."""
    labels = labels.argmax(axis=1) if labels.ndim == 2 and labels.shape[1] > 1 else labels.ravel()
    chosen, rng = np.zeros(len(labels), bool), np.random.default_rng(seed)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) < 2:
            raise ValueError(
                f"--data={data} has one image of class {label}; a tenth of every class is held "
                "out, so two are needed at least."
            )
        chosen[rows[: max(1, round(0.1 * len(rows)))]] = True
    return chosen


def _into(box, unit):
    """Values in [0, 1] in the box."""
    low, high = box
    return unit if (low, high) == (0, 1) else np.clip(low + (high - low) * unit, low, high)


def _folder(folder, box, size, channels):
    if size is None:
        raise ValueError(
            f"Images of the folder {folder} are of any size; say which they get, such as "
            "--image_size=64,64."
        )
    if channels not in _MODES:
        raise ValueError(f"Images of a folder have 1, 3 or 4 channels; the model takes {channels}.")
    found = keras.utils.image_dataset_from_directory(
        folder, color_mode=_MODES[channels], image_size=size, shuffle=False, verbose=False
    )
    try:
        x, y, class_names = datasets.to_arrays(found)
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"--data={folder} holds a file that is no image, or a damaged one. TensorFlow says: "
            f"{error.message}"
        ) from error
    return Images(_scaled(x, box), np.asarray(y), class_names)


def _file(file, names, box):
    """The images of the first of some names that the file holds, and the labels beside them."""
    keys = _keys(file)
    name = next((n for n in names if n in keys and n.replace("x", "y", 1) in keys), None)
    if name is None:
        raise ValueError(
            f"--data={file} must hold the arrays {' or '.join(names)}, and y likewise; it holds "
            f"{', '.join(sorted(keys)) or 'none'}."
        )
    x, y = _read(read_npz, file, (name, name.replace("x", "y", 1))).values()
    if x.ndim == 3:  # as MNIST comes with Keras
        x = x[..., np.newaxis]
    return Images(_scaled(x, box) if x.dtype.kind in "iu" else x.astype("float32"), y)


def _keys(file):
    return _read(names_in, file)


def _read(reader, file, *options):
    try:
        return reader(pathlib.Path(file), *options)
    except ValueError as error:
        raise ValueError(
            f"--data={file} is no .npz file, or a damaged one: {error}. Write it anew."
        ) from error


def _scaled(pixels, box):
    """Pixels from 0 to 255 in the box, float32."""
    low, high = box
    values = low + ((high - low) / _TOP) * pixels.astype("float32")
    return np.clip(values, low, high, dtype="float32")
