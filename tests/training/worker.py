"""One worker of several, or the only one: trains a small network and keeps what came of it."""

import json
import os
import pathlib
import sys

import numpy as np

EPOCHS, BATCH, IMAGES = 5, 12, 111  # 50 steps, of which the last of an epoch has 3 images


def main():
    """Train as worker of the number of the first argument; the others are ports, or none.

    The weights go to the path of the second argument, the history beside it.
    """
    number, path, *ports = sys.argv[1:]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    if ports:
        task = {"type": "worker", "index": int(number)}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    import keras

    import keras_mmc

    strategy = keras_mmc.distribution.strategy("multi_worker" if ports else "auto")
    assert strategy.num_replicas_in_sync == max(1, len(ports))
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.uniform(0.2, 0.8, (IMAGES, 3, 3, 1)).astype("float32")
    y = np.arange(IMAGES) % 4
    x[5, 0, 0, 0], y[20] = np.nan, 7
    with strategy.scope():
        layers = [keras.layers.Flatten(), keras.layers.Dense(6, "tanh"), keras.layers.Dense(4)]
        model = keras.Sequential([keras.Input((3, 3, 1)), *layers])
        attack = keras_mmc.attacks.PGD(0.1, steps=2)
        defense = keras_mmc.defenses.AdversarialTraining(attack)
        robust = keras_mmc.AdversarialModel(model, defense, seed=1)
        optimizer = keras.optimizers.SGD(0.3, momentum=0.9)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        robust.compile(optimizer, loss, metrics=["accuracy"])
    data = dataset(x, y)
    sound = np.isfinite(x).all(axis=(1, 2, 3)) & (y < 4)
    history = robust.fit(
        data, epochs=EPOCHS, verbose=0, validation_data=dataset(x[sound][:25], y[sound][:25])
    ).history
    np.savez(path, *model.get_weights())
    pathlib.Path(path).with_suffix(".json").write_text(json.dumps(history))


def dataset(x, y):
    """The batches of all workers, of which each takes its part."""
    import tensorflow as tf

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH).with_options(options)


if __name__ == "__main__":
    main()
