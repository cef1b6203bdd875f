"""Spherical codes against the best known angles; random centers."""

import numpy as np
import pytest

from keras_mmc.centers import minimum_angle, random_centers, spherical_code
from keras_mmc.centers.spherical import _energy


@pytest.mark.parametrize(
    ("num_classes", "dim", "best", "slack"),
    [
        (5, 3, 90.0, 0.01),
        (6, 3, 90.0, 0.01),
        (12, 3, 63.4349, 0.01),
        (24, 4, 60.0, 0.01),
        (27, 6, 75.5225, 0.01),
        (56, 7, 70.5288, 0.01),
        (240, 8, 60.0, 0.01),
    ],
)
def test_reaches_the_best_known_angle(num_classes, dim, best, slack):
    """Fails if the search ends in a poorer optimum (the next ones lie a degree or more below)."""
    assert best - slack < minimum_angle(spherical_code(num_classes, dim)) < best + 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_every_seed_finds_the_24_cell(seed):
    """Fails if success depends on a lucky seed: sharp energies end at 56.7 or 58.9 degrees."""
    assert minimum_angle(spherical_code(24, 4, seed=seed)) > 59.99


@pytest.mark.parametrize("num_classes", [4, 7, 1000])
def test_plane(num_classes):
    """Fails if the centers in the plane are not a regular polygon."""
    angle = minimum_angle(spherical_code(num_classes, 2))
    assert angle == pytest.approx(360 / num_classes, abs=1e-9)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("make", [spherical_code, random_centers])
def test_norms_are_the_scale(make, dim):
    """Fails if rows are not rescaled to the norm that was asked for."""
    centers = make(9, dim, scale=2.5)
    assert centers.shape == (9, dim)
    assert centers.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 2.5, rtol=1e-12)


@pytest.mark.parametrize("make", [spherical_code, random_centers])
def test_seed(make):
    """Fails if a seed does not fix every bit, or is not used at all."""
    np.testing.assert_array_equal(make(9, 4, seed=3), make(9, 4, seed=3))
    assert np.abs(make(9, 4, seed=3) - make(9, 4, seed=4)).max() > 0.1


def test_random_centers_are_uniform_on_the_sphere():
    """Fails if coordinates are not centered and isotropic, as drawn from a cube's corner."""
    directions = random_centers(20_000, 3, scale=1.0)
    np.testing.assert_allclose(directions.mean(axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose(directions.T @ directions / 20_000, np.eye(3) / 3, atol=0.01)
    # A coordinate of a uniform direction in three dimensions is uniform on [-1, 1].
    np.testing.assert_allclose(np.quantile(directions[:, 0], [0.25, 0.75]), [-0.5, 0.5], atol=0.03)


def test_energy_and_its_gradient(rng):
    """Fails if the energy is not the log-sum-exp of cosines, or its gradient not its slope."""
    points = rng.normal(size=(5, 3))
    value, gradient = _energy(points.ravel(), points.shape, 3.0)
    units = points / np.linalg.norm(points, axis=1, keepdims=True)
    pairs = [np.exp(3.0 * units[i] @ units[j]) for i in range(5) for j in range(5) if i != j]
    assert value == pytest.approx(np.log(sum(pairs)) / 3.0, abs=1e-12)
    slopes = [
        (_energy(points.ravel() + step, points.shape, 3.0)[0] - value) / 1e-6
        for step in 1e-6 * np.eye(15)
    ]
    np.testing.assert_allclose(gradient, slopes, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 4}, r"regular simplex solves exactly. Call max_mahalanobis_centers\(4, 3"),
        ({"dim": 1}, r"On a line \(dim=1\).*received num_classes=9"),
        ({"num_classes": 1}, "`num_classes`.*received 1"),
        ({"dim": 2.0}, "`dim`.*received 2.0"),
        ({"scale": 0}, "`scale`.*received 0"),
        ({"seed": 0.5}, "`seed`.*received 0.5"),
    ],
)
def test_bad_arguments_of_spherical_code(arguments, message):
    """Fails if a bad argument starts a search, or the error does not say what came."""
    with pytest.raises(ValueError, match=message):
        spherical_code(**{"num_classes": 9, "dim": 3, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, "`num_classes`.*received 1"),
        ({"dim": 0}, "`dim`.*received 0"),
        ({"scale": -2.0}, "`scale`.*received -2.0"),
        ({"seed": None}, "`seed`.*received None"),
    ],
)
def test_bad_arguments_of_random_centers(arguments, message):
    """Fails if a bad argument gets through, or the error does not say what came."""
    with pytest.raises(ValueError, match=message):
        random_centers(**{"num_classes": 9, "dim": 3, **arguments})
