"""Reads the records of mixed_precision.py."""

from collections.abc import Iterator, Mapping

from readers import Table
from readers.base import Benchmark, median_multiple, multiples, percent, spread

BASE, MIXED = "float32", "mixed_bfloat16"


def tables(record: dict) -> Iterator[Table]:
    """CPU time of an epoch, and the accuracies reached."""
    rows = tuple(
        (
            name,
            spread(made["cpu_seconds"], 1),
            spread(multiples(record, name, BASE), 2),
            percent(made["clean_accuracy"]),
            percent(made["robust_accuracy"]),
        )
        for name, made in record["contestants"].items()
    )
    header = ("precision", "CPU s per epoch", f"multiple of {BASE}", "clean accuracy")
    note = (
        f"{record['train_images']:,} training images of {record['dataset']} in batches of "
        f"{record['batch_size']}, {record['rounds']} epochs after the first, which traces the "
        f"step; accuracies on {record['num_images']} test images. The processor "
        f"{'has' if record['bfloat16_instructions'] else 'lacks'} bfloat16 instructions."
    )
    title = f"{record['network']}, eps {record['eps']:.4g}, seed {record['seed']}"
    yield Table(title, (*header, "accuracy under PGD"), rows, note)


def conclusion(records: Mapping[str, dict]) -> str:
    """The multiples of all records."""
    said = [
        f"{median_multiple(record, MIXED, BASE)} ("
        f"{'with' if record['bfloat16_instructions'] else 'without'} bfloat16 instructions)"
        for record in records.values()
    ]
    return f"Training in mixed bfloat16 costs, as a multiple of float32: {', '.join(said)}."


READER = Benchmark(
    "Is training in mixed bfloat16 faster, and is the network as robust?",
    tables,
    conclusion,
    "Both train from the same weights, an epoch each in turn; medians and ranges of the epochs.",
)
