"""What an experiment is: jobs that leave a record each, and a page made of the records."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

BUDGETS = ("smoke", "cpu", "full")


@dataclasses.dataclass(frozen=True)
class Paper:
    """Where the experiment is from, in RobustBench's keys."""

    authors: str
    title: str
    venue: str
    link: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
        title: its heading.
        header: names of the columns; the first is that of the rows.
        rows: cells, texts.
        note: what a reader must know to read it.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One experiment of a paper.

    Attributes:
        name: what `--experiment` takes.
        paper: where it is from.
        question: what it asks, in a sentence.
        jobs: makes, for a budget, the jobs by name: functions from a directory of their own, where
            they may leave models and pictures, to a record.
        tables: makes the tables of the records by the name of their job.
        conclusion: says in two sentences what is true.
        pictures: draws, from records and directories by the name of their job, into a directory.
    """

    name: str
    paper: Paper
    question: str
    jobs: Callable[[str], Mapping[str, Callable[[pathlib.Path], dict[str, Any]]]]
    tables: Callable[[Mapping[str, dict]], Iterator[Table]]
    conclusion: Callable[[Mapping[str, dict]], str]
    pictures: Callable[[Mapping[str, dict], pathlib.Path], None] = dataclasses.field(
        default_factory=lambda: _no_pictures
    )


def _no_pictures(records, directory):
    """Draw nothing."""
