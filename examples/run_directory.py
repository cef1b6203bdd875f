"""A directory of results that appears only once it is complete."""

import contextlib
import pathlib
import shutil


@contextlib.contextmanager
def run_directory(path, overwrite):
    """Yield a directory to write to; it takes its final name when the block ends well.

    While a run lasts it is called `<path>.partial`. A run that fails leaves that directory for
    inspection, and the next run replaces it.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is not set.
    """
    path = pathlib.Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} holds an earlier run. Choose another --output_dir, or pass --overwrite."
        )
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    if path.exists():
        shutil.rmtree(path)
    partial.rename(path)
