"""Reads the records of fuzzing.py."""

import collections
from collections.abc import Iterator, Mapping

from readers import Table
from readers.base import Benchmark


def totals(record: dict) -> dict[str, tuple[int, int, int]]:
    """Names, refusals and answers by module; files by what they are."""
    found: dict[str, list] = collections.defaultdict(lambda: [0, 0, 0])
    for name, counts in record["counts"].items():
        module = name.split(".")[0] if " " not in name else name
        for place, count in enumerate((1, counts.get("refused", 0), counts.get("answered", 0))):
            found[module][place] += count
    return {module: tuple(sums) for module, sums in sorted(found.items())}


def examples(record: dict) -> int:
    """How many examples were tried."""
    return sum(refused + answered for _, refused, answered in totals(record).values())


def tables(record: dict) -> Iterator[Table]:
    """Refusals and answers of every module."""
    rows = tuple(
        (module, str(names), f"{refused:,}", f"{answered:,}")
        for module, (names, refused, answered) in totals(record).items()
    )
    title = f"{examples(record):,} examples"
    yield Table(title, ("", "names", "refused", "answered"), rows, "")


def conclusion(records: Mapping[str, dict]) -> str:
    """How many examples each record tried."""
    said = [
        f"{examples(record):,} examples of {len(record['counts'])} functions, classes and files"
        for record in records.values()
    ]
    return f"Nothing but refusals in words and finite answers came of {'; '.join(said)}."


READER = Benchmark(
    "Does hostile or absurd input end in anything but a refusal in words, or an answer?",
    tables,
    conclusion,
    "A run that finds anything else leaves no record.",
)
