"""What files hold, as one hash."""

import hashlib
import pathlib


def digest_of_files(path: pathlib.Path) -> str:
    """SHA-256 of a file's bytes; of a directory, of all its files: sorted paths and contents.

    Paths are relative to the directory, so that a copy has the digest of the original. Each file
    counts by its path, its size and its bytes.
    """
    state = hashlib.sha256()
    if path.is_file():
        state.update(path.read_bytes())
        return state.hexdigest()
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    for name, file in sorted(files.items()):
        content = file.read_bytes()
        state.update(f"{name}\0{len(content)}\0".encode())
        state.update(content)
    return state.hexdigest()
