"""Several devices, or several machines: the strategy of TensorFlow that a name asks for."""

import json
import os
import re

import tensorflow as tf

from keras_mmc._backend import require_tensorflow

require_tensorflow("keras_mmc.distribution")

_NAMES = "'auto', 'mirrored', 'multi_worker' or, for N parts of the processor, 'cpu:N'"
_EXAMPLE = (
    """{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", """
    """"index": 0}}"""
)


def strategy(name: str = "auto") -> tf.distribute.Strategy:
    """The strategy in whose scope a model is made that trains on several devices.

    Make the classifier and the `AdversarialModel` in `with strategy.scope():`, compile there too.
    A batch is then divided among the replicas, each attacks its part, and the step is that of the
    whole batch on one device, also where the parts are unequal. Plain `keras.Model.fit` averages
    over replicas instead, whatever their parts, and cannot run on several workers: put the model
    into `AdversarialModel(model)` for that too. Random starts and dropped samples do not depend on
    the number of replicas. Batch normalization sees the part of its replica unless it is made with
    `synchronized=True`.

    Args:
        name: `"mirrored"` for all GPUs of this machine; `"multi_worker"` for the workers that the
            environment variable TF_CONFIG names, each of which runs the same program; `"cpu:2"` for
            two parts of the processor, to try it out; `"auto"` for several workers if there is a
            TF_CONFIG, else for the GPUs if there are several, else for the one device.

    Raises:
        ValueError: for another name, for `"multi_worker"` without a TF_CONFIG of workers, or if
            TensorFlow has begun to compute, after which it no longer divides the processor.

    Example:
    >>> with keras_mmc.distribution.strategy("mirrored").scope():
    ...     robust = keras_mmc.AdversarialModel(build(), defense)
    ...     robust.compile(optimizer="adam", loss=keras_mmc.MMCLoss())
    >>> robust.fit(train, epochs=10)
    """
    if name == "auto":
        if os.environ.get("TF_CONFIG"):
            return strategy("multi_worker")
        several = len(tf.config.list_logical_devices("GPU")) > 1
        return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        _check_cluster(os.environ.get("TF_CONFIG", ""))
        return tf.distribute.MultiWorkerMirroredStrategy()
    parts = re.fullmatch(r"cpu:([1-9]\d{0,2})", name) if isinstance(name, str) else None
    if parts is None:
        raise ValueError(f"A strategy is one of {_NAMES}; received {name!r}.")
    return _divided_processor(int(parts[1]))


def _check_cluster(text):
    """Refuses a TF_CONFIG of which TensorFlow would say little, or wait for ever."""
    try:
        config = json.loads(text)
        workers, index = config["cluster"]["worker"], config["task"]["index"]
        fits = config["task"]["type"] == "worker" and 0 <= int(index) < len(workers)
    except (ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        raise ValueError(
            "'multi_worker' needs the environment variable TF_CONFIG, which names all workers and "
            f"which of them this one is, such as {_EXAMPLE}; received {text!r}."
        )


def _divided_processor(count):
    cpu = tf.config.list_physical_devices("CPU")[0]
    configured = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(configured) != count:
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        try:
            tf.config.set_logical_device_configuration(cpu, parts)
        except RuntimeError as error:
            raise ValueError(
                f"'cpu:{count}' divides the processor, which TensorFlow does only before it "
                "computes anything. Ask for the strategy first in the program."
            ) from error
    return tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(count)])
