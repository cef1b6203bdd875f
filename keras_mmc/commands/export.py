"""Export a trained .keras file as a SavedModel that plain TensorFlow serves.

keras-mmc export --model=runs/train/mmc/model.keras --output_dir=serving/1
"""

from absl import flags

import keras_mmc
from keras_mmc.commands import saved_models

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "A .keras file.", required=True)
flags.DEFINE_string("output_dir", None, "Directory of the SavedModel.", required=True)
flags.DEFINE_boolean("overwrite", False, "Replace an earlier export in --output_dir.")


def main() -> None:
    """Load, export and say how to use the result."""
    model = saved_models.load(FLAGS.model)
    path = keras_mmc.export_saved_model(model, FLAGS.output_dir, overwrite=FLAGS.overwrite)
    shape = ", ".join(map(str, model.input_shape[1:]))
    print(
        f"Wrote {path}. To use it without keras_mmc:\n\n"
        "import tensorflow as tf\n"
        f'serve = tf.saved_model.load("{path}").signatures["serving_default"]\n'
        f"print(serve(images=tf.zeros((1, {shape})))['label'])"
    )
