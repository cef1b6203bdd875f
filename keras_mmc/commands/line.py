"""From an argument list to a command: its help, its flags, and mistakes in one line."""

import functools
import importlib
import os
import re
import signal
import sys
import types
import zipfile

from absl import app, flags, logging

from keras_mmc._extras import MissingPackageError
from keras_mmc._version import __version__
from keras_mmc.commands import COMMANDS

# What a user can mend. All else is a bug and keeps its traceback.
MISTAKES = (ValueError, OSError, MissingPackageError, zipfile.BadZipFile, app.UsageError)
_HELP = ("--help", "-help", "--helpshort", "-h")
# What absl says of a flag that must be given.
_NOT_GIVEN = r"flag (--\w+)=None: Flag --\w+ must have a value other than None\."
_MISTAKEN = 2  # the exit code


def main() -> None:
    """Run the command that the first argument names."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in _HELP:
        print(overview())
    elif name == "--version":
        print(f"keras_mmc {__version__}")
    elif name in COMMANDS:
        run(importlib.import_module(f"keras_mmc.commands.{name}"), [f"keras-mmc {name}", *rest])
    else:
        known = ", ".join(COMMANDS)
        sys.exit(_said("keras-mmc", f"unknown command {name!r}. Choose one of {known}."))


def overview() -> str:
    """The commands, a line each."""
    width = max(map(len, COMMANDS))
    lines = (f"  {name.ljust(width)}  {does}" for name, does in COMMANDS.items())
    return (
        "Losses, defenses and audits for robust classifiers.\n\n"
        "  keras-mmc COMMAND --flag=value ...      (or: python -m keras_mmc COMMAND ...)\n\n"
        + "\n".join(lines)
        + "\n\nkeras-mmc COMMAND --help shows the flags of a command; keras-mmc --version."
    )


def run(command: types.ModuleType, argv: list[str] | None = None) -> None:
    """Run a command as the program of this process, which ends with it.

    The exit code is what `main` of the command returns, 0 for `None`, and 2 after a mistake of the
    user, which gives one line on standard error; `--verbosity=0` shows where it was found.

    Args:
        command: a module of this package with flags and a `main` without arguments.
        argv: the name of the program, then its arguments; `None` for those of the process.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads it when it is imported
    logging.set_verbosity(logging.WARNING)
    app.run(functools.partial(_run, command), argv, flags_parser=functools.partial(_parse, command))


def _parse(command, argv):
    if set(_HELP) & set(argv[1:]):
        print(f"{command.__doc__}\nflags:\n{flags.FLAGS.module_help(command)}")
        sys.exit()
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        told = re.sub(_NOT_GIVEN, r"\1 is required.", str(error)).rstrip(".")
        sys.exit(_said(argv[0], f"{told}. Pass --help to see the flags."))


def _run(command, argv):
    try:
        if len(argv) > 1:
            raise app.UsageError(
                f"Unexpected arguments: {' '.join(argv[1:])}. Flags begin with --; pass --help to "
                "see them."
            )
        return command.main()
    except MISTAKES as error:
        logging.info("The mistake was found here:", exc_info=True)
        return _said(argv[0], error)
    except KeyboardInterrupt as interruption:
        _said(argv[0], str(interruption) or "Interrupted.")
        return 128 + getattr(interruption, "signal", signal.SIGINT)


def _said(program, mistake):
    """Say what is wrong in one line; returns the exit code."""
    print(f"{program}: {' '.join(str(mistake).split())}", file=sys.stderr, flush=True)
    return _MISTAKEN
