"""Peak memory of an audit above that of the imports and the data.

python benchmarks/audit_memory.py --model=runs/mnist/mmc/model.keras --dataset=mnist --eps=0.3
"""

import resource

import keras
import recording
from absl import app, flags

import keras_mmc

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "A .keras file.", required=True)
flags.DEFINE_enum("dataset", "mnist", ["digits", "mnist", "fashion_mnist", "cifar10"], "Data set.")
flags.DEFINE_float("eps", None, "Radius of the L-infinity ball.", required=True)
flags.DEFINE_string("suite", "standard", "Suite of the audit.")
flags.DEFINE_integer("num_images", 10_000, "First test images to attack.", lower_bound=1)
flags.DEFINE_integer("batch_size", 128, "Images attacked at a time.", lower_bound=1)


def peak():
    """Largest resident size of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(argv):
    """Audit, and report the peaks before and after."""
    del argv
    imports = peak()
    x, y = keras_mmc.datasets.load_arrays(FLAGS.dataset, "test")
    x, y = x[: FLAGS.num_images], y[: FLAGS.num_images]
    data = peak()
    report = keras_mmc.audit(
        keras.models.load_model(FLAGS.model),
        x,
        y,
        FLAGS.eps,
        FLAGS.suite,
        batch_size=FLAGS.batch_size,
        verbose=0,
    )
    figures = {
        "network_flags": recording.network_flags(FLAGS.model),
        "dataset": FLAGS.dataset,
        "num_images": len(x),
        "eps": FLAGS.eps,
        "suite": FLAGS.suite,
        "batch_size": FLAGS.batch_size,
        "seed": 0,
        "peak_gib": {"imports": imports, "data": data, "audit": peak()},
        "accuracy": {
            "clean": report.clean_accuracy,
            "naive": report.naive_accuracy,
            "robust": report.robust_accuracy,
        },
    }
    recording.report("audit_memory", figures)


if __name__ == "__main__":
    app.run(main)
