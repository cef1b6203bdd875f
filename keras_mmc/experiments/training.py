"""Training one network of an experiment."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

import keras_mmc
from keras_mmc import datasets, defenses

# What `fit` puts into the logs of every network.
_FITTED = ("loss", "accuracy", "val_loss", "val_accuracy")
SOFTMAX = functools.partial(keras.losses.SparseCategoricalCrossentropy, from_logits=True)


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to train.

    Attributes:
        loss: makes the loss.
        head: makes the head for a number of classes and the width of the features; `None` for a
            dense layer.
        defense: makes the defense; `None` for plain training.
        regularizer: makes the regularizer, if there is one.
        rate: by how much the learning rate of the setting is multiplied.
        epochs: the same of its number of epochs: a cheaper step may be made more often.
    """

    loss: Callable[[], keras.losses.Loss] = SOFTMAX
    head: Callable[[int, int], keras.layers.Layer] | None = None
    defense: Callable[[], defenses.Defense] | None = None
    regularizer: Callable[[], Any] | None = None
    rate: float = 1.0
    epochs: float = 1.0


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all methods of an experiment share.

    Attributes:
        dataset: name of the data set.
        network: makes the network, as those of `keras_mmc.models`.
        feature_dim: width of the features.
        epochs: number of epochs.
        batch_size: images per batch.
        optimizer: makes the optimizer of a learning rate or a schedule.
        rate: the highest learning rate.
        schedule: makes the schedule of the highest rate and the number of steps; `None` for none.
        augment: whether training images are cropped and mirrored.
        standardize: whether the network standardizes its images itself.
    """

    dataset: str
    network: Callable[..., keras.Model]
    feature_dim: int
    epochs: int
    batch_size: int
    optimizer: Callable[[Any], keras.optimizers.Optimizer]
    rate: float
    schedule: Callable[[float, int], Any] | None = None
    augment: bool = False
    standardize: bool = False


def tiny(
    input_shape: tuple[int, ...],
    num_classes: int | None = None,
    head: keras.layers.Layer | None = None,
    feature_dim: int = 16,
    depth: int = 3,
) -> keras.Model:
    """A network for rehearsals: `depth` dense layers, the hidden ones of 32."""
    last = keras.layers.Dense(num_classes) if head is None else head
    features = keras.layers.Dense(feature_dim, name="features")
    hidden = [keras.layers.Dense(32, activation="relu") for _ in range(depth - 2)]
    layers = [keras.Input(input_shape), keras.layers.Flatten(), *hidden, features, last]
    return keras.Sequential(layers, name="tiny")


def build(method: Method, setting: Setting) -> keras.Model:
    """The network of a method."""
    info = datasets.info(setting.dataset)
    options: dict[str, Any] = {"feature_dim": setting.feature_dim}
    options |= {"mean": info.mean, "std": info.std} if setting.standardize else {}
    if method.head is None:
        return setting.network(info.image_shape, num_classes=info.num_classes, **options)
    head = method.head(info.num_classes, setting.feature_dim)
    return setting.network(info.image_shape, head=head, **options)


def train(
    method: Method,
    setting: Setting,
    seed: int,
    path: pathlib.Path,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple[keras.Model, dict[str, Any]]:
    """A trained network, saved at `path`, and what a record says of its training.

    A network that is there already is loaded: its facts stand beside it. Values that callbacks add
    to the logs of every epoch are among them.
    """
    facts_path = path.with_suffix(".npz")
    if path.exists() and facts_path.exists():
        with np.load(facts_path) as stored:
            return keras.models.load_model(path), {k: stored[k].tolist() for k in stored}
    keras.utils.set_random_seed(seed)
    model = build(method, setting)
    train_data = datasets.load(setting.dataset, "train", setting.batch_size, setting.augment, seed)
    validation = datasets.load(setting.dataset, "validation", 500, seed=seed)
    trained: keras.Model = model
    if method.defense is not None or method.regularizer is not None:
        defense = method.defense() if method.defense else None
        regularizer = method.regularizer() if method.regularizer else None
        trained = keras_mmc.AdversarialModel(model, defense, regularizer, seed=seed)
    rate: Any = setting.rate * method.rate
    epochs = round(setting.epochs * method.epochs)
    if setting.schedule is not None:
        rate = setting.schedule(rate, epochs * int(train_data.cardinality()))
    trained.compile(setting.optimizer(rate), method.loss(), metrics=["accuracy"])
    began = time.process_time()
    history = trained.fit(
        train_data,
        epochs=epochs,
        shuffle=False,  # the training batches are shuffled already
        validation_data=validation.take(2),
        verbose=0,
        callbacks=[keras_mmc.callbacks.StopOnNonFinite(), *callbacks],
    ).history
    facts = {
        "cpu_seconds": time.process_time() - began,
        "validation_accuracy": history["val_accuracy"],
        "loss": history["loss"],
    }
    if callbacks:
        facts |= {name: values for name, values in history.items() if name not in _FITTED}
    np.savez(facts_path, **facts)
    model.save(path)
    return model, facts


def describe(method: Method, setting: Setting, model: keras.Model) -> dict[str, Any]:
    """Method and setting in words, for a record."""
    return {
        "dataset": setting.dataset,
        "architecture": model.name,
        "weights": model.count_params(),
        "loss": type(method.loss()).__name__,
        "defense": repr(method.defense()) if method.defense else None,
        "regularizer": repr(method.regularizer()) if method.regularizer else None,
        "epochs": round(setting.epochs * method.epochs),
        "batch_size": setting.batch_size,
        "rate": setting.rate * method.rate,
        "schedule": getattr(setting.schedule, "__name__", None),
        "optimizer": type(setting.optimizer(0.1)).__name__,
        "augment": setting.augment,
    }
