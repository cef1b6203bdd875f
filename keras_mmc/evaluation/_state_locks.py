"""Who may work in the state directory of an audit: one process on the whole, or one on each shard.

The lock of the whole directory is held by an audit without shards until it ends, and by a shard
only while it enters. Locks belong to processes: files of a dead one are left, and block nobody.
"""

import pathlib
import re

import filelock

from keras_mmc import _files

Shard = tuple[int, int]
SHARD_LOCKS = "shard_*_of_*.lock"
_PATIENCE = 30.0  # seconds; many shards that start at once enter one by one


def enter(directory: pathlib.Path, shard: Shard | None) -> filelock.AcquireReturnProxy:
    """Takes the lock of the whole directory.

    Args:
        directory: the state directory.
        shard: `(i, n)` of the process that enters, or `None` of one that works on the whole.

    Raises:
        BlockingIOError: if a process works on the whole, or on a shard that is not one of these n.
    """
    entrance = _files.lock(directory, directory, patience=_PATIENCE if shard else 0.0)
    try:
        for path in sorted(directory.glob(SHARD_LOCKS)):
            number, count = map(int, re.findall(r"\d+", path.name))
            if shard is None or count != shard[1]:
                _refuse_if_held(directory, (number, count), shard)
    except BaseException:
        entrance.lock.release()
        raise
    return entrance


def take(directory: pathlib.Path, shard: Shard) -> filelock.AcquireReturnProxy:
    """Takes the lock of one shard.

    Raises:
        BlockingIOError: if another process works on it.
    """
    return _files.lock(directory, f"{_name(shard)} of {directory}", _file(shard))


def _refuse_if_held(directory, other, shard):
    try:
        take(directory, other).lock.release()
    except BlockingIOError:
        mend = "The audit without a shard merges what they find: start it when all have ended"
        if shard is not None:
            mend = f"Divide the audit into {other[1]} shards everywhere, or wait until it has ended"
        raise BlockingIOError(
            f"{directory} is in use: another process works on {_name(other)} there. {mend}."
        ) from None


def _name(shard):
    return f"shard {shard[0]}/{shard[1]}"


def _file(shard):
    return f"shard_{shard[0]}_of_{shard[1]}.lock"
