r"""Craft adversarial examples on every model and try them on every model.

python examples/transfer.py --dataset=digits --eps=0.1 \
      --model=mmc=runs/train/mmc/model.keras --model=softmax=runs/train/softmax/model.keras
python examples/transfer.py --dataset=mnist --eps=0.3 --attack=pgd --num_images=500 \
      --model=mmc=runs/mnist/mmc/model.keras --model=softmax=runs/mnist/softmax/model.keras \
      --output_dir=runs/mnist_transfer

A row of the table holds the accuracies of all models, one a column, on the examples crafted on one
of them. With --output_dir the table is written to transfer.csv there.
"""

import contextlib
import csv
import pathlib

import evaluation_flags
import keras
import run_directory
from absl import app, flags, logging

import keras_mmc

ATTACKS = {"mim": keras_mmc.attacks.MIM, "pgd": keras_mmc.attacks.PGD}

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(evaluation_flags)  # so that --help shows them
flags.DEFINE_multi_string(
    "model", None, "A .keras file written by examples/train.py, as name=path", required=True
)
flags.DEFINE_enum("attack", "mim", sorted(ATTACKS), "Attack that crafts the examples.")
flags.DEFINE_integer("steps", 10, "Steps of the attack.", lower_bound=1)
flags.DEFINE_string(
    "objective",
    "margin",
    "What the attack maximizes; distance, also with --targeted, is that of the paper of MMC.",
)
flags.DEFINE_boolean("targeted", False, "Whether the attack reaches for random wrong classes.")
flags.DEFINE_string("output_dir", None, "Directory for transfer.csv.")
flags.DEFINE_boolean("overwrite", False, "Replace an earlier table in --output_dir.")


def named_paths(pairs: list[str]) -> dict[str, str]:
    """Paths by name from flags `name=path`; a UsageError where a name is missing or repeated."""
    split = [pair.partition("=") for pair in pairs]
    paths = {name: path for name, _, path in split}
    if not all(name and path for name, path in paths.items()) or len(paths) < len(pairs):
        raise app.UsageError(
            f"--model must be name=path, with each name once; received {', '.join(pairs)}."
        )
    return paths


def write_table(path: pathlib.Path, matrix: keras_mmc.evaluation.TransferMatrix) -> None:
    """Write the matrix in percent: a row for clean images, then one for each crafting model."""
    rows = [("clean", matrix.clean_accuracy), *zip(matrix.names, matrix.accuracy, strict=True)]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["crafted on", *matrix.names])
        writer.writerows([name, *(f"{100 * value:.2f}" for value in row)] for name, row in rows)


def main(argv: list[str]) -> None:
    """Load, attack, print and save."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    paths = named_paths(FLAGS.model)
    place: contextlib.AbstractContextManager = contextlib.nullcontext()
    if FLAGS.output_dir:  # refused before the work, if at all
        place = run_directory.run_directory(FLAGS.output_dir, FLAGS.overwrite)
    with place as directory:
        models = {name: keras.models.load_model(path) for name, path in paths.items()}
        matrix = keras_mmc.evaluation.transfer_matrix(
            models,
            *evaluation_flags.test_images(),
            ATTACKS[FLAGS.attack](
                FLAGS.eps,
                steps=FLAGS.steps,
                norm=FLAGS.norm,
                objective=FLAGS.objective,
                targeted=FLAGS.targeted,
            ),
            batch_size=FLAGS.batch_size,
            seed=FLAGS.seed,
        )
        print(f"The first {matrix.num_images} test images of {FLAGS.dataset}")
        print(matrix, flush=True)
        if directory:
            write_table(directory / "transfer.csv", matrix)
    if FLAGS.output_dir:
        print(f"Saved to {FLAGS.output_dir}")


if __name__ == "__main__":
    logging.set_verbosity(logging.WARNING)
    app.run(main)
