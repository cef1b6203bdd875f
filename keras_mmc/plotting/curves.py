"""A picture of curves over the size of perturbations."""

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from keras_mmc._extras import require


def plot_curves(
    path: str | os.PathLike[str],
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    title: str = "",
) -> None:
    """Save a picture of named curves as PNG, such as accuracy over eps for several models.

    Args:
        path: file to write.
        curves: pairs `(xs, ys)` of equally long one-dimensional arrays, by the name that the legend
            shows; values that are not finite leave a gap.
        xlabel: what the horizontal axis shows, with its unit.
        ylabel: what the vertical axis shows; it starts at 0, unless all values lie in the upper
            half, where small differences would not be seen.
        title: title of the picture.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if there is no curve, or its two arrays do not fit.

    Example:
    >>> curve = keras_mmc.evaluation.robustness_curve(model, x_test, y_test, [0, 0.1, 0.2])
    >>> curves = {"mmc": (curve.eps, curve.accuracy)}
    >>> keras_mmc.plotting.plot_curves("curve.png", curves, "eps (L-infinity)", "accuracy")
    """
    _draw(curves, xlabel, ylabel, title).savefig(path, dpi=110)


def _draw(curves, xlabel, ylabel, title):
    if not curves:
        raise ValueError("`curves` must hold at least one curve, as {'mmc': (xs, ys)}.")
    drawing = require("matplotlib.figure", "plots", "plot_curves")
    ticker = require("matplotlib.ticker", "plots", "plot_curves")
    figure = drawing.Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for name, (xs, ys) in curves.items():
        xs, ys = np.asarray(xs, "float64"), np.asarray(ys, "float64")
        if xs.ndim != 1 or xs.shape != ys.shape:
            raise ValueError(
                f"Curve {name!r} needs two one-dimensional arrays of one length; received shapes "
                f"{xs.shape} and {ys.shape}."
            )
        axes.plot(xs, ys, marker="o" if len(xs) <= 30 else None, markersize=4, label=name)
    if all(np.array_equal(xs, np.round(xs)) for xs, _ in curves.values()):
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title)
    values = np.concatenate([np.asarray(ys, "float64") for _, ys in curves.values()])
    values = values[np.isfinite(values)]
    if not len(values) or values.min() < values.max() / 2:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
