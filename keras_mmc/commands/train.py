"""Train a classifier with a loss and a defense, beside softmax cross-entropy.

  keras-mmc train                                            # MMC on digits, half a minute
  keras-mmc train --data=mnist --epochs=10
  keras-mmc train --data=photos --image_size=64,64           # a subfolder for each class
  keras-mmc train --data=cifar10 --model=resnet_v2 --depth=11 --optimizer=sgd
  keras-mmc train --data=mnist --defense=trades --beta=1 --attack_eps=0.3
  keras-mmc train --recipe=at_emr_cifar10                    # published settings by name

Each network gets a folder of its own below --output_dir with model.keras, history.csv, TensorBoard
logs (logs/) and a picture of the features around their centers (features.png); with a defense also
best.keras, the epoch with the highest robust accuracy on validation images. Its model_card.md says
what the network is and which command audits it; the audit adds its figures there. Beside these
folders are the flags (flags.txt), the table (comparison.csv) and the validation accuracy against
epochs and seconds (epochs.png, seconds.png). Without the packages of the extra `plots` a run leaves
out pictures and logs, and says so. The results appear when the run is complete; until then they are
in <output_dir>.partial/new, where TensorBoard can follow them. A run that was interrupted at any
moment goes on when the same command is given again, with the networks that it would have had.

A tenth of the training images, drawn by --seed, is held out for validation. Where the data come
without test images, as folders do, the table is of that tenth, and says so.
"""

import csv
import pathlib

from absl import flags

from keras_mmc._extras import is_installed
from keras_mmc.commands import (
    data_flags,
    defense_flags,
    loss_flags,
    network_flags,
    optimizer_flags,
    run_directory,
    tables,
)

FLAGS = flags.FLAGS
for module in (data_flags, defense_flags, loss_flags, network_flags, optimizer_flags):
    flags.adopt_module_key_flags(module)  # so that --help shows them
flags.DEFINE_enum(
    "mixed_precision",
    "float32",
    ["float32", "mixed_bfloat16", "mixed_float16"],
    "Dtype policy of the network; scores and losses stay float32.",
)
flags.DEFINE_string(
    "distribution",
    "none",
    "Devices to divide batches among: mirrored for all GPUs of this machine, cpu:2 for two parts "
    "of the processor; none for one device.",
)
flags.DEFINE_integer("seed", 0, "Seed of weights, order of images, augmentation and split.")
flags.DEFINE_boolean(
    "baseline",
    None,
    "Also train the same network with softmax cross-entropy; default: only without a defense.",
)
flags.DEFINE_string("output_dir", "runs/train", "Folder of the results.")
flags.DEFINE_boolean("overwrite", False, "Replace an earlier run in --output_dir.")


def main() -> None:
    """Train what the flags ask for and compare."""
    defense_flags.apply_recipe()
    import keras  # 3 s to import, not needed for --help

    from keras_mmc.commands import training

    strategy = training.chosen_strategy()
    keras.config.set_dtype_policy(FLAGS.mixed_precision)
    runs = training.chosen_runs()
    parts = {"matplotlib.figure": "pictures", "tensorboard": "TensorBoard logs"}
    absent = [what for module, what in parts.items() if not is_installed(module)]
    if absent:
        print(
            f"This run has no {' and no '.join(absent)}; to get them, `pip install "
            "'keras_mmc[plots]'`."
        )
    with run_directory.run_directory(FLAGS.output_dir, FLAGS.overwrite) as directory:
        data = data_flags.load()
        rows = training.train_all(runs, data, directory, strategy)
        with open(directory / "comparison.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    print(f"\nResults on the {data.tested_on}, {FLAGS.epochs} epochs, seed {FLAGS.seed}:")
    print(tables.aligned(rows))
    print(
        "\nintra: mean distance of a sample's features to its class mean; inter: mean distance "
        "between class means.\nAccuracy on clean images says nothing about robustness, and MMC "
        "alone is no defense: run keras-mmc audit; the model cards have the command.\n"
        f"Models, curves and pictures are in {pathlib.Path(FLAGS.output_dir).resolve()}"
    )
