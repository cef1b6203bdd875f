"""Results on disk: complete or absent, one writer at a time, and only our own files removed."""

import contextlib
import dataclasses
import fnmatch
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator

import filelock

PathLike = str | os.PathLike[str]
LOCK = "keras_mmc.lock"


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a directory of results is recognized by.

    `noun` says what it holds, such as `"report"`; `marker` is the name of a file that every such
    directory has, `signature` text in that file that only this package writes. `files` are patterns
    of the paths of all files that it may hold; `*` also matches `/`.
    """

    noun: str
    marker: str
    signature: str
    files: tuple[str, ...]


_UNFINISHED = "Unfinished results of keras_mmc; the next run to the same place replaces them.\n"


@contextlib.contextmanager
def results_directory(
    path: PathLike,
    kind: Kind,
    overwrite: bool = False,
    goes_on: Callable[[pathlib.Path], bool] = lambda unfinished: False,
) -> Iterator[pathlib.Path]:
    """Yields a directory to write to, which takes its place when the block ends well.

    Until then it is `<path>.partial/new`. The directory that it replaces is removed once the new
    one stands. A block that fails leaves what it has written there; the next one gets it where
    `goes_on` of it is true, and an empty one else. The block must write the marker of the kind.
    Errors are those of `check_results_directory`, and a `BlockingIOError` if another process
    writes to the same place.
    """
    partial = _partial(pathlib.Path(path).resolve())
    if (partial / LOCK).exists():
        lock(partial, path).lock.release()  # in use: said before anything about the files there
    path = check_results_directory(path, kind, overwrite)
    new, old = partial / "new", partial / "old"
    partial.mkdir(parents=True, exist_ok=True)
    with lock(partial, path):
        if old.exists() and not path.exists():  # a process was killed between the two renames
            old.rename(path)
        check_results_directory(path, kind, overwrite)
        if not (new.exists() and goes_on(new)):
            _clear(partial)
        (partial / "unfinished.txt").write_text(_UNFINISHED, encoding="utf-8")
        new.mkdir(exist_ok=True)
        try:
            yield new
        except BaseException:
            if not any(new.iterdir()):
                shutil.rmtree(partial)
            raise
        _take_place(new, path, old, kind, overwrite)
        # What others have put there in the meantime is left as it is.
        if _problem(partial, _kind_of_partial(kind)) is None:
            _clear(partial)
            shutil.rmtree(partial, ignore_errors=True)


def check_results_directory(path: PathLike, kind: Kind, overwrite: bool = False) -> pathlib.Path:
    """Refuses a place that `results_directory` cannot or must not write to; changes nothing.

    Returns the resolved path, without links and `..`. With `overwrite` an earlier directory of the
    same kind may be replaced.

    Raises:
        FileExistsError: if something is there and `overwrite` is not set, or it is not of this
            kind, holds other files too, or is the working directory, the home, a mount point or
            above one of them; also for a `<path>.partial` that is not ours.
        OSError: if the place cannot be written.
    """
    path = pathlib.Path(path).resolve()
    kept = (pathlib.Path.cwd(), pathlib.Path(os.path.expanduser("~")).resolve())
    if os.path.ismount(path) or any(path in (place, *place.parents) for place in kept):
        raise FileExistsError(
            f"{path} is the working directory, your home, a mount point or above one of them, and "
            "is left as it is. Choose another directory."
        )
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists. If it holds an earlier {kind.noun}, pass overwrite=True (--overwrite) "
            "to replace it; else choose another directory."
        )
    places = {path: kind, _partial(path): _kind_of_partial(kind)}
    for place, its_kind in places.items():
        problem = _problem(place, its_kind) if place.exists() else None
        if problem:
            raise FileExistsError(f"{place} {problem}, and is left as it is. Choose another path.")
    for place in places:
        check_writable(place)
    return path


def check_writable(directory: PathLike) -> None:
    """Refuses with an `OSError` where no directory can be made, or no file written in it."""
    directory = pathlib.Path(directory).resolve()
    nearest = next(place for place in (directory, *directory.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(b"keras_mmc")
    except OSError as error:
        raise OSError(
            f"{directory} cannot be written: {error}. Choose a directory that can be created and "
            "written."
        ) from error


def check_apart(first: PathLike, second: PathLike) -> None:
    """Refuses with a `ValueError` two directories of which one is, or contains, the other."""
    one, other = pathlib.Path(first).resolve(), pathlib.Path(second).resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise ValueError(
            f"{first} and {second} must lie apart: one is replaced as a whole, the other is kept. "
            "Choose two directories of which neither contains the other."
        )


def lock(
    directory: pathlib.Path, path: PathLike, name: str = LOCK, patience: float = 0.0
) -> filelock.AcquireReturnProxy:
    """Takes a lock with its file in `directory`; the result, a context manager, releases it.

    If another process holds it for `patience` seconds more, a `BlockingIOError` names the `path`
    that the lock is for. `name` is that of the file.
    """
    try:
        return filelock.FileLock(directory / name).acquire(timeout=patience)
    except (filelock.Timeout, FileNotFoundError):
        raise BlockingIOError(
            f"{path} is in use: another process writes there. Wait until it has ended, or choose "
            "another directory. The lock of a process that was killed needs no cleaning up."
        ) from None


@contextlib.contextmanager
def replacing(path: pathlib.Path, partial: pathlib.Path) -> Iterator[None]:
    """After a block that writes the file `partial`, that file takes the place of `path`.

    Readers see the older file or the new one, never a part, even if the machine fails. A block that
    fails leaves the older file alone.
    """
    try:
        yield
        _sync(partial)
        os.replace(partial, path)
        _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _partial(path: pathlib.Path) -> pathlib.Path:
    return path.parent / f"{path.name}.partial"


def _kind_of_partial(kind: Kind) -> Kind:
    inside = [f"{part}/{pattern}" for part in ("new", "old") for pattern in kind.files]
    files = ("unfinished.txt", LOCK, *inside)
    return Kind(f"unfinished {kind.noun}", "unfinished.txt", _UNFINISHED, files)


def _problem(directory: pathlib.Path, kind: Kind) -> str | None:
    """Why a directory is not all ours, in words that follow its name; `None` if it is."""
    if not directory.is_dir():
        return "is no folder"
    paths = [path for path in directory.rglob("*") if path.is_symlink() or not path.is_dir()]
    names = {path.relative_to(directory).as_posix(): path.is_symlink() for path in paths}
    if not names.keys() - {LOCK}:
        return None
    foreign = [
        name
        for name, is_link in names.items()
        if is_link or not any(fnmatch.fnmatchcase(name, pattern) for pattern in kind.files)
    ]
    problems = [f"other things, such as {min(foreign)!r}"] if foreign else []
    marker = directory / kind.marker
    if not (marker.is_file() and kind.signature in marker.read_text("utf-8", "replace")):
        problems.append(f"no {kind.marker} of an earlier {kind.noun}")
    return "holds " + " and ".join(problems) if problems else None


def _take_place(
    new: pathlib.Path, path: pathlib.Path, old: pathlib.Path, kind: Kind, overwrite: bool
) -> None:
    """Renames `new` to `path`; what was there goes to `old`."""
    for item in (*new.rglob("*"), new):
        _sync(item)
    try:
        if path.exists():
            check_results_directory(path, kind, overwrite)
            path.rename(old)
        new.rename(path)
    except OSError as error:
        if old.exists():
            old.rename(path)
        raise OSError(f"The finished {kind.noun} is left in {new}, since {error}") from error
    _sync(path.parent)
    if old.exists():
        old.rename(new)  # what is to be removed: `old` alone would be put back by the next run


def _clear(partial: pathlib.Path) -> None:
    """Removes what is to be removed before the marker that says whose it is."""
    for part in ("new", "old"):
        if (partial / part).exists():
            shutil.rmtree(partial / part)


def _sync(path: pathlib.Path) -> None:
    """Asks the system to bring a file or a directory to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open directories
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
