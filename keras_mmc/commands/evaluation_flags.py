"""The flags that say which test images are attacked, and how far."""

import numpy as np
from absl import flags

import keras_mmc
from keras_mmc.datasets.arrays import DATASETS

FLAGS = flags.FLAGS
flags.DEFINE_enum(
    "dataset",
    "digits",
    list(DATASETS),
    "Data set whose test images are attacked.",
)
flags.DEFINE_float("eps", None, "Radius of the ball, for pixels in [0, 1].", required=True)
flags.DEFINE_enum("norm", "linf", ["linf", "l2"], "Norm that measures perturbations.")
flags.DEFINE_integer("num_images", 1000, "Number of first test images to attack.", lower_bound=1)
flags.DEFINE_integer("batch_size", 128, "Images attacked at a time.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of the attacks.")


def test_images() -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the flags."""
    x, y = keras_mmc.datasets.load_arrays(FLAGS.dataset, "test")
    return x[: FLAGS.num_images], y[: FLAGS.num_images]
