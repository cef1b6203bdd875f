"""What an audit has finished, on disk, so that an interrupted one goes on where it stopped."""

import hashlib
import io
import json
import os
import pathlib
import re
import zipfile

import numpy as np

_FACTS = "audit.json"
_PARTIAL = ".partial"
_HASHED = ("images", "labels", "model", "substitute")


class AuditState:
    """Memory of finished batches: a function `(key, compute) -> arrays` that computes only once.

    Every batch is a file of its own that appears as a whole, so an audit can end at any moment.

    Args:
        directory: a new or empty directory, or one that an audit of the same facts has left.
        facts: what fixes the results, ready for JSON; digests and settings.
        scores: scores of some clean images, `(n, K)`: what weights do not tell of a model.

    Raises:
        ValueError: if the directory holds another audit, other files or damaged ones.
        OSError: if it cannot be written.
    """

    def __init__(self, directory, facts: dict, scores: np.ndarray):
        self.directory = pathlib.Path(directory)
        text = json.dumps(facts, indent=2) + "\n"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._check_files(json.loads(text))
            _write(self.directory / _FACTS, text.encode())
        except OSError as error:
            raise OSError(
                f"The state of an audit cannot be kept in {self.directory}: {error}. Pass a "
                "`state_directory` that can be created and written, or leave it out."
            ) from error
        stored = self("clean scores", lambda: {"scores": scores})["scores"]
        if not np.allclose(stored, scores, rtol=1e-3, atol=1e-4 * np.abs(scores).max()):
            raise ValueError(
                f"{self.directory} holds the audit of another model: its weights are the same, "
                "its scores of clean images are not. A model that is random at inference cannot "
                "be audited in parts. Pass another `state_directory`."
            )

    def __call__(self, key: str, compute) -> dict[str, np.ndarray]:
        """The arrays of a finished batch, or else those `compute()` returns, kept from now on."""
        path = self.directory / (re.sub(r"[^a-z0-9.]+", "-", key.lower()) + ".npz")
        if path.exists():
            try:
                with np.load(path) as arrays:
                    return dict(arrays)
            except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
                raise ValueError(
                    f"{path} is damaged: {error}. Delete this file; its batch runs again."
                ) from error
        arrays = compute()
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        _write(path, buffer.getvalue())
        return arrays

    def _check_files(self, facts):
        names = [p.name for p in self.directory.iterdir() if p.suffix != _PARTIAL]
        if not names:
            return
        if _FACTS not in names:
            raise ValueError(
                f"{self.directory} holds other files, such as {min(names)!r}, and no audit. Pass "
                "a new or an empty `state_directory`."
            )
        try:
            held = dict(json.loads((self.directory / _FACTS).read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self.directory / _FACTS} is damaged: {error}. Delete {self.directory} to start "
                "the audit anew."
            ) from error
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


def digests_of(model, substitute, x, y) -> dict[str, str | None]:
    """SHA-256 of images, labels and the weights of the models: what an audit was about.

    Args:
        model: Keras model.
        substitute: a second one, or `None`.
        x: images, NumPy.
        y: labels, NumPy.
    """
    return {
        "images": _digest(x),
        "labels": _digest(y),
        "model": _digest(*model.get_weights()),
        "substitute": None if substitute is None else _digest(*substitute.get_weights()),
    }


def _digest(*arrays):
    """A hash of the shapes, types and bytes of arrays."""
    state = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        state.update(f"{array.shape} {array.dtype} ".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def _write(path, content):
    """Write a file that appears only once it is complete, also if the machine fails."""
    partial = path.with_name(path.name + _PARTIAL)
    with open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
