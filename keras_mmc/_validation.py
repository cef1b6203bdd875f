"""The one family of checks of parameters: numbers, counts, choices, boxes.

Each takes the owner of the parameter, an object or a name, then the name of the parameter and its
value, and raises a `ValueError` that says what was expected and what came. Numbers whose squares
float32 cannot hold are refused everywhere.
"""

import math
import numbers
from typing import Any

LARGEST = 1e18
"""The largest number that a parameter may be: squares of it, and sums of them, are finite in
float32, which everything computes in. `1 / LARGEST` is the smallest positive one."""
_SIZES = "of a size from 1e-18 to 1e+18, so that its square is finite in float32"
_LONGEST = 200


def is_number(value: Any) -> bool:
    """Whether a value is a real number of at most `LARGEST`; `True` and `False` are not."""
    if not isinstance(value, numbers.Real) or isinstance(value, (bool, numbers.Rational)):
        return _is_integer(value) and bool(abs(value) <= LARGEST)
    size: Any = abs(value)
    return bool(size <= LARGEST)  # NaN is not


def is_positive(value: Any) -> bool:
    """Whether a value is a number from `1 / LARGEST` to `LARGEST`."""
    return is_number(value) and bool(float(value) >= 1 / LARGEST)


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_count(value: Any, least: int = 1) -> bool:
    """Whether a value is an integer of at least `least`; `True` and `False` are not."""
    return _is_integer(value) and is_number(value) and int(value) >= least


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
        and (above is None or (is_positive(value) if above == 0 else value > above))
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
        if is_of_extreme_size(value):
            expected = f"{expected}, {_SIZES}"
        raise ValueError(f"{owner}: `{name}` must be {expected}; received {shown(value)}.")


def is_of_extreme_size(value: Any) -> bool:
    """Whether a value is a finite number whose square is not, or is 0 though the number is not."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    size: Any = abs(value)
    return LARGEST < size < math.inf or 0 < size < 1 / LARGEST


def shown(value: Any) -> str:
    """A value as Python writes it, cut where it is long.

    Example:
    >>> shown(list(range(1000)))[-12:]
    ', 54, 55 ...'
    """
    try:
        text = repr(value)
    except Exception:  # of an integer of too many digits, or an object that cannot say what it is
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
