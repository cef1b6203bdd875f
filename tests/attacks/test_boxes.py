"""Defaults in input units: a network whose images live in another box is attacked as hard."""

import dataclasses
import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from cleverhans.tf2.attacks.momentum_iterative_method import momentum_iterative_method

from keras_mmc import attacks
from keras_mmc.attacks._engine.fields import of_width

BASES = {attacks.Attack, attacks.BallAttack, attacks.PenaltyAttack}
EPS = 0.1
UNIT, BYTES = (0.0, 1.0), (0.0, 255.0)
BOXES = {"bytes": BYTES, "symmetric": (-1.0, 1.0)}
# Less to do for the longest attacks. No length is named here: those are what is tested.
SHORTER = {
    "CarliniWagner": {"steps": 100, "learning_rate": 0.1, "binary_search_steps": 6},
    "EAD": {"steps": 100, "binary_search_steps": 6},
    "FAB": {"steps": 10},
    "MultiTargeted": {"steps": 10},
    "RayS": {"queries": 400},
    "Square": {"queries": 200},
}


def public_attacks():
    public = (getattr(attacks, name) for name in attacks.__all__)
    classes = {cls for cls in public if inspect.isclass(cls) and issubclass(cls, attacks.Attack)}
    return sorted(cls.__name__ for cls in classes - BASES)


def attack_of(name, box, substitute):
    """An attack with its defaults; those that have an `eps` get 0.1 of the width of the box."""
    cls, ball = getattr(attacks, name), {"eps": EPS * (box[1] - box[0]), "box": box}
    if name == "Transfer":
        return attacks.Transfer(attacks.MIM(**ball), substitute)
    if name == "CleverHans":  # whose function has an eps of its own
        return attacks.CleverHans(momentum_iterative_method, box=box)
    if name == "AutoAttack":
        return attacks.AutoAttack(**ball, version=(attacks.APGD(**ball, steps=10),))
    if "eps" not in {field.name for field in dataclasses.fields(cls)}:
        del ball["eps"]
    return cls(**ball, **SHORTER.get(name, {}))


@pytest.fixture(scope="module")
def outcome(mmc_model, digits):
    """What an attack leaves of 100 digits in a box: who stands, and sizes over the width."""
    runners = {}

    def run(make, box):
        low, width = box[0], box[1] - box[0]
        if box not in runners:
            rescaling = keras.layers.Rescaling(1 / width, -low / width)
            inside = keras.Sequential([keras.Input((8, 8, 1)), rescaling, mmc_model])
            runners[box] = attacks.Runner(inside)
        runner = runners[box]
        x = (digits[0][:100] * width + low).astype("float32")
        x_adv = runner.attack(make(box, runner.model), x, digits[1][:100])
        stands = runner.scores(x_adv).argmax(axis=1) == digits[1][:100]
        return stands, attacks.Ball(0.0, "l2").sizes(x_adv, x) / width

    return run


@pytest.mark.parametrize("name", public_attacks())
def test_every_attack_is_as_strong_in_every_box(name, outcome):
    """Fails if a default in input units does not follow the width of the box."""

    def make(box, model):
        return attack_of(name, box, model)

    expected, sizes = outcome(make, UNIT)
    for box in BOXES.values():
        stands, found = outcome(make, box)
        assert abs(stands.sum() - expected.sum()) <= 2, box
        assert np.median(found) == pytest.approx(np.median(sizes), rel=0.02), box
    weak = ("GaussianNoise", "RandomRotation", "SPSA")
    assert expected.sum() < (95 if name in weak else 60)


# What each length is in a box of width 1, as published.
PUBLISHED = {
    "jsma": (attacks.JSMA(gamma=0.1), {"theta": 1.0}),
    "nearest": (attacks.NearestWrongCenter(EPS, steps=3), {"step_size": 0.5 / 255}),
    "spsa": (attacks.SPSA(EPS, steps=2, samples=8), {"delta": 0.01, "learning_rate": 0.01}),
    "noise": (attacks.GaussianNoise(), {"sigma": 0.05}),
    "ead": (attacks.EAD(4, binary_search_steps=2), {"beta": 1e-3, "initial_const": 1e-3}),
    "carlini-wagner": (attacks.CarliniWagner(4, binary_search_steps=2), {"initial_const": 1e-2}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_default_lengths(name, digits, mmc_model):
    """Fails if a default is not the published length in [0, 1], or is stored as a number."""
    attack, lengths = PUBLISHED[name]
    batch = digits[0][:6], digits[1][:6], tf.constant([1, 2])
    spelled_out = dataclasses.replace(attack, **lengths)
    found, expected = (a.generate(mmc_model, *batch) for a in (attack, spelled_out))
    np.testing.assert_array_equal(found, expected)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(attack)))
    assert all(config["config"][length] is None for length in lengths)
    assert keras.saving.deserialize_keras_object(config) == attack


@pytest.mark.parametrize(
    "attack",
    [
        attacks.JSMA(theta=1.0, box=BYTES),
        attacks.NearestWrongCenter(25.5, step_size=1 / 510, box=BYTES),
        attacks.SPSA(25.5, delta=0.01, learning_rate=0.01, box=BYTES),
        attacks.GaussianNoise(0.3, box=BYTES),
    ],
    ids=lambda attack: type(attack).__name__,
)
def test_what_is_given_is_in_input_units(attack, outcome):
    """Fails if a length that was given is taken for a fraction of the width of the box."""
    stands, _ = outcome(lambda box, _: attack, BYTES)
    assert stands.sum() > 80  # of 88 without an attack


def test_of_width():
    """Fails if a length does not grow with the width, or a constant with its square."""
    assert of_width(None, 0.5, (-1.0, 3.0)) == 2.0
    assert of_width(None, 0.5, (-1.0, 3.0), power=2) == 8.0
    assert of_width(0.125, 0.5, (-1.0, 3.0)) == 0.125
