"""Training that goes on where it was interrupted, with the result it would have had."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_mmc import _files
from keras_mmc.datasets import Epochs
from keras_mmc.training import _plain_data
from keras_mmc.training._training_state import StateFiles

_SECONDS = 60.0


def resumable_fit(
    model: keras.Model,
    batches: Epochs,
    directory: _files.PathLike,
    *,
    epochs: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    seconds: float = _SECONDS,
    **options: Any,
) -> keras.callbacks.History:
    """Fit a model; called again after an interruption at any moment, it goes on from there.

    The state of the training is kept in `directory` at the end of every epoch, and in between
    about once a minute: weights, batch statistics, random states, optimizers, metrics, and what
    the training has changed of the callbacks, as far as that is numbers, text, arrays, and lists
    and dicts of them. On one CPU the weights in the end are those of a training that was never
    interrupted, bit for bit. The directory can be deleted when the training is done.

    SIGINT and SIGTERM end the training after the batch at work, with its state kept.

    Args:
        model: compiled Keras model, an `AdversarialModel` or any other, made anew by the same code
            when training goes on.
        batches: batches of images and labels, from `keras_mmc.datasets.shuffled_epochs` or
            `balanced_epochs`.
        directory: where the state is kept.
        epochs: number of epochs in all.
        callbacks: callbacks; what they write to files they must go on with themselves.
        seconds: time between two states within an epoch; 0 keeps one after every batch.
        **options: `validation_data`, `verbose` and others, as for `keras.Model.fit`.

    Returns:
        The history of all epochs, those before an interruption too.

    Raises:
        ValueError: if the directory holds the state of another model, or of a training of another
            number of steps.
        Interrupted: after SIGINT or SIGTERM.
        OSError: if a state cannot be written.

    Example:
    >>> train = keras_mmc.datasets.shuffled_epochs(x, y, num_classes=10)
    >>> keras_mmc.training.resumable_fit(robust, train, "runs/state", epochs=100)
    """
    files, history = StateFiles(directory), keras.callbacks.History()
    given = [*callbacks, history]
    _build(model, batches)
    before = [_plain_data.plain_attributes(callback) for callback in given]
    while True:
        found = files.read()
        epoch, step, facts, arrays = found or (0, 0, None, {})
        if found:
            _check(directory, _facts(model, batches.steps, given), facts)
        if facts and facts["stopped"]:
            epochs = epoch
        # Keras does not begin within an epoch: what is left of one is a training of its own.
        end = epoch + 1 if step else epochs
        keeper = _Keeper(files, given, before, batches.steps, step, seconds)
        with _signals(keeper, model):
            model.fit(
                batches.starting(epoch, step),
                steps_per_epoch=batches.steps - step,
                initial_epoch=epoch,
                epochs=end,
                shuffle=False,
                callbacks=[_Restorer(given, facts, arrays, step), *given, keeper],
                **options,
            )
        if end >= epochs or model.stop_training:
            return history


class Interrupted(KeyboardInterrupt):
    """A training was ended by a signal, whose number is `signal`, and its state is kept."""

    def __init__(self, number: int, epoch: int, step: int):
        name = signal.Signals(number).name
        super().__init__(
            f"Stopped by {name} after {step} steps of epoch {epoch + 1}. The same call or command "
            "goes on from there."
        )
        self.signal = number


class _Restorer(keras.callbacks.Callback):
    """Brings the state back; the first in the list, so that others see it in all but the begin."""

    def __init__(self, given, facts, arrays, step):
        super().__init__()
        self._given, self._facts, self._arrays, self._step = given, facts, arrays, step

    def on_train_begin(self, logs=None):
        if self._facts is None:
            return
        for number, variable in enumerate(variables_of(self.model)):
            variable.assign(self._arrays[f"variable {number}"])

    def on_epoch_begin(self, epoch, logs=None):
        self._restore()

    def on_train_end(self, logs=None):
        self._restore()

    def _restore(self):
        """Once, after every callback has begun anew and Keras has reset the metrics."""
        if self._facts is None:
            return
        for number, callback in enumerate(self._given):
            values = self._facts["changes"][number]
            vars(callback).update(_plain_data.with_arrays(values, self._arrays))
        if self._step:
            for number, variable in enumerate(_of_this_epoch(self.model)):
                variable.assign(self._arrays[f"metric {number}"])
        self._facts = None


class _Keeper(keras.callbacks.Callback):
    """Keeps the state; the last in the list, so that it sees what others made of a batch."""

    def __init__(self, files, given, before, steps, step, seconds):
        super().__init__()
        self._files, self._given, self._before, self._steps = files, given, before, steps
        self._begun, self._seconds = step, seconds
        self.signal: int | None = None

    def on_train_begin(self, logs=None):
        self._kept = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        step = self._begun + batch + 1
        due = time.monotonic() - self._kept >= self._seconds
        if not _workers(self.model) and step < self._steps and (due or self.signal):
            self._keep(self._epoch, step)
            if self.signal:
                raise Interrupted(self.signal, self._epoch, step)

    def on_epoch_end(self, epoch, logs=None):
        self._begun = 0
        self._keep(epoch + 1, 0)
        if self.signal:
            raise Interrupted(self.signal, epoch, self._steps)

    def _keep(self, epoch, step):
        arrays = _values("variable", variables_of(self.model))
        arrays |= _values("metric", _of_this_epoch(self.model))
        changes = []
        for number, (callback, before) in enumerate(zip(self._given, self._before, strict=True)):
            changed = _plain_data.changed(before, _plain_data.plain_attributes(callback))
            changes.append(_plain_data.without_arrays(changed, f"callback {number}", arrays))
        facts = _facts(self.model, self._steps, self._given)
        facts |= {"changes": changes, "stopped": bool(self.model.stop_training)}
        workers = _workers(self.model)  # all take part in reading variables, one writes
        if workers is None or workers.task_id == 0:
            self._files.write(epoch, step, facts, arrays)
        self._kept = time.monotonic()


def variables_of(model: keras.Model) -> list[Any]:
    """The variables that a training goes on with, each once, in an order that does not change."""
    optimizers = getattr(model, "optimizers", [model.optimizer])
    found = [*model.variables, *(v for optimizer in optimizers for v in optimizer.variables)]
    return list({id(variable): variable for variable in found}.values())


def _of_this_epoch(model):
    """The variables that begin anew with each epoch."""
    counts = getattr(model, "counts", None)
    return [*model.metrics_variables, *(counts.variables if counts else [])]


def _values(name, variables):
    found = {}
    for number, variable in enumerate(variables):
        value = keras.ops.convert_to_numpy(variable)
        # NumPy has no bfloat16; float32 holds it.
        found[f"{name} {number}"] = value if value.dtype.kind in "biuf" else value.astype("float32")
    return found


def _facts(model, steps, callbacks):
    """What a state must have in common with the training that goes on from it."""
    return {
        "variables": [[*variable.shape] for variable in variables_of(model)],
        "metrics": len(_of_this_epoch(model)),
        "steps in an epoch": steps,
        "callbacks": [type(callback).__name__ for callback in callbacks],
    }


def _check(directory, wanted, found):
    other = [name for name, value in wanted.items() if found.get(name) != value]
    if other:
        raise ValueError(
            f"{directory} holds the state of another training: it has other {', '.join(other)}. "
            "Pass another directory, or delete this one to begin anew."
        )


def _build(model, batches):
    """Makes the variables of metrics and optimizer, which Keras leaves to the first batch."""
    batch = next(iter(batches.starting()))
    with model.distribute_strategy.scope():
        model._symbolic_build(data_batch=batch)


def _workers(model):
    """Which worker this process is, of several; `None` if it is the only one."""
    strategy = model.distribute_strategy
    several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return strategy.cluster_resolver if several else None


@contextlib.contextmanager
def _signals(keeper: _Keeper, model: keras.Model) -> Iterator[None]:
    """Tells the keeper of SIGINT and SIGTERM; the second one acts as it would without this."""
    here = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if here and not _workers(model) else ()
    usual = {number: signal.getsignal(number) for number in numbers}

    def remember(number, frame):
        keeper.signal = number
        signal.signal(number, usual[number])

    for number in numbers:
        signal.signal(number, remember)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, usual[number])
