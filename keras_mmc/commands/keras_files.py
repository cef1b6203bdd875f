"""`.keras` files that anybody may have written: loaded only if they are what they say."""

from __future__ import annotations

import contextlib
import math
import pathlib
import threading
import zipfile
from collections.abc import Iterator
from typing import Any

import keras

_CONFIG, _WEIGHTS = "config.json", ("model.weights.h5", "model.weights.npz")
# A member of an archive that claims to be larger than so many times the file is not believed.
_MOST_EXPANSION = 100
_guard = threading.Lock()


def load_keras(path: str) -> keras.Model:
    """The model in a `.keras` file; no `Lambda`, no code of the file runs.

    Every weight of a model is in its file, so a configuration that asks for more numbers than the
    file has bytes is refused before a layer is built.

    Raises:
        ValueError: if the file is damaged, of another kind, or asks for more weights than it holds.
    """
    with _guard, _weights_of_at_most(_check_archive(path)):
        return keras.models.load_model(path)


def _check_archive(path):
    """How many bytes of weights an archive holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            found = [sizes[name] for name in _WEIGHTS if name in sizes]
            broken = archive.testzip() if sum(sizes.values()) <= _most(path) else None
    except Exception as error:  # whatever Python's reader raises
        raise ValueError(
            f"the file is damaged or no .keras file, which is a zip archive ({error})"
        ) from error
    if sum(sizes.values()) > _most(path):
        raise ValueError(f"its archive would unpack to more than {_MOST_EXPANSION} times its size")
    if broken is not None:
        raise ValueError(f"the file is damaged: the checksum of {broken!r} in it does not fit")
    if _CONFIG not in sizes or not found:
        held = ", ".join(sorted(sizes)[:5]) or "nothing"
        raise ValueError(
            f"the archive is no .keras file: it must hold {_CONFIG} and {_WEIGHTS[0]}; it holds "
            f"{held}"
        )
    return max(found)


def _most(path):
    return _MOST_EXPANSION * pathlib.Path(path).stat().st_size


@contextlib.contextmanager
def _weights_of_at_most(size: int) -> Iterator[None]:
    """Within the block, a weight that makes all weights more numbers than `size` is refused."""
    made, add_weight = 0, keras.Layer.add_weight

    def counted(self: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        nonlocal made
        shape = kwargs.get("shape", args[0] if args else None)
        made += math.prod(shape) if isinstance(shape, (tuple, list)) else (shape or 1)
        if made > size:
            raise ValueError(
                f"the configuration asks for {made:,} weights or more, at the layer "
                f"{self.name!r} of shape {shape}; the file holds {size:,} bytes of weights"
            )
        return add_weight(self, *args, **kwargs)

    keras.Layer.add_weight = counted
    try:
        yield
    finally:
        keras.Layer.add_weight = add_weight
