"""Train a classifier with a loss and a defense of keras_mmc, and with softmax cross-entropy.

  python examples/train.py                                   # MMC on digits, half a minute
  python examples/train.py --dataset=mnist --epochs=10
  python examples/train.py --dataset=cifar10 --model=resnet_v2 --depth=11 --optimizer=sgd
  python examples/train.py --dataset=mnist --defense=trades --beta=1 --attack_eps=0.3
  python examples/train.py --recipe=at_emr_cifar10           # published settings by name

Each network gets a folder of its own below --output_dir with model.keras, history.csv, TensorBoard
logs (logs/) and a picture of the features around their centers (features.png); with a defense also
best.keras, the epoch with the highest robust accuracy on validation images. Beside these folders
are the flags (flags.txt) and the table (comparison.csv). The results appear when the run is
complete; until then they are in <output_dir>.partial/new, where TensorBoard can follow them.
"""

import csv
import pathlib
import statistics
import time

import defense_flags
import keras
import network_flags
import numpy as np
import optimizer_flags
import run_directory
import tensorflow as tf
from absl import app, flags, logging

import keras_mmc

FLAGS = flags.FLAGS
for module in (defense_flags, network_flags, optimizer_flags):
    flags.adopt_module_key_flags(module)  # so that --help shows them
flags.DEFINE_enum(
    "dataset",
    "digits",
    ["digits", "mnist", "fashion_mnist", "cifar10", "cifar100"],
    "Data set; TensorFlow Datasets loads all but digits (see TFDS_DATA_DIR).",
)
flags.DEFINE_integer("batch_size", 64, "Images per batch.", lower_bound=1)
flags.DEFINE_boolean("augment", None, "Random crops and mirror images; default: for CIFAR only.")
flags.DEFINE_enum(
    "mixed_precision",
    "float32",
    ["float32", "mixed_bfloat16", "mixed_float16"],
    "Dtype policy of the network; scores and losses stay float32.",
)
flags.DEFINE_integer("seed", 0, "Seed of weights, order of images, augmentation and split.")
flags.DEFINE_boolean(
    "baseline",
    None,
    "Also train the same network with softmax cross-entropy; default: only without a defense.",
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


def in_training(model: keras.Model, name: str) -> keras.Model:
    """The network as it is trained: in an `AdversarialModel` if flags or loss ask for one."""
    loss = network_flags.LOSSES[name]()
    # A loss of pairs has no gradient of single images to penalize.
    pairwise = getattr(loss, "pairwise", False)
    defense = defense_flags.build_defense()
    regularizer = defense_flags.build_regularizer("cross_entropy" if pairwise else loss)
    needs_features = getattr(loss, "needs_features", False)
    if FLAGS.defense == "none" and regularizer is None and not needs_features:
        return model
    return keras_mmc.AdversarialModel(model, defense, regularizer, seed=FLAGS.seed)


def train(loss: str, head: str, data: dict, directory: pathlib.Path) -> dict[str, str]:
    """Train one network, write its files and return its row of the table."""
    info = keras_mmc.datasets.info(FLAGS.dataset)
    keras.utils.set_random_seed(FLAGS.seed)
    model = network_flags.build_model(info, head)
    trained = in_training(model, loss)
    trained.compile(
        optimizer=optimizer_flags.build_optimizer(
            data["train"].cardinality().numpy() * defense_flags.steps_per_batch()
        ),
        loss=network_flags.LOSSES[loss](),
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
            keras_mmc.callbacks.StopOnNonFinite(),
            keras.callbacks.CSVLogger(directory / "history.csv"),
            keras.callbacks.TensorBoard(directory / "logs"),
            times,
            *defense_flags.build_callbacks(directory),
        ],
    )
    cpu_seconds = time.process_time() - cpu_start
    model.save(directory / "model.keras")
    if trained is not model:
        # For the accuracy: any loss of scores will do.
        model.compile(loss=network_flags.LOSSES["softmax"](), metrics=["accuracy"])
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


def validation_data(validation: tf.data.Dataset, attacked: bool) -> tf.data.Dataset:
    """All validation batches, or as many as are attacked after every epoch of a defense."""
    if not attacked:
        return validation
    return validation.take(-(-FLAGS.validation_images // FLAGS.batch_size))


def test_features(model: keras.Model, test: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Features `(N, d)` before the head and labels of the test images."""
    to_features = keras.Model(model.input, model.get_layer("features").output)
    labels = np.concatenate([y.numpy() for _, y in test])
    return to_features.predict(test, verbose=0).astype("float32"), labels


def class_centers(model: keras.Model, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The centers of the head, or the class means of the features where it has none."""
    centers = getattr(model.layers[-1], "centers", None)
    if centers is not None:
        return keras.ops.convert_to_numpy(centers)
    return np.stack([features[labels == k].mean(axis=0) for k in range(model.output_shape[-1])])


def print_table(rows: list[dict[str, str]]) -> None:
    """Print rows of equal keys as an aligned table."""
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    for row in ({key: key for key in widths}, *rows):
        print("  ".join(row[key].rjust(width) for key, width in widths.items()))


def main(argv: list[str]) -> None:
    """Train what the flags ask for and compare."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    defense_flags.apply_recipe()
    keras.config.set_dtype_policy(FLAGS.mixed_precision)
    info = keras_mmc.datasets.info(FLAGS.dataset)
    augment = info.augmentable if FLAGS.augment is None else FLAGS.augment
    runs = [(FLAGS.loss, network_flags.choose_head(FLAGS.loss, FLAGS.head))]
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
        "alone is no defense: run examples/audit.py.\n"
        f"Models, curves and pictures are in {pathlib.Path(FLAGS.output_dir).resolve()}"
    )


if __name__ == "__main__":
    logging.set_verbosity(logging.WARNING)
    app.run(main)
