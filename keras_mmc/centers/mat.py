"""Arrays of `.mat` files, read in a process of its own: damaged files crash SciPy's reader."""

import os
import pathlib
import subprocess
import sys

import numpy as np

from keras_mmc._stored_arrays import npy_from

_PROGRAM = pathlib.Path(__file__).with_name("_mat_process.py")
_SECONDS = 120
_LONGEST = 400


def read_mat(path: pathlib.Path, name: str) -> np.ndarray:
    """The array of a name in a `.mat` file.

    Args:
        path: the file.
        name: the name of the variable.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is damaged or holds no array of numbers of that name; also where reading
            takes more than two minutes, or more than 4 GiB of memory.
    """
    try:
        with open(path, "rb") as file:
            done = subprocess.run(
                [sys.executable, str(_PROGRAM), name, *sys.path],
                # Every thread of the linear algebra reserves memory, which is limited.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
                stdin=file,
                capture_output=True,
                timeout=_SECONDS,
            )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"the file is damaged: it was not read in {_SECONDS} seconds") from error
    if done.returncode == 0:
        return npy_from(done.stdout)
    if done.returncode != 1:
        raise ValueError(
            f"the file is damaged: SciPy's reader crashed ({_ending(done.returncode)})"
        )
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    raise ValueError(said[-1][:_LONGEST] if said else "the file is damaged")


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
