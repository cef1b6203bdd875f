"""What evaluations share: sizes and the check of points."""

import numpy as np
import pytest

from keras_mmc.attacks import FAB, FGSM, SPSA
from keras_mmc.attacks.base import norm_of
from keras_mmc.evaluation.inputs import allowed, check_eps, check_points, sizes_of


def test_sizes_by_hand():
    """Fails if a norm is taken over the batch, or is not that of its name."""
    clean = np.full((2, 1, 2, 1), 0.5, "float32")
    points = clean + np.array([[0.3, -0.4], [0.0, 0.1]], "float32").reshape(2, 1, 2, 1)
    np.testing.assert_allclose(sizes_of(points, clean, "linf"), [0.4, 0.1], rtol=1e-6)
    np.testing.assert_allclose(sizes_of(points, clean, "l2"), [0.5, 0.1], rtol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_points_that_are_not_allowed(norm):
    """Fails if a point outside ball or box, or one that is not finite, passes."""
    clean = np.full((1, 2), 0.95, "float32")

    def fits(point, eps=0.1):
        return allowed(np.array([point], "float32"), clean, eps, norm, (0.0, 1.0)).item()

    assert fits([0.95, 0.95], eps=0.0)
    assert fits([0.85, 0.95])
    assert not fits([0.849, 0.95])
    assert not fits([1.001, 0.95])
    assert not fits([np.nan, 0.95])
    assert not fits([np.inf, 0.95], eps=np.inf)


def test_radii_may_differ_by_image():
    """Fails if one radius is used for all images."""
    clean = np.zeros((2, 3), "float32")
    found = allowed(clean + 0.1, clean, [0.05, 0.1], "linf", (0.0, 1.0))
    np.testing.assert_array_equal(found, [False, True])


def test_balls_of_attacks():
    """Fails if an attack without a radius passes, or one without a named norm gets another."""
    check_eps(FGSM(0.1))
    with pytest.raises(ValueError, match=r"ball of radius `eps`.*received FAB\(eps=None"):
        check_eps(FAB(None))
    assert norm_of(FGSM(0.1, norm="l2")) == "l2"
    assert norm_of(SPSA(0.1)) == "linf"


def test_points_that_left_the_ball_are_not_reported():
    """Fails if a defective attack could inflate its success."""
    clean = np.full((2, 4), 0.5, "float32")
    check_points(clean + 0.1, clean, 0.1, "linf", (0, 1))
    for points, norm in ((clean + 0.11, "linf"), (clean + 0.1, "l2"), (clean * np.nan, "linf")):
        with pytest.raises(ValueError, match=r"returned a point that is not finite or outside"):
            check_points(points, clean, 0.1, norm, (0, 1))
