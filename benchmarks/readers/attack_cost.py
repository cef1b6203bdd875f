"""Reads the records of attack_cost.py."""

from collections.abc import Iterator, Mapping

from readers import Table
from readers.base import (
    Benchmark,
    described_network,
    median_multiple,
    missing,
    multiples,
    percent,
    spread,
)

BASE = "keras_mmc, cross_entropy"


def tables(record: dict) -> Iterator[Table]:
    """CPU time of an attack on all images, its multiples of ours, and what it leaves."""
    rows = tuple(
        (
            name,
            spread(made["cpu_seconds"], 2),
            spread(multiples(record, name, BASE), 2),
            spread(made["robust_accuracy"], 1, 100) + " %",
        )
        for name, made in record["contestants"].items()
    )
    title = (
        f"PGD-{record['steps']} with {record['restarts']} restarts, {record['dataset']}, eps "
        f"{record['eps']:.4g}"
    )
    header = ("attack", "CPU s", f"multiple of {BASE}", "robust accuracy")
    notes = (
        f"First {record['num_images']} test images in batches of {record['batch_size']}, clean "
        f"accuracy {percent(record['clean_accuracy'])}; {record['rounds']} rounds.",
        described_network(record),
        missing(record),
    )
    yield Table(title, header, rows, " ".join(filter(None, notes)))


def conclusion(records: Mapping[str, dict]) -> str:
    """What the others cost."""
    said = []
    for record in records.values():
        costs = [
            f"{name} {median_multiple(record, name, BASE)}"
            for name in record["contestants"]
            if not name.startswith("keras_mmc")
        ]
        left = record["contestants"][BASE]["robust_accuracy"]
        where = f"{record['dataset']}, eps {record['eps']:.4g}, where it leaves"
        said.append(f"{', '.join(costs) or 'none'} on {where} {spread(left, 1, 100)} %")
    return f"PGD of other libraries, in multiples of the CPU time here: {'; '.join(said)}."


READER = Benchmark(
    "What does PGD with restarts cost, here and in other libraries?",
    tables,
    conclusion,
    "All attack the same images with the same radius, steps and restarts, in turn; medians and "
    "ranges of the rounds. Images that are misclassified leave the batch here, so that the cost "
    "falls with the robust accuracy.",
)
