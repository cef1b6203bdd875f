"""The flags of the data that a network is trained on."""

import numpy as np
import tensorflow as tf
from absl import flags

from keras_mmc import datasets
from keras_mmc.datasets.arrays import DATASETS, SPLITS

FLAGS = flags.FLAGS
flags.DEFINE_enum(
    "dataset",
    "digits",
    list(DATASETS),
    "Data set; TensorFlow Datasets loads all but digits (see TFDS_DATA_DIR).",
)
flags.DEFINE_list(
    "classes",
    None,
    "Two classes to tell apart, such as 0,7, in batches that hold as many of either; the others "
    "are left out.",
)
flags.DEFINE_integer("batch_size", 64, "Images per batch.", lower_bound=1)
flags.DEFINE_boolean("augment", None, "Random crops and mirror images; default: for CIFAR only.")
flags.register_validator(
    "classes",
    lambda given: given is None or (len(set(given)) == 2 and all(c.isdigit() for c in given)),
    message="two different class numbers are needed, such as 0,7",
)


def num_classes() -> int:
    """The number of classes that are told apart."""
    return 2 if FLAGS.classes else datasets.info(FLAGS.dataset).num_classes


def load() -> dict[str, tf.data.Dataset]:
    """Batches of the training, validation and test images."""
    info = datasets.info(FLAGS.dataset)
    augment = info.augmentable if FLAGS.augment is None else FLAGS.augment
    if not FLAGS.classes:
        return {
            split: datasets.load(
                FLAGS.dataset, split, FLAGS.batch_size, augment and split == "train", FLAGS.seed
            )
            for split in SPLITS
        }
    per_class = max(1, FLAGS.batch_size // 2)
    data = {"train": datasets.balanced_batches(*arrays("train"), per_class, FLAGS.seed)}
    held_out = [split for split in SPLITS if split != "train"]
    return data | {s: datasets.batches(*arrays(s), 2, FLAGS.batch_size) for s in held_out}


def arrays(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a split; with --classes those of the two, which become 0 and 1."""
    x, y = datasets.load_arrays(FLAGS.dataset, split, FLAGS.seed)
    if not FLAGS.classes:
        return x, y
    first, second = map(int, FLAGS.classes)
    rows = np.isin(y, (first, second))
    return x[rows], (y[rows] == second).astype("int32")
