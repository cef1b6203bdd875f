"""An audit on the workers of Ray: on the processes of this machine, or on those of a cluster."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_mmc._extras import require
from keras_mmc._validation import is_count
from keras_mmc.attacks import Attack
from keras_mmc.evaluation._plan import Plan, make_plan
from keras_mmc.evaluation.audit import audit
from keras_mmc.evaluation.checkpoint import check_state_directory
from keras_mmc.evaluation.report import AuditReport
from keras_mmc.evaluation.shard import check_not_black_box, run_shard
from keras_mmc.evaluation.suites import Suite

_SHARDS_EACH = 4  # small ones: who is fast, or alive, takes more of them
_RESTARTS = 3


def audit_on_ray(
    model_path: str | os.PathLike[str],
    x: np.ndarray,
    y: ArrayLike,
    eps: float,
    suite: str | Suite | Sequence[Attack] | Mapping[str, Attack] = "standard",
    *,
    state_directory: str | os.PathLike[str],
    workers: int = 2,
    norm: str = "linf",
    box: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 128,
    seed: int = 0,
) -> AuditReport:
    """The report of `keras_mmc.audit`, whose attacks ran on workers of Ray.

    Each worker loads the model once and takes one small shard after the other from a queue, so that
    a slow one delays no other. One that dies is started again and goes on from the batches that it
    has left; after three times its images are left to this process, which at the end merges what
    there is, and runs the diagnostics. `keras_mmc.evaluation.audit_shard` says what a shard is.

    Without a cluster, to which `ray.init` connects before, Ray is started on this machine, and
    ended again. Workers on other machines need the package, and paths that lead to the same files.

    Args:
        model_path: a `.keras` file.
        x: images `(N, H, W, C)` inside the box.
        y: labels `(N,)`, or one-hot rows `(N, K)`.
        eps: radius of the ball, in input units, above 0.
        suite: suite of attacks; `"black_box"` is refused.
        state_directory: where finished batches are kept, seen by all workers.
        workers: number of workers.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`, where images live.
        batch_size: images attacked at a time.
        seed: integer.

    Returns:
        An `AuditReport`: on CPU that of one process in every bit, but for times.

    Raises:
        MissingPackageError: if Ray is not installed, which the extra `ray` brings.
        ValueError: for a number of workers that is none, and whatever `audit_shard` refuses.
        BlockingIOError: if another process works in `state_directory`.

    Example:
    >>> options = {"state_directory": "runs/state", "workers": 8}
    >>> report = keras_mmc.evaluation.audit_on_ray("net.keras", x, y, 8 / 255, **options)
    """
    ray = require("ray", "ray", "audit_on_ray")
    if not is_count(workers):
        raise ValueError(f"`workers` must be a positive integer; received {workers!r}.")
    check_state_directory(state_directory)
    model = keras.models.load_model(model_path)
    check_not_black_box(model, suite)
    options: dict[str, Any] = {"norm": norm, "box": box, "batch_size": batch_size, "seed": seed}
    count = _SHARDS_EACH * workers
    with _started(ray, workers):
        data = ray.put((np.asarray(x), np.asarray(y)))
        given = os.path.abspath(model_path), data, eps, suite, options
        place = os.path.abspath(state_directory)
        shards = (((number, count), place) for number in range(count))
        _hand_out(ray, [_worker(ray).remote(*given) for _ in range(workers)], shards)
    return audit(model, x, y, eps, suite, state_directory=state_directory, verbose=0, **options)


class Worker:
    """Runs shards of one audit; Ray makes a process of it.

    Args:
        model_path: a `.keras` file.
        data: images `(N, ...)` and labels `(N,)`.
        eps: radius of the ball.
        suite: suite of attacks.
        options: the other settings of `audit_on_ray`.
    """

    def __init__(
        self,
        model_path: str,
        data: tuple[np.ndarray, np.ndarray],
        eps: float,
        suite: Any,
        options: dict[str, Any],
    ):
        self._given = model_path, data, eps, suite, options
        self._plan: Plan | None = None

    def run(self, shard: tuple[int, int], state_directory: str) -> dict[str, Any]:
        """Runs a shard and returns the `FinishedShard` as a dictionary.

        The model is loaded by the first one: what is wrong with it is said by a task, not by a
        process that cannot start.
        """
        if self._plan is None:
            path, data, eps, suite, options = self._given
            options = options | {"substitute": None, "queries": None, "verbose": 0}
            self._plan = make_plan(keras.models.load_model(path), *data, eps, suite, **options)
        return dataclasses.asdict(run_shard(self._plan, shard, state_directory))


def _worker(ray):
    retries = {"max_restarts": _RESTARTS, "max_task_retries": _RESTARTS}
    return ray.remote(Worker).options(**retries)


def _hand_out(ray: Any, workers: list, shards: Iterator[tuple]) -> None:
    """Gives every worker that has nothing to do the next shard, until all are done."""
    busy = {}

    def give(worker):
        if shard := next(shards, None):
            busy[worker.run.remote(*shard)] = worker

    try:
        for worker in workers:
            give(worker)
        while busy:
            (done, *_), _ = ray.wait(list(busy), num_returns=1)
            worker = busy.pop(done)
            try:
                ray.get(done)
            except ray.exceptions.RayActorError:
                continue  # it has died too often: the merge does what it has left
            give(worker)
    finally:
        for worker in workers:
            ray.kill(worker)


@contextlib.contextmanager
def _started(ray: Any, workers: int) -> Iterator[None]:
    """Ray for the length of a block, unless it runs already."""
    if ray.is_initialized():
        yield
        return
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()
