"""Wilson's interval."""

import numpy as np
import pytest

from keras_mmc.evaluation import wilson_interval


@pytest.mark.parametrize(("successes", "count"), [(8, 10), (0, 20), (20, 20), (470, 1000)])
def test_bounds_solve_the_score_equation(successes, count):
    """Fails if the bounds are not where |p_hat - p| = z sqrt(p (1 - p) / n)."""
    fraction = successes / count
    for bound in wilson_interval(successes, count):
        if bound not in (0.0, 1.0):
            width = 1.959964 * np.sqrt(bound * (1 - bound) / count)
            assert abs(fraction - bound) == pytest.approx(width, rel=1e-9)
    low, high = wilson_interval(successes, count)
    assert 0 <= low <= fraction <= high <= 1
    assert low < high


@pytest.mark.parametrize(
    ("successes", "count", "expected"),
    [(8, 10, (0.490162, 0.943318)), (0, 20, (0.0, 0.161125)), (20, 20, (0.838875, 1.0))],
)
def test_known_values(successes, count, expected):
    """Fails if a bound differs from tables of Wilson's interval at 95 %."""
    assert wilson_interval(successes, count) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("successes", "count"), [(0, 0), (-1, 5), (6, 5)])
def test_refusals(successes, count):
    """Fails if impossible counts give an interval."""
    with pytest.raises(ValueError, match=f"received {successes} of {count}"):
        wilson_interval(successes, count)
