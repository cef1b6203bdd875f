"""Where a report is kept: complete or absent, read back, and reserved before a long audit."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import TypeVar, get_type_hints

from keras_mmc import _files
from keras_mmc.evaluation._report_files import ARRAYS, FACTS, PAGE, read_fields, write_files
from keras_mmc.evaluation.checkpoint import check_state_directory

Report = TypeVar("Report", bound="SavedReport")
_KIND = _files.Kind(
    "report",
    marker=FACTS,
    signature='"keras_mmc":',
    files=(FACTS, PAGE, ARRAYS),
)


class SavedReport:
    """Base class of `AuditReport`, a dataclass that `save` writes and `load` reads."""

    def save(self, directory: _files.PathLike, overwrite: bool = False) -> pathlib.Path:
        """Write a directory that appears only once it is complete.

        It holds `report.json`, the page `report.html` to open in a browser, and `adversarial.npz`
        with the arrays `x`, `labels`, `x_adv` and `predictions`. `load` reads it.

        Args:
            directory: directory to create.
            overwrite: replace the report of an earlier audit; nothing else is ever deleted.

        Returns:
            The directory.

        Raises:
            FileExistsError, BlockingIOError, OSError: see `reserve`.
        """
        with self.reserve(directory, overwrite) as complete:
            self.write(complete)
        return pathlib.Path(directory)

    @classmethod
    def load(cls: type[Report], directory: _files.PathLike) -> Report:
        """Read what `save` wrote; the report equals the one that was saved.

        Args:
            directory: directory that `save` or `write` has filled.

        Raises:
            FileNotFoundError: if it holds no report.
            ValueError: if a file is damaged, holds something else, or is of a version that left
                something out. Nothing in a file is executed.

        Example:
        >>> report = keras_mmc.evaluation.AuditReport.load("runs/audit")
        """
        return cls(**read_fields(directory, get_type_hints(cls)))

    def write(self, directory: pathlib.Path) -> None:
        """Write the files of `save` to a directory that `reserve` has made."""
        write_files(self, directory)

    @staticmethod
    @contextlib.contextmanager
    def reserve(
        directory: _files.PathLike,
        overwrite: bool = False,
        state_directory: _files.PathLike | None = None,
    ) -> Iterator[pathlib.Path]:
        """Check the place of a report before a long audit, and keep it from other processes.

        Args:
            directory: directory to create.
            overwrite: whether the report of an earlier audit may be replaced.
            state_directory: where the audit keeps its finished batches, if anywhere.

        Yields:
            The directory to `write` to; it takes its place when the block ends well.

        Raises:
            BlockingIOError: if another process writes there.
            FileExistsError, ValueError, OSError: see `check_directory`.

        Example:
        >>> with AuditReport.reserve("runs/audit") as directory:
        ...     keras_mmc.audit(model, x_test, y_test, eps=8 / 255).write(directory)
        """
        SavedReport.check_directory(directory, overwrite, state_directory)
        with _files.results_directory(directory, _KIND, overwrite) as complete:
            yield complete

    @staticmethod
    def check_directory(
        directory: _files.PathLike,
        overwrite: bool = False,
        state_directory: _files.PathLike | None = None,
    ) -> None:
        """Refuse a directory that `save` would refuse, before a long audit; changes nothing.

        Args:
            directory: directory to create.
            overwrite: whether the report of an earlier audit may be replaced.
            state_directory: where the audit keeps its finished batches, if anywhere.

        Raises:
            FileExistsError: if it exists and `overwrite` is not set, or if it holds other files
                than a report.
            OSError: if one of the two cannot be written.
            ValueError: if one lies inside the other, or the state directory holds other files.
        """
        _files.check_results_directory(directory, _KIND, overwrite)
        if state_directory is not None:
            _files.check_apart(directory, state_directory)
            check_state_directory(state_directory)
