"""CPU time of a training step with MMC against softmax cross-entropy on the same network.

Both networks are built and traced first; then rounds of steps alternate between them. CPU time,
not wall time: other programs do not count.

  python benchmarks/step_cost.py --model=small_cnn --rounds=15
"""

import time

import keras
import numpy as np
import recording
from absl import app, flags

import keras_mmc

FLAGS = flags.FLAGS
flags.DEFINE_enum("model", "small_cnn", ["small_cnn", "resnet_v2"], "Network.")
flags.DEFINE_integer("batch_size", 128, "Images per step.", lower_bound=1)
flags.DEFINE_integer("steps", 10, "Steps per round.", lower_bound=1)
flags.DEFINE_integer("rounds", 15, "Rounds per network.", lower_bound=3)


def build(head, loss):
    """The network of the flags, compiled."""
    options = {"head": head} if head else {"num_classes": 10}
    if FLAGS.model == "resnet_v2":
        model = keras_mmc.models.resnet_v2((32, 32, 3), depth=11, **options)
    else:
        model = keras_mmc.models.small_cnn((28, 28, 1), **options)
    model.compile(optimizer="adam", loss=loss)
    return model


def round_cost(model, x, y):
    """CPU seconds per step of one round."""
    start = time.process_time()
    for _ in range(FLAGS.steps):
        model.train_on_batch(x, y)
    return (time.process_time() - start) / FLAGS.steps


def main(argv):
    """Measure, interleaved, and report."""
    del argv
    keras.utils.set_random_seed(0)
    models = {
        "softmax cross-entropy": build(
            None, keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        ),
        "MMC": build(keras_mmc.MaxMahalanobisCenters(10), keras_mmc.MMCLoss()),
    }
    rng = np.random.default_rng(0)
    shape = (FLAGS.batch_size, *next(iter(models.values())).input_shape[1:])
    x, y = rng.uniform(size=shape).astype("float32"), np.arange(FLAGS.batch_size) % 10
    for model in models.values():
        round_cost(model, x, y)
    costs = {name: [] for name in models}
    for _ in range(FLAGS.rounds):
        for name, model in models.items():
            costs[name].append(round_cost(model, x, y))
    figures = {
        "network": FLAGS.model,
        "batch_size": FLAGS.batch_size,
        "steps": FLAGS.steps,
        "rounds": FLAGS.rounds,
        "seed": 0,
        "contestants": {name: {"cpu_seconds": values} for name, values in costs.items()},
    }
    recording.report("step_cost", figures)


if __name__ == "__main__":
    app.run(main)
