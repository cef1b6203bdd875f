"""Adversarial training in mixed bfloat16 beside float32: CPU time and the robustness reached.

Both train the same 64-channel residual network from the same weights on the same MNIST images,
with FGSM from a random start. Epochs alternate between the two; the first, which traces the step,
is left out of the times. CPU time is the sum over all cores. It says something only on a processor
with bfloat16 instructions (`amx_bf16` or `avx512_bf16` in /proc/cpuinfo); others emulate them.

  python benchmarks/mixed_precision.py
"""

import pathlib
import time

import keras
import recording
from absl import app, flags

import keras_mmc

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_images", 6400, "First training images.", lower_bound=1)
flags.DEFINE_integer("test_images", 1000, "First test images to attack.", lower_bound=1)
flags.DEFINE_integer("batch_size", 128, "Images per step.", lower_bound=2)
flags.DEFINE_integer("epochs", 4, "Epochs of each contestant.", lower_bound=2)
flags.DEFINE_float("eps", 0.1, "Radius of the L-infinity ball.", lower_bound=1e-6)
flags.DEFINE_integer("seed", 0, "Seed of weights, order and attacks.")


def contestant(policy):
    """A compiled `AdversarialModel` whose network computes in the dtype policy."""
    keras.utils.set_random_seed(FLAGS.seed)
    keras.config.set_dtype_policy(policy)
    info = keras_mmc.datasets.info("mnist")
    model = keras_mmc.models.preact_resnet18(
        info.image_shape, num_classes=info.num_classes, mean=info.mean, std=info.std
    )
    keras.config.set_dtype_policy("float32")
    robust = keras_mmc.AdversarialModel(
        model, keras_mmc.defenses.FastAdversarialTraining(FLAGS.eps), seed=FLAGS.seed
    )
    robust.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return robust


def accuracies(model):
    """Clean accuracy on test images, and accuracy after 20 steps of PGD on the margin."""
    x, y = keras_mmc.datasets.load_arrays("mnist", "test")
    x, y = x[: FLAGS.test_images], y[: FLAGS.test_images]
    found = keras_mmc.attacks.PGD(FLAGS.eps, steps=20)(model, x, y, seed=FLAGS.seed)
    return [(model.predict(z, verbose=0).argmax(axis=1) == y).mean() for z in (x, found)]


def bfloat16_instructions():
    """Whether the processor says that it computes in bfloat16."""
    held = pathlib.Path("/proc/cpuinfo")
    text = held.read_text(encoding="utf-8") if held.exists() else ""
    return "avx512_bf16" in text or "amx_bf16" in text


def main(argv):
    """Train both, an epoch each in turn, and report."""
    del argv
    x, y = keras_mmc.datasets.load_arrays("mnist", "train")
    x, y = x[: FLAGS.num_images], y[: FLAGS.num_images]
    models = {policy: contestant(policy) for policy in ("float32", "mixed_bfloat16")}
    costs = {policy: [] for policy in models}
    for _ in range(FLAGS.epochs):
        for policy, robust in models.items():
            began = time.process_time()
            robust.fit(x, y, batch_size=FLAGS.batch_size, verbose=0)
            costs[policy].append(time.process_time() - began)
    made = {}
    for policy, robust in models.items():
        clean, attacked = accuracies(robust.model)
        made[policy] = {"cpu_seconds": costs[policy][1:]}
        made[policy] |= {"clean_accuracy": clean, "robust_accuracy": attacked}
    figures = {
        "network": "preact_resnet18",
        "dataset": "mnist",
        "train_images": len(x),
        "num_images": FLAGS.test_images,
        "batch_size": FLAGS.batch_size,
        "rounds": FLAGS.epochs - 1,
        "eps": FLAGS.eps,
        "seed": FLAGS.seed,
        "bfloat16_instructions": bfloat16_instructions(),
        "contestants": made,
    }
    recording.report("mixed_precision", figures)


if __name__ == "__main__":
    app.run(main)
