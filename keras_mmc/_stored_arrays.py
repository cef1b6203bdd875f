"""Arrays in `.npy` and `.npz` files that anybody may have written or damaged.

Nothing is unpickled. What the header of an array promises is compared with what the file holds
before memory is taken, and whatever goes wrong is one `ValueError`.
"""

import contextlib
import functools
import io
import math
import os
import pathlib
import zipfile
from collections.abc import Callable, Collection, Iterator
from typing import IO

import numpy as np

# What an archive may become in memory: images compress less than this.
_MOST_EXPANSION = 100
_SMALL = 2**28


def read_npy(path: pathlib.Path) -> np.ndarray:
    """The array in a `.npy` file.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is damaged, or holds Python objects.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
    with _one_reason():
        return _read(lambda: open(path, "rb"), size)


def npy_from(content: bytes) -> np.ndarray:
    """The array in the bytes of a `.npy` file; `ValueError` as in `read_npy`."""
    with _one_reason():
        return _read(lambda: io.BytesIO(content), len(content))


def read_npz(path: pathlib.Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays in a `.npz` file, by name.

    Args:
        path: the file.
        names: the arrays to read, in this order; some may be missing. `None` for all.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is damaged, holds Python objects, or would be more than 256 MiB and more
            than 100 times the file in memory.
    """
    with open(path, "rb") as file, _one_reason(), zipfile.ZipFile(file) as archive:
        found = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        if names is not None:
            found = {name: found[name] for name in names if name in found}
        _check_expansion(sum(m.file_size for m in found.values()), path.stat().st_size)
        return {
            name: _read(functools.partial(archive.open, member), member.file_size)
            for name, member in found.items()
        }


def names_in(path: pathlib.Path) -> set[str]:
    """The names of the arrays in a `.npz` file; errors as in `read_npz`."""
    with open(path, "rb") as file, _one_reason(), zipfile.ZipFile(file) as archive:
        return {name.removesuffix(".npy") for name in archive.namelist()}


@contextlib.contextmanager
def _one_reason() -> Iterator[None]:
    """Whatever the readers of NumPy and Python raise on a damaged file, as one error."""
    try:
        yield
    except ValueError:
        raise
    except Exception as error:  # EOFError, BadZipFile, zlib.error, SyntaxError, MemoryError, ...
        raise ValueError(f"the file is damaged ({type(error).__name__}: {error})") from error


def _check_expansion(size: int, stored: int) -> None:
    if size > max(_SMALL, _MOST_EXPANSION * stored):
        raise ValueError(
            f"the file of {stored} bytes would take {size} bytes of memory, more than "
            f"{_MOST_EXPANSION} times as many, as no archive of images does"
        )


def _read(opened: Callable[[], IO[bytes]], size: int) -> np.ndarray:
    """The array in an opened file of a known size."""
    with opened() as file:
        _check_header(file, size)
    with opened() as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _check_header(file: IO[bytes], size: int) -> None:
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        shape, _, dtype = readers[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError) as error:
        raise ValueError(f"the file is damaged or no array of NumPy ({error})") from error
    if dtype.hasobject:
        raise ValueError(
            "it holds Python objects, which are never unpickled; store an array of numbers"
        )
    held, promised = size - file.tell(), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or promised != held:
        raise ValueError(
            f"the file is damaged (its header promises {promised} bytes, shape {shape}, "
            f"{dtype}; it holds {held})"
        )
