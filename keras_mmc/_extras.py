"""Packages that only some parts need: imported there, and named where they are missing."""

import importlib
import types


class MissingPackageError(ImportError):
    """A package of an extra is not installed; the message says how to install it."""


def require(module: str, extra: str, what: str) -> types.ModuleType:
    """The module, of a package that an extra of this one installs.

    Args:
        module: its name, such as `"matplotlib.figure"`.
        extra: name of the extra.
        what: what needs it, for the message.

    Raises:
        MissingPackageError: if it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"{what} needs {module.partition('.')[0]}, which cannot be imported: {error}. Install "
            f"it with `pip install 'keras_mmc[{extra}]'`."
        ) from error


def is_installed(module: str) -> bool:
    """Whether a module can be imported, for what is left out where it cannot."""
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True
