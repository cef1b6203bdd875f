"""Records of runs: one JSON file each, written when the run is complete and never again."""

import importlib.metadata
import json
import pathlib
import platform
import subprocess
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_mmc
from keras_mmc import _files

NAME = "record.json"


def environment(*libraries: str) -> dict[str, Any]:
    """Versions, the commit of this code if it is a checkout, and the processor.

    Versions are those of the package and of what it computes with, and of those of the further
    `libraries`, distributions, that are installed.
    """
    modules = {"keras_mmc": keras_mmc, "keras": keras, "tensorflow": tf, "numpy": np}
    versions = {name: module.__version__ for name, module in modules.items()}
    for name in libraries:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "commit": commit(),
        "python": platform.python_version(),
        "processor": _processor(),
    }


def commit() -> str | None:
    """The commit of the checkout that this file is in, with `+` if files differ from it."""
    # Where the package is installed, the nearest repository may be that of somebody else's project.
    if not _git("ls-files", pathlib.Path(__file__).name):
        return None
    return _git("describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*")


def _git(*arguments):
    """What git prints in the folder of this file; `None` for nothing, or without git."""
    place = pathlib.Path(__file__).parent
    try:
        done = subprocess.run(["git", *arguments], cwd=place, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def _processor():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


def read(directory: pathlib.Path) -> dict[str, Any] | None:
    """The record of a finished run, or `None`."""
    path = directory / NAME
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write(directory: pathlib.Path, record: dict[str, Any]) -> None:
    """Write the record of a run into its directory."""
    write_file(directory / NAME, record)


def write_file(path: pathlib.Path, record: dict[str, Any]) -> None:
    """Write a record as a whole; numbers of NumPy become plain ones, NaN is refused."""
    partial = path.with_name(f"{path.name}.partial")
    with _files.replacing(path, partial):
        text = json.dumps(record, indent=1, default=_plain, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")


def _plain(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"A record holds plain values; received {type(value).__name__}.")
