"""Serve an exported classifier over HTTP, with a page to try it and to attack it.

  keras-mmc serve --model=serving/1 --port=8501
  curl -d '{"instances": [...]}' localhost:8501/v1/models/model:predict

--model is a directory that `keras-mmc export` wrote, or a .keras file, which is exported for the
purpose: then --box says where its images live. The addresses are those of TensorFlow Serving
(/v1/models/NAME:predict, /metadata), of version 2 of KServe's protocol (/v2/models/NAME/infer,
/v2/health/ready), Prometheus metrics at /metrics, and the page at /.
"""

from __future__ import annotations

import pathlib

from absl import flags

from keras_mmc._extras import require
from keras_mmc.commands import box_flag, saved_models

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(box_flag)
flags.DEFINE_string("model", None, "Directory of an export, or a .keras file.", required=True)
flags.DEFINE_string("name", "model", "Name of the model in addresses.")
flags.DEFINE_string("host", "127.0.0.1", "Address to listen at; 0.0.0.0 is all of the machine's.")
flags.DEFINE_integer("port", 8501, "Port to listen at.", lower_bound=0, upper_bound=65535)
flags.DEFINE_integer("max_body", 8 * 2**20, "Bytes that a body may have.", lower_bound=1)
flags.DEFINE_integer("max_images", 256, "Images that a request may have.", lower_bound=1)
flags.DEFINE_integer("max_pixels", 2**24, "Pixels of all files of a request.", lower_bound=1)
flags.DEFINE_float("timeout", 30.0, "Seconds that a request may take.", lower_bound=0.1)
flags.register_validator(
    "name",
    lambda name: name and all(c.isalnum() or c in "-_." for c in name),
    message="letters, digits, -, _ and . are needed",
)


def main() -> None:
    """Load, say where, and serve until told to stop."""
    require("uvicorn", "serve", "keras-mmc serve")
    from keras_mmc.serving.http import server
    from keras_mmc.serving.http.limits import Limits

    limits = Limits(FLAGS.max_body, FLAGS.max_images, FLAGS.max_pixels, FLAGS.timeout)
    place = pathlib.Path(FLAGS.model)
    model = place if place.is_dir() else saved_models.load(FLAGS.model)
    engine = server.load(model, box_flag.box(), limits)
    print(f"Serving {FLAGS.model}: http://{FLAGS.host}:{FLAGS.port}/", flush=True)
    server.serve(engine, FLAGS.name, FLAGS.host, FLAGS.port, limits)
