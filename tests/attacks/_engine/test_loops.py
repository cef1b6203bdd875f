"""The loops of attacks."""

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mmc.attacks._engine.loops import repeat


@given(
    done_at=st.lists(st.integers(0, 9), min_size=1, max_size=12), crowd=st.sampled_from([0, 0.4])
)
@settings(deadline=None, max_examples=20)
def test_early_stop_keeps_every_outcome(done_at, crowd):
    """Fails if a row is lost, swapped, or left to change after it leaves the batch."""
    begin = (tf.constant(done_at), tf.zeros(len(done_at), tf.int32))

    def step(i, state):
        limit, count = state
        count = tf.where(count < limit, count + 1, count)
        return (limit, count), count >= limit

    kept = repeat(6, step, begin, lambda state: state[1], True, crowd)
    np.testing.assert_array_equal(kept, np.minimum(done_at, 6))
    fixed = repeat(6, step, begin, lambda state: state[1], False)
    np.testing.assert_array_equal(fixed, kept)
