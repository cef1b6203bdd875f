"""The flags that say which images are attacked, and how far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from keras_mmc._choices import DATASETS
from keras_mmc.commands import image_flags

if TYPE_CHECKING:
    import keras

    from keras_mmc.commands.images import Images

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(image_flags)
flags.DEFINE_float("eps", None, "Radius of the ball, in units of --box.", required=True)
flags.DEFINE_enum("norm", "linf", ["linf", "l2"], "Norm that measures perturbations.")
flags.DEFINE_integer("num_images", 1000, "Number of first images to attack.", lower_bound=1)
flags.DEFINE_integer("batch_size", 128, "Images attacked at a time.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of the attacks.")


def test_images(model: keras.Layer) -> Images:
    """The images of the flags; those of a folder in the shape that the model takes."""
    from keras_mmc.commands import images

    size, channels = image_flags.size_and_channels(model)
    found = images.test_images(FLAGS.data, image_flags.box(), size, channels)
    return found.rows(slice(FLAGS.num_images))


def described(num_images: int) -> str:
    """Which images were attacked, in words."""
    which = "test images" if FLAGS.data in DATASETS else "images"
    return f"the first {num_images} {which} of {FLAGS.data}"
