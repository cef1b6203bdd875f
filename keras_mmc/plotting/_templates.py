"""Templates of pages, with everything that is not markup escaped."""

import functools
import re
from typing import Any

import jinja2
import markupsafe

from keras_mmc._tables import percent

# What a line must not end in the middle of: 12.5 %, 1e-05, 8 / 255, 3.5 s.
_NUMBER = re.compile(r"([-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?(?: ?/ ?\d+)?(?: (?:%|s\b))?)")


def render(template: str, **values: Any) -> str:
    """The text of a file in `templates`; a value that the file needs and does not get raises."""
    return _environment().get_template(template).render(**values)


def unbroken(value: Any) -> markupsafe.Markup:
    """A text as HTML in which no line ends inside a number."""
    parts = _NUMBER.split(str(value))
    wrapped = markupsafe.Markup('<span class="n">{}</span>')
    return markupsafe.Markup("").join(
        wrapped.format(part) if place % 2 else markupsafe.escape(part)
        for place, part in enumerate(parts)
    )


def figure(value: Any) -> str:
    """A figure of a check, a number or a list of numbers, as people read it."""
    if isinstance(value, list):
        return ", ".join(f"{item:.3g}" for item in value)
    return f"{value:.4g}"


@functools.cache
def _environment():
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_mmc.plotting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": percent, "unbroken": unbroken, "figure": figure}
    return environment
