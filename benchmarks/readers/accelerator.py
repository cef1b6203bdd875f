"""Reads the records of accelerator/run.py: wall time, and what ran."""

from collections.abc import Iterator, Mapping

from readers import Table
from readers.base import Benchmark, percent


def ran(record: dict) -> tuple[int, int, int]:
    """How many pieces of the check ran, failed, and were cut by the clock."""
    results = list(record["check"].values())
    fine = sum(result.startswith("ok") for result in results)
    cut = sum(result.startswith(("not run", "ended")) for result in results)
    return fine, len(results) - fine - cut, cut


def measured(record: dict, part: str) -> dict[str, dict]:
    """The pieces of a part that came to figures, by name."""
    pieces = record.get(part, {})
    return {name: result for name, result in pieces.items() if isinstance(result, dict)}


def device(record: dict) -> str:
    """The name of the card."""
    return record["device"]["machine"]["devices"][0]["device_name"]


def facts(record: dict) -> str:
    """Where the figures of a record are from."""
    machine = record["device"]["machine"]
    words = ", ".join(f"{name} {machine[name]}" for name in ("keras", "tensorflow", "numpy"))
    command = " ".join(["python benchmarks/accelerator/run.py", *record["flags"]])
    return f"`{command}`, commit {record['commit']}, {words}, {device(record)}"


def _agreement(record):
    scores = measured(record, "determinism")["scores beside the CPU"]
    repeated = measured(record, "determinism")
    once, fixed = (repeated[f"training repeated{end}"] for end in ("", ", deterministic"))
    fine, failed, cut = ran(record)
    rows = [
        ("attacks, losses, defenses, regularizers, audits: pieces that ran", str(fine)),
        ("pieces that failed", str(failed)),
        ("pieces that were cut by the clock", str(cut)),
        ("largest score", f"{scores['largest_score']:.3g}"),
        ("largest difference to the CPU's, TF32 (the default)", f"{scores['with tf32']:.2g}"),
        ("largest difference to the CPU's, without TF32", f"{scores['without tf32']:.2g}"),
        ("training repeated: largest difference of a weight", f"{once['difference']:.2g}"),
        ("the same with deterministic operations", f"{fixed['difference']:.2g}"),
        ("largest change of a weight in that training", f"{once['change_in_training']:.2g}"),
    ]
    peaks = ((k, v) for k, v in record["device"].items() if k.startswith("peak"))
    rows += [(f"TFLOP/s of a matrix product, {k[5:]}", f"{value:.0f}") for k, value in peaks]
    return Table("What runs, and how exactly", ("", device(record)), tuple(rows))


def _throughput(record):
    rows = tuple(
        (
            name,
            f"{result['images_per_second']:,.0f}",
            f"{100 * result['share_of_peak']:.0f} %",
            f"{result['peak_bytes'] / 1e9:.1f}",
        )
        for name, result in measured(record, "throughput").items()
    )
    pieces = record["throughput"]
    header = ("method, precision, compiler", "images per second", "share of the peak", "memory, GB")
    note = (
        "Training of preact_resnet18. The peak is that of the matrix product in the same "
        f"precision, for float32 with TF32. {len(pieces) - len(rows)} further pieces did not end."
    )
    return Table("Training speed", header, rows, note)


def _training(record):
    rows = tuple(
        (
            f"{name}, rate {result['settings']['rate']:.2g}",
            f"{result['passes_over_the_data']:.1f}",
            f"{result['images_per_second']:,.0f}",
            percent(result["accuracy"]),
            percent(result["robust_accuracy"]),
            f"{result['seconds']:.0f}",
        )
        for name, result in measured(record, "train").items()
    )
    header = (
        "loss",
        "passes",
        "images per second",
        "clean accuracy",
        "under PGD",
        "seconds in all",
    )
    data = ", ".join(record.get("data", ()))
    note = (
        f"{f'Trained on {data}.' if data else 'The record does not name the images.'} "
        f"{len(measured(record, 'audit'))} of {len(record['audit'])} audits ended: without one the "
        "figure under PGD is no robust accuracy. The networks had different numbers of steps and "
        "are far from converged: training runs, which loss is better is open."
    )
    return Table("A short adversarial training", header, rows, note)


def tables(record: dict) -> Iterator[Table]:
    """What runs and how exactly, how fast, and how a short training ends."""
    yield _agreement(record)
    yield _throughput(record)
    yield _training(record)


def conclusion(records: Mapping[str, dict]) -> str:
    """What ran on every card, and the fastest training."""
    said = []
    for record in records.values():
        (fine, failed, cut), speeds = ran(record), measured(record, "throughput")
        best = max(speeds, key=lambda name: speeds[name]["images_per_second"])
        said.append(
            f"On one {device(record)} {fine} pieces ran, {failed} failed and {cut} were cut by the "
            f"clock; the fastest training was {best}, with "
            f"{speeds[best]['images_per_second']:,.0f} images per second."
        )
    return " ".join(said)


READER = Benchmark(
    "What runs on a GPU, how fast, and how robust does a training of a minute get?",
    tables,
    conclusion,
    "Wall time on a machine that runs nothing else. Every figure is of one run.",
    facts,
)
