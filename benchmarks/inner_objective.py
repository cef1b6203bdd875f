"""What the attack of adversarial training should maximize: AutoAttack accuracy, loss by loss.

For every loss the same network is trained with PGD on the margin of the scores, on the loss itself
and on the cross-entropy of the scores, from the same weights and in the same order; then
AutoAttack says what each is worth. Training is sized for the embedded digits.

  python benchmarks/inner_objective.py --seeds=3
"""

import time

import keras
import recording
from absl import app, flags

import keras_mmc

FLAGS = flags.FLAGS
flags.DEFINE_integer("seeds", 1, "Runs of every pair.", lower_bound=1)
flags.DEFINE_integer("epochs", 20, "Epochs of training.", lower_bound=1)
flags.DEFINE_integer("steps", 5, "PGD steps in training.", lower_bound=1)
flags.DEFINE_float("eps", 0.15, "Radius of the L-infinity ball.", lower_bound=1e-6)
flags.DEFINE_integer("num_images", 360, "First test images to attack.", lower_bound=1)
flags.DEFINE_list("losses", None, "Only these losses.")

CENTERS, LEARNED = keras_mmc.MaxMahalanobisCenters, keras_mmc.LearnedCenters
LOSSES = {
    "softmax": (
        lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        keras.layers.Dense,
    ),
    "MMC": (keras_mmc.MMCLoss, CENTERS),
    "shell MMC": (keras_mmc.ShellMMCLoss, CENTERS),
    "elastic MMC": (keras_mmc.ElasticMMCLoss, keras_mmc.ElasticCenters),
    "MM-LDA": (keras_mmc.MMLDALoss, CENTERS),
    "center": (keras_mmc.CenterLoss, keras_mmc.DenseWithCenters),
    "L-GM margin 0": (lambda: keras_mmc.LGMLoss(margin=0), LEARNED),
    "L-GM": (keras_mmc.LGMLoss, LEARNED),
    "GCE": (keras_mmc.GuidedComplementEntropy, keras.layers.Dense),
}
OBJECTIVES = ("margin", "training_loss", "cross_entropy")


def trained(loss, head, objective, seed):
    """The network after adversarial training against PGD on the objective."""
    keras.utils.set_random_seed(seed)
    info = keras_mmc.datasets.info("digits")
    model = keras_mmc.models.small_cnn(
        info.image_shape, head=head(info.num_classes), mean=info.mean, std=info.std
    )
    attack = keras_mmc.attacks.PGD(FLAGS.eps, steps=FLAGS.steps, step_size=FLAGS.eps / 3)
    defense = keras_mmc.defenses.AdversarialTraining(
        attack,
        objective=objective,
        eps_schedule=keras.optimizers.schedules.PolynomialDecay(0.0, FLAGS.epochs // 3, FLAGS.eps),
    )
    data = keras_mmc.datasets.load("digits", "train", 64, False, seed)
    steps = FLAGS.epochs * data.cardinality().numpy()
    robust = keras_mmc.AdversarialModel(model, defense, seed=seed)
    robust.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.003, steps)), loss()
    )
    robust.fit(data, epochs=FLAGS.epochs, shuffle=False, verbose=0)
    return model


def accuracies(model, seed):
    """Clean accuracy, and accuracy after AutoAttack."""
    x, y = keras_mmc.datasets.load_arrays("digits", "test")
    report = keras_mmc.audit(
        model,
        x[: FLAGS.num_images],
        y[: FLAGS.num_images],
        FLAGS.eps,
        suite="standard",
        seed=seed,
        verbose=0,
    )
    return report.clean_accuracy, report.robust_accuracy


def main(argv):
    """Train and judge every pair, say so in a line for each run, and report."""
    del argv
    runs = []
    for name in FLAGS.losses or LOSSES:
        for objective in OBJECTIVES:
            if (name, objective) == ("softmax", "cross_entropy"):
                continue  # its training loss
            for seed in range(FLAGS.seeds):
                began = time.process_time()
                clean, robust = accuracies(trained(*LOSSES[name], objective, seed), seed)
                run = {"loss": name, "objective": objective, "seed": seed}
                run |= {"clean_accuracy": clean, "robust_accuracy": robust}
                runs.append(run | {"cpu_seconds": time.process_time() - began})
                print(f"{name}, {objective}, seed {seed}: AutoAttack {robust:.2%}", flush=True)
    figures = {
        "network": "small_cnn",
        "dataset": "digits",
        "epochs": FLAGS.epochs,
        "steps": FLAGS.steps,
        "eps": FLAGS.eps,
        "num_images": FLAGS.num_images,
        "seeds": list(range(FLAGS.seeds)),
        "runs": runs,
    }
    recording.report("inner_objective", figures)


if __name__ == "__main__":
    app.run(main)
