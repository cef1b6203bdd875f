"""The flags of the data that a network is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from keras_mmc.commands import image_flags

if TYPE_CHECKING:
    from keras_mmc.commands.training_data import TrainingData

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(image_flags)
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


def load() -> TrainingData:
    """The training, validation and test images of the flags, in batches."""
    from keras_mmc.commands import images, training_data

    splits = images.training_splits(
        FLAGS.data, image_flags.box(), image_flags.image_size(), FLAGS.seed
    )
    classes = FLAGS.classes and tuple(map(int, FLAGS.classes))
    return training_data.prepare(
        FLAGS.data, splits, image_flags.box(), classes, FLAGS.batch_size, FLAGS.augment, FLAGS.seed
    )
