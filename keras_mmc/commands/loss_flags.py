"""The flags of the loss and of its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from absl import flags

import keras_mmc

if TYPE_CHECKING:
    import keras

FLAGS = flags.FLAGS
LOSSES: dict[str, Callable[[], keras.losses.Loss]] = {
    "mmc": lambda: keras_mmc.MMCLoss(),
    "elastic_mmc": lambda: keras_mmc.ElasticMMCLoss(),
    "shell_mmc": lambda: keras_mmc.ShellMMCLoss(FLAGS.radius),
    "mm_lda": lambda: keras_mmc.MMLDALoss(FLAGS.sigma, label_smoothing=FLAGS.label_smoothing),
    "center": lambda: keras_mmc.CenterLoss(FLAGS.center_weight),
    "lgm": lambda: keras_mmc.LGMLoss(FLAGS.margin, FLAGS.lgm_weight),
    "gce": lambda: keras_mmc.GuidedComplementEntropy(
        FLAGS.gce_alpha, FLAGS.gce_normalizer, FLAGS.gce_guard
    ),
    "differential": lambda: keras_mmc.DifferentialLoss(),
    "softmax": lambda: _softmax(),
}

flags.DEFINE_list(
    "loss",
    "mmc",
    f"Loss to train with, one of {', '.join(sorted(LOSSES))}; several, with commas between them, "
    "are trained one after the other into one table.",
)
flags.DEFINE_float("gce_alpha", 1 / 3, "Exponent of gce.", lower_bound=0.0)
flags.DEFINE_enum(
    "gce_normalizer", "classes-1", ["classes-1", "classes"], "gce is divided by the log of this."
)
flags.DEFINE_enum(
    "gce_guard", "none", ["none", "released"], "Guards of gce: the stable form, or the released."
)
flags.DEFINE_float("sigma", 1.0, "Standard deviation of a class in mm_lda.", lower_bound=1e-6)
flags.DEFINE_float("label_smoothing", 0.0, "Label smoothing of mm_lda.", lower_bound=0.0)
flags.DEFINE_float("margin", 0.1, "Margin of lgm.", lower_bound=0.0)
flags.DEFINE_float("lgm_weight", 0.01, "Weight of the likelihood in lgm.", lower_bound=0.0)
flags.DEFINE_float("center_weight", 0.003, "Weight of the pull of center.", lower_bound=0.0)
flags.DEFINE_float("radius", 1.0, "Radius of the shell of shell_mmc.", lower_bound=0.0)
flags.register_validator(
    "loss",
    lambda names: bool(names) and set(names) <= set(LOSSES),
    message=f"each must be one of {', '.join(sorted(LOSSES))}",
)


def _softmax():
    import keras

    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
