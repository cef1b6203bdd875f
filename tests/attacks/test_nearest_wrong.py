"""The attack on the nearest wrong center, against PGD and by hand."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.attacks import PGD, NearestWrongCenter, score_function

SEED = tf.constant([3, 4])


def test_nearest_wrong_is_pgd_on_its_objective(conv_model, digits):
    """Fails if NearestWrongCenter drops or swaps a parameter, or follows the margin."""
    x, y = tf.constant(digits[0][:8]), tf.constant(digits[1][:8] % 5)
    arguments = {"steps": 3, "step_size": 0.3, "norm": "l2", "restarts": 2, "box": (-0.1, 1.1)}
    ours = NearestWrongCenter(0.7, **arguments)
    pgd = PGD(0.7, objective="nearest_wrong", **arguments)
    score_fn = score_function(conv_model)
    for view in ("generate", "search"):
        found, expected = (getattr(a, view)(score_fn, x, y, SEED) for a in (ours, pgd))
        np.testing.assert_array_equal(found, expected)
    assert NearestWrongCenter(0.1).steps == 600
    assert NearestWrongCenter(0.1).step_length(0.1, 600) == pytest.approx(0.5 / 255)


def test_nearest_wrong_climbs_the_wrong_score_alone():
    """Fails if the step looks at the score of the label, by hand on a linear model."""
    weights = np.array([[1.0, -3.0, 0.5], [2.0, 0.2, -0.1]], "float32")  # pixels x classes
    x = np.array([[0.5, 0.5]], "float32")  # scores 1.5, -1.4, 0.2
    attack = NearestWrongCenter(0.2, steps=2, step_size=0.1, random_start=False)
    found = attack.generate(lambda x: x @ weights, tf.constant(x), tf.constant([0]), SEED)
    np.testing.assert_allclose(found, [[0.7, 0.3]], atol=1e-6)  # along the signs of class 2
