"""Reads the records of training_cost.py."""

from collections.abc import Iterator, Mapping

from readers import Table
from readers.base import Benchmark, median_multiple, missing, multiples, spread

BASE = "plain"
PAIRS = (("PGD-10 + EMR", "PGD-10"),)


def tables(record: dict) -> Iterator[Table]:
    """CPU time of a step, the multiples of plain training, and what EMR adds."""
    made = record["contestants"]
    rows = [
        (
            name,
            spread(made[name]["cpu_seconds"], 0, 1e3),
            spread(multiples(record, name, BASE), 2),
            f"{100 * made[name]['robust_accuracy']:.0f} %",
        )
        for name in made
    ]
    rows += [
        (f"{name} over {base}", "", spread(multiples(record, name, base), 2), "")
        for name, base in PAIRS
    ]
    header = ("training", "CPU ms per step", "multiple of plain", "robust accuracy")
    note = (
        f"{record['rounds']} rounds of {record['steps']} steps on {record['dataset']}, eps "
        f"{record['eps']:.4g}; robust accuracy on {record['num_images']} test images. "
    )
    title = f"{record['network']}, batch {record['batch_size']}"
    yield Table(title, header, tuple(rows), (note + missing(record)).strip())


def conclusion(records: Mapping[str, dict]) -> str:
    """The multiples of the contestants, in every record."""
    said = []
    for record in records.values():
        costs = [
            f"{name} {median_multiple(record, name, BASE)}"
            for name in record["contestants"]
            if name != BASE
        ]
        said.append(f"{record['network']}, batch {record['batch_size']}: {'; '.join(costs)}")
    return f"Multiples of a plain training step. {'. '.join(said)}."


READER = Benchmark(
    "What does adversarial training cost in plain training steps, here and in other libraries?",
    tables,
    conclusion,
    "All train the same network from the same weights on the same batches, in turn; medians and "
    "ranges of the rounds, multiples round by round. The robust accuracy, after PGD, only shows "
    "that contestants of one kind train alike: so few steps make no network robust.",
)
