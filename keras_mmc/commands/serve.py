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
_MODEL = "a directory that `keras-mmc export` wrote, or a .keras file."
flags.DEFINE_string("model", None, f"What to serve: {_MODEL}", required=True)
flags.DEFINE_string("name", "model", "Name of the model in addresses.")
flags.DEFINE_string("host", "127.0.0.1", "Address to listen at; 0.0.0.0 is all of the machine's.")
flags.DEFINE_integer(
    "port", 8501, "Port to listen at; 0 finds a free one.", lower_bound=0, upper_bound=65535
)
flags.DEFINE_integer("max_body", 8 * 2**20, "Most bytes of a body.", lower_bound=1)
flags.DEFINE_integer("max_images", 256, "Most images of a request.", lower_bound=1)
flags.DEFINE_integer("max_pixels", 2**24, "Most pixels of all files of a request.", lower_bound=1)
flags.DEFINE_float("timeout", 30.0, "Most seconds that a request takes.", lower_bound=0.1)
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
    saved_models.check_exists(FLAGS.model, _MODEL)
    at = pathlib.Path(FLAGS.model)
    with server.bound(FLAGS.host, FLAGS.port) as place:
        model = at if at.is_dir() else saved_models.load(FLAGS.model)
        engine = server.load(model, box_flag.box(), limits)
        place.listen()
        host = f"[{FLAGS.host}]" if ":" in FLAGS.host else FLAGS.host
        print(f"Serving {FLAGS.model}: http://{host}:{place.getsockname()[1]}/", flush=True)
        server.serve(engine, FLAGS.name, place, limits)
