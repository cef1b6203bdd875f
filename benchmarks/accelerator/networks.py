"""The networks of the benchmark, compiled and timed."""

import time

import keras
from absl import flags

import keras_mmc

FLAGS = flags.FLAGS
flags.DEFINE_bool("tiny", False, "Rehearse: small sizes, every seventh piece of check, throughput.")

EPS = 8 / 255


def small(head=None, classes=4):
    """A network for images of 10 x 10 x 1, with a head or a dense layer of logits."""
    body = [keras.layers.Conv2D(8, 3), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    body += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(16)]
    head = head or keras.layers.Dense(classes, dtype="float32")
    return keras.Sequential([keras.Input((10, 10, 1)), *body, head])


def large(**options):
    """The network of throughput and training."""
    if FLAGS.tiny:
        return keras_mmc.models.wide_resnet((32, 32, 3), depth=10, width=1, **options)
    return keras_mmc.models.preact_resnet18((32, 32, 3), **options)


def compiled(build, policy, defense, loss, xla, regularizer=None, rate=0.01, decay=None):
    """The network that `build()` makes in a dtype policy, ready for `fit`; softmax without loss."""
    keras.config.set_dtype_policy(policy)
    model = build()
    keras.config.set_dtype_policy("float32")
    if defense or regularizer:
        model = keras_mmc.AdversarialModel(model, defense, regularizer)
    sgd = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay)
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(sgd, loss, metrics=["accuracy"], jit_compile=xla)
    return model


def fit_seconds(model, data, steps, **options):
    """Seconds of `steps` steps of `fit`, until the device has finished them."""
    began = time.perf_counter()
    model.fit(data, steps_per_epoch=steps, verbose=0, **options)
    model.trainable_variables[-1].numpy()
    return time.perf_counter() - began
