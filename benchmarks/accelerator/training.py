"""Softmax and MMC, trained adversarially for so many seconds each, then audited."""

import functools
import glob
import itertools
import time

import keras
import networks
import numpy as np
import tensorflow as tf
from absl import flags

import keras_mmc
from keras_mmc import attacks, defenses, losses

FLAGS = flags.FLAGS
flags.DEFINE_list("data", [], "Files or patterns: npz with x_train, y_train, x_test, y_test.")
flags.DEFINE_float("seconds", 70, "Seconds of training per network, compilation included.")
flags.DEFINE_string("policy", "mixed_bfloat16", "Precision of the trained networks.")
flags.DEFINE_bool("xla", False, "`jit_compile` of the trained networks.")
flags.DEFINE_integer("train_batch_size", 256, "Images per step of their training.")
flags.DEFINE_integer("attack_steps", 2, "PGD steps of their training; 1 for FGSM-RS.")
flags.DEFINE_float("learning_rate", 0.1, "Peak rate of softmax; MMC takes a tenth of it.")
flags.DEFINE_list("audits", ["quick:1000", "standard:200"], "Suites and numbers of test images.")

NAMES = ("softmax", "MMC")
EVALUATED = 1000


@functools.cache
def arrays():
    """x_train, y_train, x_test, y_test; without `--data` bright noise, its class in the mean."""
    if FLAGS.data:
        held = [dict(np.load(file)) for p in FLAGS.data for file in sorted(glob.glob(p))]
        keys = ("x_train", "y_train", "x_test", "y_test")
        return [np.concatenate([part[key] for part in held if key in part]) for key in keys]
    rng, count = np.random.default_rng(0), 2000 if FLAGS.tiny else 50000
    y = rng.integers(0, 10, count, "uint8")
    x = rng.integers(0, 128, (count, 32, 32, 3), "uint8") + 12 * y[:, None, None, None]
    return x, y, x[:1000], y[:1000]


def test_images(count):
    """The first test images, in [0, 1], and their labels."""
    _, _, x, y = arrays()
    return x[:count].astype("float32") / 255, y[:count].astype("int32")


def stream(x, y, size):
    """Endless shuffled batches, cropped at random after padding by 4 and mirrored at random."""
    with tf.device("CPU:0"):
        x, y = tf.constant(x), tf.constant(y.astype("int32"))

    def load(rows):
        images = tf.pad(tf.gather(x, rows), [[0, 0], [4, 4], [4, 4], [0, 0]])
        for axis in (1, 2):
            first = tf.random.uniform((size, 1), 0, 9, tf.int32)
            images = tf.gather(images, first + tf.range(32), axis=axis, batch_dims=1)
        mirrored = tf.random.uniform((size, 1, 1, 1)) < 0.5
        images = tf.where(mirrored, images[:, :, ::-1], images)
        return tf.cast(images, tf.float32) / 255, tf.gather(y, rows)

    rows = tf.data.Dataset.range(len(x)).shuffle(len(x)).repeat().batch(size, drop_remainder=True)
    return rows.map(load, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def robust_model(mmc, top):
    """The network to train adversarially."""
    options = {"head": keras_mmc.MaxMahalanobisCenters(10)} if mmc else {"num_classes": 10}
    steps = FLAGS.attack_steps
    attack = attacks.PGD(networks.EPS, steps=steps, step_size=1.25 * networks.EPS / steps)
    return networks.compiled(
        lambda: networks.large(**options),
        FLAGS.policy,
        defenses.AdversarialTraining(attack, objective="training_loss"),
        losses.MMCLoss() if mmc else None,
        FLAGS.xla,
        rate=top / 20,
        decay=5e-3,  # Keras' does not enter the momentum: ten times the usual 5e-4
    )


def trained(name, folder):
    """Adversarial training along a cosine that ends when the seconds do.

    `accuracy` and `robust_accuracy` are those of `evaluate`, the latter under PGD of 20 steps.
    """
    began, size = time.perf_counter(), FLAGS.train_batch_size
    keras.utils.set_random_seed(0)
    x, y, _, _ = arrays()
    mmc = name == "MMC"
    top = FLAGS.learning_rate * (0.1 if mmc else 1)
    model, data = robust_model(mmc, top), stream(x, y, size)
    test = test_images(200 if FLAGS.tiny else EVALUATED)
    evaluate = functools.partial(model.evaluate, *test, batch_size=200, verbose=0, return_dict=True)
    evaluate()  # compiles it
    first, step = (networks.fit_seconds(model, data, count) / count for count in (2, 20))
    left = FLAGS.seconds - (time.perf_counter() - began)
    total, done = max(2, int(left / step)), itertools.count()
    epochs = max(1, round(total * size / len(x)))

    def follow(batch, logs=None):
        part = next(done) / total
        rate = min(part / 0.05, (1 + np.cos(np.pi * min(part, 1))) / 2)
        model.optimizer.learning_rate = top * rate

    callback = keras.callbacks.LambdaCallback(on_train_batch_begin=follow)
    options = {"epochs": epochs, "callbacks": [callback]}
    seconds = networks.fit_seconds(model, data, total // epochs, **options)
    model.model.save(folder / f"{name}.keras")
    return evaluate() | {
        "train_seconds": seconds,
        "first_two_steps_seconds": 2 * first,
        "steps": total // epochs * epochs,
        "passes_over_the_data": total * size / len(x),
        "images_per_second": total // epochs * epochs * size / seconds,
        "history": model.history.history,
        "settings": {k: FLAGS[k].value for k in ("policy", "train_batch_size", "xla")}
        | {"rate": top, "defense": repr(model.defense)},
    }


def audited(name, suite, count, folder):
    """What `keras_mmc.audit` says of a trained network."""
    path = folder / f"{name}.keras"
    if not path.exists():
        return "not run: the network was not trained"
    model, (x, y) = keras.models.load_model(path), test_images(count)
    options = {"batch_size": min(500, count), "verbose": 0}
    report = keras_mmc.audit(model, x, y, networks.EPS, suite, **options).to_dict()
    keys = ("clean_accuracy", "naive_accuracy", "robust_accuracy", "interval", "rows", "findings")
    return {key: report[key] for key in (*keys, "num_images", "notes")}


def pieces(folder):
    """Both trainings by name."""
    return {name: functools.partial(trained, name, folder) for name in NAMES}


def audit_pieces(folder):
    """The audits of both by name."""
    return {
        f"{suite} of {name}": functools.partial(audited, name, suite, int(count), folder)
        for name in NAMES
        for suite, count in (audit.split(":") for audit in FLAGS.audits)
    }
