"""What the card of a network says of its training."""

from __future__ import annotations

import datetime
import pathlib
import platform
import shlex
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from keras_mmc._choices import DATASETS
from keras_mmc._digests import digest_of_files
from keras_mmc._version import __version__
from keras_mmc.commands import image_flags, loss_flags, optimizer_flags

if TYPE_CHECKING:
    from keras_mmc.commands.training import Run
    from keras_mmc.commands.training_data import TrainingData

FLAGS = flags.FLAGS
# The radius at which the literature attacks these, for pixels in [0, 1]; 8/255 is that of CIFAR.
_RADII = {"digits": 0.2, "mnist": 0.3, "fashion_mnist": 0.1}
_MOST_NAMES = 20


def facts_of(
    run: Run,
    data: TrainingData,
    model: keras.Model,
    trained: keras.Model,
    history: dict[str, list[float]],
    accuracy: float,
    directory: pathlib.Path,
) -> dict[str, Any]:
    """The facts of a card, by the names that its template has.

    Args:
        run: the network of the table.
        data: what it was trained and tested on.
        model: the classifier.
        trained: what was fitted, the classifier or an `AdversarialModel` around it.
        history: the logs of every epoch.
        accuracy: fraction of the test images that are classified correctly.
        directory: where its files are.
    """
    sizes = [len(data.splits[split].y) for split in ("train", "validation", "test")]
    files = [name for name in ("model.keras", "best.keras") if (directory / name).exists()]
    robust = history.get("val_robust_accuracy")
    attacked = None
    if robust:
        batches = -(-FLAGS.validation_images // FLAGS.batch_size)
        attacked = min(sizes[1], batches * FLAGS.batch_size)
    command, note = _audit(run, data, files)
    return {
        "name": run.name,
        "network": model.name,
        "files": {name: digest_of_files(directory / name) for name in files},
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "data": FLAGS.data,
        "data_name": pathlib.Path(FLAGS.data).name,
        "sizes": sizes,
        "has_test": data.has_test,
        "tested_on": data.tested_on,
        "image_shape": tuple(data.info.image_shape),
        "num_classes": data.info.num_classes,
        "classes": _classes(data),
        "box": image_flags.box(),
        "recipe": _recipe(run, model, trained, len(history["loss"])),
        "accuracy": accuracy,
        "attacked": attacked,
        "robust_validation": robust[-1] if robust else None,
        "audit": command,
        "audit_note": note,
        "adversarial": bool(robust),
        "seed": FLAGS.seed,
    }


def _recipe(run, model, trained, epochs):
    rate = FLAGS.learning_rate or optimizer_flags.OPTIMIZERS[FLAGS.optimizer]
    loss = loss_flags.LOSSES[run.loss]()
    versions = {"keras_mmc": __version__, "keras": keras.__version__, "tensorflow": tf.__version__}
    versions |= {"numpy": np.__version__, "Python": platform.python_version()}
    head = f"{run.head}, scale {run.scale:g}" if run.head in ("centers", "elastic") else run.head
    return {
        "recipe": FLAGS.recipe or "none",
        "network": f"{model.name}, {model.count_params():,} parameters",
        "loss": f"{run.loss} ({type(loss).__name__})",
        "head": head,
        "defense": getattr(trained, "defense", None) if trained is not model else "none",
        "regularizer": getattr(trained, "regularizer", None) or "none",
        "optimizer": f"{FLAGS.optimizer}, learning rate {rate:g}, {FLAGS.schedule} schedule",
        "weight decay": FLAGS.weight_decay or 0,
        "epochs": epochs,
        "batch size": FLAGS.batch_size,
        "seed": FLAGS.seed,
        "precision": FLAGS.mixed_precision,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _classes(data):
    if FLAGS.classes:
        return f"{FLAGS.classes[0]} and {FLAGS.classes[1]} alone, as 0 and 1"
    names = data.splits["train"].class_names
    if not names:
        return data.info.num_classes
    shown = ", ".join(names[:_MOST_NAMES])
    return f"{len(names)}: {shown}{', ...' if len(names) > _MOST_NAMES else ''}"


def _audit(run, data, files):
    """The command that audits the network, and what to know of it."""
    low, high = image_flags.box()
    eps = FLAGS.attack_eps or _RADII.get(FLAGS.data, 8 / 255) * (high - low)
    folder = pathlib.Path(FLAGS.output_dir) / run.name
    names = [f"{name.removesuffix('.keras')}=" if len(files) > 1 else "" for name in files]
    given = [f"--model={name}{folder / file}" for name, file in zip(names, files, strict=True)]
    known, note = FLAGS.data in DATASETS, ""
    if not data.has_test or FLAGS.classes:
        which = "of the two classes, labeled 0 and 1, " if FLAGS.classes else ""
        note = f"TEST_IMAGES are images {which}that the network was not trained on."
    given.append("--data=TEST_IMAGES" if note else f"--data={FLAGS.data}")
    if (low, high) != (0, 1) or not known:
        given.append(f"--box={low:g},{high:g}")
    given += [f"--eps={eps:.8g}", "--suite=standard"]
    return shlex.join(["keras-mmc", "audit", *given]), note
