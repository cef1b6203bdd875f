"""Fail if a public name lacks a docstring, type hints, or a line in docs/api.md."""

import importlib
import inspect
import pathlib
import pkgutil
import sys
import types
from collections.abc import Callable, Iterator

from absl import flags

import keras_mmc

REFERENCE = pathlib.Path(__file__).with_name("api.md")


def public_objects() -> Iterator[tuple[str, Callable]]:
    """Yield the dotted name and the object of every public function, class and method."""
    for module_info in pkgutil.walk_packages(keras_mmc.__path__, "keras_mmc."):
        for name in list(flags.FLAGS):  # commands share names of flags: one of them at a time
            delattr(flags.FLAGS, name)
        module = importlib.import_module(module_info.name)
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__
            if name.startswith("_") or not own or not callable(value):
                continue
            yield f"{module.__name__}.{name}", value
            if inspect.isclass(value):
                yield from methods(module.__name__, value)


def methods(module_name: str, cls: type) -> Iterator[tuple[str, Callable]]:
    """Yield the public methods that a class adds to those of its bases outside the package."""
    for name, value in vars(cls).items():
        inherited = any(hasattr(base, name) for base in cls.__mro__[1:])
        if not name.startswith("_") and inspect.isfunction(value) and not inherited:
            yield f"{module_name}.{cls.__name__}.{name}", value


def is_hinted(function: Callable) -> bool:
    """Whether every parameter and the result of a function or method carry a type hint."""
    if inspect.isclass(function):
        return "__init__" not in vars(function) or is_hinted(function.__init__)
    if not inspect.isfunction(function):
        return True
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    hints = [p.annotation for p in parameters]
    if function.__name__ != "__init__":
        hints.append(signature.return_annotation)
    return inspect.Signature.empty not in hints


def unlisted_names(reference: str) -> list[str]:
    """Return the names a user can import from a public module that the reference leaves out.

    A name that two modules export needs one line only.
    """
    modules = [keras_mmc] + [m for m in exports(keras_mmc).values() if inspect.ismodule(m)]
    names: dict[int, list[str]] = {}
    for module in modules:
        for name, value in exports(module).items():
            if not inspect.ismodule(value):
                names.setdefault(id(value), []).append(f"{module.__name__}.{name}")
    return [
        aliases[0]
        for aliases in names.values()
        if not any(f"`{alias}`" in reference for alias in aliases)
    ]


def exports(module: types.ModuleType) -> dict[str, object]:
    """Name and value of everything in `__all__`, or of a module's own public functions."""
    if hasattr(module, "__all__"):
        return {name: getattr(module, name) for name in module.__all__}
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


def main() -> bool:
    """Print what is missing and return the exit code."""
    objects = list(public_objects())
    undocumented = sorted({name for name, value in objects if not value.__doc__})
    unhinted = sorted({name for name, value in objects if not is_hinted(value)})
    reference = REFERENCE.read_text(encoding="utf-8")
    unlisted = sorted(unlisted_names(reference))
    for name in undocumented:
        print(f"no docstring: {name}")
    for name in unhinted:
        print(f"no type hints: {name}")
    for name in unlisted:
        print(f"no line in {REFERENCE.name}: {name}")
    if not undocumented + unhinted + unlisted:
        print("Every public name has a docstring, type hints and a line in the API reference.")
    return bool(undocumented + unhinted + unlisted)


if __name__ == "__main__":
    sys.exit(main())
