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
    "c&w": attacks.CarliniWagner(**SHORT, binary_search_steps=2, learning_rate=0.1),
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
    "spsa": attacks.SPSA(**IN_BALL, steps=3),
    "square": attacks.Square(**IN_BALL, queries=15),
    "square-l2": attacks.Square(**IN_BALL, queries=15, norm="l2"),
    "transfer": attacks.Transfer(attacks.PGD(**IN_BALL, steps=4), keras.Sequential()),
}
# Those that return the image where they find nothing, and those that cannot be seeded.
MINIMAL = ("c&w", "deepfool", "ead", "fab", "fab-free", "jsma")
EAGER_RANDOM = ("cleverhans",)
# No training view, so nothing to compile.
EVALUATE_ONLY = tuple(name for name, attack in ATTACKS.items() if not attack.trains)

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
    ball = attack.ball or attacks.Ball(1e30, box=attack.box)
    return x_adv.shape == x.shape and x_adv.dtype == x.dtype and ball.holds(x_adv, x).all()


def test_the_table_names_every_attack():
    """Fails if an attack of the package goes around these tests."""
    public = {getattr(attacks, name) for name in attacks.__all__}
    classes = {cls for cls in public if inspect.isclass(cls) and issubclass(cls, attacks.Attack)}
    assert classes - {attacks.Attack, attacks.BallAttack} == {type(a) for a in ATTACKS.values()}


@every_attack
def test_call(name, batch):
    """Fails if an image leaves ball or box, is not finite, no attack works, or a seed is lost."""
    x, y = batch
    attack, model = attack_of(name), waves()
    x_adv = attack(model, x, y, batch_size=5)
    assert holds(attack, x_adv, x)
    assert (x_adv != x).any()
    fooled = model.predict(x_adv, verbose=0).argmax(axis=1) != y
    assert fooled.any() or attack.targeted or name in ("noise", "transfer")
    if name not in EAGER_RANDOM:
        np.testing.assert_array_equal(attack(waves(), x, y, batch_size=5), x_adv)
    wide = attack(model, x.astype("float64"), y)
    assert holds(attack, wide, x.astype("float64"))


@every_attack
def test_an_image_is_attacked_alike_in_any_company(name, batch):
    """Fails if random choices depend on the batch, on the other images or on their order."""
    if name in EAGER_RANDOM:
        pytest.skip("cleverhans draws its start itself")
    x, y = batch
    attack, model = attack_of(name), waves()
    whole = attack(model, x, y, seed=3)
    parts = [attack(model, x[i : i + 5], y[i : i + 5], seed=3, first_index=i) for i in (0, 5, 10)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)
    np.testing.assert_allclose(attack(model, x, y, seed=3, batch_size=7), whole, atol=1e-4)


@every_attack
def test_nothing_is_found_on_a_flat_model(name, batch):
    """Fails if a gradient of zero or no success makes NaN, leaves the ball or loses the image."""
    x, _ = batch
    attack, y = attack_of(name), np.zeros(12, "int32")
    for flat in (waves(flat=True),):
        x_adv = attack(flat, x, y)
        assert holds(attack, x_adv, x)
        if name in MINIMAL:
            np.testing.assert_array_equal(x_adv, x)
        assert not attacks.Runner(flat).run(attack, x, y, np.arange(12)).rows.size


@every_attack
def test_random_attacks_say_so(name, batch):
    """Fails if `starts_at_random` does not say whether the first step depends on the seed."""
    if name in (*EVALUATE_ONLY, *EAGER_RANDOM, "pgd-targeted"):
        pytest.skip("no training view, or random for another reason")
    x, attack, score_fn = tf.constant(batch[0]), attack_of(name), score_function(waves(flat=True))
    y = tf.zeros([12], tf.int32)
    if isinstance(attack, attacks.Transfer):
        attack = dataclasses.replace(attack, substitute=waves(flat=True))
    first, second = (attack.generate(score_fn, x, y, seed).numpy() for seed in (0, 1))
    assert (first != second).any() == attack.starts_at_random


@every_attack
def test_one_trace_whatever_the_batches(name, batch):
    """Fails if a ragged last batch, or a second run of a runner, traces the model again."""
    x, y = batch
    attack, counts = attack_of(name), []
    for batch_size in (12, 5):
        model = waves()
        runner = attacks.Runner(model, batch_size)
        runner.attack(attack, x, y)
        counts.append(model.layers[-1].traces)
        runner.attack(attack, x, y)
        assert model.layers[-1].traces == counts[-1]
    assert counts[0] == counts[1]


@every_attack
def test_generate_is_the_same_eagerly_in_a_graph_and_under_xla(name, batch):
    """Fails if the training view needs eager execution, or other numbers are drawn compiled."""
    if name in (*EVALUATE_ONLY, *EAGER_RANDOM):
        pytest.skip("no training view")
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


@every_attack
def test_search_is_the_same_eagerly_and_in_a_graph(name, batch):
    """Fails if leaving the batch loses or swaps rows in a graph."""
    if name in EAGER_RANDOM:
        pytest.skip("cleverhans draws its start itself")
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
    for field, value in (("eps", 0.125), ("steps", 2)):
        view = getattr(attack, "generate" if attack.trains else "search")
        if getattr(attack, f"fixed_{field}"):
            with pytest.raises(ValueError, match=f"takes no `{field}` at run time"):
                view(score_fn, x, y, 0, **{field: value})
            continue
        made = attack
        if isinstance(attack, attacks.Transfer):
            inner = dataclasses.replace(attack.attack, **{field: value})
            made = dataclasses.replace(attack, attack=inner)
        elif name == "auto":
            version = tuple(dataclasses.replace(a, eps=value) for a in attack.version)
            made = dataclasses.replace(attack, eps=value, version=version)
        else:
            made = dataclasses.replace(attack, **{field: value})
        expected = getattr(made, "generate" if attack.trains else "search")(score_fn, x, y, 0)
        found = view(score_fn, x, y, 0, **{field: value})
        np.testing.assert_allclose(found, expected, atol=1e-5)


@every_attack
def test_is_a_value(name):
    """Fails if an attack changes by serialization or `replace`, or cannot be a key."""
    attack = ATTACKS[name]
    assert dataclasses.replace(attack) == attack if name not in EAGER_RANDOM else True
    if isinstance(attack, attacks.Transfer):
        return  # it holds a model, which is compared by identity
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(attack)))
    again = keras.saving.deserialize_keras_object(config)
    assert again == attack and hash(again) == hash(attack)
    with pytest.raises(dataclasses.FrozenInstanceError):
        attack.box = (0.0, 1.0)
