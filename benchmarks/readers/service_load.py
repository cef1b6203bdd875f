"""Reads the records of service_load.py."""

from collections.abc import Iterator, Mapping

from readers import Table
from readers.base import Benchmark


def tables(record: dict) -> Iterator[Table]:
    """What the clients saw, and the memory of the service."""
    title = f"{record['clients']} clients, {record['seconds']} s"
    memory, median, slowest = record["memory_mib"], *record["latency_ms"]
    statuses = ", ".join(f"{count} x {what}" for what, count in record["nuisances"].items())
    rows = (
        ("requests a second", f"{record['requests'] / record['seconds']:.0f}"),
        ("median latency", f"{median:.0f} ms"),
        ("99th percentile", f"{slowest:.0f} ms"),
        ("well-formed requests that failed", str(record["failed"])),
        ("answers to nuisances", statuses),
        ("memory before", f"{memory['before']:.0f} MiB"),
        ("most memory", f"{memory['most']:.0f} MiB"),
        ("exit status after SIGTERM", str(record["exit_status"])),
    )
    note = (
        f"Images {tuple(record['image_shape'])} as JSON, {record['request_bytes']:,} bytes a "
        "request, clients and service on the same machine. Nuisances are malformed, too large or "
        "never complete."
    )
    yield Table(title, ("", "value"), rows, note)


def conclusion(records: Mapping[str, dict]) -> str:
    """What every load met."""
    said = [
        f"{r['requests'] / r['seconds']:.0f} requests a second of {r['clients']} clients, "
        f"{r['failed']} of {r['requests']:,} failed"
        for r in records.values()
    ]
    return f"The service answered {'; '.join(said)}."


READER = Benchmark(
    "Does the service bear hundreds of clients, among them malicious ones, in bounded memory?",
    tables,
    conclusion,
    "Wall time: it is what clients see.",
)
