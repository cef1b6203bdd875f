"""The picture of curves."""

import matplotlib.image
import numpy as np
import pytest

from keras_mmc.plotting import plot_curves
from keras_mmc.plotting.curves import _draw

CURVES = {"mmc": ([0, 0.1, 0.2], [0.98, 0.5, 0.1]), "softmax": (np.linspace(0, 1, 50),) * 2}


def test_lines_are_the_data():
    """Fails if a curve is swapped, left out or unnamed, or the axes are."""
    axes = _draw(CURVES, "eps (L-infinity)", "accuracy", "digits").axes[0]
    assert len(axes.lines) == 2
    for line, (name, (xs, ys)) in zip(axes.lines, CURVES.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_xdata(), xs)
        np.testing.assert_array_equal(line.get_ydata(), ys)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(CURVES)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("eps (L-infinity)", "accuracy")
    assert axes.get_title() == "digits"
    assert axes.get_ylim()[0] == 0


def test_small_differences_are_seen():
    """Fails if accuracies between 91 and 99 % fill a tenth of the picture, or epochs are halved."""
    (axes,) = _draw({"a": ([1, 2], [91.0, 99.0])}, "x", "y", "").axes
    assert 90 < axes.get_ylim()[0] < 91
    assert all(tick == round(tick) for tick in axes.get_xticks())
    (axes,) = _draw({"a": ([1, 2], [20.0, 99.0])}, "x", "y", "").axes
    assert axes.get_ylim()[0] == 0


def test_a_picture_is_written(tmp_path):
    """Fails if the file is missing or blank."""
    path = tmp_path / "curves.png"
    plot_curves(path, CURVES, "eps", "accuracy", "title")
    assert path.stat().st_size > 5000
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[:2] == (550, 770)
    assert pixels.std() > 0.05


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({}, "at least one curve"),
        ({"a": ([1, 2], [1])}, r"'a' needs .* received shapes \(2,\) and \(1,\)"),
        ({"a": ([[1]], [[1]])}, "one-dimensional"),
    ],
)
def test_refusals(curves, message, tmp_path):
    """Fails if curves that do not fit leave a picture."""
    with pytest.raises(ValueError, match=message):
        plot_curves(tmp_path / "x.png", curves, "x", "y")
    assert not (tmp_path / "x.png").exists()
