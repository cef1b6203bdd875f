"""What the replicas of a `tf.distribute` strategy tell each other in a step."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf


def replicas() -> int:
    """Number of replicas whose gradients are summed; 1 without a strategy."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def total(values: tf.Tensor) -> tf.Tensor:
    """The sum over replicas of tensors of one shape; differentiable."""
    if replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce("sum", values)


def everywhere(condition: tf.Tensor) -> tf.Tensor:
    """Whether a boolean scalar holds on all replicas."""
    return total(tf.cast(~condition, tf.int32)) == 0


def first_of_all(rows: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """The first chosen row `(1, ...)` in the order of replicas; zeros if none is chosen anywhere.

    Args:
        rows: `(N, ...)`; N may differ between replicas and be 0.
        chosen: boolean `(N,)`.
    """
    if replicas() == 1:
        row = rows[tf.argmax(tf.cast(chosen, tf.int32))][None]
        return tf.where(tf.reduce_any(chosen), row, tf.zeros_like(row))
    context = tf.distribute.get_replica_context()
    here = context.replica_id_in_sync_group
    mine = tf.cast(tf.reduce_any(chosen), tf.int32) * tf.one_hot(here, replicas(), dtype=tf.int32)
    is_first = tf.argmax(total(mine), output_type=tf.int32) == here
    ended = tf.concat([rows, zeros(rows, 1)], axis=0)
    position = tf.argmax(tf.cast(tf.concat([chosen, [True]], axis=0), tf.int32))
    return total(tf.where(is_first, ended[position], 0))[None]


def zeros(rows: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """So many rows of zeros in the shape and dtype of the given ones, even if there are none."""
    return tf.zeros(tf.concat([[count], tf.shape(rows)[1:]], axis=0), rows.dtype)


@dataclasses.dataclass(frozen=True)
class Part:
    """The rows of a batch that are on this replica.

    Attributes:
        start: number of rows on the replicas before this one, `int32`.
        size: number of rows on this one, `int32`; 0 on some when the last batch is short.
        whole: number of rows on all replicas, `int32`.
    """

    start: tf.Tensor
    size: tf.Tensor
    whole: tf.Tensor

    def numbers(self, rows: tf.Tensor) -> tf.Tensor:
        """The place of each of these rows in the batch of all replicas, `int32`, `(N,)`."""
        return self.start + tf.range(tf.shape(rows)[0])

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """The rows of all replicas, `(whole, ...)`, of those here; differentiable.

        Rows beyond `size` do not count.
        """
        around = [[self.start, self.whole - self.start - self.size]]
        return total(tf.pad(rows[: self.size], around + [[0, 0]] * (rows.shape.rank - 1)))

    def own(self, values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
        """Of the values of all replicas, `(whole,)`, those here; 0 for rows beyond `size`."""
        here = values[self.start : self.start + self.size]
        return tf.pad(here, [[0, tf.shape(like)[0] - self.size]])

    def in_pairs(self, loss: Callable) -> Callable:
        """A loss of pairs that may be on two replicas; it takes and gives values of rows here."""
        if replicas() == 1:
            return loss
        return lambda scores, targets: self.own(
            loss(self.gather(scores), self.gather(targets)), scores
        )


def part_of(rows: tf.Tensor) -> Part:
    """Which part of the batch of all replicas these rows are, whatever their numbers."""
    size = tf.shape(rows)[0]
    if replicas() == 1:
        return Part(tf.constant(0), size, size)
    here = tf.distribute.get_replica_context().replica_id_in_sync_group
    sizes = total(size * tf.one_hot(here, replicas(), dtype=tf.int32))
    return Part(tf.reduce_sum(sizes[:here]), size, tf.reduce_sum(sizes))


def on_all_replicas(condition: tf.Tensor, act: Callable[..., object], tensors: list) -> None:
    """Calls `act(tensors)` on every replica if a boolean, the same on all, is true.

    `act` may talk to other replicas, which a branch of a plain `tf.cond` must not.
    """

    def choose(strategy, condition, tensors):
        agreed = strategy.experimental_local_results(condition)[0]

        def acting():
            strategy.extended.call_for_each_replica(act, args=(tensors,))
            return tf.constant(0)

        tf.cond(agreed, acting, lambda: tf.constant(0))

    if tf.__internal__.distribute.strategy_supports_no_merge_call():
        tf.cond(condition, lambda: _after(act(tensors)), lambda: tf.constant(0))
    else:
        context = tf.distribute.get_replica_context()
        context.merge_call(choose, args=(condition, tensors))


def _after(_: object) -> tf.Tensor:
    """The result of a branch that only acts."""
    return tf.constant(0)
