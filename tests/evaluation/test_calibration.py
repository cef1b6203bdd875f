"""Temperatures and calibration errors, on scores whose truth is known."""

import numpy as np
import pytest
from scipy.special import softmax

from keras_mmc.evaluation import expected_calibration_error, fit_temperature


def drawn(rng, temperature, scale=1.0, count=20000):
    """Scores, and labels drawn from their softmax at a temperature; both times `scale`."""
    scores = 3 * rng.normal(size=(count, 4))
    labels = (scores / temperature + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return scale * scores, labels


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_temperature_of_the_labels_is_found(temperature, scale, rng):
    """Fails if a temperature far from 1, as scores of centers need, is out of reach."""
    found = fit_temperature(*drawn(rng, temperature, scale))
    assert found == pytest.approx(scale * temperature, rel=0.05)


@pytest.mark.parametrize(
    ("scores", "labels"), [(np.eye(3), [0, 1, 2]), (np.eye(3), [1, 2, 0]), (np.zeros((0, 3)), [])]
)
def test_where_no_temperature_is_best(scores, labels):
    """Fails if 0 or infinity is called a temperature."""
    with pytest.raises(ValueError, match="right and with wrong predictions"):
        fit_temperature(scores, labels)


def test_calibration_error_longhand(rng):
    """Fails unless it is the mean over bins of |confidence - accuracy|, weighted by their size."""
    scores, labels = drawn(rng, 2.0, count=500)
    p = softmax(scores / 0.7, axis=1)
    confidence, right, total = p.max(axis=1), p.argmax(axis=1) == labels, 0.0
    for low in np.arange(10) / 10:
        rows = (confidence >= low) & (confidence < low + 0.1) | (low == 0.9) & (confidence == 1)
        if rows.any():
            total += rows.sum() * abs(confidence[rows].mean() - right[rows].mean())
    found = expected_calibration_error(scores, labels, 0.7, bins=10)
    assert found == pytest.approx(total / 500, rel=1e-6)
    assert found > 5 * expected_calibration_error(*drawn(rng, 2.0), temperature=2.0)
