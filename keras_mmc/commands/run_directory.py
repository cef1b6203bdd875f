"""A directory of results that appears only once it is complete."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from absl import flags

from keras_mmc import _files

_SIGNATURE = "# Flags of a run of keras_mmc's examples."
RUN = _files.Kind(
    "run",
    marker="flags.txt",
    signature=_SIGNATURE,
    files=(
        *("flags.txt", "comparison.csv", "transfer.csv", "*/history.csv", "*/features.png"),
        *("epochs.png", "seconds.png", "*/model_card.md", "*/robustbench/*.json"),
        *("*/model.keras", "*/best.keras", "*/.best.*.partial.keras", "*/events.out.tfevents.*"),
    ),
)


@contextlib.contextmanager
def run_directory(path: str | os.PathLike[str], overwrite: bool) -> Iterator[pathlib.Path]:
    """Yield a directory to write to; it takes its final name when the block ends well.

    While a run lasts it is `<path>.partial/new`, which no second run can use. A run that fails
    leaves it for inspection, and the next run replaces it. It holds the flags of the command in
    flags.txt, ready for --flagfile.

    Raises:
        BlockingIOError: if another run writes to the same place.
        FileExistsError: if `path` exists and `overwrite` is not set, or if anything but a run is
            there.
        OSError: if it cannot be written.
    """
    with _files.results_directory(path, RUN, overwrite) as directory:
        text = f"{_SIGNATURE}\n{_own_flags()}"
        (directory / "flags.txt").write_text(text, encoding="utf-8")
        yield directory


def _own_flags():
    """The flags of this package: a new process parses them before those of TensorFlow exist."""
    package = __name__.partition(".")[0]
    by_module = sorted(flags.FLAGS.flags_by_module_dict().items())
    own = [found for module, found in by_module if module.partition(".")[0] == package]
    lines = (flag.serialize() for found in own for flag in found if flag.value is not None)
    return "".join(f"{line}\n" for line in lines)
