"""CPU time of PGD with restarts here and in other libraries, on one model and the same images.

Every contestant gets the same batches, radius, step length, number of steps and of restarts. Each
first attacks two images, untimed, which traces it; then rounds alternate between the contestants.
CPU time is the sum over all cores; wall time would depend on what else runs. Robust accuracy is
taken on what an attack returned, in a fresh forward pass, outside the clock; adversarial examples
outside the ball or the box are an error. Libraries that are not installed are named (see
benchmarks/README.md).

  python benchmarks/attack_cost.py --model=runs/mnist/softmax/model.keras --dataset=mnist --eps=0.1
"""

import time

import keras
import numpy as np
import recording
import tensorflow as tf
from absl import app, flags

import keras_mmc
from keras_mmc.attacks import score_function

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "A .keras file.", required=True)
flags.DEFINE_enum("dataset", "mnist", ["digits", "mnist", "fashion_mnist", "cifar10"], "Data set.")
flags.DEFINE_float("eps", None, "Radius of the L-infinity ball.", required=True)
flags.DEFINE_float("step_size", None, "Length of a step; 2.5 * eps / steps if left out.")
flags.DEFINE_integer("steps", 50, "Steps of a run.", lower_bound=1)
flags.DEFINE_integer("restarts", 5, "Runs from random starts.", lower_bound=1)
flags.DEFINE_integer("num_images", 200, "First test images to attack.", lower_bound=1)
flags.DEFINE_integer("batch_size", 100, "Images attacked at a time.", lower_bound=1)
flags.DEFINE_integer("rounds", 3, "Rounds per contestant.", lower_bound=1)


def ours(objective):
    """PGD of this package on an objective."""

    def make(model, step_size):
        attack = keras_mmc.attacks.PGD(
            FLAGS.eps, FLAGS.steps, step_size, objective=objective, restarts=FLAGS.restarts
        )

        runner = keras_mmc.attacks.Runner(model, FLAGS.batch_size)

        def run(x, y):
            runner.seed = np.random.randint(2**31 - 1)
            return runner.attack(attack, x, y)

        return run

    return make


def cleverhans(model, step_size):
    """The function of cleverhans, called eagerly; the restarts are merged here."""
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    score_fn = score_function(model)

    def attack(x, y):
        x, labels = tf.constant(x), tf.constant(y, tf.int32)
        found = x
        for _ in range(FLAGS.restarts):
            x_adv = projected_gradient_descent(
                score_fn,
                x,
                FLAGS.eps,
                step_size,
                FLAGS.steps,
                np.inf,
                clip_min=0.0,
                clip_max=1.0,
                y=labels,
                rand_init=True,
            )
            wrong = tf.argmax(score_fn(x_adv), axis=1, output_type=tf.int32) != labels
            found = tf.where(tf.reshape(wrong, [-1] + [1] * (x.ndim - 1)), x_adv, found)
        return found.numpy()

    return in_batches(attack)


def foolbox(model, step_size):
    """LinfPGD of foolbox, repeated."""
    from foolbox import TensorFlowModel
    from foolbox.attacks import LinfPGD

    wrapped = TensorFlowModel(score_function(model), bounds=(0, 1), device="/CPU:0")
    attack = LinfPGD(abs_stepsize=step_size, steps=FLAGS.steps, random_start=True)
    attack = attack.repeat(FLAGS.restarts)

    def run(x, y):
        # As foolbox's argmax: under NumPy 2 it cannot compare two integer types.
        labels = tf.constant(y, tf.int64)
        return attack(wrapped, tf.constant(x), labels, epsilons=FLAGS.eps)[1].numpy()

    return in_batches(run)


def art(model, step_size):
    """ProjectedGradientDescent of the Adversarial Robustness Toolbox."""
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import TensorFlowV2Classifier

    classifier = TensorFlowV2Classifier(
        model,
        nb_classes=model.output_shape[-1],
        input_shape=model.input_shape[1:],
        loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum"),
        clip_values=(0.0, 1.0),
    )
    attack = ProjectedGradientDescent(
        classifier,
        eps=FLAGS.eps,
        eps_step=step_size,
        max_iter=FLAGS.steps,
        num_random_init=FLAGS.restarts,
        batch_size=FLAGS.batch_size,
        verbose=False,
    )
    return lambda x, y: attack.generate(x, y)


CONTESTANTS = {
    "keras_mmc, cross_entropy": ours("cross_entropy"),
    "keras_mmc, margin": ours("margin"),
    "cleverhans": cleverhans,
    "foolbox": foolbox,
    "ART": art,
}


def in_batches(attack):
    """An attack of one batch as an attack of any number of images."""

    def run(x, y):
        starts = range(0, len(x), FLAGS.batch_size)
        parts = [slice(first, first + FLAGS.batch_size) for first in starts]
        return np.concatenate([attack(x[part], y[part]) for part in parts])

    return run


def prepared(model, step_size, x, y):
    """The contestants that are installed, each run on two images, and the names of the others."""
    attacks, missing = {}, []
    for name, make in CONTESTANTS.items():
        try:
            attacks[name] = make(model, step_size)
        except ModuleNotFoundError as error:
            missing.append(f"{name} ({error})")
            continue
        keras.utils.set_random_seed(0)
        attacks[name](x[:2], y[:2])
    return attacks, missing


def right(model, x, y):
    """Whether each image is classified correctly."""
    return model.predict(x, verbose=0).argmax(axis=1) == y


def robust_accuracy(model, x, found, y):
    """Fraction of images classified correctly before the attack and after it."""
    if np.abs(found - x).max() > FLAGS.eps + 1e-5 or found.min() < 0 or found.max() > 1:
        raise ValueError("An attack returned adversarial examples outside the ball or the box.")
    return np.mean(right(model, x, y) & right(model, found, y))


def main(argv):
    """Measure, interleaved, and report CPU seconds and robust accuracy."""
    del argv
    x, y = keras_mmc.datasets.load_arrays(FLAGS.dataset, "test")
    x, y = x[: FLAGS.num_images], y[: FLAGS.num_images]
    model = keras.models.load_model(FLAGS.model)
    step_size = FLAGS.step_size or 2.5 * FLAGS.eps / FLAGS.steps
    attacks, missing = prepared(model, step_size, x, y)
    made = {name: {"cpu_seconds": [], "robust_accuracy": []} for name in attacks}
    for number in range(FLAGS.rounds):
        for name, attack in attacks.items():
            keras.utils.set_random_seed(number)
            start = time.process_time()
            found = attack(x, y)
            made[name]["cpu_seconds"].append(time.process_time() - start)
            made[name]["robust_accuracy"].append(robust_accuracy(model, x, found, y))
    figures = {
        "network_flags": recording.network_flags(FLAGS.model),
        "dataset": FLAGS.dataset,
        "num_images": len(x),
        "eps": FLAGS.eps,
        "step_size": step_size,
        "steps": FLAGS.steps,
        "restarts": FLAGS.restarts,
        "batch_size": FLAGS.batch_size,
        "rounds": FLAGS.rounds,
        "seeds": list(range(FLAGS.rounds)),
        "clean_accuracy": np.mean(right(model, x, y)),
        "contestants": made,
        "missing": missing,
    }
    recording.report("attack_cost", figures, recording.LIBRARIES)


if __name__ == "__main__":
    app.run(main)
