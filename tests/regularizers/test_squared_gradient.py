"""The squared input gradient of functions whose gradient is known."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.regularizers import Regularizer, squared_gradient


def test_sum_over_all_pixels_of_a_sample(rng):
    """Fails if pixels or channels are averaged, or samples mixed."""
    x = rng.normal(size=(4, 3, 2, 2)).astype("float32")
    values = squared_gradient(lambda x: tf.reduce_sum(x**3, axis=[1, 2, 3]), x)
    np.testing.assert_allclose(values, (9 * x**4).sum(axis=(1, 2, 3)), rtol=1e-5)


def test_differentiable_in_the_weights():
    """Fails if double back-propagation is cut: d/dw of `(w^2)^2 * 2` is `8 w^3`."""
    weight = tf.Variable(1.5)
    with tf.GradientTape() as tape:
        total = squared_gradient(lambda x: weight**2 * tf.reduce_sum(x, axis=1), tf.ones([1, 2]))
    np.testing.assert_allclose(tape.gradient(total, weight), 8 * 1.5**3, rtol=1e-6)


def test_a_regularizer_adds_nothing_unless_it_says_so():
    """Fails if the base class changes the loss, or claims to perturb weights."""
    assert Regularizer().penalty(None, None, None) == 0.0
    assert not Regularizer.perturbs_weights
    with pytest.raises(NotImplementedError, match="does not implement `perturbations`"):
        Regularizer().perturbations([], [], 0)
