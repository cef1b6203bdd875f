"""What several seeds of one method say together."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np


def percent(values: Iterable[float | None]) -> str:
    """Mean and range of accuracies in percent; `-` without a value."""
    known = [100 * value for value in values if value is not None]
    if not known:
        return "-"
    mean = f"{np.mean(known):.2f}"
    return mean if len(known) == 1 else f"{mean} ({min(known):.1f} to {max(known):.1f})"


def by_method(records: Mapping[str, dict]) -> dict[str, list[dict]]:
    """The records of all seeds, by the name of their method, in the order they ran."""
    grouped: dict[str, list[dict]] = {}
    for record in records.values():
        grouped.setdefault(record["method"], []).append(record)
    return grouped


def seeds_in_words(records: Mapping[str, dict]) -> str:
    """How many seeds every method has, in words."""
    counts = {len(found) for found in by_method(records).values()}
    if counts == {1}:
        return "one seed each"
    few, many = min(counts), max(counts)
    return f"{many} seeds each" if few == many else f"{few} to {many} seeds each"


def first_radius(records: Mapping[str, dict]) -> float:
    """The first radius that the networks were audited at."""
    return next(iter(records.values()))["standard"][0]["eps"]


def trial(record: dict, name: str, eps: float | None) -> float | None:
    """The accuracy under an attack of the protocol; the first one with that name if no `eps`."""
    for row in record["protocol"]:
        if row["name"] == name and (eps is None or row["eps"] == eps):
            return row["accuracy"]
    return None


def standard(record: dict, eps: float, what: str = "robust") -> float | None:
    """The robust accuracy of the standard suite at a radius, or the naive one."""
    for row in record["standard"]:
        if row["eps"] == eps:
            return row[what]
    return None


def _robust(record, eps):
    return standard(record, eps)


def paired_difference(
    ours: Sequence[dict], theirs: Sequence[dict], eps: float, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean difference of the robust accuracy on the same images, seed by seed, and its interval.

    Args:
        ours: records of one method, one per seed.
        theirs: records of the other, of the same seeds and images.
        eps: radius.
        level: of the interval, Student's over the differences of the seeds.

    Returns:
        Mean, low and high, as fractions; infinite bounds for a single seed.
    """
    seeds = {record["seed"]: _robust(record, eps) for record in theirs}
    differences = [
        _robust(record, eps) - seeds[record["seed"]] for record in ours if record["seed"] in seeds
    ]
    mean = float(np.mean(differences))
    if len(differences) < 2:
        return mean, -np.inf, np.inf
    from scipy import stats

    spread = np.std(differences, ddof=1) / len(differences) ** 0.5
    reach = stats.t.ppf((1 + level) / 2, len(differences) - 1) * spread
    return mean, mean - reach, mean + reach
