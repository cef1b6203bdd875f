"""How far results can be repeated: on this device twice, and here and on the CPU.

Two runs from one seed need not agree on a GPU: the order of its sums is not fixed. TensorFloat-32,
on by default, rounds the factors of float32 products to 10 bits.
"""

import functools

import keras
import networks
import numpy as np
import tensorflow as tf

import keras_mmc
from keras_mmc import attacks, defenses


def adversarial_model():
    """A small network in float32 for 32 x 32 x 3, in training with two steps of PGD."""
    keras.utils.set_random_seed(0)
    attack = attacks.PGD(networks.EPS, steps=2)

    def build():
        return keras_mmc.models.wide_resnet((32, 32, 3), num_classes=10, depth=10, width=1)

    defense = defenses.AdversarialTraining(attack)
    return networks.compiled(build, "float32", defense, None, False)


def batch(count):
    """Noise with labels."""
    rng = np.random.default_rng(0)
    return rng.random((count, 32, 32, 3), "float32"), np.arange(count) % 10


def scores_beside_cpu():
    """The largest difference of a score on this device and on the CPU, and the largest score."""
    robust, (x, _) = adversarial_model(), batch(64)
    set_tf32 = tf.config.experimental.enable_tensor_float_32_execution
    device = "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"

    def scores(place, tf32):
        set_tf32(tf32)
        with tf.device(place):
            return robust.score_fn(False)(tf.constant(x)).numpy()

    expected = scores("CPU:0", False)
    found = {name: scores(device, name == "with tf32") for name in ("with tf32", "without tf32")}
    differences = {key: np.abs(value - expected).max() for key, value in found.items()}
    return differences | {"device": device, "largest_score": np.abs(expected).max()}


def training_repeated(deterministic):
    """The largest difference of a weight after 20 steps of training twice from one seed."""
    if deterministic:  # cannot be undone, and algorithms chosen before stay
        keras.utils.set_random_seed(0)
        tf.config.experimental.enable_op_determinism()
    x, y = batch(640)
    weights = []
    for _ in range(2):
        robust = adversarial_model()
        began = robust.model.get_weights()
        robust.fit(x, y, batch_size=32, shuffle=False, verbose=0)
        weights.append(robust.model.get_weights())

    def largest(first, second):
        return max(np.abs(a - b).max() for a, b in zip(first, second, strict=True))

    return {"difference": largest(*weights), "change_in_training": largest(began, weights[0])}


def pieces(folder):
    """The functions of this part by name; each should have a process of its own."""
    del folder
    return {
        "scores beside the CPU": scores_beside_cpu,
        "training repeated": functools.partial(training_repeated, False),
        "training repeated, deterministic": functools.partial(training_repeated, True),
    }
