"""AutoAttack of another library on a .keras file, under Keras' torch backend.

Started by benchmarks/auto_attack.py in an environment that has torch and the library. Prints one
JSON line: accuracy and CPU seconds after each attack, and the versions of the libraries.

  KERAS_BACKEND=torch python benchmarks/auto_attack_torch.py --model=a.keras --data=b.npz --eps=0.3
"""

import importlib.metadata
import json
import time

import keras
import numpy as np
import torch
from absl import app, flags

import keras_mmc  # noqa: F401  registers the heads

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "A .keras file.", required=True)
flags.DEFINE_string("data", None, "NumPy file with images x and labels y.", required=True)
flags.DEFINE_float("eps", None, "Radius of the L-infinity ball.", required=True)
flags.DEFINE_enum("library", "torchattacks", ["torchattacks", "autoattack"], "Library to run.")
flags.DEFINE_integer("batch_size", 128, "Images attacked at a time.")
flags.DEFINE_integer("seed", 0, "Seed of the attacks.")


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # where Keras puts the network too


class ChannelsFirst(torch.nn.Module):
    """The Keras model as torch libraries expect it: images `(N, C, H, W)` to scores."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        """Scores `(N, K)`."""
        return self.model(x.permute(0, 2, 3, 1), training=False)


def torchattacks_components(model, num_classes):
    """The four attacks of torchattacks' AutoAttack with its own settings."""
    import torchattacks

    shared = {"eps": FLAGS.eps, "seed": FLAGS.seed}
    return {
        "apgd-ce": torchattacks.APGD(model, loss="ce", steps=100, n_restarts=1, **shared),
        "apgd-t": torchattacks.APGDT(
            model, n_classes=num_classes, steps=100, n_restarts=1, **shared
        ),
        "fab-t": torchattacks.FAB(
            model, multi_targeted=True, n_classes=num_classes, steps=100, n_restarts=1, **shared
        ),
        "square": torchattacks.Square(model, n_queries=5000, n_restarts=1, **shared),
    }


def official_components(model):
    """The four attacks of the authors' own package, each as a run of its AutoAttack."""
    from autoattack import AutoAttack

    def only(name):
        attack = AutoAttack(
            model,
            norm="Linf",
            eps=FLAGS.eps,
            version="custom",
            attacks_to_run=[name],
            device=DEVICE,
            verbose=False,
            seed=FLAGS.seed,
        )
        attack.apgd.n_restarts = 1
        attack.fab.n_restarts = 1
        attack.apgd_targeted.n_restarts = 1
        attack.fab.n_target_classes = attack.apgd_targeted.n_target_classes = 9
        attack.square.n_queries = 5000
        return lambda x, y: attack.run_standard_evaluation(x, y, bs=len(x))

    return {name: only(name) for name in ("apgd-ce", "apgd-t", "fab-t", "square")}


def predictions(model, x):
    """Predicted classes of images."""
    with torch.no_grad():
        return np.concatenate([model(part).argmax(dim=1).cpu().numpy() for part in x.split(500)])


def main(argv):
    """Run the attacks in turn, each on the images that are still classified correctly."""
    del argv
    versions = {name: importlib.metadata.version(name) for name in ("torch", FLAGS.library)}
    torch.manual_seed(FLAGS.seed)
    data = np.load(FLAGS.data)
    x, y = torch.tensor(data["x"], device=DEVICE).permute(0, 3, 1, 2).contiguous(), data["y"]
    model = ChannelsFirst(keras.models.load_model(FLAGS.model)).eval()
    if FLAGS.library == "torchattacks":
        components = torchattacks_components(model, model.model.output_shape[-1])
    else:
        components = official_components(model)
    correct = predictions(model, x) == y
    rows = {"clean": {"accuracy": correct.mean()}}
    for name, attack in components.items():
        began = time.process_time()
        rows_left = np.flatnonzero(correct)
        for first in range(0, len(rows_left), FLAGS.batch_size):
            rows_here = rows_left[first : first + FLAGS.batch_size]
            found = attack(x[rows_here], torch.tensor(y[rows_here], device=DEVICE).long()).detach()
            assert (found - x[rows_here]).abs().max() <= FLAGS.eps + 1e-5
            correct[rows_here] = predictions(model, found) == y[rows_here]
        rows[name] = {"accuracy": correct.mean(), "cpu_seconds": time.process_time() - began}
    print(json.dumps({"rows": rows, "versions": versions}))


if __name__ == "__main__":
    app.run(main)
