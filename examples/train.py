"""Train a classifier with a loss and a defence of keras_mmc, or beside softmax cross-entropy.

  python examples/train.py                                   # MMC on digits, half a minute
  python examples/train.py --dataset=mnist --epochs=10
  python examples/train.py --dataset=cifar10 --model=resnet_v2 --depth=11 --optimizer=sgd
  python examples/train.py --dataset=mnist --defense=trades --beta=1 --attack_eps=0.3
  python examples/train.py --recipe=at_emr_cifar10           # published settings by name

Each run writes model.keras, history.csv, TensorBoard logs (logs/) and a picture of the features
around their centres (features.png) to a folder of its own below --output_dir, which holds the flags
(flags.txt) and the table (comparison.csv); one with a defence also best.keras, the epoch with the
highest robust accuracy on validation images.
"""

import csv
import pathlib
import statistics
import time

import defense_flags
import keras
import numpy as np
import run_directory
from absl import app, flags, logging

import keras_mmc

HEADS = {
    "centers": keras_mmc.MaxMahalanobisCenters,
    "learned": keras_mmc.LearnedCenters,
    "dense": None,
}
# The loss and the heads it can train, the usual one first.
LOSSES = {
    "mmc": (keras_mmc.MMCLoss, ("centers",)),
    "elastic_mmc": (keras_mmc.ElasticMMCLoss, ("centers",)),
    "mm_lda": (keras_mmc.MMLDALoss, ("centers", "learned")),
    "center": (keras_mmc.CenterLoss, ("learned", "centers")),
    "lgm": (keras_mmc.LGMLoss, ("learned", "centers")),
    "gce": (keras_mmc.GuidedComplementEntropy, ("dense", "centers", "learned")),
    "differential": (keras_mmc.DifferentialLoss, ("dense", "centers", "learned")),
    "softmax": (
        lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ("dense", "centers", "learned"),
    ),
}
MODELS = ("small_cnn", "lenet5", "resnet_v1", "resnet_v2", "preact_resnet18", "wide_resnet")
OPTIMIZERS = {"adam": 1e-3, "sgd": 0.01}  # and their default learning rates

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(defense_flags)  # so that --help shows them
flags.DEFINE_enum(
    "dataset",
    "digits",
    ["digits", "mnist", "fashion_mnist", "cifar10", "cifar100"],
    "Data set. All but digits come through TensorFlow Datasets (see TFDS_DATA_DIR).",
)
flags.DEFINE_enum("loss", "mmc", sorted(LOSSES), "Loss to train with.")
flags.DEFINE_enum(
    "head",
    "auto",
    ["auto", *HEADS],
    "Head: fixed Max-Mahalanobis centers, learned centers, or a dense layer. auto: the loss's own.",
)
flags.DEFINE_float("scale", 10.0, "Norm of the fixed centers (C_MM).", lower_bound=1e-6)
flags.DEFINE_enum("model", "small_cnn", MODELS, "Network.")
flags.DEFINE_integer("depth", None, "Depth of resnet_v1, resnet_v2 or wide_resnet.")
flags.DEFINE_integer("epochs", 30, "Epochs.", lower_bound=1)
flags.DEFINE_integer("batch_size", 64, "Images per batch.", lower_bound=1)
flags.DEFINE_enum("optimizer", "adam", sorted(OPTIMIZERS), "Optimizer; sgd has momentum 0.9.")
flags.DEFINE_float("learning_rate", None, "Highest learning rate; default: 0.001 adam, 0.01 sgd.")
flags.DEFINE_float("weight_decay", None, "Decoupled weight decay of all weights.")
flags.DEFINE_float("adam_beta_2", 0.999, "Decay of Adam's second moment.")
flags.DEFINE_enum(
    "schedule",
    "cosine",
    ["cosine", "drops", "constant"],
    "Learning rate over time: down to 0 along a cosine, a tenth at each of --drops, or constant.",
)
flags.DEFINE_list("drops", None, "Epochs after which --schedule=drops divides the rate by ten.")
flags.DEFINE_boolean("augment", None, "Crops and mirror images; default: on for CIFAR only.")
flags.DEFINE_enum(
    "mixed_precision",
    "float32",
    ["float32", "mixed_bfloat16", "mixed_float16"],
    "Dtype policy of the network; scores and losses stay float32.",
)
flags.DEFINE_integer("seed", 0, "Seed of weights, order, augmentation and validation split.")
flags.DEFINE_boolean(
    "baseline",
    None,
    "Train the same network with softmax cross-entropy too; default: only without a defence.",
)
flags.DEFINE_string("output_dir", "runs/train", "Folder of the results.")
flags.DEFINE_boolean("overwrite", False, "Replace an earlier run in --output_dir.")


class EpochTimes(keras.callbacks.Callback):
    """Wall seconds of every epoch, validation included."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Stop the clock."""
        self.seconds.append(time.perf_counter() - self._start)


def choose_head(loss, head):
    """The head a loss trains; a ValueError where the pair cannot work."""
    allowed = LOSSES[loss][1]
    head = allowed[0] if head == "auto" else head
    if head not in allowed:
        raise ValueError(
            f"--loss={loss} cannot train --head={head}: its scores would be unbounded or collapse. "
            f"Heads for it: {', '.join(allowed)}."
        )
    return head


def build_model(info, head):
    """The network of the flags with the given kind of head."""
    options = {"mean": info.mean, "std": info.std}
    if FLAGS.depth is not None:
        if FLAGS.model not in ("resnet_v1", "resnet_v2", "wide_resnet"):
            raise ValueError(f"--model={FLAGS.model} has a fixed depth; leave --depth out.")
        options["depth"] = FLAGS.depth
    if head == "dense":
        options["num_classes"] = info.num_classes
    elif head == "centers":
        options["head"] = keras_mmc.MaxMahalanobisCenters(info.num_classes, scale=FLAGS.scale)
    else:
        options["head"] = keras_mmc.LearnedCenters(info.num_classes)
    return getattr(keras_mmc.models, FLAGS.model)(info.image_shape, **options)


def build_optimizer(steps_per_epoch):
    """The optimizer of the flags with its schedule."""
    rate = FLAGS.learning_rate or OPTIMIZERS[FLAGS.optimizer]
    steps = steps_per_epoch * FLAGS.epochs
    if FLAGS.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
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


def in_training(model, loss):
    """The network as it is trained: inside an `AdversarialModel` if the flags ask for one."""
    # The loss of pairs has no gradient of single images to penalise.
    penalized = "cross_entropy" if loss == "differential" else LOSSES[loss][0]()
    defense, regularizer = defense_flags.build_defense(), defense_flags.build_regularizer(penalized)
    if FLAGS.defense == "none" and regularizer is None:
        return model
    return keras_mmc.AdversarialModel(model, defense, regularizer, seed=FLAGS.seed)


def train(loss, head, data, directory):
    """Train one network, write its files and return its row of the table."""
    info = keras_mmc.datasets.info(FLAGS.dataset)
    keras.utils.set_random_seed(FLAGS.seed)
    model = build_model(info, head)
    trained = in_training(model, loss)
    trained.compile(
        optimizer=build_optimizer(
            data["train"].cardinality().numpy() * defense_flags.steps_per_batch()
        ),
        loss=LOSSES[loss][0](),
        metrics=["accuracy"],
    )
    directory.mkdir()
    times, cpu_start = EpochTimes(), time.process_time()
    trained.fit(
        data["train"],
        validation_data=validation_data(data["validation"], trained is not model),
        epochs=FLAGS.epochs,
        shuffle=False,  # the training batches are shuffled already
        verbose=2 if FLAGS.dataset != "digits" else 0,
        callbacks=[
            keras_mmc.training.StopOnNonFinite(),
            keras.callbacks.CSVLogger(directory / "history.csv"),
            keras.callbacks.TensorBoard(directory / "logs"),
            times,
            *defense_flags.build_callbacks(directory),
        ],
    )
    cpu_seconds = time.process_time() - cpu_start
    model.save(directory / "model.keras")
    if trained is not model:
        model.compile(loss=LOSSES[loss][0](), metrics=["accuracy"])
    accuracy = model.evaluate(data["test"], verbose=0, return_dict=True)["accuracy"]
    features, labels = test_features(model, data["test"])
    distances = keras_mmc.metrics.class_distances(features, labels)
    keras_mmc.plotting.plot_features(
        directory / "features.png",
        features,
        labels,
        class_centers(model, features, labels),
        f"{loss}: test features of {model.name} on {FLAGS.dataset}",
    )
    return {
        "loss": loss,
        "head": head,
        "defense": FLAGS.defense,
        "test accuracy %": f"{100 * accuracy:.2f}",
        "s/epoch": f"{statistics.median(times.seconds):.2f}",
        "CPU s": f"{cpu_seconds:.0f}",
        "intra": f"{distances.intra:.2f}",
        "inter": f"{distances.inter:.2f}",
        "inter/intra": f"{distances.inter / distances.intra:.1f}",
    }


def validation_data(validation, attacked):
    """All validation batches, or as many as are attacked after every epoch of a defence."""
    if not attacked:
        return validation
    return validation.take(-(-FLAGS.validation_images // FLAGS.batch_size))


def test_features(model, test):
    """Features `(N, d)` before the head and labels of the test images."""
    to_features = keras.Model(model.input, model.get_layer("features").output)
    labels = np.concatenate([y.numpy() for _, y in test])
    return to_features.predict(test, verbose=0).astype("float32"), labels


def class_centers(model, features, labels):
    """The centres of the head, or the class means of the features where it has none."""
    centers = getattr(model.layers[-1], "centers", None)
    if centers is not None:
        return keras.ops.convert_to_numpy(centers)
    return np.stack([features[labels == k].mean(axis=0) for k in range(model.output_shape[-1])])


def print_table(rows):
    """Print rows of equal keys as an aligned table."""
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    for row in ({key: key for key in widths}, *rows):
        print("  ".join(row[key].rjust(width) for key, width in widths.items()))


def main(argv):
    """Train what the flags ask for and compare."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    defense_flags.apply_recipe()
    keras.config.set_dtype_policy(FLAGS.mixed_precision)
    info = keras_mmc.datasets.info(FLAGS.dataset)
    augment = info.augmentable if FLAGS.augment is None else FLAGS.augment
    runs = [(FLAGS.loss, choose_head(FLAGS.loss, FLAGS.head))]
    baseline = FLAGS.defense == "none" if FLAGS.baseline is None else FLAGS.baseline
    if baseline and runs[0] != ("softmax", "dense"):
        runs.append(("softmax", "dense"))
    with run_directory.run_directory(FLAGS.output_dir, FLAGS.overwrite) as directory:
        data = {
            split: keras_mmc.datasets.load(
                FLAGS.dataset, split, FLAGS.batch_size, augment and split == "train", FLAGS.seed
            )
            for split in ("train", "validation", "test")
        }
        rows = []
        for loss, head in runs:
            print(
                f"Training {FLAGS.model} on {FLAGS.dataset} with {loss} ({head} head)", flush=True
            )
            rows.append(train(loss, head, data, directory / loss))
        with open(directory / "comparison.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    print(f"\nTest results, {FLAGS.epochs} epochs, seed {FLAGS.seed}:")
    print_table(rows)
    print(
        "\nintra: mean distance of a sample's features to its class mean; inter: mean distance "
        "between class means.\nAccuracy on clean images says nothing about robustness, and MMC "
        "alone is no defence: run examples/audit.py.\n"
        f"Models, curves and pictures are in {pathlib.Path(FLAGS.output_dir).resolve()}"
    )


if __name__ == "__main__":
    logging.set_verbosity(logging.WARNING)
    app.run(main)
