"""Checks of numbers: sizes that float32 cannot square, and values that cannot be printed."""

import fractions

import numpy as np
import pytest

import keras_mmc
from keras_mmc._validation import check_count, check_number, is_number, shown


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (0, True),
        (-1e18, True),
        (np.float32(2.5), True),
        (np.int64(3), True),
        (1.1e18, False),
        (10**400, False),
        (float("nan"), False),
        (float("-inf"), False),
        (True, False),
        (np.bool_(True), False),
        (fractions.Fraction(1, 2), False),
        (1j, False),
        ("1", False),
        (np.ones(2), False),
    ],
)
def test_numbers(value, fits):
    """Fails if what tensors cannot hold, or whose square is infinite, counts as a number."""
    assert is_number(value) is fits


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1e-19, "> 0, of a size from 1e-18 to 1e.18, so.* float32; received 1e-19"),
        (2e18, "> 0, of a size from 1e-18 to 1e.18, so.* float32; received 2e.18"),
        (-1.0, r"must be a finite number > 0; received -1.0\.$"),
    ],
)
def test_what_is_said_of_extreme_sizes(value, words):
    """Fails if a bound holds that the message does not name, or one is named in vain."""
    with pytest.raises(ValueError, match=words):
        check_number("Loss", "weight", value, above=0)
    check_number("Loss", "weight", 1e-18, above=0)
    check_number("Loss", "weight", 1e18, above=0)


def test_values_that_do_not_print():
    """Fails if an error about a value is replaced by one about its text."""

    class Silent:
        def __repr__(self):
            raise RuntimeError

    assert shown(Silent()) == "a value of type Silent"
    assert shown([1] * 1000) == f"{[1] * 1000}"[:200] + " ..."
    with pytest.raises(ValueError, match=r"an integer >= 1.*received a value of type int"):
        check_count("Loss", "count", 10**5000)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras_mmc.MaxMahalanobisCenters(3, scale=1e20),
        lambda: keras_mmc.ElasticCenters(3, alpha=1e-20),
        lambda: keras_mmc.MMCLoss(centers=[[0.0], [1e20]]),
        lambda: keras_mmc.ShellMMCLoss(radius=1e20),
        lambda: keras_mmc.LGMLoss(weight=1e20),
        lambda: keras_mmc.MMLDALoss(sigma=1e-20),
        lambda: keras_mmc.attacks.PGD(1e20, norm="l2"),
    ],
)
def test_what_would_not_be_finite_is_refused(make):
    """Fails if a head, loss or attack takes a length whose scores or values are not finite."""
    with pytest.raises(ValueError, match=r"float32|1e.06"):
        make()


def test_the_largest_scale_trains():
    """Fails if scores, or the loss, at the largest scale are not finite."""
    features = np.ones((2, 4), "float32")
    scores = keras_mmc.MaxMahalanobisCenters(3, scale=1e18)(features)
    assert np.isfinite(scores).all()
    assert np.isfinite(keras_mmc.MMCLoss()([0, 1], scores))
