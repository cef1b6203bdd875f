"""Known data sets as arrays: float32 images in [0, 1], labels, split by seed; and their facts."""

import dataclasses

import numpy as np

from keras_mmc import _choices
from keras_mmc._extras import require
from keras_mmc._validation import check_count, shown

SPLITS = ("train", "validation", "test")
_DIGITS_TEST_SIZE = 360


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """Facts about a data set.

    Attributes:
        name, image_shape, num_classes: name for `load` and `load_arrays`, `(H, W, C)`, and K.
        mean, std: mean and standard deviation of the training pixels in [0, 1], one per channel.
        augmentable: whether crops and mirror images keep the class, as those of digits do not.
    """

    name: str
    image_shape: tuple[int, int, int]
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentable: bool = False


# Of the data sets in `_choices`, in that order: all of a `DatasetInfo` but the name.
_FACTS: tuple[tuple, ...] = (
    ((8, 8, 1), 10, (0.3053,), (0.3760,)),
    ((28, 28, 1), 10, (0.1307,), (0.3081,)),
    ((28, 28, 1), 10, (0.2860,), (0.3530,)),
    ((32, 32, 3), 10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), True),
    ((32, 32, 3), 100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), True),
)
DATASETS = {
    name: DatasetInfo(name, *facts) for name, facts in zip(_choices.DATASETS, _FACTS, strict=True)
}


def info(name: str) -> DatasetInfo:
    """Facts about a data set by name.

    Example:
    >>> keras_mmc.datasets.info("mnist").image_shape
    (28, 28, 1)
    """
    if not isinstance(name, str) or name not in DATASETS:
        raise ValueError(
            f"Unknown data set {shown(name)}; known are {', '.join(sorted(DATASETS))}."
        )
    return DATASETS[name]


def load_arrays(name: str, split: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Load one split: images `(N, H, W, C)`, float32 in [0, 1], and labels `(N,)`, int32.

    "digits" is scikit-learn's and needs no network; the others come through TensorFlow Datasets,
    which reads the directory in `TFDS_DATA_DIR` or downloads to `~/tensorflow_datasets`.

    Args:
        name: "digits", "mnist", "fashion_mnist", "cifar10" or "cifar100".
        split: "train", "validation" or "test". The validation split is a tenth of the training
            images, drawn by `seed`; "train" is the rest.
        seed: seed of the validation draw.

    Raises:
        ImportError: if the package that loads it is not installed.
        ValueError: for an unknown name or split.

    Example:
    >>> x, y = keras_mmc.datasets.load_arrays("digits", "test")
    >>> x.shape
    (360, 8, 8, 1)
    """
    info(name)
    if not isinstance(split, str) or split not in SPLITS:
        raise ValueError(f"Unknown split {shown(split)}; expected one of {', '.join(SPLITS)}.")
    check_count("load_arrays", "seed", seed, least=0)
    pixels, labels = _read(name, "test" if split == "test" else "train")
    if split != "test":
        order = np.random.default_rng(seed).permutation(len(labels))
        held_out = round(0.1 * len(labels))
        chosen = np.sort(order[:held_out] if split == "validation" else order[held_out:])
        pixels, labels = pixels[chosen], labels[chosen]
    top = 16 if name == "digits" else 255
    return np.divide(pixels, top, dtype="float32"), labels.astype("int32")


def _read(name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels as stored and labels of the official split."""
    if name == "digits":
        data = require("sklearn.datasets", "datasets", 'The data set "digits"').load_digits()
        # In the order of the set the last images are from writers who wrote no other images.
        part = slice(-_DIGITS_TEST_SIZE, None) if split == "test" else slice(-_DIGITS_TEST_SIZE)
        return data.images[part, ..., np.newaxis], data.target[part]
    tfds = require("tensorflow_datasets", "datasets", f'The data set "{name}"')
    data = tfds.load(name, split=split, batch_size=-1, shuffle_files=False)
    return data["image"].numpy(), data["label"].numpy()
