"""Reading of labels."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc._labels import check_labels, concrete, label_distribution


@pytest.mark.parametrize(
    "labels",
    [[2, 0], [[2], [0]], [2.0, 0.0], [[0, 0, 1], [1, 0, 0]], np.array([2, 0], "uint8")],
)
def test_all_forms_give_the_same_integers(labels):
    """Fails if a legal form of labels is refused or misread."""
    result = check_labels(labels, 3)
    np.testing.assert_array_equal(result, [2, 0])
    assert result.dtype == np.int32


def test_concrete_is_none_while_tracing():
    """Fails if tracing tries to read the values of a symbolic tensor."""
    seen = []

    @tf.function
    def trace(x):
        seen.append(concrete(x))
        return x

    trace(tf.constant([1]))
    assert seen == [None]
    np.testing.assert_array_equal(concrete(tf.constant([1])), [1])


def test_distribution_is_one_hot_in_the_dtype_of_the_scores():
    """Fails if rows or dtype differ from a one-hot table."""
    rows = label_distribution([1, 0], np.zeros((2, 3), "float64"))
    np.testing.assert_array_equal(rows, [[0, 1, 0], [1, 0, 0]])
    assert rows.dtype == "float64"


@pytest.mark.parametrize(
    "labels",
    [
        [0.5, 1.0, np.nan, 3.0],
        [2**32, 1, -1, 3],
        [[0.5, 0.5, 0.5], [0, 1, 0], [np.nan, 0.0, 1.0], [0.0, 0.0, 0.0]],
    ],
    ids=["between", "beyond", "rows"],
)
def test_labels_that_are_no_class_are_nan_in_a_graph(labels):
    """Fails if a label is rounded, wrapped or taken for no weight where no error can be raised."""
    rows = tf.function(label_distribution)(tf.constant(labels), tf.zeros((4, 3))).numpy()
    np.testing.assert_array_equal(np.isnan(rows).all(axis=1), [True, False, True, True])
    np.testing.assert_array_equal(rows[1], [0, 1, 0])
