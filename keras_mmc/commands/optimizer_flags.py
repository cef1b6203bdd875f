"""The flags of the optimizer and of its learning rate over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absl import flags

if TYPE_CHECKING:
    import keras

OPTIMIZERS = {"adam": 1e-3, "sgd": 0.01}  # and their default learning rates

FLAGS = flags.FLAGS
flags.DEFINE_integer("epochs", 30, "Number of epochs.", lower_bound=1)
flags.DEFINE_enum("optimizer", "adam", sorted(OPTIMIZERS), "Optimizer; sgd has momentum 0.9.")
flags.DEFINE_float("learning_rate", None, "Highest learning rate; default: 0.001 adam, 0.01 sgd.")
flags.DEFINE_float("weight_decay", None, "Decoupled weight decay of all weights.")
flags.DEFINE_float("adam_beta_2", 0.999, "Decay of Adam's second moment.")
flags.DEFINE_enum(
    "schedule",
    "cosine",
    ["cosine", "drops", "constant"],
    "Learning rate: down to 0 along a cosine, divided by ten at each of --drops, or constant.",
)
flags.DEFINE_list("drops", None, "Epochs after which --schedule=drops divides the rate by ten.")


def build_optimizer(steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The optimizer of the flags with its schedule."""
    import keras

    rate: Any = FLAGS.learning_rate or OPTIMIZERS[FLAGS.optimizer]
    if FLAGS.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps_per_epoch * FLAGS.epochs)
    elif FLAGS.schedule == "drops":
        if not FLAGS.drops:
            raise ValueError("--schedule=drops needs the epochs, such as --drops=60,90.")
        # Keras keeps a rate up to and including its boundary; steps count from 0.
        drops = [int(epoch) * steps_per_epoch - 1 for epoch in FLAGS.drops]
        rates = [rate / 10**i for i in range(len(drops) + 1)]
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(drops, rates)
    if FLAGS.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9, weight_decay=FLAGS.weight_decay)
    return keras.optimizers.Adam(rate, beta_2=FLAGS.adam_beta_2, weight_decay=FLAGS.weight_decay)
