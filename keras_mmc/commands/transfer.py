r"""Craft adversarial examples on every model and try them on every model.

  keras-mmc transfer --data=digits --eps=0.1 \
      --model=mmc=runs/train/mmc/model.keras --model=softmax=runs/train/softmax/model.keras
  keras-mmc transfer --data=mnist --eps=0.3 --attack=pgd --num_images=500 \
      --model=runs/mnist/mmc/model.keras --model=runs/mnist/softmax/model.keras \
      --output_dir=runs/mnist_transfer

A row of the table holds the accuracies of all models, one a column, on the examples crafted on one
of them. With --output_dir the table is written to transfer.csv there.
"""

from __future__ import annotations

import contextlib
import csv
import pathlib
from typing import TYPE_CHECKING

from absl import flags

import keras_mmc
from keras_mmc.commands import evaluation_flags, image_flags, run_directory, saved_models

if TYPE_CHECKING:
    from keras_mmc.evaluation import TransferMatrix

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(evaluation_flags)  # so that --help shows them
flags.DEFINE_multi_string(
    "model", None, "A .keras file, as path or name=path; give several.", required=True
)
flags.DEFINE_enum("attack", "mim", ["mim", "pgd"], "Attack that crafts the examples.")
flags.DEFINE_integer("steps", 10, "Steps of the attack.", lower_bound=1)
flags.DEFINE_string(
    "objective",
    "margin",
    "What the attack maximizes; distance, also with --targeted, is that of the paper of MMC.",
)
flags.DEFINE_boolean("targeted", False, "Whether the attack reaches for random wrong classes.")
flags.DEFINE_string("output_dir", None, "Directory for transfer.csv.")
flags.DEFINE_boolean("overwrite", False, "Replace an earlier table in --output_dir.")


def write_table(path: pathlib.Path, matrix: TransferMatrix) -> None:
    """Write the matrix in percent: a row for clean images, then one for each crafting model."""
    rows = [("clean", matrix.clean_accuracy), *zip(matrix.names, matrix.accuracy, strict=True)]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["crafted on", *matrix.names])
        writer.writerows([name, *(f"{100 * value:.2f}" for value in row)] for name, row in rows)


def main() -> None:
    """Load, attack, print and save."""
    paths = saved_models.named_paths(FLAGS.model)
    place: contextlib.AbstractContextManager = contextlib.nullcontext()
    if FLAGS.output_dir:  # refused before the work, if at all
        place = run_directory.run_directory(FLAGS.output_dir, FLAGS.overwrite)
    with place as directory:
        models = {name: saved_models.load(path) for name, path in paths.items()}
        images = evaluation_flags.test_images(next(iter(models.values())))
        attack = getattr(keras_mmc.attacks, FLAGS.attack.upper())
        matrix = keras_mmc.evaluation.transfer_matrix(
            models,
            images.x,
            images.y,
            attack(
                FLAGS.eps,
                steps=FLAGS.steps,
                norm=FLAGS.norm,
                box=image_flags.box(),
                objective=FLAGS.objective,
                targeted=FLAGS.targeted,
            ),
            batch_size=FLAGS.batch_size,
            seed=FLAGS.seed,
        )
        print(f"Accuracy on {evaluation_flags.described(matrix.num_images)}")
        print(matrix, flush=True)
        if directory:
            write_table(directory / "transfer.csv", matrix)
    if FLAGS.output_dir:
        print(f"Saved to {FLAGS.output_dir}")
