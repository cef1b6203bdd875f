"""The pictures on the page of an audit, each as a `data:` address for an `<img>`."""

import base64
import io
from typing import Any

import matplotlib
import matplotlib.figure
import matplotlib.image
import numpy as np

_INK, _NAIVE, _CLEAN, _GRID = "#1f4e79", "#c05a00", "#8c959f", "#d8dce0"
# With a fixed salt, the same report gives the same bytes.
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "svg.fonttype": "path",
    "svg.hashsalt": "keras_mmc",
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _GRID,
}


@matplotlib.rc_context(_STYLE)
def accuracy_bars(names: list[str], accuracies: list[float], naive: str | None) -> str:
    """Bars of the robust accuracies, fractions in `[0, 1]`, after the attacks of these names.

    An SVG, the first bar on top. `"clean"` and `naive`, the row that must not be trusted, if
    there is one, have colors of their own.
    """
    figure = matplotlib.figure.Figure((5.6, 0.8 + 0.3 * len(names)))
    axes, rows = figure.subplots(), range(len(names))
    colors = [{"clean": _CLEAN, naive: _NAIVE}.get(name, _INK) for name in names]
    axes.barh(rows, [100 * value for value in accuracies], 0.65, color=colors)
    for row, value in zip(rows, accuracies, strict=True):
        axes.text(100 * value + 1, row, f"{100 * value:.1f}", va="center")
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 109)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("robust accuracy, %")
    axes.grid(axis="x")
    return _svg(figure)


@matplotlib.rc_context(_STYLE)
def accuracy_curve(radii: list[float], accuracies: list[float], eps: float) -> str:
    """Robust accuracies, fractions in `[0, 1]`, against rising radii in input units, as an SVG.

    `eps`, the radius of the audit, is marked if it is one of the radii.
    """
    figure = matplotlib.figure.Figure((5.6, 2.8))
    axes, places = figure.subplots(), range(len(radii))
    axes.plot(places, [100 * value for value in accuracies], marker="o", color=_INK)
    for place, value in zip(places, accuracies, strict=True):
        axes.text(place, 100 * value + 4, f"{100 * value:.1f}")
    if eps in radii:
        axes.axvline(radii.index(eps), color=_NAIVE, linestyle=":", zorder=0)
    # The radii span orders of magnitude, and 0 has no logarithm: one step each.
    axes.set_xticks(places, [f"{radius:.3g}" for radius in radii])
    axes.set_xlabel("radius in input units (not to scale; dotted line: this audit)")
    axes.set_ylabel("robust accuracy, %")
    axes.set_ylim(-3, 112)
    axes.set_yticks(range(0, 101, 20))
    axes.grid(axis="y")
    return _svg(figure)


def image_data(image: np.ndarray, box: tuple[float, float]) -> str:
    """An image `(H, W, 1)` or `(H, W, 3)` as a PNG; `box` holds the values of black and white."""
    pixels = np.clip((np.asarray(image, "float64") - box[0]) / (box[1] - box[0]), 0, 1)
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    file = io.BytesIO()
    matplotlib.image.imsave(file, pixels, format="png")
    return _address("image/png", file)


def _svg(figure):
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return _address("image/svg+xml", file)


def _address(kind, file):
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
