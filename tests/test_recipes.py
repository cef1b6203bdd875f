"""Recipes: plain data that fits the flags of the training script."""

import json

import pytest

from keras_mmc.recipes import RECIPES

CHECK = """
import sys
sys.path.insert(0, "examples")
import defense_flags, keras, network_flags, optimizer_flags, train
import keras_mmc.recipes
from absl import flags

for name in keras_mmc.recipes.RECIPES:
    for flag in flags.FLAGS:
        flags.FLAGS[flag].unparse()
    flags.FLAGS(["train.py", f"--recipe={name}"])
    defense_flags.apply_recipe()
    for flag, value in keras_mmc.recipes.RECIPES[name].items():
        assert getattr(flags.FLAGS, flag) == value, flag
    head = network_flags.choose_head(flags.FLAGS.loss, flags.FLAGS.head)
    model = network_flags.build_model(keras_mmc.datasets.info(flags.FLAGS.dataset), head)
    trained = train.in_training(model, flags.FLAGS.loss)
    trained.compile(optimizer_flags.build_optimizer(100), network_flags.LOSSES[flags.FLAGS.loss]())
    print("built", name, model.count_params())
"""


def test_every_recipe_builds(run_python):
    """Fails if a recipe names a flag that is unknown, or parts that do not fit together."""
    lines = run_python(CHECK).splitlines()
    built = {line.split()[1]: int(line.split()[2]) for line in lines if line.startswith("built")}
    assert built.keys() == RECIPES.keys()
    # WRN-34-10 has 46.2 million weights, LeNet-5 on MNIST 60 thousand.
    assert built["at_emr_cifar10"] == pytest.approx(46.2e6, rel=0.01)
    assert built["gce_mnist"] < 1e5


def test_recipes_are_plain_data():
    """Fails if a recipe cannot be written to a file and read back."""
    assert json.loads(json.dumps(RECIPES)) == RECIPES
