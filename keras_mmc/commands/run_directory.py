"""A directory of results that appears only once it is complete."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from absl import flags

from keras_mmc import _files

_SIGNATURE = "# Flags of a run of keras_mmc's examples."
_PLACES = ("--output_dir=", "--overwrite", "--nooverwrite", "--verbosity=")
RUN = _files.Kind(
    "run",
    marker="flags.txt",
    signature=_SIGNATURE,
    files=(
        *("flags.txt", "comparison.csv", "transfer.csv", "*/history.csv", "*/features.png"),
        *("epochs.png", "seconds.png", "*/model_card.md", "*/robustbench/*.json"),
        *("*/model.keras", "*/best.keras", "*/.best.*.partial.keras", "*/events.out.tfevents.*"),
        *("*/state/*.npz", "*/state/*.partial", "*/finished.json", "*/*.partial"),
    ),
)


@contextlib.contextmanager
def run_directory(path: str | os.PathLike[str], overwrite: bool) -> Iterator[pathlib.Path]:
    """Yield a directory to write to; it takes its final name when the block ends well.

    While a run lasts it is `<path>.partial/new`, which no second run can use. A run that fails
    leaves it: a run with the same flags finds it as it was, and goes on; one with other flags is
    refused, or replaces it with `overwrite`. It holds the flags of the command in
    flags.txt, ready for --flagfile.

    Raises:
        BlockingIOError: if another run writes to the same place.
        FileExistsError: if `path` exists and `overwrite` is not set, or if anything but a run is
            there, or an unfinished run of other flags.
        OSError: if it cannot be written.
    """
    text = f"{_SIGNATURE}\n{_own_flags()}"

    def goes_on(unfinished):
        marker = unfinished / "flags.txt"
        same = marker.exists() and _deciding(marker.read_text(encoding="utf-8")) == _deciding(text)
        begun = any(item.is_file() and item != marker for item in unfinished.rglob("*"))
        if begun and not same and not overwrite:
            raise FileExistsError(
                f"{unfinished} is left of a run with other flags than these. To go on with it, "
                f"pass those in {marker}; to replace it, --overwrite; or choose another "
                "--output_dir."
            )
        return same

    with _files.results_directory(path, RUN, overwrite, goes_on) as directory:
        (directory / "flags.txt").write_text(text, encoding="utf-8")
        yield directory


def _deciding(text: str) -> list[str]:
    """The flags that decide what a run computes."""
    return [line for line in text.splitlines() if not line.startswith(_PLACES)]


def _own_flags():
    """The flags of this package: a new process parses them before those of TensorFlow exist."""
    package = __name__.partition(".")[0]
    by_module = sorted(flags.FLAGS.flags_by_module_dict().items())
    own = [found for module, found in by_module if module.partition(".")[0] == package]
    lines = (flag.serialize() for found in own for flag in found if flag.value is not None)
    return "".join(f"{line}\n" for line in lines)
