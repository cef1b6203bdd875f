"""Plain data of objects: what of their attributes can be written to a file and brought back."""

from typing import Any

import numpy as np

_ARRAY = "array of this file"
_KEEPS_NOT = "params"  # of a Keras callback: what `fit` was called with


def plain_attributes(owner: Any) -> dict[str, Any]:
    """The attributes that are numbers, text, arrays, or lists and dicts of them, copied.

    Arrays are not copied: what changes them is expected to replace them.
    """
    return {k: _copied(v) for k, v in vars(owner).items() if k != _KEEPS_NOT and _is_plain(v)}


def changed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The entries of `now` that are not those of `before`."""
    return {k: v for k, v in now.items() if k not in before or not _same(before[k], v)}


def without_arrays(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Plain data ready for JSON; its arrays go into `arrays`, under names beginning with `name`."""
    if isinstance(value, (np.ndarray, np.generic)):
        arrays[name] = np.asarray(value)
        return {_ARRAY: name}
    if isinstance(value, dict):
        return {k: without_arrays(v, f"{name} {k}", arrays) for k, v in value.items()}
    if isinstance(value, list):
        return [without_arrays(v, f"{name} {i}", arrays) for i, v in enumerate(value)]
    return value


def with_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """What `without_arrays` was given."""
    if isinstance(value, dict):
        if _ARRAY in value:
            return arrays[value[_ARRAY]]
        return {k: with_arrays(v, arrays) for k, v in value.items()}
    return [with_arrays(v, arrays) for v in value] if isinstance(value, list) else value


def _is_plain(value):
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.kind in "biuf"
    return value is None or isinstance(value, (bool, int, float, str))


def _copied(value):
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(v) for v in value]
    return value


def _same(one, other):
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other
