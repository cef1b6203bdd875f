"""A part of an audit, for one of several processes that share its state directory."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_mmc.adapters import BlackBox
from keras_mmc.attacks import Attack, misclassified
from keras_mmc.evaluation._black_box import as_black_box
from keras_mmc.evaluation._plan import Plan, make_plan
from keras_mmc.evaluation._trials import said, standing
from keras_mmc.evaluation.checkpoint import check_state_directory
from keras_mmc.evaluation.suites import Suite


@dataclasses.dataclass(frozen=True)
class FinishedShard:
    """What `audit_shard` has done. The report is that of `keras_mmc.audit` on all images.

    Attributes:
        shard: `(i, n)`: shard i of n.
        num_images: number of images of the shard.
        attacked: number of images that each attack ran on, by its name.
        errors: what attacks that could not run said, by their names.
    """

    shard: tuple[int, int]
    num_images: int
    attacked: dict[str, int]
    errors: dict[str, str]

    def __str__(self):
        number, count = self.shard
        attacked = [f"{name}: {images} images" for name, images in self.attacked.items()]
        failed = [f"{name} failed: {error}" for name, error in self.errors.items()]
        lines = [f"Shard {number}/{count}, {self.num_images} images, is finished.", *attacked]
        return "\n  ".join([*lines, *failed])


def audit_shard(
    model: keras.Model,
    x: Any,
    y: ArrayLike | None,
    eps: float,
    suite: str | Suite | Sequence[Attack] | Mapping[str, Attack] = "standard",
    *,
    shard: tuple[int, int],
    state_directory: str | os.PathLike[str],
    norm: str = "linf",
    box: tuple[float, float] = (0.0, 1.0),
    substitute: keras.Model | None = None,
    batch_size: int = 128,
    seed: int = 0,
    verbose: int = 1,
) -> FinishedShard:
    """Run the attacks of an audit on every n-th image, and leave the results for the audit.

    Several processes, on as many machines as see the directory, each take a shard. Then
    `keras_mmc.audit` with the same arguments and `state_directory` finds what they have left,
    attacks the images of those that ended early, runs the diagnostics, and returns the report that
    one process would have made: on CPU in every bit, but for times. A shard that has ended early
    goes on if it is started again. The attacks of papers run in shards too; what a `rejection`
    needs runs in the audit.

    Args:
        model: Keras classifier, as of `keras_mmc.audit`, and so are all arguments but these two.
        x: all images `(N, H, W, C)` of the audit, or a data set of them.
        y: their labels `(N,)`; `None` beside a data set.
        eps: radius of the ball, in input units, above 0.
        suite: suite of attacks; `"black_box"` is refused, since its queries are counted and its
            substitute is trained over all images.
        shard: `(i, n)` with `0 <= i < n`: the images i, i + n, i + 2 n ...
        state_directory: where finished batches are kept, the same for all shards.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`, where images live.
        substitute: a second Keras model of the same images and classes.
        batch_size: images attacked at a time; it may differ from shard to shard.
        seed: integer.
        verbose: 1 shows a progress bar for each attack, 0 nothing.

    Returns:
        A `FinishedShard`; `print` it.

    Raises:
        ValueError: for a shard that is none, a black box, and whatever `keras_mmc.audit` refuses.
        BlockingIOError: if another process works on this shard, on the whole audit, or on shards
            of another number n. The lock of a process that has died blocks nobody.
        OSError: if `state_directory` cannot be written.

    Example:
    >>> for i in range(4):  # each in a process of its own
    ...     audit_shard(model, x, y, 8 / 255, shard=(i, 4), state_directory="runs/state")
    >>> report = keras_mmc.audit(model, x, y, 8 / 255, state_directory="runs/state")
    """
    shard = _checked(shard)
    check_state_directory(state_directory)
    check_not_black_box(model, suite)
    plan = make_plan(
        model,
        x,
        y,
        eps,
        suite,
        norm=norm,
        box=box,
        substitute=substitute,
        queries=None,
        batch_size=batch_size,
        seed=seed,
        verbose=verbose,
    )
    return run_shard(plan, shard, state_directory)


def run_shard(
    plan: Plan, shard: tuple[int, int], state_directory: str | os.PathLike[str]
) -> FinishedShard:
    """`audit_shard` of an audit that is planned: its runner may run several, with the same graphs.

    Args:
        plan: an audit of a model with gradients.
        shard: `(i, n)` with `0 <= i < n`.
        state_directory: where finished batches are kept.
    """
    rows = np.arange(len(plan.x))[shard[0] :: shard[1]]
    with plan.state(state_directory, shard) as plan.runner.remember:
        return FinishedShard(shard, len(rows), *_attacked(plan, rows))


def check_not_black_box(model: Any, suite: Any) -> None:
    """Refuses what cannot be divided.

    Raises:
        ValueError: for a black box.
    """
    if isinstance(as_black_box(model, suite), BlackBox):
        raise ValueError(
            "A black box is audited in one process: what it is asked is counted over all images, "
            "and a substitute learns from all of its answers. Leave the shard out."
        )


def _attacked(plan: Plan, rows: np.ndarray) -> tuple[dict[str, int], dict[str, str]]:
    """Runs all attacks on some images, as the audit would: how many each got, and errors."""
    attacked, errors = dict[str, int](), dict[str, str]()

    def run(name, attack, left, **options):
        attacked[name] = len(left)
        return plan.runner.run(attack, plan.x, plan.labels, left, name=name, **options).rows

    for name, trial in plan.suite.trials.items():
        left = np.intersect1d(standing(trial, plan.labels, plan.first), rows)
        try:
            run(name, trial.attack, left, early_stop=trial.early_stop)
        except Exception as error:
            errors[name] = said(error)
    left = rows[~misclassified(plan.first[rows], plan.labels[rows]).numpy()]
    for place, (name, attack) in enumerate(plan.suite.attacks.items()):
        try:
            left = np.setdiff1d(left, run(name, attack, left))
        except Exception as error:
            if not place:
                raise
            errors[name] = said(error)
    return attacked, errors


def _checked(shard):
    try:
        number, count = map(int, shard)
        fits = (number, count) == tuple(shard) and 0 <= number < count
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(
            "`shard` must be (i, n) with 0 <= i < n, the number of the shard and how many there "
            f"are, as (0, 4); received {shard!r}."
        )
    return number, count
