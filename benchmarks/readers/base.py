"""What the reader of a benchmark is: functions from its records to tables and a conclusion."""

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from readers import Table


def facts(record: dict) -> str:
    """Where the figures of a record are from: command, commit, versions, processor, cost."""
    versions = {name: value for name, value in record["versions"].items() if name != "keras_mmc"}
    words = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"`{record['command']}`, commit {record['commit']}, {words}, {record['processor']}; "
        f"{record['cpu_seconds']:.0f} CPU seconds in all"
    )


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """How the records of a benchmark are read.

    Attributes:
        question: what it asks, in a sentence.
        tables: makes the tables of one record.
        conclusion: says in a sentence or two what is true, of all records by the names of the runs.
        reading: what a reader must know of all its tables; no figures.
        facts: says where the figures of a record are from.
    """

    question: str
    tables: Callable[[dict], Iterator[Table]]
    conclusion: Callable[[Mapping[str, dict]], str]
    reading: str
    facts: Callable[[dict], str] = facts


def spread(values: Sequence[float], digits: int, scale: float = 1.0) -> str:
    """Median and range; the value alone if there is one."""
    low, middle, high = (
        f"{scale * value:,.{digits}f}"
        for value in (min(values), statistics.median(values), max(values))
    )
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def percent(value: float) -> str:
    """A fraction in percent."""
    return f"{100 * value:.2f} %"


def multiples(record: dict, name: str, base: str) -> list[float]:
    """What a contestant costs in terms of another one, round by round."""
    costs = [record["contestants"][contestant]["cpu_seconds"] for contestant in (name, base)]
    return [cost / of for cost, of in zip(*costs, strict=True)]


def median_multiple(record: dict, name: str, base: str) -> str:
    """The median of `multiples`."""
    return f"{statistics.median(multiples(record, name, base)):.2f}"


def described_network(record: dict) -> str:
    """The flags that the attacked network was trained with, if the record has them."""
    given = [f"--{name}={value}" for name, value in record.get("network_flags", {}).items()]
    return f"The network was trained with `{' '.join(given)}`." if given else ""


def missing(record: dict) -> str:
    """The contestants whose libraries were not installed."""
    return f"Not installed: {', '.join(record['missing'])}." if record.get("missing") else ""
