"""Recipes: plain data that fits the flags of the training script."""

import json

import pytest

from keras_mmc.recipes import DEVIATIONS, RECIPES

CHECK = """
import keras_mmc.recipes
from absl import flags
from keras_mmc.commands import defense_flags, loss_flags, network_flags, optimizer_flags
from keras_mmc.commands import train, training

for name in keras_mmc.recipes.RECIPES:
    for flag in flags.FLAGS:
        flags.FLAGS[flag].unparse()
    flags.FLAGS(["train.py", f"--recipe={name}"])
    defense_flags.apply_recipe()
    for flag, value in keras_mmc.recipes.RECIPES[name].items():
        assert getattr(flags.FLAGS, flag) == value, flag
    run, info = training.chosen_runs()[0], keras_mmc.datasets.info(flags.FLAGS.data)
    model = network_flags.build_model(info, run.head, run.scale)
    trained = training.in_training(model, run.loss)
    trained.compile(optimizer_flags.build_optimizer(100), loss_flags.LOSSES[run.loss]())
    print("built", name, model.count_params())
"""


def test_every_recipe_builds(run_python):
    """Fails if a recipe names a flag that is unknown, or parts that do not fit together."""
    lines = run_python(CHECK).splitlines()
    built = {line.split()[1]: int(line.split()[2]) for line in lines if line.startswith("built")}
    assert built.keys() == RECIPES.keys()
    # WRN-34-10 has 46.16 million weights, LeNet-5 on MNIST 60 thousand.
    assert built["at_emr_cifar10"] == pytest.approx(46.16e6, rel=1e-3)
    assert built["mart_cifar10"] == pytest.approx(11.17e6, rel=2e-3)
    assert built["gce_mnist"] < 1e5


def test_every_recipe_says_how_it_deviates():
    """Fails if a recipe is printed as if it were the publication."""
    assert DEVIATIONS.keys() == RECIPES.keys()
    for name, lines in DEVIATIONS.items():
        assert any("held out for validation" in line for line in lines), name
        assert all(line.endswith(".") and "\n" not in line for line in lines), name


def test_recipes_of_mmc():
    """Fails if the network is not the released one, or its rate not that of half the loss."""
    for name in ("mmc_mnist", "mmc_cifar10", "mmc_cifar100", "mmc_at_cifar10"):
        recipe = RECIPES[name]
        assert (recipe["depth"], recipe["features"]) == (9 * 5 + 2, 256)
        assert recipe["learning_rate"] == 2 * 0.01
        assert recipe["augment"] == (recipe["data"] != "mnist")
        # The same fractions of the epochs everywhere.
        assert [int(drop) / recipe["epochs"] for drop in recipe["drops"]] == [0.5, 0.75]


def test_recipes_are_plain_data():
    """Fails if a recipe cannot be written to a file and read back."""
    assert json.loads(json.dumps(RECIPES)) == RECIPES
