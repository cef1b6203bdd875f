"""Train a classifier with a loss and a defense of keras_mmc, and with softmax cross-entropy.

  python examples/train.py                                   # MMC on digits, half a minute
  python examples/train.py --dataset=mnist --epochs=10
  python examples/train.py --dataset=cifar10 --model=resnet_v2 --depth=11 --optimizer=sgd
  python examples/train.py --dataset=mnist --defense=trades --beta=1 --attack_eps=0.3
  python examples/train.py --recipe=at_emr_cifar10           # published settings by name

Each network gets a folder of its own below --output_dir with model.keras, history.csv, TensorBoard
logs (logs/) and a picture of the features around their centers (features.png); with a defense also
best.keras, the epoch with the highest robust accuracy on validation images. Beside these folders
are the flags (flags.txt), the table (comparison.csv) and the validation accuracy against epochs and
seconds (epochs.png, seconds.png). The results appear when the run is
complete; until then they are in <output_dir>.partial/new, where TensorBoard can follow them.
"""

import csv
import dataclasses
import pathlib
import statistics
import time

import data_flags
import defense_flags
import features
import keras
import loss_flags
import network_flags
import numpy as np
import optimizer_flags
import run_directory
import tensorflow as tf
from absl import app, flags, logging

import keras_mmc

FLAGS = flags.FLAGS
for module in (data_flags, defense_flags, loss_flags, network_flags, optimizer_flags):
    flags.adopt_module_key_flags(module)  # so that --help shows them
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


@dataclasses.dataclass(frozen=True)
class Run:
    """One network of the table."""

    name: str
    loss: str
    head: str
    scale: float


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
    loss = loss_flags.LOSSES[name]()
    # A loss of pairs has no gradient of single images to penalize.
    pairwise = getattr(loss, "pairwise", False)
    defense = defense_flags.build_defense()
    regularizer = defense_flags.build_regularizer("cross_entropy" if pairwise else loss)
    needs_features = getattr(loss, "needs_features", False)
    if FLAGS.defense == "none" and regularizer is None and not needs_features:
        return model
    return keras_mmc.AdversarialModel(model, defense, regularizer, seed=FLAGS.seed)


def train(run: Run, data: dict, directory: pathlib.Path) -> tuple[dict[str, str], list]:
    """Train one network, write its files; returns its row of the table and its curve."""
    loss, head = run.loss, run.head
    info = keras_mmc.datasets.info(FLAGS.dataset)
    keras.utils.set_random_seed(FLAGS.seed)
    model = network_flags.build_model(info, head, run.scale, data_flags.num_classes())
    trained = in_training(model, loss)
    trained.compile(
        optimizer=optimizer_flags.build_optimizer(
            data["train"].cardinality().numpy() * defense_flags.steps_per_batch()
        ),
        loss=loss_flags.LOSSES[loss](),
        metrics=["accuracy"],
    )
    directory.mkdir()
    times, cpu_start = EpochTimes(), time.process_time()
    history = trained.fit(
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
    ).history
    cpu_seconds = time.process_time() - cpu_start
    if head == "differential":
        keras_mmc.layers.fit_threshold(model, *data_flags.arrays("train"))
    model.save(directory / "model.keras")
    if trained is not model:
        # For the accuracy: any loss of scores will do.
        model.compile(loss=loss_flags.LOSSES["softmax"](), metrics=["accuracy"])
    accuracy = model.evaluate(data["test"], verbose=0, return_dict=True)["accuracy"]
    labels = np.concatenate([y.numpy() for _, y in data["test"]])
    found = features.features_of(model, data["test"])
    distances = keras_mmc.metrics.class_distances(found, labels)
    keras_mmc.plotting.plot_features(
        directory / "features.png",
        found,
        labels,
        features.centers_of(model, found, labels),
        f"{loss}: test features of {model.name} on {FLAGS.dataset}",
    )
    row = {
        "loss": run.name,
        "head": head,
        "defense": FLAGS.defense,
        "test accuracy %": f"{100 * accuracy:.2f}",
        "s/epoch": f"{statistics.median(times.seconds):.2f}",
        "CPU s": f"{cpu_seconds:.0f}",
        "intra": f"{distances.intra:.2f}",
        "inter": f"{distances.inter:.2f}",
        "inter/intra": f"{distances.inter / distances.intra:.1f}",
    }
    return row, [np.cumsum(times.seconds), 100 * np.asarray(history["val_accuracy"])]


def validation_data(validation: tf.data.Dataset, attacked: bool) -> tf.data.Dataset:
    """All validation batches, or as many as are attacked after every epoch of a defense."""
    if not attacked:
        return validation
    return validation.take(-(-FLAGS.validation_images // FLAGS.batch_size))


def print_table(rows: list[dict[str, str]]) -> None:
    """Print rows of equal keys as an aligned table."""
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    for row in ({key: key for key in widths}, *rows):
        print("  ".join(row[key].rjust(width) for key, width in widths.items()))


def chosen_runs() -> list[Run]:
    """The networks that the flags ask for: every loss with every scale, and the baseline."""
    runs = []
    for loss in FLAGS.loss:
        head = network_flags.choose_head(loss, FLAGS.head)
        scales = FLAGS.scale if head in ("centers", "elastic") else FLAGS.scale[:1]
        for scale in scales:
            name = f"{loss}_{scale}" if len(scales) > 1 else loss
            runs.append(Run(name, loss, head, float(scale)))
    baseline = FLAGS.defense == "none" if FLAGS.baseline is None else FLAGS.baseline
    if baseline and "softmax" not in [run.loss for run in runs]:
        runs.append(Run("softmax", "softmax", "dense", 1.0))
    return runs


def draw_curves(curves: dict[str, list], directory: pathlib.Path) -> None:
    """Validation accuracy of all networks against epochs and against seconds."""
    by_epoch = {name: (range(1, 1 + len(y)), y) for name, (_, y) in curves.items()}
    label = "validation accuracy, %"
    keras_mmc.plotting.plot_curves(directory / "epochs.png", by_epoch, "epoch", label)
    keras_mmc.plotting.plot_curves(directory / "seconds.png", curves, "seconds", label)


def main(argv: list[str]) -> None:
    """Train what the flags ask for and compare."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    defense_flags.apply_recipe()
    keras.config.set_dtype_policy(FLAGS.mixed_precision)
    runs = chosen_runs()
    with run_directory.run_directory(FLAGS.output_dir, FLAGS.overwrite) as directory:
        data = data_flags.load()
        rows, curves = [], {}
        for run in runs:
            print(
                f"Training {FLAGS.model} on {FLAGS.dataset} with {run.name} ({run.head} head)",
                flush=True,
            )
            row, curves[run.name] = train(run, data, directory / run.name)
            rows.append(row)
        draw_curves(curves, directory)
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
