"""What holds of every attack: ball, box, seeds, traces, XLA, configuration.

A new attack joins by one line in `ATTACKS`.
"""

import dataclasses
import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from cleverhans.tf2.attacks.momentum_iterative_method import momentum_iterative_method

from keras_mmc import attacks
from keras_mmc.attacks import score_function

BOX = (-1.0, 2.0)
SHAPE = (6, 6, 1)
IN_BALL = {"eps": 0.5, "box": BOX}
SHORT = {"steps": 4, "box": BOX}
ATTACKS = {
    "apgd": attacks.APGD(**IN_BALL, steps=6, objective="margin"),
    "apgd-l2": attacks.APGD(**IN_BALL, steps=6, objective="margin", norm="l2"),
    "auto": attacks.AutoAttack(
        **IN_BALL, version=(attacks.PGD(**IN_BALL, steps=3), attacks.Square(**IN_BALL, queries=9))
    ),
    "bim": attacks.BIM(**IN_BALL, steps=4),
    "carlini-wagner": attacks.CarliniWagner(**SHORT, binary_search_steps=2, learning_rate=0.1),
    "cleverhans": attacks.CleverHans(momentum_iterative_method, eps=0.5, nb_iter=3, box=BOX),
    "deepfool": attacks.DeepFool(**SHORT),
    "ead": attacks.EAD(**SHORT, binary_search_steps=2, learning_rate=0.1),
    "fab": attacks.FAB(**SHORT, eps=0.5),
    "fab-free": attacks.FAB(**SHORT, eps=None),
    "fgsm": attacks.FGSM(**IN_BALL),
    "jsma": attacks.JSMA(box=BOX, gamma=0.2),
    "mim-l2": attacks.MIM(**IN_BALL, steps=4, norm="l2"),
    "multi": attacks.MultiTargeted(**IN_BALL, steps=3),
    "nearest": attacks.NearestWrongCenter(**IN_BALL, steps=3, step_size=0.2),
    "noise": attacks.GaussianNoise(0.3, box=BOX),
    "pgd": attacks.PGD(**IN_BALL, steps=4),
    "pgd-l2": attacks.PGD(**IN_BALL, steps=4, norm="l2", restarts=2),
    "pgd-near": attacks.PGD(**IN_BALL, steps=4, random_start=0.01),
    "pgd-targeted": attacks.PGD(**IN_BALL, steps=4, targeted=True),
    "rotation": attacks.Rotation(box=BOX),
    "rays": attacks.RayS(**IN_BALL, queries=60),
    "random rotation": attacks.RandomRotation(box=BOX),
    "spsa": attacks.SPSA(**IN_BALL, steps=3, samples=8, learning_rate=0.2),
    "square": attacks.Square(**IN_BALL, queries=15),
    "square-l2": attacks.Square(**IN_BALL, queries=15, norm="l2"),
    "transfer": attacks.Transfer(attacks.PGD(**IN_BALL, steps=4), keras.Sequential()),
}
# What they return where they find nothing is the image itself.
MINIMAL = ("carlini-wagner", "deepfool", "ead", "fab", "fab-free", "jsma", "rays")
# cleverhans draws a random start itself, from no seed.
SEEDED = [name for name in ATTACKS if name != "cleverhans"]
TRAINED = [name for name in SEEDED if ATTACKS[name].trains]

# The same with more to do, where there is a number of it.
LONGER = {
    "apgd": {"steps": 30},
    "bim": {"steps": 30},
    "carlini-wagner": {"steps": 30, "binary_search_steps": 5},
    "deepfool": {"steps": 30, "num_candidates": 4},
    "ead": {"steps": 30, "binary_search_steps": 5},
    "fab": {"steps": 30, "num_targets": 3, "restarts": 2},
    "jsma": {"gamma": 1.0},
    "mim-l2": {"steps": 30},
    "multi": {"steps": 30},
    "nearest": {"steps": 30},
    "pgd-l2": {"steps": 30, "restarts": 7},
    "rays": {"queries": 200},
    "rotation": {"num_angles": 91},
    "spsa": {"steps": 30, "samples": 64},
    "square": {"queries": 200},
    "square-l2": {"queries": 200},
}

every_attack = pytest.mark.parametrize("name", ATTACKS)


class Waves(keras.layers.Layer):
    """Scores of four classes that bend many times within the box; counts its traces."""

    def __init__(self, seed=0, flat=False):
        super().__init__()
        self.kernel = np.random.default_rng(seed).normal(size=(36, 4)).astype("float32")
        self.flat, self.traces = flat, 0

    def call(self, x):
        self.traces += not tf.executing_eagerly()
        waves = tf.sin(2 * tf.reshape(x, [-1, 36]) @ self.kernel)
        return 0.0 * waves + tf.constant([1.0, 0.0, 0.0, 0.5]) if self.flat else waves


def waves(**options):
    return keras.Sequential([keras.Input(SHAPE), Waves(**options)])


def attack_of(name):
    attack = ATTACKS[name]
    if isinstance(attack, attacks.Transfer):
        return dataclasses.replace(attack, substitute=waves(seed=1))
    return attack


@pytest.fixture
def batch():
    """Twelve images, some pixels on the walls of the box, and what `waves` predicts."""
    x = np.random.default_rng(0).uniform(-1.3, 2.3, (12, *SHAPE)).clip(*BOX).astype("float32")
    return x, waves().predict(x, verbose=0).argmax(axis=1).astype("int32")


def holds(attack, x_adv, x):
    low, high = attack.box
    ball = attack.ball or attacks.Ball(high - low, box=attack.box)
    return x_adv.shape == x.shape and x_adv.dtype == x.dtype and ball.holds(x_adv, x).all()


def test_the_table_names_every_attack():
    """Fails if an attack of the package goes around these tests."""
    public = {getattr(attacks, name) for name in attacks.__all__}
    classes = {cls for cls in public if inspect.isclass(cls) and issubclass(cls, attacks.Attack)}
    assert classes - {attacks.Attack, attacks.BallAttack, attacks.PenaltyAttack} == {
        type(a) for a in ATTACKS.values()
    }


@every_attack
def test_call(name, batch):
    """Fails if an image leaves ball or box, a seed is lost, or a batch or dtype traces again."""
    x, y = batch
    attack, model = attack_of(name), waves()
    runner = attacks.Runner(model, batch_size=5, seed=3)
    x_adv = runner.attack(attack, x, y)
    traces = model.layers[-1].traces
    assert holds(attack, x_adv, x)
    assert (x_adv != x).any()
    fooled = runner.scores(x_adv).argmax(axis=1) != y
    assert fooled.any() or attack.targeted or name in ("noise", "transfer")
    if name in MINIMAL and name != "jsma":  # which keeps the pixels it changed
        np.testing.assert_array_equal(fooled, (x_adv != x).any(axis=(1, 2, 3)))
    wide = x.astype("float64")
    assert holds(attack, runner.attack(attack, wide, y), wide)
    if name in SEEDED:
        np.testing.assert_array_equal(runner.attack(attack, x, y), x_adv)
    assert model.layers[-1].traces == traces
    other = waves()
    attacks.Runner(other, batch_size=12).attack(attack, x, y)
    assert other.layers[-1].traces == traces


@pytest.mark.parametrize("name", LONGER)
@pytest.mark.parametrize("view", ["generate", "search"])
def test_nothing_is_unrolled(name, view):
    """Fails if tracing time and the graph grow with steps, restarts, queries or targets."""

    def traced(attack):
        model = waves()
        score_fn, run = score_function(model), getattr(attack, view)
        graph = tf.function(lambda x, y: run(score_fn, x, y, 0), autograph=False)
        images, labels = tf.TensorSpec([None, *SHAPE]), tf.TensorSpec([None], tf.int32)
        nodes = graph.get_concrete_function(images, labels).graph.as_graph_def()
        return model.layers[-1].traces, len(str(nodes))

    short = ATTACKS[name]
    (traces, size), longer = traced(short), traced(dataclasses.replace(short, **LONGER[name]))
    assert longer[0] <= traces and longer[1] < 1.2 * size


@pytest.mark.parametrize("name", SEEDED)
def test_an_image_is_attacked_alike_in_any_company(name, batch):
    """Fails if random choices depend on the batch, on the other images or on their order."""
    x, y = batch
    attack, model = attack_of(name), waves()
    whole = attack(model, x, y, seed=3)
    parts = [
        attack(model, x[rows], y[rows], seed=3, first_index=rows.start, batch_size=4)
        for rows in (slice(0, 5), slice(5, 12))
    ]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)


@every_attack
def test_nothing_is_found_on_a_flat_model(name, batch):
    """Fails if a gradient of zero or no success makes NaN, leaves the ball or loses the image."""
    x, _ = batch
    attack, y = attack_of(name), np.zeros(12, "int32")
    runner = attacks.Runner(waves(flat=True))
    x_adv = runner.attack(attack, x, y)
    assert holds(attack, x_adv, x)
    if name in MINIMAL:
        np.testing.assert_array_equal(x_adv, x)
    assert not runner.run(attack, x, y, np.arange(12)).rows.size


@pytest.mark.parametrize("name", [name for name in TRAINED if not ATTACKS[name].targeted])
def test_random_attacks_say_so(name, batch):
    """Fails if `starts_at_random` does not say whether the first step depends on the seed."""
    x, attack, score_fn = tf.constant(batch[0]), attack_of(name), score_function(waves(flat=True))
    y = tf.zeros([12], tf.int32)
    if isinstance(attack, attacks.Transfer):
        attack = dataclasses.replace(attack, substitute=waves(flat=True))
    first, second = (attack.generate(score_fn, x, y, seed).numpy() for seed in (0, 1))
    assert (first != second).any() == attack.starts_at_random


@pytest.mark.parametrize("name", TRAINED)
def test_generate_is_the_same_eagerly_in_a_graph_and_under_xla(name, batch):
    """Fails if the training view needs eager execution, or other numbers are drawn compiled."""
    x, y = (tf.constant(part) for part in batch)
    attack, score_fn = attack_of(name), score_function(waves())

    def generate():
        return attack.generate(score_fn, x, y, 5)

    with tf.GradientTape() as tape:
        tape.watch(x)
        eager = attack.generate(score_fn, x, y, 5)
    assert tape.gradient(eager, x) is None  # training does not go through the attack
    assert holds(attack, eager.numpy(), x.numpy())
    for jit in (False, True):
        compiled = tf.function(generate, autograph=False, jit_compile=jit)()
        np.testing.assert_allclose(compiled, eager, atol=2e-4)


@pytest.mark.parametrize("name", SEEDED)
def test_search_is_the_same_eagerly_and_in_a_graph(name, batch):
    """Fails if leaving the batch loses or swaps rows in a graph."""
    x, y = (tf.constant(part) for part in batch)
    attack, score_fn = attack_of(name), score_function(waves())

    def search():
        return attack.search(score_fn, x, y, 5)

    np.testing.assert_allclose(tf.function(search, autograph=False)(), search(), atol=2e-4)


@every_attack
def test_gradients_are_used_or_not(name, batch):
    """Fails if a black box takes gradients, or a white box is silent on a model without any."""
    x, y = batch
    attack, model = attack_of(name), waves()
    blocked = keras.Sequential([keras.Input(SHAPE), keras.layers.Lambda(tf.stop_gradient), model])
    if attack.uses_gradients:
        with pytest.raises(ValueError, match="do not depend on x"):
            attack(blocked, x, y)
    else:
        np.testing.assert_allclose(attack(blocked, x, y), attack(model, x, y), atol=1e-5)


@every_attack
def test_radius_and_steps_of_a_run(name, batch):
    """Fails if a radius at run time is not the radius of a field, or a fixed one is dropped."""
    x, y = (tf.constant(part) for part in batch)
    attack, score_fn = attack_of(name), score_function(waves())
    view = "generate" if attack.trains else "search"
    for field, value in (("eps", 0.125), ("steps", 2)):
        if getattr(attack, f"fixed_{field}"):
            with pytest.raises(ValueError, match=f"takes no `{field}` at run time"):
                getattr(attack, view)(score_fn, x, y, 0, **{field: value})
            continue
        found = getattr(attack, view)(score_fn, x, y, 0, **{field: value})
        made = remade(attack, **{field: value})
        np.testing.assert_allclose(found, getattr(made, view)(score_fn, x, y, 0), atol=1e-5)


def remade(attack, **fields):
    """The attack made with other fields, those inside it too."""
    if isinstance(attack, attacks.Transfer):
        return dataclasses.replace(attack, attack=remade(attack.attack, **fields))
    if isinstance(attack, attacks.AutoAttack):
        fields["version"] = tuple(remade(inner, **fields) for inner in attack.version)
    return dataclasses.replace(attack, **fields)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "transfer"])
def test_is_a_value(name):
    """Fails if an attack changes by serialization or `replace`, or cannot be a key."""
    attack = ATTACKS[name]
    if name in SEEDED:
        assert dataclasses.replace(attack) == attack
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(attack)))
    again = keras.saving.deserialize_keras_object(config)
    assert again == attack and hash(again) == hash(attack)
    with pytest.raises(dataclasses.FrozenInstanceError):
        attack.box = (0.0, 1.0)
