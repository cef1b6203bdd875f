"""Reads the records of sharded_audit.py."""

import statistics
from collections.abc import Iterator, Mapping

from readers import Table
from readers.base import Benchmark, described_network, percent, spread


def in_shards(record: dict) -> list[float]:
    """Wall seconds of the shards and their merge, round by round."""
    seconds = record["wall_seconds"]
    return [sum(both) for both in zip(seconds["shards"], seconds["merge"], strict=True)]


def times_faster(record: dict) -> list[float]:
    """How many times as long one process takes, round by round."""
    pairs = zip(record["wall_seconds"]["one process"], in_shards(record), strict=True)
    return [one / shards for one, shards in pairs]


def tables(record: dict) -> Iterator[Table]:
    """Wall times, and the report that both ways lead to."""
    title = f"Suite {record['suite']}, {record['dataset']}, eps {record['eps']:.4g}"
    seconds = record["wall_seconds"]
    rows = (
        ("one process", f"{spread(seconds['one process'], 1)} s"),
        (f"{record['shards']} shards and their merge", f"{spread(in_shards(record), 1)} s"),
        ("the merge in it, with the diagnostics", f"{spread(seconds['merge'], 1)} s"),
        ("one process takes", f"{spread(times_faster(record), 2)} times as long"),
        *((f"{name} accuracy", percent(value)) for name, value in record["accuracy"].items()),
    )
    note = (
        f"First {record['num_images']} test images in batches of {record['batch_size']}, seed "
        f"{record['seed']}, {len(seconds['merge'])} rounds on {record['cores']} cores; load before "
        f"{record['load_before']:.2f}. {described_network(record)}"
    )
    yield Table(title, ("", "value"), rows, note.strip())


def conclusion(records: Mapping[str, dict]) -> str:
    """What shards save."""
    said = [
        f"{statistics.median(times_faster(r)):.2f} times as long as {r['shards']} shards and their "
        f"merge on {r['cores']} cores, for {r['num_images']:,} images of {r['dataset']}"
        for r in records.values()
    ]
    return f"One process took {'; '.join(said)}, and the reports were the same in every bit."


READER = Benchmark(
    "What do shards save of the time of an audit?",
    tables,
    conclusion,
    "Wall time, imports and tracing of graphs included, on a machine that should run nothing else: "
    "`load before` is its load when the benchmark began. One process uses several cores too.",
)
