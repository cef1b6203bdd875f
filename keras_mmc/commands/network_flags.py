"""The flags of the network and of its head."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

from absl import flags

import keras_mmc
from keras_mmc._choices import MODELS
from keras_mmc.commands import loss_flags

if TYPE_CHECKING:
    import keras
    import numpy as np

FLAGS = flags.FLAGS
HEADS: dict[str, Callable[[int, float], keras.layers.Layer]] = {
    "centers": lambda classes, scale: keras_mmc.MaxMahalanobisCenters(
        classes, scale=scale, centers=own_centers(classes, scale)
    ),
    "elastic": lambda classes, scale: keras_mmc.ElasticCenters(
        classes, scale=scale, alpha=FLAGS.elastic_alpha, centers=own_centers(classes, scale)
    ),
    "learned": lambda classes, scale: keras_mmc.LearnedCenters(classes),
    "dense_with_centers": lambda classes, scale: keras_mmc.DenseWithCenters(classes),
    "quadratic": lambda classes, scale: keras_mmc.QuadraticHead(classes),
    "differential": lambda classes, scale: keras_mmc.layers.DifferentialHead(),
}

flags.DEFINE_enum(
    "head",
    "auto",
    ["auto", *HEADS, "dense"],
    "Head: fixed Max-Mahalanobis centers, the same with trainable offsets (elastic), learned "
    "centers, a dense layer, one with centers beside it, quadratic logits (g-SCE with "
    "--loss=softmax), or that of two classes without a bias. auto: the loss's own.",
)
flags.DEFINE_list(
    "scale", "10", "Norm of the fixed centers (C_MM); several train one after the other."
)
flags.DEFINE_string(
    "centers",
    "optimal",
    "Fixed centers: optimal, random, hierarchical (CIFAR-100's classes by superclass), or a .npy "
    "or .mat file, rescaled to --scale.",
)
flags.DEFINE_float("elastic_alpha", 1.0, "Variance of the offsets of elastic.", lower_bound=1e-6)
flags.register_validator(
    "scale",
    lambda scales: bool(scales) and all(_is_positive(scale) for scale in scales),
    message="each must be a number above 0",
)
flags.DEFINE_enum("model", "small_cnn", MODELS, "Network architecture.")
flags.DEFINE_integer("depth", None, "Depth of resnet_v1, resnet_v2 or wide_resnet.")
flags.DEFINE_integer(
    "features",
    None,
    "Width of the feature layer before the head, 0 for none; default: that of the network.",
    lower_bound=0,
)


def _is_positive(text):
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def own_centers(classes: int, scale: float) -> np.ndarray | None:
    """The centers `(K, d)` of --centers; `None` for the optimal ones, which the head makes."""
    if FLAGS.centers == "optimal":
        return None
    builder = inspect.signature(getattr(keras_mmc.models, FLAGS.model))
    width = FLAGS.features or builder.parameters["feature_dim"].default
    if FLAGS.centers == "random":
        return keras_mmc.centers.random_centers(classes, width, scale, FLAGS.seed)
    if FLAGS.centers == "hierarchical":
        if FLAGS.data != "cifar100":
            raise ValueError("--centers=hierarchical knows the superclasses of cifar100 alone.")
        tree = keras_mmc.centers.cifar100_tree()
        return keras_mmc.centers.hierarchical_centers(tree, width, scale)
    return keras_mmc.centers.load_centers(FLAGS.centers, scale)


def heads_of(loss: keras.losses.Loss) -> tuple[str, ...]:
    """The heads that a loss can train, the one meant for it first."""
    if getattr(loss, "needs_features", False):
        return ("dense_with_centers",)
    if getattr(loss, "needs_offsets", False):
        return ("elastic",)
    if getattr(loss, "needs_fixed_centers", False):
        return ("centers", "elastic")
    if getattr(loss, "needs_distances", False):
        return ("learned", "centers", "elastic")
    if getattr(loss, "pairwise", False) and FLAGS.defense == "differential":
        return ("differential", *HEADS, "dense")
    meant = "centers" if isinstance(loss, keras_mmc.MMLDALoss) else "dense"
    return (meant, *HEADS, "dense")


def choose_head(name: str, head: str) -> str:
    """The head that a loss trains; a ValueError where the pair cannot work."""
    fitting = heads_of(loss_flags.LOSSES[name]())
    if head == "auto":
        return fitting[0]
    if head not in fitting:
        raise ValueError(
            f"--loss={name} cannot train --head={head}: its scores would be unbounded or collapse, "
            "or lack a part of the loss. Leave --head out."
        )
    return head


def build_model(info: keras_mmc.datasets.DatasetInfo, head: str, scale: float) -> keras.Model:
    """The network of the flags for some data, with the given kind of head."""
    options = {"mean": info.mean, "std": info.std}
    if FLAGS.depth is not None:
        if FLAGS.model not in ("resnet_v1", "resnet_v2", "wide_resnet"):
            raise ValueError(f"--model={FLAGS.model} has a fixed depth; leave --depth out.")
        options["depth"] = FLAGS.depth
    if FLAGS.features is not None:
        options["feature_dim"] = FLAGS.features or None
    if head == "dense":
        options["num_classes"] = info.num_classes
    else:
        options["head"] = HEADS[head](info.num_classes, scale)
    return getattr(keras_mmc.models, FLAGS.model)(info.image_shape, **options)
