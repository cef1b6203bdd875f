r"""AutoAttack here and in another library, on the same .keras file and the same images.

The other library runs in a process of its own under Keras' torch backend, in an environment that
has keras_mmc, torch and the library (see benchmarks/README.md). Accuracy is compared after every
attack, CPU time as the sum over all cores; wall time would depend on what else runs.

  python benchmarks/auto_attack.py --model=runs/mnist/mmc/model.keras --dataset=mnist --eps=0.3 \
      --torch_python=.venv-torch/bin/python
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import recording
from absl import app, flags

import keras_mmc

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "A .keras file.", required=True)
flags.DEFINE_enum("dataset", "mnist", ["digits", "mnist", "fashion_mnist", "cifar10"], "Data set.")
flags.DEFINE_float("eps", None, "Radius of the L-infinity ball.", required=True)
flags.DEFINE_integer("num_images", 400, "First test images to attack.", lower_bound=1)
flags.DEFINE_integer("batch_size", 128, "Images attacked at a time.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of the attacks.")
flags.DEFINE_list("libraries", ["torchattacks"], "torchattacks and autoattack, the authors' own.")
flags.DEFINE_string("torch_python", sys.executable, "Python of the other environment.")


def ours(x, y):
    """Accuracy and CPU seconds after each attack of this package."""
    model = keras.models.load_model(FLAGS.model)
    scores = model.predict(x, verbose=0)
    correct = scores.argmax(axis=1) == y
    rows = {"clean": {"accuracy": correct.mean()}}
    attacks, _ = keras_mmc.attacks.AutoAttack(FLAGS.eps).attacks(scores.shape[1])
    for name, attack in attacks.items():
        began = time.process_time()
        left = np.flatnonzero(correct)
        if len(left):
            found = attack(model, x[left], y[left], batch_size=FLAGS.batch_size, seed=FLAGS.seed)
            correct[left] = model.predict(found, verbose=0).argmax(axis=1) == y[left]
        rows[name] = {"accuracy": correct.mean(), "cpu_seconds": time.process_time() - began}
    return rows


def theirs(library, data):
    """The same of another library, from a process of its own, and the versions there."""
    script = pathlib.Path(__file__).with_name("auto_attack_torch.py")
    command = [FLAGS.torch_python, script, f"--model={FLAGS.model}", f"--data={data}"]
    command += [f"--eps={FLAGS.eps}", f"--library={library}", f"--seed={FLAGS.seed}"]
    command += [f"--batch_size={FLAGS.batch_size}"]
    done = subprocess.run(
        command,
        env={**os.environ, "KERAS_BACKEND": "torch"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    return said["rows"], said["versions"]


def main(argv):
    """Run both, one after the other, and report."""
    del argv
    x, y = keras_mmc.datasets.load_arrays(FLAGS.dataset, "test")
    x, y = x[: FLAGS.num_images], y[: FLAGS.num_images]
    results, versions = {"keras_mmc": ours(x, y)}, {}
    with tempfile.TemporaryDirectory() as directory:
        data = pathlib.Path(directory) / "images.npz"
        np.savez(data, x=x, y=y)
        for library in FLAGS.libraries:
            results[library], found = theirs(library, data)
            versions |= found
    figures = {
        "network_flags": recording.network_flags(FLAGS.model),
        "dataset": FLAGS.dataset,
        "num_images": len(x),
        "eps": FLAGS.eps,
        "batch_size": FLAGS.batch_size,
        "seed": FLAGS.seed,
        "contestants": results,
        "versions_there": versions,
    }
    recording.report("auto_attack", figures)


if __name__ == "__main__":
    app.run(main)
