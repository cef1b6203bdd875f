"""Export a trained .keras file as a SavedModel that plain TensorFlow serves.

  keras-mmc export --model=runs/train/mmc/model.keras --output_dir=serving/1
  keras-mmc export --model=runs/mnist/mmc/model.keras --output_dir=serving/1 --data=mnist \
      --calibrate --false_rejection=0.01

With --calibrate and --false_rejection the validation images of --data are used, those that `train`
held out with the same --seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

import keras_mmc
from keras_mmc.commands import image_flags, saved_models

if TYPE_CHECKING:
    import keras

    from keras_mmc.commands.images import Images

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(image_flags)
flags.DEFINE_string("model", None, "A .keras file.", required=True)
flags.DEFINE_string("output_dir", None, "Directory of the SavedModel.", required=True)
flags.DEFINE_list("class_names", None, "Names of the classes, such as cat,dog.")
flags.DEFINE_boolean("calibrate", False, "Fit the temperature of the probabilities.")
flags.DEFINE_float(
    "false_rejection",
    None,
    "Fraction of correctly classified images that may be rejected, such as 0.01; the temperature "
    "is fitted too.",
)
flags.DEFINE_integer("seed", 0, "The seed that `train` had, which drew the validation images.")
flags.DEFINE_boolean("overwrite", False, "Replace an earlier export in --output_dir.")


def main() -> None:
    """Load, calibrate, export and say how to use the result."""
    model, box = saved_models.load(FLAGS.model), image_flags.box()
    calibrate, rejection, class_names = None, None, FLAGS.class_names
    if FLAGS.calibrate or FLAGS.false_rejection is not None:
        validation = _validation(model)
        class_names = class_names or validation.class_names
        calibrate = validation.x, validation.y
    if calibrate and FLAGS.false_rejection is not None:
        rejection = keras_mmc.calibrate_rejection(model, *calibrate, FLAGS.false_rejection, box=box)
        calibrate = None
        print(f"{rejection}\n")
    path = keras_mmc.export_saved_model(
        model,
        FLAGS.output_dir,
        class_names,
        box=box,
        calibrate=calibrate,
        rejection=rejection,
        overwrite=FLAGS.overwrite,
    )
    shape = ", ".join(map(str, model.input_shape[1:]))
    print(
        f"Wrote {path}. To use it without keras_mmc:\n\n"
        "import tensorflow as tf\n"
        f'serve = tf.saved_model.load("{path}").signatures["serving_default"]\n'
        f"print(serve(images=tf.zeros((1, {shape})))['label'])"
    )


def _validation(model: keras.Model) -> Images:
    """The validation images of --data, those of a folder in the size that the model takes."""
    from keras_mmc.commands import images

    size, _ = image_flags.size_and_channels(model)
    return images.training_splits(FLAGS.data, image_flags.box(), size, FLAGS.seed)["validation"]
