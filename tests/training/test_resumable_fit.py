"""An interrupted training goes on, and ends as if it had not been interrupted."""

import itertools
import os
import pathlib
import signal

import keras
import numpy as np
import pytest

from keras_mmc.training import Interrupted
from tests.training.killed import EPOCHS, STEPS, trained

MAIN = "from tests.training import killed; killed.main()"
KILLS = 10


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Weights, history and early stopping of a training in one go."""
    return trained(tmp_path_factory.mktemp("whole"))


def assert_same(found, expected):
    for one, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[1] == expected[1]
    assert (found[2].best, found[2].wait) == (expected[2].best, expected[2].wait)


def test_kill_9_at_random_moments(process, tmp_path):
    """Fails if a state is not whole, or lacks anything that the steps after it depend on.

    One training is killed again and again on its way: amid batches, epochs and writes.
    """
    expected, _, _ = trained(tmp_path / "whole", eager=True)
    place, rng = tmp_path / "killed", np.random.default_rng(0)
    for _ in range(KILLS):
        at = int(rng.integers(1, 10))
        assert process("-c", MAIN, str(place), str(at)).returncode == -signal.SIGKILL
    done = process("-c", MAIN, str(place), "1000")
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(place / "weights.npz") as stored:
        for one, other in zip(stored.values(), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    names = [path.name for path in place.iterdir()]
    assert len(names) == 3 and not list(place.glob("*.partial"))


class At(keras.callbacks.Callback):
    """Calls a function at the end of one batch; 0 for none."""

    def __init__(self, batch, act):
        super().__init__()
        self._batches = itertools.count(1)  # no plain data, which a state would bring back
        self._batch, self._act = batch, act

    def on_train_batch_end(self, batch, logs=None):
        if next(self._batches) == self._batch:
            self._act()


class StoppedError(Exception):
    """An error of the user's own."""


def stop():
    raise StoppedError


@pytest.mark.parametrize("batch", [1, STEPS, STEPS + 2])
def test_logs_and_callbacks_go_on_too(batch, uninterrupted, tmp_path):
    """Fails if the history begins anew, or early stopping forgets what was best."""
    with pytest.raises(StoppedError):
        trained(tmp_path, [At(batch, stop)])
    for _ in range(2):  # at the second time it is done
        assert_same(trained(tmp_path, [At(0, stop)]), uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_finish_the_batch_and_keep_it(number, uninterrupted, tmp_path):
    """Fails if a signal is lost, or costs what was done since the last state."""
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=rf"{number.name} after 2 steps of epoch 2") as caught:
        trained(tmp_path, [At(STEPS + 2, lambda: os.kill(os.getpid(), number))], seconds=1e9)
    assert caught.value.signal == number and signal.getsignal(number) is before
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["000001-00000000.state.npz", "000001-00000002.state.npz"]
    assert_same(trained(tmp_path, [At(0, stop)]), uninterrupted)


def damage(path: pathlib.Path, how: str) -> None:
    whole = path.read_bytes()
    parts = {"cut": whole[: len(whole) // 2], "empty": b"", "foreign": b"a text" * 100}
    path.write_bytes(parts[how])


@pytest.mark.parametrize("how", ["cut", "empty", "foreign"])
def test_a_damaged_state_is_passed_over(how, uninterrupted, tmp_path):
    """Fails if a damaged file ends a training, or is taken for a state."""
    with pytest.raises(StoppedError):
        trained(tmp_path, [At(STEPS + 3, stop)])
    last = max(tmp_path.iterdir())
    damage(last, how)
    with pytest.warns(UserWarning, match=f"{last.name} cannot be read and is passed over"):
        assert_same(trained(tmp_path, [At(0, stop)]), uninterrupted)


def test_a_state_of_another_training_is_refused(tmp_path):
    """Fails if weights of one network are put into another."""
    trained(tmp_path, epochs=1)
    words = r"holds the state of another training: it has other callbacks\."
    with pytest.raises(ValueError, match=words):
        trained(tmp_path, [At(0, stop)])
    state = max(tmp_path.iterdir())
    with np.load(state) as stored:
        arrays = dict(stored)
    arrays["facts"] = np.array(str(arrays["facts"]).replace("[9, 5]", "[4, 5]"))
    np.savez(state, **arrays)
    with pytest.raises(ValueError, match=r"it has other variables\."):
        trained(tmp_path)


def test_a_training_that_was_stopped_early_stays_stopped(tmp_path):
    """Fails if the same call trains on where a callback had ended the training."""

    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == EPOCHS - 2

    weights, history, _ = trained(tmp_path, [Enough()])
    again, longer, _ = trained(tmp_path, [Enough()])
    assert len(history["loss"]) == EPOCHS - 1 and longer == history
    for one, other in zip(again, weights, strict=True):
        np.testing.assert_array_equal(one, other)
