"""Training one network of `keras-mmc train`, and what is measured of it."""

import csv
import dataclasses
import json
import pathlib
import shutil
import statistics
import time
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from absl import flags

import keras_mmc
from keras_mmc import _files, distribution
from keras_mmc._extras import is_installed
from keras_mmc.commands import (
    defense_flags,
    loss_flags,
    model_card,
    network_flags,
    optimizer_flags,
    training_facts,
)
from keras_mmc.commands.training_data import TrainingData
from keras_mmc.experiments import features

FLAGS = flags.FLAGS
# While a run lasts: what a network that is done adds to the table, and the state of the training.
_FINISHED, _STATE = "finished.json", "state"


@dataclasses.dataclass(frozen=True)
class Run:
    """One network of the table."""

    name: str
    loss: str
    head: str
    scale: float


class EpochTimes(keras.callbacks.Callback):
    """Wall and CPU seconds of every epoch, validation included, of what this process saw of it."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clocks."""
        self._start = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        """Stop the clocks."""
        self.seconds.append(time.perf_counter() - self._start[0])
        self.cpu_seconds.append(time.process_time() - self._start[1])


class HistoryFile(keras.callbacks.Callback):
    """The logs of all epochs as CSV, also those before an interruption."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self._path = path
        self.rows: list[dict[str, float]] = []

    def on_epoch_end(self, epoch, logs=None):
        """Write all of them, so that a file is whole at any moment."""
        self.rows = [*self.rows, {"epoch": epoch, **logs}]
        partial = self._path.with_suffix(".partial")
        with (
            _files.replacing(self._path, partial),
            open(partial, "w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)


def chosen_strategy() -> tf.distribute.Strategy:
    """The strategy of --distribution; asked for before anything is computed."""
    if FLAGS.distribution == "none":
        return tf.distribute.get_strategy()
    if FLAGS.distribution in ("auto", "multi_worker"):
        raise ValueError(
            f"--distribution={FLAGS.distribution} would train on several workers, which all would "
            "write to --output_dir. Pass mirrored or cpu:2, or train on workers from Python with "
            "keras_mmc.distribution.strategy."
        )
    return distribution.strategy(FLAGS.distribution)


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


def train_all(
    runs: list[Run], data: TrainingData, directory: pathlib.Path, strategy: tf.distribute.Strategy
) -> list[dict[str, str]]:
    """Train the networks one after the other, draw their curves; returns the rows of the table.

    Networks that an interrupted run has finished are not trained again.
    """
    rows, curves = [], {}
    for run in runs:
        place = directory / run.name
        finished = place / _FINISHED
        if finished.exists():
            found = json.loads(finished.read_text(encoding="utf-8"))
            rows.append(found["row"])
            curves[run.name] = tuple(map(np.asarray, found["curve"]))
            continue
        print(
            f"Training {FLAGS.model} on {FLAGS.data} with {run.name} ({run.head} head)",
            flush=True,
        )
        row, curve = train(run, data, place, strategy)
        text = json.dumps({"row": row, "curve": [part.tolist() for part in curve]})
        partial = finished.with_suffix(".partial")
        with _files.replacing(finished, partial):
            partial.write_text(text, encoding="utf-8")
        shutil.rmtree(place / _STATE)
        rows.append(row)
        curves[run.name] = curve
    if is_installed("matplotlib.figure"):
        draw_curves(curves, directory)
    for run in runs:
        (directory / run.name / _FINISHED).unlink()
    return rows


def in_training(model: keras.Model, name: str) -> keras.Model:
    """The network as it is trained: in an `AdversarialModel` if flags or loss ask for one."""
    loss = loss_flags.LOSSES[name]()
    # A loss of pairs has no gradient of single images to penalize.
    pairwise = getattr(loss, "pairwise", False)
    defense = defense_flags.build_defense()
    regularizer = defense_flags.build_regularizer("cross_entropy" if pairwise else loss)
    needs_features = getattr(loss, "needs_features", False)
    plain = FLAGS.defense == "none" and regularizer is None and not needs_features
    if plain and FLAGS.distribution == "none":  # on several devices it counts parts by their size
        return model
    return keras_mmc.AdversarialModel(model, defense, regularizer, seed=FLAGS.seed)


def train(
    run: Run, data: TrainingData, directory: pathlib.Path, strategy: tf.distribute.Strategy
) -> tuple[dict[str, str], tuple]:
    """Train one network, write its files; returns its row of the table and its curve."""
    loss, head, test = run.loss, run.head, data.batches["test"]
    keras.utils.set_random_seed(FLAGS.seed)
    with strategy.scope():
        model = network_flags.build_model(data.info, head, run.scale)
        trained = in_training(model, loss)
        trained.compile(
            optimizer=optimizer_flags.build_optimizer(
                data.train.steps * defense_flags.steps_per_batch()
            ),
            loss=loss_flags.LOSSES[loss](),
            metrics=["accuracy"],
        )
    directory.mkdir(exist_ok=True)
    has_tensorboard = is_installed("tensorboard")
    logs = [keras.callbacks.TensorBoard(directory / "logs")] if has_tensorboard else []
    times = EpochTimes()
    history = keras_mmc.training.resumable_fit(
        trained,
        data.train,
        directory / _STATE,
        epochs=FLAGS.epochs,
        validation_data=validation_data(data.batches["validation"], trained is not model),
        verbose=2 if FLAGS.data != "digits" else 0,
        callbacks=[
            keras_mmc.callbacks.StopOnNonFinite(),
            HistoryFile(directory / "history.csv"),
            *logs,
            times,
            *defense_flags.build_callbacks(directory),
        ],
    ).history
    if head == "differential":
        images = data.splits["train"]
        keras_mmc.layers.fit_threshold(model, images.x, images.y)
    model.save(directory / "model.keras")
    if trained is not model:
        # For the accuracy: any loss of scores will do.
        with strategy.scope():
            model.compile(loss=loss_flags.LOSSES["softmax"](), metrics=["accuracy"])
    accuracy = model.evaluate(test, verbose=0, return_dict=True)["accuracy"]
    facts = training_facts.facts_of(run, data, model, trained, history, accuracy, directory)
    (directory / model_card.CARD).write_text(model_card.render(facts), encoding="utf-8")
    labels = data.splits["test"].y
    found = features.features_of(model, test)
    distances = keras_mmc.metrics.class_distances(found, labels)
    if is_installed("matplotlib.figure"):
        keras_mmc.plotting.plot_features(
            directory / "features.png",
            found,
            labels,
            features.centers_of(model, found, labels),
            f"{loss}: test features of {model.name} on {pathlib.Path(FLAGS.data).name}",
        )
    row = {
        "loss": run.name,
        "head": head,
        "defense": FLAGS.defense,
        "test accuracy %": f"{100 * accuracy:.2f}",
        "s/epoch": f"{statistics.median(times.seconds):.2f}",
        "CPU s": f"{sum(times.cpu_seconds):.0f}",
        "intra": f"{distances.intra:.2f}",
        "inter": f"{distances.inter:.2f}",
        "inter/intra": f"{distances.inter / distances.intra:.1f}",
    }
    return row, (np.cumsum(times.seconds), 100 * np.asarray(history["val_accuracy"]))


def validation_data(validation: tf.data.Dataset, attacked: bool) -> tf.data.Dataset:
    """All validation batches, or as many as are attacked after every epoch of a defense."""
    if not attacked:
        return validation
    return validation.take(-(-FLAGS.validation_images // FLAGS.batch_size))


def draw_curves(curves: Mapping[str, tuple], directory: pathlib.Path) -> None:
    """Validation accuracy of all networks against epochs and against seconds."""
    by_epoch = {name: (range(1, 1 + len(y)), y) for name, (_, y) in curves.items()}
    label = "validation accuracy, %"
    keras_mmc.plotting.plot_curves(directory / "epochs.png", by_epoch, "epoch", label)
    keras_mmc.plotting.plot_curves(directory / "seconds.png", curves, "seconds", label)
