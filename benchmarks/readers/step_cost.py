"""Reads the records of step_cost.py."""

from collections.abc import Iterator, Mapping

from readers import Table
from readers.base import Benchmark, median_multiple, multiples, spread

BASE, OURS = "softmax cross-entropy", "MMC"


def tables(record: dict) -> Iterator[Table]:
    """CPU time of a step, and the multiples of softmax."""
    rows = tuple(
        (name, spread(made["cpu_seconds"], 1, 1e3), spread(multiples(record, name, BASE), 3))
        for name, made in record["contestants"].items()
    )
    title = f"{record['network']}, batch {record['batch_size']}"
    note = f"{record['rounds']} rounds of {record['steps']} steps."
    yield Table(title, ("loss", "CPU ms per step", "multiple of softmax"), rows, note)


def conclusion(records: Mapping[str, dict]) -> str:
    """The multiples of all networks."""
    said = [f"{median_multiple(r, OURS, BASE)} on {r['network']}" for r in records.values()]
    return f"A step with MMC costs, in steps with softmax cross-entropy: {', '.join(said)}."


READER = Benchmark(
    "What does a training step with MMC cost, compared with softmax cross-entropy?",
    tables,
    conclusion,
    "Each network takes random images through the same steps, in turn; medians and ranges of the "
    "rounds, multiples round by round.",
)
