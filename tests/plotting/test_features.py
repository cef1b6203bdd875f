"""The picture of features around their centers."""

import matplotlib.image
import numpy as np
import pytest

from keras_mmc.centers import max_mahalanobis_centers
from keras_mmc.plotting import plot_features
from keras_mmc.plotting.features import _plane, _polygon_plane


def test_a_simplex_projects_to_a_regular_polygon():
    """Fails if centers of a simplex overlap or are distorted in the picture."""
    centers = max_mahalanobis_centers(7, 12, 10.0)
    plane = _polygon_plane(centers)
    np.testing.assert_allclose(plane.T @ plane, np.eye(2), atol=1e-12)
    corners = centers @ plane
    radii = np.linalg.norm(corners, axis=1)
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    np.testing.assert_allclose(radii, radii[0], rtol=1e-10)
    np.testing.assert_allclose(sides, sides[0], rtol=1e-10)
    # A projection onto the polygon's plane keeps 2/(K-1) of the squared norm.
    assert radii[0] == pytest.approx(10 * np.sqrt(2 / 6))


def test_centers_that_are_no_simplex_are_seen_where_they_differ_most(rng):
    """Fails if class means of a softmax network are drawn in the plane of a polygon."""
    wide = 5 * np.eye(6)[rng.integers(0, 2, 9)] * rng.normal(size=(9, 1)) * [1, 1, 0, 0, 0, 0]
    plane = _plane(wide + 0.01 * rng.normal(size=(9, 6)))
    assert np.abs(plane[2:]).max() < 0.05
    np.testing.assert_allclose(plane.T @ plane, np.eye(2), atol=1e-12)
    simplex = max_mahalanobis_centers(7, 12, 10.0)
    np.testing.assert_array_equal(_plane(simplex), _polygon_plane(simplex))


def test_a_picture_is_written(tmp_path, rng):
    """Fails if the file is missing or blank."""
    centers = max_mahalanobis_centers(3, 8)
    labels = np.arange(30) % 3
    path = tmp_path / "features.png"
    plot_features(path, centers[labels] + rng.normal(size=(30, 8)), labels, centers, "title")
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[0] > 400
    assert pixels.std() > 0.05


def test_widths_must_agree(tmp_path):
    """Fails if features of another width are drawn about the centers."""
    with pytest.raises(ValueError, match=r"\(5, 4\) and \(3, 8\)"):
        plot_features(tmp_path / "x.png", np.zeros((5, 4)), np.zeros(5), np.zeros((3, 8)))
    assert not (tmp_path / "x.png").exists()
