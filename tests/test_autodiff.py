"""Gradients are compared with closed forms."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc._gradients import value_and_gradient, value_gradient_aux


def test_value_and_gradient_of_a_quadratic():
    """Fails if values are reduced or gradients mixed between samples."""
    x = np.array([[1.0, -2.0], [3.0, 0.5]], "float32")
    values, gradient = value_and_gradient(lambda x: tf.reduce_sum(x**3, axis=1), tf.constant(x))
    np.testing.assert_allclose(values, (x**3).sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(gradient, 3 * x**2, rtol=1e-6)


def test_aux_comes_from_the_same_forward_pass():
    """Fails if the scores are computed a second time."""
    calls = []

    def fn(x):
        calls.append(1)
        scores = 2 * x
        return scores[:, 0], scores

    values, gradient, scores = value_gradient_aux(fn, tf.constant([[1.0, 5.0]]))
    assert len(calls) == 1
    np.testing.assert_array_equal(values, [2.0])
    np.testing.assert_array_equal(gradient, [[2.0, 0.0]])
    np.testing.assert_array_equal(scores, [[2.0, 10.0]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bit_computation_gives_float32(dtype):
    """Fails if values or gradients come back in the dtype the model computes in."""

    def fn(x):
        return tf.reduce_sum(tf.cast(x, dtype) * 3, axis=1)

    values, gradient = value_and_gradient(fn, tf.constant([[1.0, 2.0]]))
    assert values.dtype == gradient.dtype == tf.float32
    np.testing.assert_allclose(values, [9.0])
    np.testing.assert_allclose(gradient, [[3.0, 3.0]])


def test_gradient_takes_the_dtype_of_x():
    """Fails if a float64 input is narrowed."""
    _, gradient = value_and_gradient(lambda x: x[:, 0], tf.zeros([2, 3], tf.float64))
    assert gradient.dtype == tf.float64


def test_gradient_is_finite():
    """Fails if a NaN or infinite component reaches the attack."""
    x = tf.constant([[0.0, 0.0, 4.0]])

    def fn(x):
        nan = 0.0 * tf.sqrt(x[:, 0])  # derivative 0 * inf
        return nan + tf.sqrt(x[:, 1]) + tf.sqrt(x[:, 2])

    _, gradient = value_and_gradient(fn, x)
    np.testing.assert_allclose(gradient, [[0.0, np.finfo("float32").max, 0.25]])


def test_refuses_scores_that_do_not_depend_on_x():
    """Fails if a disconnected model is attacked with a zero gradient."""
    with pytest.raises(ValueError, match=r"do not depend on x.*without gradients"):
        value_and_gradient(lambda x: tf.stop_gradient(x)[:, 0], tf.zeros([2, 3]))


def test_refuses_a_reduced_value():
    """Fails if an objective reduced over the batch is differentiated."""
    with pytest.raises(ValueError, match=r"One value per sample.*shape \(\)"):
        value_and_gradient(tf.reduce_sum, tf.zeros([2, 3]))
