"""The closed-form simplex against golden values, the papers' construction and its geometry."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from keras_mmc.centers import max_mahalanobis_centers, spherical_code


def construction(num_classes):
    """The papers' loop: fill each row from left to right, unit scale."""
    rows = np.zeros((num_classes, num_classes))
    rows[0, 0] = 1.0
    for k in range(1, num_classes):
        for j in range(k):
            rows[k, j] = -(1 / (num_classes - 1) + rows[k] @ rows[j]) / rows[j, j]
        rows[k, k] = np.sqrt(max(0.0, 1.0 - rows[k] @ rows[k]))
    return rows


def test_golden_rows():
    """Fails if the order of rows, a sign or a constant of the construction differs."""
    centers = max_mahalanobis_centers(10, 9, scale=1.0)
    golden = [
        [1.0, 0.0, 0.0, 0.0],
        [-0.111111, 0.993808, 0.0, 0.0],
        [-0.111111, -0.124226, 0.986013, 0.0],
        [-0.111111, -0.124226, -0.140859, 0.975900],
    ]
    np.testing.assert_allclose(centers[:4, :4], golden, atol=1e-6)
    assert not centers[:4, 4:].any()


@pytest.mark.parametrize("num_classes", [2, 3, 7, 30])
def test_equals_the_row_by_row_construction(num_classes):
    """Fails if the closed form of an entry is not what the papers' loop computes."""
    centers = max_mahalanobis_centers(num_classes, num_classes, scale=1.0)
    np.testing.assert_allclose(centers, construction(num_classes), atol=1e-7)


@pytest.mark.parametrize(("num_classes", "distance"), [(10, 14.9071), (100, 14.2134)])
def test_pair_distances(num_classes, distance):
    """Fails if the scale is not the norm, or a pair is nearer than C sqrt(2K / (K - 1))."""
    distances = pdist(max_mahalanobis_centers(num_classes, 256))
    np.testing.assert_allclose(distances, 10 * np.sqrt(2 * num_classes / (num_classes - 1)))
    np.testing.assert_allclose(distances, distance, atol=5e-5)


@settings(deadline=None, max_examples=30)
@given(
    num_classes=st.integers(2, 60),
    spare=st.integers(0, 20),
    scale=st.floats(1e-3, 1e3),
)
def test_gram_matrix(num_classes, spare, scale):
    """Fails if norms, inner products or the zero sum do not hold for some K, d and scale."""
    centers = max_mahalanobis_centers(num_classes, num_classes - 1 + spare, scale=scale)
    expected = np.full((num_classes, num_classes), -1 / (num_classes - 1))
    np.fill_diagonal(expected, 1.0)
    assert centers.shape == (num_classes, num_classes - 1 + spare)
    assert centers.dtype == np.float64
    np.testing.assert_allclose(centers @ centers.T / scale**2, expected, atol=1e-12)
    np.testing.assert_allclose(centers.sum(axis=0) / scale, 0.0, atol=1e-12)


def test_thousand_classes():
    """Fails if large sets lose accuracy or need the cubic loop."""
    started = time.process_time()
    centers = max_mahalanobis_centers(1000, 2048)
    assert time.process_time() - started < 1.0
    products = centers @ centers.T
    off_diagonal = products[~np.eye(1000, dtype=bool)]
    np.testing.assert_allclose(off_diagonal, -100 / 999, atol=1e-10)
    np.testing.assert_allclose(np.diag(products), 100.0, atol=1e-10)


def test_more_classes_than_a_simplex_holds():
    """Fails if K > d + 1 does not go to the numerical search with the same scale and seed."""
    found = max_mahalanobis_centers(6, 3, scale=2.0, seed=4)
    np.testing.assert_array_equal(found, spherical_code(6, 3, scale=2.0, seed=4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, "`num_classes` must be an integer >= 2; received 1"),
        ({"num_classes": 10.0}, r"an integer >= 2; received 10\.0"),
        ({"num_classes": True}, "an integer >= 2; received True"),
        ({"dim": 0}, "`dim` must be an integer >= 1; received 0"),
        ({"dim": "9"}, "an integer >= 1; received '9'"),
        ({"scale": 0.0}, "`scale`.*positive finite number.*received 0.0"),
        ({"scale": 1e20}, r"from 1e-12 to 1e\+18, so that squared.*float32; received 1e\+20"),
        ({"scale": 10**400}, "`scale`.*received 1000"),
        ({"num_classes": 200_000, "dim": 200_000}, "200000 x 200000 numbers, 298 GiB"),
        ({"num_classes": 200_000, "dim": 256}, "200000 x 200000 numbers, 298 GiB"),
        ({"scale": -1}, "received -1"),
        ({"scale": float("nan")}, "received nan"),
        ({"scale": float("inf")}, "received inf"),
        ({"scale": None}, "received None"),
        ({"seed": -1}, "`seed` must be an integer >= 0; received -1"),
        ({"num_classes": 3, "dim": 1}, "two directions; received num_classes=3"),
    ],
)
def test_bad_arguments(arguments, message):
    """Fails if a bad argument gets through, or the error does not say what came."""
    with pytest.raises(ValueError, match=message):
        max_mahalanobis_centers(**{"num_classes": 10, "dim": 64, **arguments})
