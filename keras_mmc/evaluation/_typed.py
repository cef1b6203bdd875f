"""What JSON holds, as the types that a dataclass names: JSON knows no tuples and no classes."""

import dataclasses
import types
import typing
from typing import Any

from keras_mmc._validation import shown


def typed(value: Any, hint: Any, name: str) -> Any:
    """A value of a JSON file as an annotation says.

    Args:
        value: what `json.loads` made.
        hint: `str`, `int`, `float`, `None`; tuples, lists, dicts, unions, dataclasses of them.
        name: the name of the field, for the message.

    Raises:
        ValueError: if the value is of another type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        for option in arguments:
            try:
                return typed(value, option, name)
            except ValueError:
                pass
    elif dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = typing.get_type_hints(hint)
        names = [field.name for field in dataclasses.fields(hint) if field.name in value]
        if not {field.name for field in dataclasses.fields(hint)} - set(names):
            return hint(**{n: typed(value[n], hints[n], f"{name}.{n}") for n in names})  # type: ignore[operator]
    elif origin is tuple and isinstance(value, list):
        if arguments[-1] is Ellipsis:
            return tuple(typed(part, arguments[0], name) for part in value)
        if len(value) == len(arguments):
            return tuple(typed(*pair, name) for pair in zip(value, arguments, strict=True))
    elif origin is list and isinstance(value, list):
        return [typed(part, arguments[0], name) for part in value]
    elif origin is dict and isinstance(value, dict):
        return {key: typed(part, arguments[1], f"{name}.{key}") for key, part in value.items()}
    elif hint is type(None) and value is None:
        return None
    elif type(value) in {str: (str,), int: (int,), float: (int, float)}.get(hint, ()):
        return value
    expected = hint.__name__ if isinstance(hint, type) else str(hint)
    raise ValueError(f"`{name}` must be {expected}; received {shown(value)}")
