"""Training steps of preact_resnet18 on 32 x 32 x 3, beside the matrix product of the device.

The operations of a step are counted from the layers: a pass is two per weight and position of
convolutions and dense layers; plain training is 3 passes (forward, gradients of activations and of
weights), an attack step 2. Nothing else is counted. The peak is that of a matrix product (4096^3)
in the same precision, for float32 with TensorFloat-32.
"""

import functools
import itertools

import journal
import networks
import numpy as np
import tensorflow as tf
from absl import flags

from keras_mmc import attacks, defenses

FLAGS = flags.FLAGS
flags.DEFINE_integer("batch_size", 512, "Images per step of throughput.")

PGD = attacks.PGD(networks.EPS, steps=10, step_size=2 / 255)
# A defense, and the passes of one step.
METHODS = {
    "PGD-10": (defenses.AdversarialTraining(PGD, objective="training_loss"), 10 * 2 + 3),
    "plain": (None, 3),
    "FGSM-RS": (defenses.FastAdversarialTraining(networks.EPS), 2 + 3),
    "TRADES-10": (defenses.TRADES(PGD), 1 + 10 * 2 + 2 * 3),
}
POLICIES = ("mixed_bfloat16", "float32", "mixed_float16")


def measured(method, policy, xla, folder):
    """Training images per second, and their share of the peak of the matrix product."""
    (defense, passes), size, rng = METHODS[method], FLAGS.batch_size, np.random.default_rng(0)
    images = rng.random((size, 32, 32, 3), "float32"), rng.integers(0, 10, size)
    data = tf.data.Dataset.from_tensors(images).repeat()
    model = networks.compiled(lambda: networks.large(num_classes=10), policy, defense, None, xla)
    first = networks.fit_seconds(model, data, 2)
    steps = 1 + int((0.3 if FLAGS.tiny else 3) / networks.fit_seconds(model, data, 3) * 3)
    gpu = bool(tf.config.list_physical_devices("GPU"))
    if gpu:
        tf.config.experimental.reset_memory_stats("GPU:0")
    rate = steps * size / networks.fit_seconds(model, data, steps)
    layers = [layer for layer in getattr(model, "model", model).layers if hasattr(layer, "kernel")]
    one_pass = 2 * sum(
        np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:-1]) for layer in layers
    )
    reached = rate * passes * one_pass / 1e12
    peak = journal.read(folder / "device-0").get(f"peak {policy.removeprefix('mixed_')}")
    return {
        "images_per_second": rate,
        "tflops": reached,
        "share_of_peak": reached / peak if isinstance(peak, float) else None,
        "first_two_steps_seconds": first,
        "timed_steps": steps,
        "peak_bytes": tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpu else None,
    }


def pieces(folder):
    """The functions of this part by name: one method in all ways, the others in one, then all."""
    views = ("graph", "XLA")
    rows = list(itertools.product(["PGD-10"], POLICIES, ["graph"]))
    rows += itertools.product(METHODS, POLICIES[:1], views)
    rows += itertools.product(METHODS, POLICIES, views)
    return {
        f"{method}, {policy}, {view}": functools.partial(
            measured, method, policy, view == "XLA", folder
        )
        for method, policy, view in dict.fromkeys(rows)
    }
