"""What an audit has finished, on disk, so that an interrupted one goes on where it stopped."""

import fnmatch
import hashlib
import json
import pathlib
import re
from collections.abc import Callable, Iterable

import keras
import numpy as np

from keras_mmc import _files
from keras_mmc._stored_arrays import read_npz
from keras_mmc.adapters import BlackBox
from keras_mmc.attacks.memory import Part
from keras_mmc.evaluation import _state_locks

_FACTS, _PARTIAL = "audit.json", ".partial"
_FORMAT = {"format": 2}
_HASHED = ("images", "labels", "model", "substitute")


class DamagedStateError(ValueError):
    """A file of finished batches that cannot be read."""


class AuditState:
    """Memory of what attacks did to images: a `keras_mmc.attacks.memory.Remember`.

    Every finished batch is a file of its own that appears as a whole, so an audit can end at any
    moment. What it holds is found by attack and image: batches of another size, or those of shards,
    do as well. The directory is locked until `close`, or until the process ends; a `with` block
    closes it.

    Args:
        directory: a new or empty directory, or one that an audit of the same facts has left.
        facts: what fixes the results, ready for JSON; digests and settings.
        scores: scores of some clean images, `(n, K)`: what weights do not tell of a model.
        shard: `(i, n)` if this process works on shard i of n alone; others may then work on the
            other shards at the same time.

    Raises:
        BlockingIOError: if another process audits with the same directory, or the same shard.
        ValueError: if the directory holds another audit, other files or damaged ones.
        OSError: if it cannot be written.
    """

    def __init__(
        self,
        directory: _files.PathLike,
        facts: dict,
        scores: np.ndarray,
        shard: _state_locks.Shard | None = None,
    ):
        self.directory = check_state_directory(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        entrance = _state_locks.enter(self.directory, shard)
        try:
            text = json.dumps(_FORMAT | facts, indent=2) + "\n"
            self._check_facts(json.loads(text))
            self._write(self.directory / _FACTS, lambda file: file.write(text.encode()))
            self._check_scores(scores)
            self._lock = entrance if shard is None else _state_locks.take(self.directory, shard)
        except BaseException:
            entrance.lock.release()
            raise
        if shard is not None:
            entrance.lock.release()

    def close(self) -> None:
        """Lets other processes use the directory."""
        self._lock.lock.release()

    def __enter__(self) -> "AuditState":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __call__(
        self, name: str, rows: np.ndarray, compute: Callable[[np.ndarray], Iterable[Part]]
    ) -> list[Part]:
        """Batches in which all these images occur: known ones, and those that are computed now.

        Args:
            name: name of the attack; only its letters and digits count.
            rows: numbers of images, `(n,)`.
            compute: called with those images of which nothing is known; every batch that it yields,
                with its images as `rows`, is kept at once.
        """
        folder = self.directory / re.sub(r"[^a-z0-9.]+", "-", name.lower())
        parts = [part for path in sorted(folder.glob("*.npz")) if (part := _read(path, rows))]
        known = np.concatenate([rows[:0], *(part["rows"] for part in parts)])
        for part in compute(rows[~np.isin(rows, known)]):
            self._keep(folder / f"{part['rows'].min()}.npz", part)
            parts.append(part)
        return parts

    def _keep(self, path, part):
        self._write(path, lambda file: np.savez(file, **part))

    def _write(self, path, write):
        partial = path.with_name(path.name + _PARTIAL)
        try:
            path.parent.mkdir(exist_ok=True)
            with _files.replacing(path, partial), open(partial, "wb") as file:
                write(file)
        except OSError as error:
            raise OSError(
                f"The state of an audit cannot be kept in {self.directory}: {error}. Pass a "
                "`state_directory` that can be created and written, or leave it out."
            ) from error

    def _check_facts(self, facts):
        path = self.directory / _FACTS
        if not path.exists():
            return
        try:
            held = dict(json.loads(path.read_text(encoding="utf-8")))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"{path} is damaged: {error}. Delete {self.directory} to start the audit anew."
            ) from error
        if held.get("format") != _FORMAT["format"]:
            raise ValueError(
                f"{self.directory} holds an audit that another version of keras_mmc has begun, in "
                "a form that this one does not read. Pass another `state_directory`, or delete "
                "this one to start anew."
            )
        other = [
            f"other {name}" if name in _HASHED else f"{name} {held.get(name)} there, {value} here"
            for name, value in facts.items()
            if held.get(name) != value
        ]
        if other:
            raise ValueError(
                f"{self.directory} holds another audit: {'; '.join(other)}. Pass another "
                "`state_directory`, or delete this one to start anew."
            )

    def _check_scores(self, scores):
        path, part = self.directory / "clean-scores.npz", {"rows": np.arange(len(scores))}
        if not path.exists():
            self._keep(path, part | {"scores": scores})
        stored = (_read(path, part["rows"]) or {}).get("scores", np.empty(0))
        if stored.shape != scores.shape or not np.allclose(
            stored, scores, rtol=1e-3, atol=1e-4 * np.abs(scores).max()
        ):
            raise ValueError(
                f"{self.directory} holds the audit of another model: its weights are the same, or "
                "it has none, and its scores of clean images are not. A model that is random at "
                "inference cannot be audited in parts. Pass another `state_directory`."
            )


def _read(path: pathlib.Path, rows: np.ndarray) -> Part | None:
    """A finished batch, if one of these images occurs in it."""
    try:
        part = _checked(read_npz(path))
    except (OSError, ValueError) as error:
        raise DamagedStateError(
            f"{path} is damaged: {error}. Delete this file; its batch runs again."
        ) from error
    return part if np.isin(part["rows"], rows).any() else None


def _checked(part):
    """A finished batch, if its arrays fit together as those that are kept do."""
    shapes = {name: array.shape for name, array in part.items()}
    fits = "rows" in part and len(shapes["rows"]) == 1 and part["rows"].dtype.kind == "i"
    if fits and "broken" in part:  # of an attack, as `Runner.run` keeps it
        fits = shapes.keys() == {"rows", "broken", "x_adv", "seconds", "asked"}
        fits = fits and np.isin(part["broken"], part["rows"]).all()
        fits = fits and shapes["x_adv"][:1] == shapes["broken"] and shapes["asked"] == (2,)
        fits = fits and shapes["seconds"] == ()
    if not fits:
        raise ValueError(f"it holds arrays of other shapes than a finished batch, {shapes}")
    return part


def check_state_directory(directory: _files.PathLike) -> pathlib.Path:
    """Refuses a directory that `AuditState` would refuse, before any work; changes nothing.

    Args:
        directory: a new or empty directory, or one that an audit has left.

    Returns:
        The resolved path.

    Raises:
        ValueError: if it holds other files and no audit.
        OSError: if it cannot be written.
    """
    directory = pathlib.Path(directory).resolve()
    _files.check_writable(directory)
    names = {path.name for path in directory.iterdir()} if directory.exists() else set()
    others = names - {_files.LOCK, _FACTS + _PARTIAL}
    others = {name for name in others if not fnmatch.fnmatch(name, _state_locks.SHARD_LOCKS)}
    if others and _FACTS not in others:
        raise ValueError(
            f"{directory} holds other files, such as {min(others)!r}, and no audit. Pass a new or "
            "an empty `state_directory`."
        )
    return directory


def digest_of_weights(model: keras.Layer) -> str:
    """SHA-256 of the weights of a Keras model."""
    return digest_of(*model.get_weights())


def digests_of(
    model: keras.Layer, substitute: keras.Model | None, x: np.ndarray, y: np.ndarray
) -> dict[str, str | None]:
    """SHA-256 of images, labels and the weights of the models: what an audit was about.

    A black box says itself what its digest is: that of its file or files, or `None`.

    Args:
        model: Keras model or `BlackBox`.
        substitute: a second one, or `None`.
        x: images, NumPy.
        y: labels, NumPy.
    """
    return {
        "images": digest_of(x),
        "labels": digest_of(y),
        "model": model.digest if isinstance(model, BlackBox) else digest_of_weights(model),
        "substitute": None if substitute is None else digest_of_weights(substitute),
    }


def digest_of(*arrays: np.ndarray) -> str:
    """SHA-256 of the shapes, types and bytes of arrays, in hexadecimal digits."""
    state = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        state.update(f"{array.shape} {array.dtype} ".encode())
        state.update(array.tobytes())
    return state.hexdigest()
