"""CPU time of adversarial training as multiples of plain training on the same network and batches.

Contestants train networks of their own from the same weights. After one untimed round each, which
traces the step, rounds of steps alternate between them. CPU time is the sum over all cores; what
`fit` costs once per call, the same for all, is left out, as it would level the multiples. The
robust accuracy at the end, under PGD-10 on the first 100 test images, is there to see that
contestants of one kind train alike: so few steps make no network robust. Validation is off.
Libraries that are not installed are named (see benchmarks/README.md).

  python benchmarks/training_cost.py --model=small_cnn --batch_size=128
"""

import functools
import time

import keras
import numpy as np
import recording
import tensorflow as tf
from absl import app, flags

import keras_mmc
from keras_mmc import defenses
from keras_mmc.attacks import PGD, score_function

FLAGS = flags.FLAGS
flags.DEFINE_enum("model", "small_cnn", ["small_cnn", "resnet_v2"], "Network.")
flags.DEFINE_integer("batch_size", 128, "Images per step.", lower_bound=2)
flags.DEFINE_integer("steps", 4, "Steps per round.", lower_bound=1)
flags.DEFINE_integer("rounds", 5, "Rounds per contestant.", lower_bound=1)

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def eps():
    """Radius of the L-infinity ball."""
    return 0.1 if FLAGS.model == "small_cnn" else 8 / 255


def build():
    """The network of the flags, with the same weights each time."""
    keras.utils.set_random_seed(0)
    if FLAGS.model == "small_cnn":
        return keras_mmc.models.small_cnn((28, 28, 1), 10)
    return keras_mmc.models.resnet_v2((32, 32, 3), 10, depth=11)


def pgd(steps):
    """The training attack, the same for all contestants."""
    return PGD(eps(), steps=steps, step_size=eps() / 4)


def stepped(model, compiled):
    """Rounds of the compiled steps that `fit` makes."""
    compiled.compile(optimizer="adam", loss=LOSS)

    def run(x, y):
        for first in range(0, len(x), FLAGS.batch_size):
            part = slice(first, first + FLAGS.batch_size)
            compiled.train_on_batch(x[part], y[part], return_dict=True)

    return model, run


def plain():
    """Plain training."""
    model = build()
    return stepped(model, model)


def robust(defense, regularizer=None):
    """Training of an `AdversarialModel`."""
    model = build()
    return stepped(model, keras_mmc.AdversarialModel(model, defense(), regularizer))


def madry(steps):
    """Adversarial training on PGD of that many steps on the compiled loss."""
    return lambda: defenses.AdversarialTraining(pgd(steps), objective="training_loss")


def fast():
    """FGSM-RS."""
    return defenses.FastAdversarialTraining(eps())


def own_step(model):
    """One compiled training step, as written where there is no `fit`."""
    optimizer = keras.optimizers.Adam()

    @tf.function
    def train_step(x, y):
        with tf.GradientTape() as tape:
            loss = LOSS(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    return train_step


def cleverhans(steps):
    """The loop of cleverhans' tutorials: an eager attack, then a compiled step."""
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    model = build()
    train_step, score_fn = own_step(model), score_function(model)

    def run(x, y):
        for images, labels in tf.data.Dataset.from_tensor_slices((x, y)).batch(FLAGS.batch_size):
            images = projected_gradient_descent(
                score_fn,
                images,
                eps(),
                eps() / 4,
                steps,
                np.inf,
                clip_min=0.0,
                clip_max=1.0,
                y=labels,
                rand_init=True,
            )
            train_step(images, labels)

    return model, run


def art(steps):
    """AdversarialTrainerMadryPGD of the Adversarial Robustness Toolbox.

    It gets a compiled step: the one it would make itself is traced anew for every batch.
    """
    from art.defences.trainer import AdversarialTrainerMadryPGD
    from art.estimators.classification import TensorFlowV2Classifier

    model = build()
    train_step = own_step(model)
    classifier = TensorFlowV2Classifier(
        model,
        nb_classes=10,
        input_shape=model.input_shape[1:],
        loss_object=LOSS,
        train_step=lambda model, x, y: train_step(x, y),
        clip_values=(0.0, 1.0),
    )
    trainer = AdversarialTrainerMadryPGD(
        classifier,
        nb_epochs=1,
        batch_size=FLAGS.batch_size,
        eps=eps(),
        eps_step=eps() / 4,
        max_iter=steps,
    )
    return model, lambda x, y: trainer.fit(x, np.eye(10, dtype="float32")[y])


def contestants():
    """Functions that return a model and a function of one round of its training, by name."""
    emr = keras_mmc.EffectiveMarginRegularizer(3.0, temperature=40.0)
    return {
        "plain": plain,
        "FGSM-RS": functools.partial(robust, fast),
        "PGD-7": functools.partial(robust, madry(7)),
        "PGD-7, cleverhans' loop": functools.partial(cleverhans, 7),
        "PGD-7, ART's trainer": functools.partial(art, 7),
        "PGD-10": functools.partial(robust, madry(10)),
        "PGD-10 + EMR": functools.partial(robust, madry(10), emr),
        "TRADES-10": functools.partial(robust, lambda: defenses.TRADES(pgd(10))),
    }


def dataset():
    """The name of the data set that fits the network."""
    return "mnist" if FLAGS.model == "small_cnn" else "cifar10"


def batches(split, number):
    """The first images and labels of the data set."""
    x, y = keras_mmc.datasets.load_arrays(dataset(), split)
    return x[:number], y[:number]


def measured(runs, x, y):
    """CPU seconds per step of every round, the first of which traces the steps and is left out."""
    images, costs = FLAGS.steps * FLAGS.batch_size, {name: [] for name in runs}
    for first in range(0, len(x), images):
        part = slice(first, first + images)
        for name, (_, run) in runs.items():
            start = time.process_time()
            run(x[part], y[part])
            costs[name].append((time.process_time() - start) / FLAGS.steps)
    return {name: values[1:] for name, values in costs.items()}


def main(argv):
    """Measure, interleaved, and report, with the robust accuracies at the end."""
    del argv
    x, y = batches("train", FLAGS.steps * FLAGS.batch_size * (FLAGS.rounds + 1))
    runs, missing = {}, []
    for name, make in contestants().items():
        try:
            runs[name] = make()
        except ModuleNotFoundError as error:
            missing.append(f"{name} ({error})")
    costs = measured(runs, x, y)
    x, y = batches("test", 100)
    made = {}
    for name, (model, _) in runs.items():
        found = pgd(10)(model, x, y)
        accuracy = np.mean(model.predict(found, verbose=0).argmax(axis=1) == y)
        made[name] = {"cpu_seconds": costs[name], "robust_accuracy": accuracy}
    figures = {
        "network": FLAGS.model,
        "dataset": dataset(),
        "batch_size": FLAGS.batch_size,
        "steps": FLAGS.steps,
        "rounds": FLAGS.rounds,
        "seed": 0,
        "eps": eps(),
        "num_images": len(x),
        "contestants": made,
        "missing": missing,
    }
    recording.report("training_cost", figures, recording.LIBRARIES)


if __name__ == "__main__":
    app.run(main)
