"""The pictures of an audit's page, as addresses for an `<img>`.

Matplotlib is imported only when a picture is drawn.
"""

import base64
import io

import numpy as np

_INK, _NAIVE, _CLEAN, _GRID = "#1f4e79", "#c05a00", "#8c959f", "#d8dce0"
_STYLE = {"font.size": 10, "svg.fonttype": "path", "svg.hashsalt": "keras_mmc"}


def accuracy_bars(names: list[str], accuracies: list[float], naive: str) -> str:
    """Horizontal bars of the robust accuracy after each attack, `"clean"` and the naive one apart.

    Args:
        names: names of the rows, the first on top.
        accuracies: fractions in `[0, 1]`, one per name.
        naive: the name of the row that must not be trusted.

    Returns:
        An SVG as a `data:` address.
    """

    def draw(axes):
        rows = range(len(names))
        colors = [{"clean": _CLEAN, naive: _NAIVE}.get(name, _INK) for name in names]
        axes.barh(rows, [100 * value for value in accuracies], 0.65, color=colors)
        for row, value in zip(rows, accuracies, strict=True):
            axes.text(100 * value + 1, row, f"{100 * value:.1f}", va="center")
        axes.set_yticks(rows, names)
        axes.invert_yaxis()
        axes.set_xlim(0, 109)
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel("robust accuracy, %")
        axes.grid(axis="x", color=_GRID)

    return _svg(draw, (5.6, 0.8 + 0.3 * len(names)))


def accuracy_curve(radii: list[float], accuracies: list[float], eps: float) -> str:
    """Robust accuracy against the radius of the ball, with a mark at the radius of the audit.

    Args:
        radii: radii in input units, rising.
        accuracies: fractions in `[0, 1]`, one per radius.
        eps: the radius of the audit.

    Returns:
        An SVG as a `data:` address.
    """

    def draw(axes):
        places = range(len(radii))
        axes.plot(places, [100 * value for value in accuracies], marker="o", color=_INK)
        for place, value in zip(places, accuracies, strict=True):
            axes.annotate(
                f"{100 * value:.1f}", (place, 100 * value), (0, 7), textcoords="offset points"
            )
        if eps in radii:
            axes.axvline(radii.index(eps), color=_NAIVE, linestyle=":", zorder=0)
        # The radii span orders of magnitude, and 0 has no logarithm: one step each.
        axes.set_xticks(places, [f"{radius:.3g}" for radius in radii])
        axes.set_xlabel("radius, input units (steps not to scale; dotted: this audit)")
        axes.set_ylabel("robust accuracy, %")
        axes.set_ylim(-3, 112)
        axes.set_yticks(range(0, 101, 20))
        axes.grid(axis="y", color=_GRID)

    return _svg(draw, (5.6, 2.8))


def image_data(image: np.ndarray, box: tuple[float, float]) -> str:
    """An image as PNG.

    Args:
        image: array `(H, W, 1)` or `(H, W, 3)`.
        box: values of black and white.

    Returns:
        A PNG as a `data:` address.
    """
    import matplotlib.image

    pixels = np.clip((np.asarray(image, "float64") - box[0]) / (box[1] - box[0]), 0, 1)
    pixels = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels
    file = io.BytesIO()
    matplotlib.image.imsave(file, pixels, format="png")
    return _address("image/png", file.getvalue())


def _svg(draw, size):
    import matplotlib
    import matplotlib.figure

    with matplotlib.rc_context(_STYLE):
        figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        draw(axes)
        file = io.BytesIO()
        # Without a date the same report gives the same bytes.
        figure.savefig(file, format="svg", metadata={"Date": None})
    return _address("image/svg+xml", file.getvalue())


def _address(kind, content):
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
