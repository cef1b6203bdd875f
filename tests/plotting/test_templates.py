"""Templates: without holes, with whole numbers, and in colors that can be read."""

import re

import jinja2
import numpy as np
import pytest

from keras_mmc.plotting._templates import render, unbroken
from tests.conftest import ROOT
from tests.plotting.conftest import STYLE, Reader


def test_a_value_that_is_missing_is_an_error():
    """Fails if a page with a hole is written in silence."""
    with pytest.raises(jinja2.UndefinedError):
        render("audit_summary.html", facts={"suite": "quick"}, ball="L2", fired=[])


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("from 12.5 % to 1e-05, at 8 / 255", ["12.5 %", "1e-05", "8 / 255"]),
        ("PGD(eps=0.0313, steps=50)", ["0.0313", "50"]),
        ("took 3.5 s so far, 1,000 images, -0.5", ["3.5 s", "1,000", "-0.5"]),
        ("<b> & no number", []),
    ],
)
def test_no_line_ends_inside_a_number(text, numbers):
    """Fails if a number may be broken, or wrapping it changes the text."""
    made = str(unbroken(text))
    assert re.findall('<span class="n">(.*?)</span>', made) == numbers
    assert "".join(Reader(made).texts) == text
    assert ".n { white-space: nowrap;" in STYLE


def luminance(color):
    """Relative luminance of `#rrggbb`, as WCAG 2 defines it."""
    parts = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_in_both_schemes():
    """Fails if a color of text falls below 4.5 to 1, or one of a bar or outline below 3 to 1."""
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6})", part))
        for part in re.findall(r":root {(.*?)}", STYLE, re.S)
    )
    assert light.keys() == dark.keys() and "prefers-color-scheme: dark" in STYLE
    for colors in (light, dark):
        for name in ("text", "muted", "naive"):
            assert contrast(colors[name], colors["paper"]) >= 4.5, name
        assert contrast(colors["text"], colors["finding"]) >= 4.5
        for name in ("attack", "naive", "clean"):
            assert contrast(colors[name], colors["track"]) >= 3, name
        assert contrast(colors["focus"], colors["paper"]) >= 3
    rest = STYLE[STYLE.index("body {") :]
    assert not re.search(r"#[0-9a-f]{3,6}\b", rest)  # every color is one of these


def test_contrast_of_the_page_of_the_service():
    """Fails if a color of its text is below 4.5 to 1, or one of a bar or outline below 3 to 1."""
    style = (ROOT / "keras_mmc/serving/http/static/page.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6})", part))
        for part in re.findall(r":root {(.*?)}", style, re.S)[:2]
    )
    assert light.keys() == dark.keys()
    for colors in (light, dark):
        for name in ("text", "muted", "good", "bad"):
            assert contrast(colors[name], colors["paper"]) >= 4.5, name
        for name in ("text", "muted"):
            assert contrast(colors[name], colors["soft"]) >= 4.5, name
        for name in ("bar", "focus", "muted"):
            assert contrast(colors[name], colors["paper"]) >= 3, name
    assert not re.search(r"#[0-9a-f]{3,6}\b", style[style.index("body {") :])


def test_text_is_large_enough_and_nothing_has_a_fixed_width():
    """Fails if text of a chart is below 11 px, or a width in pixels may overflow a phone."""
    sizes = re.findall(r"font-size: ([\d.]+)(px|rem)", STYLE)
    assert min(float(size) * {"px": 1, "rem": 16}[unit] for size, unit in sizes) >= 11
    widths = re.findall(r"[^-]width: ([^;}]+)", STYLE)
    assert set(widths) <= {"1px", "100%", "32%", "fit-content"}
    assert ":focus-visible { outline:" in STYLE
