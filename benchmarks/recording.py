"""What a benchmark measured: tables on the screen and, with --record=FILE, a record in JSON.

The tables are made of the record, here as in docs/results.
"""

import os
import pathlib
import shlex
import sys

from absl import flags
from readers import pages, records
from readers.every import BENCHMARKS

FLAGS = flags.FLAGS
flags.DEFINE_string("record", None, "JSON file for what was measured; none if left out.")
flags.register_validator(
    "record",
    lambda path: path is None or pathlib.Path(path).absolute().parent.is_dir(),
    message="The folder of the record must exist.",
)
# What benchmarks compare with.
LIBRARIES = ("cleverhans", "foolbox", "adversarial-robustness-toolbox")
# Of the code that runs: a checkout may have moved on when a benchmark ends.
COMMIT = records.commit()
VARIABLES = ("TF_ENABLE_ONEDNN_OPTS",)
TRAINING = ("dataset", "model", "epochs", "batch_size", "learning_rate", "seed", "defense")
TRAINING_ATTACK = ("attack_eps", "attack_steps", "attack_step_size", "eps_ramp")


def command() -> str:
    """The command of this process, with all flags that were given but that of the record."""
    variables = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    given = [FLAGS[name].serialize() for name in FLAGS if name != "record" and FLAGS[name].present]
    script = f"benchmarks/{pathlib.Path(sys.argv[0]).name}"
    return shlex.join([*variables, "python", script, *given])


def network_flags(path: str) -> dict[str, str]:
    """The flags that say how `keras-mmc train` made the network in a .keras file, if it did.

    The loss is the name of the folder: a run may train several.
    """
    folder = pathlib.Path(path).absolute().parent
    held = folder.parent / "flags.txt"
    if not held.exists():
        return {}
    lines = held.read_text(encoding="utf-8").splitlines()
    given = dict(line[2:].split("=", 1) for line in lines if line.startswith("--") and "=" in line)
    attacked = TRAINING_ATTACK if given.get("defense") != "none" else ()
    named = {name: given[name] for name in (*TRAINING, *attacked) if name in given}
    return named | {"loss": folder.name}


def report(name: str, figures: dict, libraries: tuple[str, ...] = ()) -> None:
    """Write the record of a benchmark if `--record` is given, and print its tables.

    Args:
        name: of the benchmark, a key of `readers.every.BENCHMARKS`.
        figures: what was measured, plain values, in the form that the reader of that name takes.
        libraries: distributions whose versions the figures depend on, as far as installed.
    """
    record = {
        "name": name,
        "command": command(),
        **figures,
        "cpu_seconds": sum(os.times()[:4]),  # of this process and of those it has started
        **records.environment(*libraries),
        "commit": COMMIT,
    }
    if FLAGS.record:  # first: what took hours must not be lost where no table can be made of it
        records.write_file(pathlib.Path(FLAGS.record), record)
    print(pages.markdown(BENCHMARKS[name].tables(record)))
