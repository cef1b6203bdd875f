"""The flag of one shard of an audit."""

import re

from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "shard",
    None,
    "i/n, with 0 <= i < n: attack the images i, i + n, i + 2n ... alone, and leave the results in "
    "--state_dir; the same command without --shard merges them and reports.",
)
_OF_THE_MERGE = ("output_dir", "min_robust", "junit")


def _is_shard(given):
    found = re.fullmatch(r"(\d+)/(\d+)", given or "0/1")
    return found is not None and int(found[1]) < int(found[2])


flags.register_validator("shard", _is_shard, message="i/n is needed, with 0 <= i < n: 0/4")


def shard() -> tuple[int, int] | None:
    """Number of the shard and how many there are; `None` without the flag.

    Raises:
        ValueError: without --state_dir, or with a flag of what only the merge can do.
    """
    if FLAGS.shard is None:
        return None
    if not FLAGS.state_dir:
        raise ValueError("--shard leaves its results in --state_dir, which is missing. Pass it.")
    given = [f"--{name}" for name in _OF_THE_MERGE if FLAGS[name].value is not None]
    if given:
        raise ValueError(
            f"A shard makes no report: {', '.join(given)} belongs to the same command without "
            "--shard, which merges. Leave it out here."
        )
    number, _, count = FLAGS.shard.partition("/")
    return int(number), int(count)
