"""A directory of results that appears only once it is complete."""

import contextlib
import pathlib
import shutil

from absl import flags


@contextlib.contextmanager
def run_directory(path, overwrite):
    """Yield a directory to write to; it takes its final name when the block ends well.

    While a run lasts it is called `<path>.partial`. A run that fails leaves that directory for
    inspection, and the next run replaces it.

    It holds the flags of the run in flags.txt.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is not set, or holds no run.
    """
    path = pathlib.Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} holds an earlier run. Choose another --output_dir, or pass --overwrite."
        )
    if path.exists() and not (path / "flags.txt").exists():
        raise FileExistsError(
            f"{path} holds no earlier run, since there is no flags.txt, and is left as it is. "
            "Choose another --output_dir."
        )
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "flags.txt").write_text(flags.FLAGS.flags_into_string(), encoding="utf-8")
    yield partial
    if path.exists():
        shutil.rmtree(path)
    partial.rename(path)
