"""The flags of the network, of its head and of the loss that trains it."""

import functools
from collections.abc import Callable

import keras
from absl import flags

import keras_mmc

HEADS: dict[str, Callable[[int], keras.layers.Layer]] = {
    "centers": lambda classes: keras_mmc.MaxMahalanobisCenters(classes, scale=FLAGS.scale),
    "elastic": lambda classes: keras_mmc.ElasticCenters(classes, scale=FLAGS.scale),
    "learned": keras_mmc.LearnedCenters,
    "dense_with_centers": keras_mmc.DenseWithCenters,
}
LOSSES: dict[str, Callable[[], keras.losses.Loss]] = {
    "mmc": keras_mmc.MMCLoss,
    "elastic_mmc": keras_mmc.ElasticMMCLoss,
    "shell_mmc": keras_mmc.ShellMMCLoss,
    "mm_lda": keras_mmc.MMLDALoss,
    "center": keras_mmc.CenterLoss,
    "lgm": keras_mmc.LGMLoss,
    "gce": keras_mmc.GuidedComplementEntropy,
    "differential": keras_mmc.DifferentialLoss,
    "softmax": functools.partial(keras.losses.SparseCategoricalCrossentropy, from_logits=True),
}
MODELS = ("small_cnn", "lenet5", "resnet_v1", "resnet_v2", "preact_resnet18", "wide_resnet")

FLAGS = flags.FLAGS
flags.DEFINE_enum("loss", "mmc", sorted(LOSSES), "Loss to train with.")
flags.DEFINE_enum(
    "head",
    "auto",
    ["auto", *HEADS, "dense"],
    "Head: fixed Max-Mahalanobis centers, the same with trainable offsets (elastic), learned "
    "centers, a dense layer, or one with centers beside it. auto: the loss's own.",
)
flags.DEFINE_float("scale", 10.0, "Norm of the fixed centers (C_MM).", lower_bound=1e-6)
flags.DEFINE_enum("model", "small_cnn", MODELS, "Network architecture.")
flags.DEFINE_integer("depth", None, "Depth of resnet_v1, resnet_v2 or wide_resnet.")
flags.DEFINE_integer(
    "features",
    None,
    "Width of the feature layer before the head, 0 for none; default: that of the network.",
    lower_bound=0,
)


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
    meant = "centers" if isinstance(loss, keras_mmc.MMLDALoss) else "dense"
    return (meant, *HEADS, "dense")


def choose_head(name: str, head: str) -> str:
    """The head that a loss trains; a ValueError where the pair cannot work."""
    fitting = heads_of(LOSSES[name]())
    if head == "auto":
        return fitting[0]
    if head not in fitting:
        raise ValueError(
            f"--loss={name} cannot train --head={head}: its scores would be unbounded or collapse, "
            "or lack a part of the loss. Leave --head out."
        )
    return head


def build_model(info: keras_mmc.datasets.DatasetInfo, head: str) -> keras.Model:
    """The network of the flags with the given kind of head."""
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
        options["head"] = HEADS[head](info.num_classes)
    return getattr(keras_mmc.models, FLAGS.model)(info.image_shape, **options)
