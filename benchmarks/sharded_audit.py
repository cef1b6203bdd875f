"""Wall time of an audit in one process, and in shards that run at once and are merged.

python benchmarks/sharded_audit.py --model=runs/mnist/mmc/model.keras --dataset=mnist --eps=0.3

It runs `keras-mmc audit` as a user would, imports and tracing included, and fails if the reports
differ. Nothing else should run on the machine.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import recording
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "A .keras file.", required=True)
flags.DEFINE_enum("dataset", "mnist", ["digits", "mnist", "fashion_mnist", "cifar10"], "Data set.")
flags.DEFINE_float("eps", None, "Radius of the L-infinity ball.", required=True)
flags.DEFINE_string("suite", "standard", "Suite of the audit.")
flags.DEFINE_integer("num_images", 1000, "First test images to attack.", lower_bound=1)
flags.DEFINE_integer("batch_size", 128, "Images attacked at a time.", lower_bound=1)
flags.DEFINE_integer("shards", 2, "Shards that run at once.", lower_bound=2)
flags.DEFINE_integer("rounds", 3, "Rounds in which the contestants take turns.", lower_bound=1)
ROOT = pathlib.Path(__file__).parents[1]


def start(*given: str) -> subprocess.Popen:
    """The audit of the flags, with more of them, in a process of its own."""
    shared = {
        "model": os.path.abspath(FLAGS.model),
        "data": FLAGS.dataset,
        **{name: FLAGS[name].value for name in ("eps", "suite", "num_images", "batch_size")},
    }
    command = [sys.executable, "-m", "keras_mmc", "audit", "--noprogress", *given]
    command += [f"--{name}={value}" for name, value in shared.items()]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def wall(*processes: subprocess.Popen) -> float:
    """Seconds until processes that were just started have ended."""
    began = time.perf_counter()
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"An audit ended with exit codes {codes}; what it said is above.")
    return time.perf_counter() - began


def finding(directory: pathlib.Path) -> tuple[dict, bytes]:
    """The accuracies of a report, and all bits of its adversarial examples."""
    report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    names = {"clean": "clean_accuracy", "naive": "naive_accuracy", "robust": "robust_accuracy"}
    with np.load(directory / "adversarial.npz") as stored:
        bits = b"".join(stored[name].tobytes() for name in sorted(stored))
    return {short: report[name] for short, name in names.items()}, bits


def one_round(folder: pathlib.Path) -> tuple[dict[str, float], dict]:
    """Wall seconds of each part, and the accuracies, which must be the same."""
    state, count = f"--state_dir={folder / 'state'}", FLAGS.shards
    seconds = {
        "one process": wall(start(f"--output_dir={folder / 'one'}")),
        "shards": wall(*[start(state, f"--shard={i}/{count}") for i in range(count)]),
        "merge": wall(start(state, f"--output_dir={folder / 'merged'}")),
    }
    one, merged = finding(folder / "one"), finding(folder / "merged")
    if one != merged:
        raise SystemExit(f"The reports differ: {one[0]} in one process, {merged[0]} in shards.")
    return seconds, one[0]


def main(argv):
    """Let one process and shards take turns."""
    del argv
    load, rounds = os.getloadavg()[0], []
    for _ in range(FLAGS.rounds):
        with tempfile.TemporaryDirectory() as folder:
            seconds, accuracy = one_round(pathlib.Path(folder))
        rounds.append(seconds)
    figures = {
        "network_flags": recording.network_flags(FLAGS.model),
        "dataset": FLAGS.dataset,
        "num_images": FLAGS.num_images,
        "eps": FLAGS.eps,
        "suite": FLAGS.suite,
        "batch_size": FLAGS.batch_size,
        "seed": 0,
        "shards": FLAGS.shards,
        "cores": os.cpu_count(),
        "load_before": load,
        "wall_seconds": {name: [seconds[name] for seconds in rounds] for name in rounds[0]},
        "accuracy": accuracy,
    }
    recording.report("sharded_audit", figures)


if __name__ == "__main__":
    app.run(main)
