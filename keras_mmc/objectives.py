"""What attacks maximize: functions of scores `(N, K)` and labels `(N,)`, one value per sample.

Scores are float32, larger is likelier; labels and targets are integers in `[0, K)`. Every
objective returns a tensor `(N,)`, NaN for a sample with a NaN among its scores, and raises a
`ValueError` for scores that are not `(N, K)`, too few classes, or labels that are not one per row.
`margin` is the default everywhere: its gradient does not vanish where the softmax saturates, and
scaling the scores only scales it. `cross_entropy` is kept as the named naive control.
"""

import functools
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._labels import as_scores, as_tensor, check_rows
from keras_mmc._scores import nan_where_nan
from keras_mmc._validation import shown
from keras_mmc.losses.base import ScoreLoss

_LOWEST = float(np.finfo("float32").min)
_TINY = 1e-12


def _of_scores(objective: Callable) -> Callable:
    """The objective of scores that come as an array too; others are refused at the door."""

    @functools.wraps(objective)
    def checked(scores: Tensor, *args: Tensor, **kwargs: Tensor) -> Tensor:
        scores = as_scores(scores)
        if scores.shape[-1] is not None and scores.shape[-1] < 2:
            raise ValueError(
                f"Objectives need scores of 2 classes or more; received shape "
                f"{tuple(scores.shape)}."
            )
        return objective(scores, *args, **kwargs)

    return checked


@_of_scores
def margin(scores: Tensor, labels: Tensor) -> Tensor:
    """`max_{k != y} s_k - s_y`: above 0 exactly where another class is likelier.

    Source: for scores `-1/2 ||z - mu_k||^2` the untargeted adaptive objective of Pang et al.,
    ICLR 2020 (arXiv 1905.10626), `L(y) - min_{k != y} L(k)`.

    Example:
    >>> keras_mmc.objectives.margin(keras.ops.array([[3.0, 1.0, 2.0]]), [0])
    [-1.0]
    """
    return nearest_wrong(scores, labels) - _score_of(scores, labels)


@_of_scores
def distance(scores: Tensor, labels: Tensor) -> Tensor:
    """`-s_y`: half the squared distance to the own center under a Max-Mahalanobis head.

    Source: Pang et al., ICLR 2020 (arXiv 1905.10626), the loss itself as objective. Its gradient
    is 0 at the center: a weaker attack than `margin`.
    """
    return -_score_of(scores, labels)


@_of_scores
def nearest_wrong(scores: Tensor, labels: Tensor) -> Tensor:
    """`max_{k != y} s_k`: towards the nearest wrong center, chosen anew at every step."""
    return nan_where_nan(ops.max(_without(scores, labels), axis=-1), scores)


@_of_scores
def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """`-log softmax(s)_y`: the naive control; in float32 its gradient is 0 on large margins."""
    return -_score_of(ops.log_softmax(scores, axis=-1), labels)


@_of_scores
def log_odds(scores: Tensor, labels: Tensor) -> Tensor:
    """`log sum_{k != y} exp(s_k) - s_y`, the log-odds against the label: never saturates.

    The cross-entropy is `log(1 + exp(log_odds))`, so steps of a fixed length along the gradient
    and comparisons of values are the same for both, but in float32 the cross-entropy and its
    gradient are 0 once the label leads by about 90.
    """
    return ops.logsumexp(_without(scores, labels), axis=-1) - _score_of(scores, labels)


@_of_scores
def dlr(scores: Tensor, labels: Tensor) -> Tensor:
    """`-(s_y - max_{k != y} s_k) / (s_(1) - s_(3))`: free of scale and offset, for K >= 3.

    Source: Croce & Hein, ICML 2020 (arXiv 2003.01690), equation 6.
    """
    _check_classes(scores, 3, "dlr")
    top = ops.top_k(scores, 3)[0]
    return margin(scores, labels) / (top[:, 0] - top[:, 2] + _TINY)


@_of_scores
def targeted_distance(scores: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """`s_t`: towards the center of the target (Pang et al., ICLR 2020)."""
    return _score_of(scores, targets)


@_of_scores
def targeted_margin(scores: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """`s_t - s_y` (Pang et al., ICLR 2020); above 0 where the target is likelier than the label."""
    return _score_of(scores, targets) - _score_of(scores, labels)


@_of_scores
def targeted_cross_entropy(scores: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """`log softmax(s)_t`: the naive control with a target."""
    return _score_of(ops.log_softmax(scores, axis=-1), targets)


@_of_scores
def targeted_dlr(scores: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """`-(s_y - s_t) / (s_(1) - (s_(3) + s_(4)) / 2)`; for 4 classes or more.

    Source: Croce & Hein, ICML 2020 (arXiv 2003.01690), equation 7.
    """
    _check_classes(scores, 4, "targeted_dlr")
    top = ops.top_k(scores, 4)[0]
    spread = top[:, 0] - (top[:, 2] + top[:, 3]) / 2
    return targeted_margin(scores, labels, targets) / (spread + _TINY)


@_of_scores
def kl(scores: Tensor, clean_scores: Tensor) -> Tensor:
    """`KL(softmax(clean) || softmax(scores))` per sample: the inner maximization of TRADES.

    Source: Zhang et al., ICML 2019 (arXiv 1901.08573).
    """
    clean_scores = _of_the_same_shape(clean_scores, scores)
    log_clean = ops.log_softmax(clean_scores, axis=-1)
    gaps = log_clean - ops.log_softmax(scores, axis=-1)
    return ops.sum(ops.exp(log_clean) * gaps, axis=-1)


@_of_scores
def squared_probabilities(scores: Tensor, clean_scores: Tensor) -> Tensor:
    """`||softmax(clean) - softmax(scores)||^2` per sample: bounded, where `kl` is not.

    Source: Pang et al., ICML 2022 (arXiv 2202.10103), in place of the divergence of TRADES.
    """
    clean_scores = _of_the_same_shape(clean_scores, scores)
    moved = ops.softmax(scores, axis=-1) - ops.softmax(clean_scores, axis=-1)
    return ops.sum(ops.square(moved), axis=-1)


@_of_scores
def squared_scores(scores: Tensor, clean_scores: Tensor) -> Tensor:
    """`1/2 ||c - c'||^2` per sample, `c` and `c'` the scores without their mean over the classes.

    Under a head whose centers are a simplex of norm C it is `C^2 K / (K - 1)` times half the
    squared distance of the features within the span of the centers. What moves all scores alike
    decides nothing and does not count.

    Source: ours.
    """
    clean_scores = _of_the_same_shape(clean_scores, scores)
    moved = scores - clean_scores
    moved -= ops.mean(moved, axis=-1, keepdims=True)
    return ops.sum(ops.square(moved), axis=-1) / 2


def training_loss(loss: str | Callable | keras.losses.Loss) -> Callable:
    """The loss a model is trained with as an objective `(scores, labels)`, unreduced.

    The loss is a `keras.losses.Loss`, its name, or a function `(y, scores)` of values `(N,)`. When
    called, a `ValueError` refuses a loss that gives no value per sample, or needs more classes.

    Example:
    >>> attack = keras_mmc.attacks.PGD(0.1, objective=training_loss(keras_mmc.MMCLoss()))
    """
    loss = keras.losses.get(loss)
    per_sample = loss.call if isinstance(loss, keras.losses.Loss) else loss

    @_of_scores
    def objective(scores: Tensor, labels: Tensor) -> Tensor:
        labels = as_tensor(labels, "Labels")
        check_rows(labels, scores)
        if isinstance(loss, ScoreLoss):
            loss.check_classes(scores.shape[-1])
        values = per_sample(labels, scores)
        if len(values.shape) != 1:
            raise ValueError(
                f"A training loss used as an objective must give one value per sample, shape "
                f"(N,); {loss!r} gave shape {tuple(values.shape)} for scores of shape "
                f"{tuple(scores.shape)}. Return the loss before any reduction."
            )
        return values

    return objective


_UNTARGETED = (margin, distance, nearest_wrong, cross_entropy, log_odds, dlr)
_WITH_TARGET = (targeted_margin, targeted_distance, targeted_cross_entropy, targeted_dlr)
_BY_NAME = {function.__name__: function for function in _UNTARGETED + _WITH_TARGET}

TARGETED = frozenset(function.__name__ for function in _WITH_TARGET)
"""Names of the objectives `f(scores, labels, targets)`; the others are `f(scores, labels)`."""


def get(identifier: str | Callable | keras.losses.Loss) -> Callable:
    """The objective of a name; a Keras loss becomes `training_loss`, a function stays as it is.

    A `ValueError` about an unknown name lists the known ones.
    """
    if isinstance(identifier, keras.losses.Loss):
        return training_loss(identifier)
    if callable(identifier):
        return identifier
    if not isinstance(identifier, str) or identifier not in _BY_NAME:
        raise ValueError(
            f"Unknown objective {shown(identifier)}. Choose one of {sorted(_BY_NAME)}, or pass a "
            "function of (scores, labels), or a Keras loss."
        )
    return _BY_NAME[identifier]


def for_goal(identifier: str | Callable | keras.losses.Loss, targeted: bool) -> Callable:
    """The objective `f(scores, labels, targets)` that serves a targeted or untargeted attack.

    The identifier is the name of an objective; a function, of `(scores, labels, targets)` if
    `targeted`, of `(scores, labels)` if not; or, untargeted, a Keras loss. A targeted attack given
    `margin`, `distance`, `cross_entropy` or `dlr` uses its targeted form; an untargeted objective
    ignores the targets. A `ValueError` refuses an unknown objective and one that does not fit.
    """
    objective = get(identifier)
    if targeted:
        if not isinstance(identifier, str) or identifier in TARGETED:
            return objective
        if f"targeted_{identifier}" in TARGETED:
            return get(f"targeted_{identifier}")
        raise ValueError(
            f"Objective {identifier!r} has no target, but the attack is targeted. Choose one of "
            f"{sorted(TARGETED)}, or pass targeted=False."
        )
    if isinstance(identifier, str) and identifier in TARGETED:
        raise ValueError(
            f"Objective {identifier!r} needs targets, but the attack is not targeted. Pass "
            f"targeted=True, or use {identifier.removeprefix('targeted_')!r}."
        )
    return lambda scores, labels, targets: objective(scores, labels)


def _of_the_same_shape(clean_scores: Tensor, scores: Tensor) -> Tensor:
    """Clean scores as a tensor; refuses those of other classes than the scores, or other rows."""
    clean_scores = as_scores(clean_scores, "Clean scores")
    check_rows(clean_scores, scores, "clean rows")
    if clean_scores.shape[-1] != scores.shape[-1]:
        raise ValueError(
            f"Clean scores of shape {tuple(clean_scores.shape)} do not fit scores of shape "
            f"{tuple(scores.shape)}. Pass scores of the same classes."
        )
    return clean_scores


def _mask(scores: Tensor, classes: Tensor) -> Tensor:
    """Boolean `(N, K)`, true at the class of each sample."""
    classes = ops.cast(as_tensor(classes, "Labels and targets"), "int32")
    check_rows(classes, scores)
    if len(classes.shape) != 1:
        raise ValueError(
            f"Objectives take labels and targets as integers of shape (N,); received shape "
            f"{tuple(classes.shape)}. One-hot rows become integers with `argmax(axis=-1)`."
        )
    return ops.arange(scores.shape[-1], dtype="int32")[None, :] == classes[:, None]


def _without(scores: Tensor, classes: Tensor) -> Tensor:
    """The scores `(N, K)`, that of the class lowered until it counts in no maximum and no sum."""
    return ops.where(_mask(scores, classes), _LOWEST, scores)


def _score_of(scores: Tensor, classes: Tensor) -> Tensor:
    """The score `(N,)` of the class of each sample."""
    chosen = ops.sum(ops.where(_mask(scores, classes), scores, 0.0), axis=-1)
    return nan_where_nan(chosen, scores)


def _check_classes(scores: Tensor, least: int, name: str) -> None:
    if scores.shape[-1] < least:
        instead = "targeted_margin" if name in TARGETED else "margin"
        raise ValueError(
            f"Objective {name!r} needs at least {least} classes; received scores of shape "
            f"{tuple(scores.shape)}. Use {instead!r}, which needs 2."
        )
