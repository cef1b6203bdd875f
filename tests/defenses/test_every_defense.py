"""Every defense keeps the contract of a frozen dataclass, saves whole, trains in one graph."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

import keras_mmc
from keras_mmc import AdversarialModel, attacks, defenses

from .conftest import IMAGES, LABELS
from .test_matrix import DEFENSES

PGD = attacks.PGD(0.1, steps=2)
SCHEDULE = keras.optimizers.schedules.PolynomialDecay(0.05, 5, 0.1)
ALL = DEFENSES | {
    "scheduled": defenses.AdversarialTraining(
        attacks.MIM(0.1, targeted=True),
        0.5,
        eps_schedule=SCHEDULE,
        steps_schedule=keras.optimizers.schedules.PolynomialDecay(1, 3, 4),
        start_epoch=1,
    ),
    "objective": defenses.TRADES(PGD, objective=keras_mmc.MMLDALoss()),
    "fast, all fields": defenses.FastAdversarialTraining(
        0.1, 0.2, (-1.0, 1.0), clean_fraction=0.1, eps_schedule=SCHEDULE, start_epoch=1
    ),
    "mail fast": defenses.MAIL(defenses.FastAdversarialTraining(0.1), slope=3.0),
    "mail burning in": defenses.MAIL(
        defenses.TRADES(PGD, uniform_start=True), burn_in=75, burn_in_defense=DEFENSES["at"]
    ),
    "cleverhans pgd": defenses.CleverHansTraining(
        projected_gradient_descent, 0.25, eps=0.1, eps_iter=0.05, nb_iter=2, norm=np.inf
    ),
    "differential, no attack": defenses.DifferentialTraining(),
}
FAST = {"module": "keras_mmc.defenses.fast", "class_name": "FastAdversarialTraining"}
CHANGES = {
    defenses.StandardTraining: {},
    defenses.AdversarialTraining: {"clean_fraction": 0.3},
    defenses.FastAdversarialTraining: {"eps": 0.03},
    defenses.FreeAdversarialTraining: {"replays": 3},
    defenses.TRADES: {"beta": 2.0, "divergence": "squared_scores"},
    defenses.BinaryTRADES: {"beta": 2.0},
    defenses.MART: {"temperature": 3.0},
    defenses.MAIL: {"defense": defenses.TRADES(attacks.PGD(0.2))},
    defenses.ComplementTraining: {"gamma": 0.3},
    defenses.DifferentialTraining: {"attack": attacks.FGSM(0.02)},
    defenses.CleverHansTraining: {"attack_objective": "distance"},
}


def saved(defense):
    """The configuration as it stands in a file."""
    return json.loads(json.dumps(keras.saving.serialize_keras_object(defense)))


def test_the_table_is_complete():
    """Fails if a new defense is not put through these tests."""
    public = {getattr(defenses, name) for name in defenses.__all__}
    made = {type(defense) for defense in ALL.values()}
    bases = {defenses.Defense, defenses.AttackDefense, defenses.SampleLosses, defenses.StepContext}
    assert public - bases == made == set(CHANGES)


@pytest.mark.parametrize("name", ALL)
def test_frozen_dataclass(name):
    """Fails if `replace`, equality, hash or repr do not know every argument, or a field moves."""
    defense = ALL[name]
    fields = [field.name for field in dataclasses.fields(defense) if field.init]
    again = dataclasses.replace(defense)
    assert again == defense and again is not defense and hash(again) == hash(defense)
    text = repr(defense)
    assert text == repr(again) and text.startswith(f"{type(defense).__name__}(")
    assert all(f"{field}=" in text for field in fields)
    change = CHANGES[type(defense)]
    changed = dataclasses.replace(defense, **change)
    assert (changed == defense) == (not change)
    for field in fields:
        assert getattr(changed, field) == change.get(field, getattr(defense, field))
    with pytest.raises(dataclasses.FrozenInstanceError):
        defense.attack = None
    with pytest.raises((TypeError, ValueError), match="no_such_field"):
        dataclasses.replace(defense, no_such_field=1)


def test_what_is_derived_follows_a_replaced_field():
    """Fails if a field is replaced and the attack stays that of the old one."""
    fast = dataclasses.replace(defenses.FastAdversarialTraining(0.1), eps=0.2)
    assert fast.training_attack == attacks.PGD(0.2, steps=1, step_size=0.25)
    mail = dataclasses.replace(defenses.MAIL(DEFENSES["at"]), defense=fast)
    assert mail.training_attack == fast.training_attack
    cleverhans = dataclasses.replace(ALL["cleverhans pgd"], box=(-1.0, 1.0))
    assert cleverhans.training_attack.box == (-1.0, 1.0)


@pytest.mark.parametrize("name", ALL)
def test_survives_json(name):
    """Fails if a field is lost, changed or made up on the way through a saved file."""
    defense = ALL[name]
    config = saved(defense)
    loaded = keras.saving.deserialize_keras_object(config)
    assert type(loaded) is type(defense)
    assert loaded.get_config() == defense.get_config()
    assert dataclasses.replace(loaded, **CHANGES[type(defense)]) is not None
    config["config"]["no_such_field"] = 1
    with pytest.raises((TypeError, ValueError), match="no_such_field"):
        keras.saving.deserialize_keras_object(config)


WRITTEN_BEFORE = {
    "fast": (
        {
            "eps": 0.1,
            "step_size": 0.2,
            "box": [0.0, 1.0],
            "objective": "training_loss",
            "eps_schedule": None,
            "start_epoch": 0,
            "clean_fraction": 0.1,
        },
        defenses.FastAdversarialTraining(0.1, 0.2, clean_fraction=0.1),
    ),
    "cleverhans_training": (
        {
            "attack": {
                "function": "projected_gradient_descent",
                "objective": "margin",
                "targeted": False,
                "box": [0.0, 1.0],
                "arguments": {"eps": 0.1, "eps_iter": 0.05, "nb_iter": 2, "norm": float("inf")},
            },
            "clean_fraction": 0.25,
        },
        ALL["cleverhans pgd"],
    ),
    "mail": (
        {
            "defense": {
                **FAST,
                "config": {"eps": 0.1, "step_size": 0.125, "box": [0.0, 1.0]},
                "registered_name": "keras_mmc>FastAdversarialTraining",
            },
            "slope": 10.0,
            "bias": -0.5,
            "burn_in": 0,
            "normalization": "constant",
            "temperature": None,
        },
        defenses.MAIL(defenses.FastAdversarialTraining(0.1, 0.125), slope=10.0, bias=-0.5),
    ),
}


@pytest.mark.parametrize("module", WRITTEN_BEFORE)
def test_files_written_before_load(module):
    """Fails if a model that was saved by version 0.1.0 no longer loads as it was."""
    config, expected = WRITTEN_BEFORE[module]
    name = type(expected).__name__
    loaded = keras.saving.deserialize_keras_object(
        {
            "module": f"keras_mmc.defenses.{module}",
            "class_name": name,
            "config": config,
            "registered_name": f"keras_mmc>{name}",
        }
    )
    assert loaded == expected


@pytest.mark.parametrize("name", ALL)
def test_trains_in_one_graph(name, counting):
    """Fails if a step is not finite, or a ragged batch or a new epoch traces it again.

    Steps under XLA are compared with formulas in `test_oracles`.
    """
    classes = 2 if name == "binary trades" else 3
    counts = []
    head = keras.layers.Dense(classes, kernel_initializer="glorot_normal")
    model = keras.Sequential([keras.Input((4,)), counting, head])
    before = head.kernel.numpy()
    pairs = name.startswith("differential")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    robust = AdversarialModel(model, ALL[name])
    robust.compile("adam", keras_mmc.DifferentialLoss() if pairs else loss)
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: counts.append(counting.traces)
    )
    images, labels = np.tile(IMAGES, (2, 1))[:7], np.tile(LABELS, 2)[:7] % classes
    data = tf.data.Dataset.from_tensor_slices((images.astype("float32"), labels)).batch(4)
    history = robust.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[count]).history
    assert len(set(counts)) == 1 and len(counts) == 4
    assert np.isfinite(history["loss"]).all()
    assert np.isfinite(head.kernel).all() and np.abs(head.kernel - before).max() > 1e-4
