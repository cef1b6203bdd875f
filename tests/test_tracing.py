"""Graphs that are traced once, and the batches that go through them."""

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mmc._tracing import CLASSES, ROWS, batches, filled, images_spec, traced


@given(st.integers(0, 50), st.integers(1, 20))
@settings(deadline=None, max_examples=30)
def test_batches_cover_every_row_once(count, batch_size):
    """Fails if a row is left out or comes twice, or a batch is too large."""
    rows = [np.arange(count)[batch] for batch in batches(count, batch_size)]
    np.testing.assert_array_equal(np.concatenate([np.arange(0), *rows]), np.arange(count))
    assert all(0 < len(part) <= batch_size for part in rows)


def test_traced_runs_python_once():
    """Fails if another batch size runs the Python function again, or tensors come back."""
    calls = []

    def double(x, y):
        calls.append(1)
        return 2 * x, y

    run = traced(double, images_spec((5, 3)), CLASSES)
    for count in (1, 4):
        x, y = run(np.ones((count, 3)), np.arange(count))
        np.testing.assert_array_equal(x, np.full((count, 3), 2.0))
        np.testing.assert_array_equal(y, np.arange(count))
        assert isinstance(x, np.ndarray) and not tf.is_tensor(y)
    assert len(calls) == 1


@given(st.integers(0, 40))
@settings(deadline=None, max_examples=20)
def test_batches_are_filled_up(count):
    """Fails if a batch is not filled up with its last row, a row is lost, or a scalar grows."""
    seen = []

    def run(x, y, seed):
        seen.append((x, y))
        return x + seed, (y,)

    x, y = np.arange(2.0 * count).reshape(count, 2), np.arange(count)
    moved, (same,) = filled(run)(x, y, np.int64(5))
    np.testing.assert_array_equal(moved, x + 5)
    np.testing.assert_array_equal(same, y)
    [(images, labels)] = seen
    assert len(images) == len(labels) == -(-count // ROWS) * ROWS
    assert (labels[count:] == count - 1).all() and (images[count:] == x[-1:]).all()
