"""What a black box answers, as scores: labels, probabilities or scores, in NumPy."""

from collections.abc import Sequence

import numpy as np

LABELS, PROBABILITIES, SCORES = "labels", "probabilities", "scores"
KINDS = (LABELS, PROBABILITIES, SCORES)
# Probabilities that were rounded to 8 or 16 bits sum to 1 within this.
CLOSE = 0.02
# The smallest normal float32: its logarithm, about -87, is the lowest score of a probability.
TINY = 1.1754944e-38


def chosen(owner: str, what: str, name: str | None, names: Sequence[str]) -> str:
    """The name asked for; else the only one, or `"scores"`, as exports of this package call them.

    Raises:
        ValueError: naming the `owner` and all names, if there is no such one or there are several.
    """
    if name is None and (len(names) == 1 or SCORES in names):
        name = SCORES if SCORES in names else names[0]
    if name is None or name not in names:
        asked = f"has no {what} {name!r}" if name else f"has several {what}s"
        raise ValueError(
            f"{owner}: the model {asked}; it has {sorted(names)}. Pass one of them as `{what}`."
        )
    return name


def kind_of(answer: np.ndarray) -> str:
    """What an answer holds: whole numbers `(n,)` or `(n, 1)` are labels, floats the rest."""
    if answer.dtype.kind in "iub" and answer.ndim in (1, 2) and _is_single(answer):
        return LABELS
    return PROBABILITIES if are_probabilities(answer) else SCORES


def are_probabilities(answer: np.ndarray) -> bool:
    """Whether rows lie in [0, 1] and sum to 1, or single numbers `(n,)` or `(n, 1)` in [0, 1]."""
    inside = (answer >= 0).all() and (answer <= 1).all()
    sums_to_1 = (np.abs(answer.sum(axis=-1) - 1) < CLOSE).all()
    return bool(inside and (_is_single(answer) or sums_to_1))


def scores_of(
    answer: np.ndarray, count: int, kind: str, num_classes: int | None = None
) -> np.ndarray:
    """Scores `(n, K)` in float32, whose largest is that of the class that was answered.

    Labels get 0, all other classes -1; probabilities their logarithm. A single logit `s` becomes
    `[0, s]`, a single probability `p` becomes `[log(1 - p), log p]`.

    Args:
        answer: numbers `(n, K)`, `(n, 1)` or `(n,)`.
        count: number n of images that were asked about.
        kind: one of `KINDS`.
        num_classes: number of classes K; `None` takes that of the answer, which labels do not
            tell.

    Raises:
        ValueError: saying what came and what was expected.
    """
    if answer.dtype.kind not in "iubf" or answer.ndim not in (1, 2) or len(answer) != count:
        raise ValueError(
            f"it returned {_described(answer)} for {count} images. Expected scores or "
            f"probabilities ({count}, K), or labels ({count},), one row an image in their order"
        )
    broken = np.flatnonzero(np.isnan(answer.reshape(count, -1)).any(axis=1))
    if broken.size:
        raise ValueError(
            f"it returned NaN for {broken.size} of {count} images, the first at index {broken[0]} "
            "of the batch. An audit counts no image as broken by an answer that is missing"
        )
    if kind == LABELS:
        return _of_labels(answer, num_classes)
    rows = answer.reshape(count, -1).astype("float64")
    if kind == PROBABILITIES and not ((rows >= 0) & (rows <= 1)).all():
        raise ValueError(
            f"it returned numbers from {rows.min():g} to {rows.max():g}, where probabilities were "
            "expected because the first answer lay in [0, 1] or `returns` says so. Pass "
            "`returns='scores'` if they are scores"
        )
    single = rows.shape[1] == 1
    if kind == PROBABILITIES:
        rows = np.concatenate([1 - rows, rows], axis=1) if single else rows
        rows = np.log(np.maximum(rows, TINY))
    elif single:
        rows = np.concatenate([np.zeros_like(rows), rows], axis=1)
    if num_classes is not None and rows.shape[1] != num_classes:
        raise ValueError(
            f"it returned {rows.shape[1]} numbers for an image, where {num_classes} classes were "
            "expected"
        )
    return rows.astype("float32")


def _of_labels(answer, num_classes):
    if num_classes is None:
        raise ValueError(
            "it returned labels, which do not tell how many classes there are. Pass "
            "`BlackBox(predict, num_classes=K)`"
        )
    labels = answer.reshape(len(answer))
    whole = labels.astype("int64")
    if (whole != labels).any() or (whole < 0).any() or (whole >= num_classes).any():
        raise ValueError(
            f"it returned labels from {labels.min()} to {labels.max()}; expected integers in "
            f"[0, {num_classes})"
        )
    return np.eye(num_classes, dtype="float32")[whole] - 1


def _is_single(answer):
    return answer.ndim == 1 or answer.shape[-1] == 1


def _described(answer):
    if answer.dtype.kind in "iubf":
        return f"an array of shape {answer.shape}"
    return f"no numbers but {answer.dtype.name} of shape {answer.shape}"
