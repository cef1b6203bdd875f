r"""Export a trained .keras file for TensorFlow, ONNX, LiteRT or OpenVINO.

What it writes needs neither this package nor Keras.

  keras-mmc export --model=runs/train/mmc/model.keras --output_dir=serving/1
  keras-mmc export --model=runs/train/mmc/model.keras --output_dir=phone --format=litert \
      --quantize=int8 --data=mnist
  keras-mmc export --model=runs/mnist/mmc/model.keras --output_dir=serving/1 --data=mnist \
      --calibrate --false_rejection=0.01

With --calibrate, --false_rejection and --quantize=int8 the validation images of --data are used,
those that `train` held out with the same --seed. What --false_rejection promises holds for images
like them; where --data has test images, the printed table and keras_mmc.json have a row of those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absl import app, flags

import keras_mmc
from keras_mmc.commands import image_flags, saved_models

if TYPE_CHECKING:
    import keras

    from keras_mmc.commands.images import Images

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(image_flags)
flags.DEFINE_string("model", None, "A .keras file.", required=True)
flags.DEFINE_string("output_dir", None, "Directory of what is exported.", required=True)
flags.DEFINE_enum(
    "format", "saved_model", ["saved_model", "onnx", "litert", "openvino"], "What to export."
)
flags.DEFINE_enum(
    "quantize", None, ["dynamic", "int8"], "Keep the weights, or all, of --format=litert in 8 bits."
)
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

_REPRESENTATIVE = 500  # images
_RECIPES = {
    "saved_model": """import tensorflow as tf
serve = tf.saved_model.load("{path}").signatures["serving_default"]
print(serve(images=tf.zeros((1, *{shape})))["label"])""",
    "onnx": """import numpy, onnxruntime
session = onnxruntime.InferenceSession("{path}/model.onnx")
print(session.run(["label"], {{"images": numpy.zeros((1, *{shape}), "float32")}}))""",
    "litert": """import numpy
from ai_edge_litert.interpreter import Interpreter
run = Interpreter("{path}/model.tflite").get_signature_runner()
kind = run.get_input_details()["images"]["dtype"]
print(run(images=numpy.zeros((1, *{shape}), kind))["scores"])""",
    "openvino": """import numpy, openvino
hint = {{"INFERENCE_PRECISION_HINT": "f32"}}  # else it may compute in 16 bits
model = openvino.compile_model("{path}/model.xml", "CPU", hint)
print(model(numpy.zeros((1, *{shape}), "float32"))["label"])""",
}


def main() -> None:
    """Load, calibrate, export and say how to use the result."""
    if FLAGS.quantize and FLAGS.format != "litert":
        raise app.UsageError(f"--quantize is for --format=litert; received {FLAGS.format}.")
    model, box = saved_models.load(FLAGS.model), image_flags.box()
    options: dict[str, Any] = {"class_names": FLAGS.class_names, "overwrite": FLAGS.overwrite}
    if FLAGS.calibrate or FLAGS.false_rejection is not None or FLAGS.quantize == "int8":
        splits = _splits(model)
        validation, test = splits["validation"], splits.get("test")
        options["class_names"] = FLAGS.class_names or validation.class_names
        if FLAGS.false_rejection is not None:
            options["rejection"] = keras_mmc.calibrate_rejection(
                *(model, validation.x, validation.y, FLAGS.false_rejection),
                box=box,
                test=None if test is None else (test.x, test.y),
            )
            print(f"{options['rejection']}\n")
        elif FLAGS.calibrate:
            options["calibrate"] = validation.x, validation.y
        if FLAGS.quantize == "int8":
            options["representative"] = validation.x[:_REPRESENTATIVE]
    if FLAGS.quantize:
        options["quantize"] = FLAGS.quantize
    export = getattr(keras_mmc, f"export_{FLAGS.format}")
    path = export(model, FLAGS.output_dir, box=box, **options)
    recipe = _RECIPES[FLAGS.format].format(path=path, shape=tuple(model.input_shape[1:]))
    print(f"Wrote {path}. To use it without keras_mmc:\n\n{recipe}")


def _splits(model: keras.Model) -> dict[str, Images]:
    """The images of --data by split, those of a folder in the size that the model takes."""
    from keras_mmc.commands import images

    size, _ = image_flags.size_and_channels(model)
    return images.training_splits(FLAGS.data, image_flags.box(), size, FLAGS.seed)
