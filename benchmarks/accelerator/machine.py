"""What the machine is, and how fast it multiplies."""

import functools
import os
import shutil
import subprocess
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from absl import flags

import keras_mmc

FLAGS = flags.FLAGS


def driver():
    """What nvidia-smi says; `None` without it."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    if shutil.which(query[0]) is None:
        return None
    return subprocess.run(query, capture_output=True, text=True).stdout


def described():
    """Cards, versions and settings."""
    gpus = tf.config.list_physical_devices("GPU")
    versions = {m.__name__: m.__version__ for m in (keras, tf, np, keras_mmc)}
    return versions | {
        "devices": [tf.config.experimental.get_device_details(gpu) for gpu in gpus] or "CPU",
        "driver": driver(),
        "build": {key: str(value) for key, value in tf.sysconfig.get_build_info().items()},
        "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "python": sys.version.split()[0],
        "xla_flags": os.environ.get("XLA_FLAGS"),
    }


def peak(dtype, tf32=True):
    """Tera-operations per second of 20 chained square products, the best of 5 times."""
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    size, seconds = 256 if FLAGS.tiny else 4096, []
    factor = tf.cast(tf.random.normal((size, size)) / size**0.5, dtype)
    run = tf.function(lambda a: functools.reduce(lambda c, _: a @ c, range(20), a)[0, 0])
    for _ in range(6):
        began = time.perf_counter()
        run(factor).numpy()
        seconds.append(time.perf_counter() - began)
    return 20 * 2 * size**3 / min(seconds[1:]) / 1e12


def pieces(folder):
    """The functions of this part by name."""
    del folder
    named = {"machine": described} | {
        f"peak {dtype}": functools.partial(peak, dtype)
        for dtype in ("float32", "bfloat16", "float16")
    }
    return named | {"peak float32 without tf32": functools.partial(peak, "float32", tf32=False)}
