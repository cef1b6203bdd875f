"""The state of a training on disk: files that are complete, checked, and of this training."""

import json
import pathlib
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mmc import _files

_KEPT = 2
_SUFFIX = ".state.npz"


class StateFiles:
    """The last states of a training, in a directory of its own.

    A file takes its place only once it is complete; that before the last one stays too, for when
    the last one is damaged.

    Args:
        directory: where they are; made when the first one is written.
    """

    def __init__(self, directory: _files.PathLike):
        self.directory = pathlib.Path(directory)

    def write(self, epoch: int, step: int, facts: Any, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the state before a step; `facts` is ready for JSON."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"{epoch:06}-{step:08}{_SUFFIX}"
        partial = path.with_suffix(".partial")
        text = np.array(json.dumps({"epoch": epoch, "step": step, "facts": facts}))
        with _files.replacing(path, partial), open(partial, "wb") as file:
            np.savez(file, allow_pickle=False, facts=text, **arrays)
        for old in self._paths()[:-_KEPT]:
            old.unlink()

    def read(self) -> tuple[int, int, Any, dict[str, np.ndarray]] | None:
        """Epoch, step, facts and arrays of the last state that can be read; `None` without one.

        A warning says which file cannot be read and why.
        """
        for path in reversed(self._paths()):
            try:
                with open(path, "rb") as file, np.load(file) as stored:
                    arrays = dict(stored)
                state = json.loads(str(arrays.pop("facts")))
                return state["epoch"], state["step"], state["facts"], arrays
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                warnings.warn(
                    f"{path} cannot be read and is passed over: {error}. Training goes on from "
                    "the state before it, or begins anew.",
                    stacklevel=2,
                )
        return None

    def _paths(self) -> list[pathlib.Path]:
        return sorted(self.directory.glob(f"*{_SUFFIX}"))
