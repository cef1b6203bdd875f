"""Reports on centers whose geometry is known, and the check of centers that users bring."""

import dataclasses

import numpy as np
import pytest

from keras_mmc.centers import check_centers, gram_report, max_mahalanobis_centers, minimum_angle

BENT = [[3.0, 0.0], [0.0, 4.0], [-1.0, 0.0]]


def test_report_of_three_known_points():
    """Fails if an extreme is taken over the wrong pairs or a field holds another one's value."""
    report = dataclasses.asdict(gram_report(BENT))
    assert report.pop("num_classes") == 3
    assert report.pop("dim") == 2
    assert report == pytest.approx(
        {
            "min_norm": 1.0,
            "max_norm": 4.0,
            "min_inner_product": -3.0,
            "max_inner_product": 0.0,
            "min_distance": 4.0,
            "max_distance": 5.0,
            "minimum_angle": 90.0,
            "sum_norm": np.sqrt(4.0 + 16.0),
            "ideal_inner_product": -(9.0 + 16.0 + 1.0) / 3 / 2,
        }
    )


def test_report_of_a_simplex_reaches_the_ideal():
    """Fails if the simplex is not recognized as the best that is possible."""
    report = gram_report(max_mahalanobis_centers(10, 16))
    assert report.ideal_inner_product == pytest.approx(-100 / 9)
    assert report.max_inner_product == pytest.approx(report.ideal_inner_product)
    assert report.minimum_angle == pytest.approx(np.degrees(np.arccos(-1 / 9)))


def test_report_reads_well():
    """Fails if the printed summary changes its numbers or labels."""
    assert str(gram_report(BENT)) == (
        "3 centers in 2 dimensions\n"
        "  norms           1.0000 .. 4.0000\n"
        "  inner products  -3.0000 .. 0.0000  (simplex -4.3333)\n"
        "  distances       4.0000 .. 5.0000\n"
        "  minimum angle   90.0000 degrees\n"
        "  norm of sum     4.4721"
    )


def test_report_is_frozen():
    """Fails if a measured value can be overwritten."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        gram_report(BENT).dim = 3


@pytest.mark.parametrize("degrees", [1e-6, 0.5, 60.0, 120.0, 180.0])
def test_minimum_angle_in_degrees(degrees):
    """Fails if norms matter, radians come out, or small angles drown in rounding."""
    angle = np.radians(degrees)
    centers = [[7.0, 0.0], [0.5 * np.cos(angle), 0.5 * np.sin(angle)]]
    assert isinstance(minimum_angle(centers), float)
    assert minimum_angle(centers) == pytest.approx(degrees, rel=1e-7)


def test_minimum_angle_of_a_doubled_center():
    """Fails if coinciding centers do not show as 0 degrees."""
    assert minimum_angle([[1.0, 2.0], [2.0, 4.0], [0.0, 1.0]]) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("measure", [gram_report, minimum_angle])
def test_a_center_in_the_origin(measure):
    """Fails if a center without direction gives a NaN angle."""
    with pytest.raises(ValueError, match="Center 1 lies at the origin"):
        measure([[1.0, 0.0], [0.0, 0.0]])


def test_check_returns_an_independent_copy():
    """Fails if the dtype is kept or later changes to the argument reach the result."""
    given = np.array([[1, 2], [3, 4]], dtype="int32")
    checked = check_centers(given)
    given[0, 0] = 9
    assert checked.dtype == np.float64
    np.testing.assert_array_equal(checked, [[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("centers", "message"),
    [
        ([1.0, 2.0], r"received shape \(2,\)"),
        ([[1.0, 2.0]], r"received shape \(1, 2\)"),
        (np.zeros((2, 0)), r"received shape \(2, 0\)"),
        (np.zeros((2, 2, 2)), r"received shape \(2, 2, 2\)"),
        ([[1.0], [1.0, 2.0]], "rows that do not line up"),
        ([["a"], ["b"]], "received dtype <U1"),
        ([[1j], [2.0]], "received dtype complex128"),
        ([[0.0], [np.nan], [np.inf]], "in 2 of 3 rows, the first in row 1"),
    ],
)
def test_check_refuses(centers, message):
    """Fails if an array that is no set of centers gets through."""
    with pytest.raises(ValueError, match=message):
        check_centers(centers)


def test_centers_need_neither_keras_nor_tensorflow(run_fresh_python):
    """Fails if a module of this package imports more than NumPy and SciPy."""
    code = """
import sys, types
package = types.ModuleType("keras_mmc")
package.__path__ = ["keras_mmc"]
sys.modules["keras_mmc"] = package
import keras_mmc.centers
print(sorted({"keras", "tensorflow"} & set(sys.modules)))
"""
    assert run_fresh_python(code).strip() == "[]"


@pytest.mark.parametrize(
    ("centers", "message"),
    [
        ([[1e18, 0.0], [1e18, 1e18]], r"at most 1e\+18.*float32; received 1.41421e\+18 in row 1"),
        ([[1e308, 1e308], [0.0, 1.0]], "received 1.41421e.308 in row 0"),
        ([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]], "1 of 3 rows that are a second.*row 2, like row 0"),
        ([[1.0, 2.0], [1.0, 2.0 + 1e-9]], "distinct in float32.*row 1, like row 0"),
        ([[1e-30, 0.0], [0.0, 0.0]], "distinct in float32.*row 1, like row 0"),
    ],
)
def test_centers_that_float32_cannot_hold(centers, message):
    """Fails if squared distances of centers may be infinite, or 0 between two classes."""
    with pytest.raises(ValueError, match=message):
        check_centers(centers)


@pytest.mark.parametrize("norm", [1e-12, 1e18])
def test_the_largest_and_the_smallest_centers(norm):
    """Fails if the bounds let scores overflow, or let classes fall together, in float32."""
    centers = check_centers(max_mahalanobis_centers(3, 100, scale=norm)).astype("float32")
    squared = np.square(centers[:, None] - centers[None, :]).sum(axis=-1)
    assert squared.dtype == np.float32
    np.testing.assert_allclose(squared / squared[0, 1], 1 - np.eye(3), rtol=1e-5)
    assert np.isfinite(squared).all() and squared[0, 1] > 0
