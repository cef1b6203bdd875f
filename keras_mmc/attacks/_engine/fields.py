"""The fields that attacks share: one name, one meaning and one check everywhere."""

import dataclasses
from typing import Any

from keras_mmc import objectives
from keras_mmc._validation import check, check_box, is_count, is_number
from keras_mmc.attacks._engine.projections import NORMS

_FIELDS = {
    "eps": (
        lambda v: is_number(v) and v >= 0,
        "a finite number >= 0 in input units, such as 8/255",
    ),
    "steps": (is_count, "a positive integer"),
    "queries": (is_count, "a positive integer"),
    "step_size": (
        lambda v: v is None or (is_number(v) and v > 0),
        "a finite number > 0 in input units, or None for the default",
    ),
    "norm": (lambda v: isinstance(v, str) and v in NORMS, f"one of {sorted(NORMS)}"),
    "targeted": (lambda v: isinstance(v, bool), "True or False"),
    "random_start": (
        lambda v: isinstance(v, bool) or (is_number(v) and v > 0),
        "True, False or a standard deviation > 0 in input units",
    ),
    "restarts": (is_count, "a positive integer"),
    "num_targets": (is_count, "a positive integer"),
}


def check_fields(attack: Any) -> None:
    """Checks the fields of an attack that are known here, whichever it has.

    Raises:
        ValueError: naming the attack, the field, what was expected and what came.
    """
    values = {field.name: getattr(attack, field.name) for field in dataclasses.fields(attack)}
    for name, value in values.items():
        if name in _FIELDS:
            fits, expected = _FIELDS[name]
            optional = name in attack.optional_fields
            expected += ", or None" if optional else ""
            check(attack, name, value, fits(value) or (optional and value is None), expected)
    check_box(attack, attack.box)
    if values.get("objective") is not None:
        objectives.get(values["objective"])  # first: whether it aims is asked of a known one
        objectives.for_goal(values["objective"], attack.aims)
    if values.get("restarts", 1) > 1 and values.get("random_start", True) is False:
        raise ValueError(
            f"{type(attack).__name__}: restarts={attack.restarts} without a random start repeat "
            "one run. Pass random_start=True, or restarts=1."
        )


def as_floats(attack: Any) -> dict[str, Any]:
    """The lengths of an attack that were given as whole numbers, such as `eps=8`, as floats.

    In a graph an integer would become a tensor that no float can multiply.
    """
    found: dict[str, Any] = {}
    for field in dataclasses.fields(attack):
        value = getattr(attack, field.name)
        if field.type in (float, float | None) and is_number(value):
            found[field.name] = float(value)
        elif field.name == "box":
            found["box"] = tuple(map(float, value))
    return found


def of_width(
    value: float | None, fraction: float, box: tuple[float, float], power: int = 1
) -> float:
    """A length in input units; where it is `None`, a fraction of the width of the box.

    Args:
        value: what the user gave.
        fraction: the default in a box of width 1.
        box: `(low, high)`.
        power: 1 of lengths, 2 of what is compared with squared distances.

    Example:
    >>> of_width(None, 0.01, (0.0, 255.0)), of_width(3.0, 0.01, (0.0, 255.0))
    (2.55, 3.0)
    """
    return fraction * (box[1] - box[0]) ** power if value is None else value


def fixed(value: Any) -> Any:
    """A field of the parent class that a subclass does not offer: always this value."""
    return dataclasses.field(default=value, init=False, repr=False)
