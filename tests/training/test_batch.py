"""Which samples of a batch are trained on."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.training._batch import keep_usable


@pytest.mark.parametrize("box", [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)])
def test_rounding_follows_the_box(box):
    """Fails if float32 rounding at the wall of a wide box costs images, or more passes."""
    width = box[1] - box[0]
    walls = box[1] + width * np.array([0.0, 5e-6, 5e-5, 1e-3])
    x = tf.constant(walls[:, None], tf.float32)
    batch = keep_usable(x, tf.constant([0, 1, 0, 1]), None, box, 2, in_pairs=False)
    np.testing.assert_array_equal(batch.usable, [True, True, False, False])
    assert np.max(batch.x) == box[1]
