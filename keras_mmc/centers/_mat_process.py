"""A program: an array of the `.mat` file on standard input, to standard output as `.npy`.

    python _mat_process.py NAME [PATH ...] < centers.mat > centers.npy

SciPy's reader may end the process on a damaged file: `keras_mmc.centers.mat` runs this. The
paths are where packages are looked for. What goes wrong is one line on standard error.
"""

import sys

if __name__ == "__main__":
    sys.path[:] = sys.argv[2:]  # without the folder of this file, whose names are not for import

import contextlib
import io

import numpy as np
from scipy.io import loadmat

_MOST_MEMORY = 2**32


def main() -> None:
    """Reads, checks and writes."""
    _limit_memory()
    content = loadmat(io.BytesIO(sys.stdin.buffer.read()))
    name = sys.argv[1]
    if name not in content:
        keys = sorted(key for key in content if not key.startswith("__"))
        sys.exit(f"expected the key {name!r}, found {keys}. Store the centers under {name!r}.")
    array = np.asarray(content[name])
    if array.dtype.hasobject:
        sys.exit(f"the key {name!r} holds no numbers but dtype {array.dtype}.")
    written = io.BytesIO()
    np.save(written, array, allow_pickle=False)
    sys.stdout.buffer.write(written.getbuffer())


def _limit_memory():
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on every platform
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        sys.exit(f"SciPy's reader says: {type(error).__name__}: {error}")
