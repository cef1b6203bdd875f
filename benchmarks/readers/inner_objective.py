"""Reads the records of inner_objective.py."""

import statistics
from collections.abc import Iterator, Mapping

from readers import Table
from readers.base import Benchmark

OBJECTIVES = ("margin", "training_loss", "cross_entropy")


def robust(record: dict, loss: str, objective: str) -> list[float]:
    """Accuracies after AutoAttack of all seeds of a pair; none if it was not trained."""
    return [
        row["robust_accuracy"]
        for row in record["runs"]
        if (row["loss"], row["objective"]) == (loss, objective)
    ]


def losses(record: dict) -> list[str]:
    """The losses of a record, in the order of their training."""
    return list(dict.fromkeys(row["loss"] for row in record["runs"]))


def _cell(values):
    if not values:
        return "-"
    mean, each = statistics.mean(values), ", ".join(f"{100 * value:.2f}" for value in values)
    return f"{100 * mean:.2f} ({each})" if len(values) > 1 else f"{100 * mean:.2f}"


def tables(record: dict) -> Iterator[Table]:
    """Accuracy after AutoAttack of every pair, in percent: the mean, and every seed."""
    rows = tuple(
        (loss, *(_cell(robust(record, loss, objective)) for objective in OBJECTIVES))
        for loss in losses(record)
    )
    clean = [row["clean_accuracy"] for row in record["runs"]]
    note = (
        f"Accuracy after AutoAttack in percent, mean and seeds, on {record['num_images']} test "
        f"images; clean accuracy {100 * min(clean):.1f} to {100 * max(clean):.1f} %. Trained for "
        f"{record['epochs']} epochs against PGD-{record['steps']}."
    )
    title = f"{record['network']} on {record['dataset']}, eps {record['eps']:.4g}"
    yield Table(title, ("loss", *OBJECTIVES), rows, note)


def conclusion(records: Mapping[str, dict]) -> str:
    """How far the margin is from the best objective of every loss, and where it is not the best."""
    gaps = {}
    for record in records.values():
        for loss in losses(record):
            means = {
                objective: statistics.mean(values)
                for objective in OBJECTIVES
                if (values := robust(record, loss, objective))
            }
            gaps[loss] = 100 * (max(means.values()) - means["margin"])
    behind = [f"{loss} by {gap:.2f} points" for loss, gap in gaps.items() if gap > 0]
    return (
        f"The margin is the best objective for {len(gaps) - len(behind)} of {len(gaps)} losses"
        + (f", and behind the best for {', '.join(behind)}." if behind else ".")
    )


READER = Benchmark(
    "What should the attack of adversarial training maximize, for each loss?",
    tables,
    conclusion,
    "Within a row only the objective of the training attack differs. Softmax cross-entropy is its "
    "own training loss.",
)
