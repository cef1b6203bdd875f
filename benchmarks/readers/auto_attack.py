"""Reads the records of auto_attack.py."""

from collections.abc import Iterator, Mapping

from readers import Table
from readers.base import Benchmark, described_network, percent


def seconds(rows: dict) -> float:
    """CPU seconds of all attacks of a library."""
    return sum(row.get("cpu_seconds", 0.0) for row in rows.values())


def last(rows: dict) -> float:
    """The accuracy after all attacks of a library."""
    return list(rows.values())[-1]["accuracy"]


def tables(record: dict) -> Iterator[Table]:
    """Accuracy after each attack, by library, and the CPU time of all."""
    made = record["contestants"]
    attacks = next(iter(made.values()))
    rows = [
        (name, *(percent(found[name]["accuracy"]) for found in made.values())) for name in attacks
    ]
    rows.append(("CPU s of all", *(f"{seconds(found):.0f}" for found in made.values())))
    note = (
        f"First {record['num_images']} test images in batches of {record['batch_size']}, seed "
        f"{record['seed']}. {described_network(record)}"
    )
    versions = ", ".join(f"{name} {version}" for name, version in record["versions_there"].items())
    note += f" The other libraries: {versions}." if versions else ""
    title = f"{record['dataset']}, eps {record['eps']:.4g}"
    yield Table(title, ("after", *made), tuple(rows), note.strip())


def conclusion(records: Mapping[str, dict]) -> str:
    """The accuracy after all attacks, of every library in every record."""
    said = []
    for name, record in records.items():
        figures = [
            f"{library} {percent(last(rows))} in {seconds(rows):.0f} CPU s"
            for library, rows in record["contestants"].items()
        ]
        said.append(f"{name}: {', '.join(figures)}")
    return f"Accuracy after AutoAttack; {'; '.join(said)}."


READER = Benchmark(
    "Does AutoAttack here agree with AutoAttack in other libraries, and at what cost?",
    tables,
    conclusion,
    "The same .keras file and the same images; every line is the accuracy under its attack and all "
    "attacks before it.",
)
