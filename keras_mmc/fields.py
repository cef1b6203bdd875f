"""Checks of the fields of frozen dataclasses: attacks, defences and regularizers."""

import math
import numbers
from collections.abc import Callable


def is_number(value) -> bool:
    """Whether a value is a finite real number; `True` and `False` are not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value, least: int = 1) -> bool:
    """Whether a value is an integer of at least `least`; `True` and `False` are not."""
    return is_number(value) and isinstance(value, numbers.Integral) and value >= least


def check_positive(owner, *names: str) -> None:
    """Raises ValueError unless the fields are finite numbers > 0."""
    _check(owner, names, lambda value: is_number(value) and value > 0, "a finite number > 0")


def check_not_negative(owner, *names: str) -> None:
    """Raises ValueError unless the fields are finite numbers >= 0."""
    _check(owner, names, lambda value: is_number(value) and value >= 0, "a finite number >= 0")


def check_count(owner, name: str, least: int = 1) -> None:
    """Raises ValueError unless the field is an integer of at least `least`."""
    _check(owner, (name,), lambda value: is_count(value, least), f"an integer >= {least}")


def check_choice(owner, name: str, choices: tuple) -> None:
    """Raises ValueError unless the field is one of `choices`."""

    def fits(value):
        return any(type(value) is type(choice) and value == choice for choice in choices)

    _check(owner, (name,), fits, " or ".join(map(repr, choices)))


def _check(owner, names, fits: Callable, expected):
    for name in names:
        value = getattr(owner, name)
        if not fits(value):
            raise ValueError(
                f"{type(owner).__name__}: `{name}` must be {expected}; received {value!r}."
            )
