"""Fail if a public name has no docstring or no line in the API reference (docs/api.md)."""

import importlib
import inspect
import pathlib
import pkgutil
import sys

import keras_mmc

REFERENCE = pathlib.Path(__file__).with_name("api.md")


def public_objects():
    """Yield the dotted name and the object of every public function, class and method."""
    for module_info in pkgutil.walk_packages(keras_mmc.__path__, "keras_mmc."):
        module = importlib.import_module(module_info.name)
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__
            if name.startswith("_") or not own or not callable(value):
                continue
            yield f"{module.__name__}.{name}", value
            if inspect.isclass(value):
                yield from methods(module.__name__, value)


def methods(module_name, cls):
    """Yield the public methods that a class adds to those of its bases outside the package."""
    for name, value in vars(cls).items():
        inherited = any(hasattr(base, name) for base in cls.__mro__[1:])
        if not name.startswith("_") and inspect.isfunction(value) and not inherited:
            yield f"{module_name}.{cls.__name__}.{name}", value


def exported_names():
    """Yield `package.name` for every name in an `__all__`."""
    packages = [keras_mmc] + [
        importlib.import_module(item.name)
        for item in pkgutil.walk_packages(keras_mmc.__path__, "keras_mmc.")
        if item.ispkg
    ]
    for package in packages:
        for name in package.__all__:
            yield f"{package.__name__}.{name}"


def main():
    """Print what is missing and return the exit code."""
    undocumented = sorted({name for name, value in public_objects() if not value.__doc__})
    reference = REFERENCE.read_text(encoding="utf-8")
    unlisted = sorted({name for name in exported_names() if f"`{name}`" not in reference})
    for name in undocumented:
        print(f"no docstring: {name}")
    for name in unlisted:
        print(f"no line in {REFERENCE.name}: {name}")
    if not undocumented and not unlisted:
        print("Every public name has a docstring and a line in the API reference.")
    return bool(undocumented or unlisted)


if __name__ == "__main__":
    sys.exit(main())
