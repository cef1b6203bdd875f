"""MIM's momentum by hand; cleverhans' is compared in test_pgd_family.py."""

import numpy as np
import tensorflow as tf

from keras_mmc.attacks import MIM

SEED = tf.constant([3, 4])


def test_momentum_by_hand():
    """Fails if MIM's decay or normalization is off, on a model with two slopes."""

    def score_fn(x):  # d margin / dx = (4, -2) left of 0.55, (-1, -2) right of it
        bend = 4 * x[:, 0] - 5 * tf.nn.relu(x[:, 0] - 0.55)
        return tf.stack([tf.fill(tf.shape(bend), 10.0), bend - 2 * x[:, 1]], axis=1)

    x = tf.constant([[0.5, 0.5]])
    attack = MIM(10.0, steps=2, step_size=0.1, norm="l2", box=(-9.0, 9.0), decay=0.5)
    found = attack.generate(score_fn, x, tf.constant([0]), SEED)
    first = np.array([4.0, -2.0]) / 3
    second = 0.5 * first + np.array([-1.0, -2.0]) / 1.5
    expected = [0.5, 0.5] + 0.1 * (first / np.linalg.norm(first) + second / np.linalg.norm(second))
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
