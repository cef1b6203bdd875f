"""The flags of images and their labels: a known data set, a folder, or a .npz file."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from absl import flags

from keras_mmc._choices import DATASETS
from keras_mmc.commands import box_flag
from keras_mmc.commands.box_flag import box as box

if TYPE_CHECKING:
    import keras

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(box_flag)
flags.DEFINE_string(
    "data",
    "digits",
    f"Images and their labels: one of {', '.join(DATASETS)}, of which TensorFlow Datasets loads "
    "all but digits (see TFDS_DATA_DIR); a folder that holds a subfolder of images for each class; "
    "or a .npz file with x and y, or with x_train, y_train, x_test and y_test.",
)
flags.DEFINE_alias("dataset", "data")
flags.DEFINE_list(
    "image_size",
    None,
    "Height and width, such as 64,64, that images of a folder get; default: those of the model.",
)


def _is_file(path):
    return path.suffix == ".npz" and path.is_file()


flags.register_validator(
    "data",
    lambda data: data in DATASETS or pathlib.Path(data).is_dir() or _is_file(pathlib.Path(data)),
    message=f"it must be one of {', '.join(DATASETS)}, a folder that exists, or a .npz file that "
    "exists",
)
flags.register_validator(
    "image_size",
    lambda size: size is None or (len(size) == 2 and all(n.isdigit() and int(n) for n in size)),
    message="height and width are needed, such as 64,64",
)


def image_size() -> tuple[int, int] | None:
    """Height and width of `--image_size`, or `None`."""
    if FLAGS.image_size is None:
        return None
    height, width = map(int, FLAGS.image_size)
    return height, width


def size_and_channels(model: keras.Layer) -> tuple[tuple[int, int] | None, int]:
    """What images of a folder get: `--image_size` or the size that a model takes, and channels."""
    from keras_mmc.adapters.structure import image_shape

    shape = image_shape(model) or ()
    height, width, channels = shape if len(shape) == 3 else (None, None, None)
    known = (height, width) if height and width else None
    return image_size() or known, channels or 3
