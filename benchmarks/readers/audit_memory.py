"""Reads the records of audit_memory.py."""

from collections.abc import Iterator, Mapping

from readers import Table
from readers.base import Benchmark, described_network, percent


def above_imports(record: dict) -> float:
    """GiB that the audit took above what the imports had taken."""
    return record["peak_gib"]["audit"] - record["peak_gib"]["imports"]


def tables(record: dict) -> Iterator[Table]:
    """Peaks of the memory, and what the audit found."""
    title = f"Suite {record['suite']}, {record['dataset']}, eps {record['eps']:.4g}"
    rows = [
        (f"peak after {name}", f"{value:.2f} GiB") for name, value in record["peak_gib"].items()
    ]
    rows.append(("audit above imports", f"{above_imports(record):.2f} GiB"))
    rows += [(f"{name} accuracy", percent(value)) for name, value in record["accuracy"].items()]
    note = (
        f"First {record['num_images']} test images in batches of {record['batch_size']}, seed "
        f"{record['seed']}. {described_network(record)}"
    )
    yield Table(title, ("", "value"), tuple(rows), note.strip())


def conclusion(records: Mapping[str, dict]) -> str:
    """The memory of every audit."""
    said = [
        f"{above_imports(r):.2f} GiB above the imports for {r['num_images']:,} images of "
        f"{r['dataset']}"
        for r in records.values()
    ]
    return f"An audit took {'; '.join(said)}."


READER = Benchmark(
    "How much memory does an audit of many images take?",
    tables,
    conclusion,
    "Largest resident size of the process.",
)
