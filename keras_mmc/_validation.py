"""The one family of checks of parameters: numbers, counts, choices, boxes.

Each takes the owner of the parameter, an object or a name, then the name of the parameter and its
value, and raises a `ValueError` that says what was expected and what came.
"""

import math
import numbers
from typing import Any


def is_number(value: Any) -> bool:
    """Whether a value is a finite real number; `True` and `False` are not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: Any, least: int = 1) -> bool:
    """Whether a value is an integer of at least `least`; `True` and `False` are not."""
    return isinstance(value, numbers.Integral) and is_number(value) and int(value) >= least


def check_number(
    owner: Any,
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    optional: bool = False,
) -> None:
    """Refuses what is not a finite number within the bounds, or `None` if it is optional."""
    if optional and value is None:
        return
    bounds = (("> ", above), (">= ", at_least), ("< ", below), ("<= ", at_most))
    fits = (
        is_number(value)
        and (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (below is None or value < below)
        and (at_most is None or value <= at_most)
    )
    ranges = " and ".join(f"{sign}{bound:g}" for sign, bound in bounds if bound is not None)
    check(owner, name, value, fits, f"a finite number {ranges}".strip())


def check_count(owner: Any, name: str, value: Any, least: int = 1) -> int:
    """Refuses what is not an integer of at least `least`; returns it as a Python `int`."""
    check(owner, name, value, is_count(value, least), f"an integer >= {least}")
    return int(value)


def check_choice(owner: Any, name: str, value: Any, choices: tuple) -> None:
    """Refuses what is not one of the choices, of the same type."""
    fits = any(type(value) is type(choice) and value == choice for choice in choices)
    check(owner, name, value, fits, " or ".join(map(repr, choices)))


def check_box(owner: Any, value: Any) -> None:
    """Refuses a `box` that is not a tuple `(low, high)` of numbers with low < high."""
    fits = isinstance(value, tuple) and len(value) == 2 and all(map(is_number, value))
    expected = "a tuple (low, high) of numbers with low < high, such as (0.0, 1.0)"
    check(owner, "box", value, fits and value[0] < value[1], expected)


def check(owner: Any, name: str, value: Any, fits: bool, expected: str) -> None:
    """Raises unless `fits`, naming the owner, the parameter, what was expected and what came."""
    if not fits:
        owner = owner if isinstance(owner, str) else type(owner).__name__
        raise ValueError(f"{owner}: `{name}` must be {expected}; received {value!r}.")
