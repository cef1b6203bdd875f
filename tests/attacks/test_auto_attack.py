"""AutoAttack: which attacks run, on which samples, and what the result says about them."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.attacks import BallAttack, score_function
from keras_mmc.attacks.apgd import APGD
from keras_mmc.attacks.auto_attack import AutoAttack
from keras_mmc.attacks.fab import FAB
from keras_mmc.attacks.square import Square

SEED = tf.constant([3, 4])
QUICK = (
    APGD(0.1, steps=5, objective="cross_entropy"),
    APGD(0.1, steps=20, objective="targeted_dlr", num_targets=3),
    FAB(0.1, steps=10, num_targets=3),
    Square(0.1, queries=50),
)


def linear_network(num_classes):
    """A linear classifier of images (2, 2, 1)."""
    return keras.Sequential(
        [
            keras.Input((2, 2, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(num_classes, kernel_initializer="orthogonal"),
        ]
    )


@dataclasses.dataclass(frozen=True)
class Shift(BallAttack):
    """Adds `eps` to every pixel of the images whose first pixel lies below a limit."""

    below: float = 1.0
    norm: str = "linf"
    box: tuple[float, float] = (0.0, 1.0)

    def run(self, score_fn, x, y, seed, targets, early_stop, eps):
        return tf.where(x[:, :1, :1, :1] < self.below, x + eps, x)


@keras.saving.register_keras_serializable("attack_tests")
class Threshold(keras.layers.Layer):
    """Scores `[0.5, first pixel]`; NaN for a first pixel above `limit`."""

    def __init__(self, limit=2.0, **kwargs):
        super().__init__(**kwargs)
        self.limit = limit

    def call(self, x):
        first = x[:, 0, 0, 0]
        low = keras.ops.where(first > self.limit, float("nan"), first)
        return keras.ops.stack([keras.ops.full_like(first, 0.5), low], axis=1)


def threshold_network(limit=2.0):
    return keras.Sequential([keras.Input((2, 2, 1)), Threshold(limit)])


def images(*first):
    return np.array(first, "float32")[:, None, None, None] * np.ones((1, 2, 2, 1), "float32")


def test_standard_version():
    """Fails if an attack of the standard version, its budget or the order differ."""
    attacks, notes = AutoAttack(0.1, norm="l2", box=(-1.0, 1.0)).attacks(10)
    ball = {"eps": 0.1, "norm": "l2", "box": (-1.0, 1.0)}
    assert list(attacks.items()) == [
        ("apgd-ce", APGD(**ball, steps=100, objective="log_odds", restarts=1)),
        ("apgd-t", APGD(**ball, steps=100, objective="targeted_dlr", num_targets=9)),
        ("fab-t", FAB(**ball, steps=100, restarts=1, num_targets=9)),
        ("square", Square(**ball, queries=5000, p_init=0.8)),
    ]
    assert notes == ()


def test_plus_version():
    """Fails if an attack of the plus version, its budget or the order differ."""
    attacks, notes = AutoAttack(0.1, version="plus").attacks(10)
    assert list(attacks.items()) == [
        ("apgd-ce", APGD(0.1, steps=100, objective="log_odds", restarts=5)),
        ("apgd-dlr", APGD(0.1, steps=100, objective="dlr", restarts=5)),
        ("fab", FAB(0.1, steps=100, restarts=5, num_targets=None)),
        ("square", Square(0.1, queries=5000, p_init=0.8)),
        ("apgd-t", APGD(0.1, steps=100, objective="targeted_dlr", num_targets=9)),
        ("fab-t", FAB(0.1, steps=100, restarts=1, num_targets=9)),
    ]
    assert notes == ()


@pytest.mark.parametrize(
    "num_classes, version, objectives",
    [
        (4, "plus", {"apgd-dlr": "dlr", "apgd-t": "targeted_dlr"}),
        (3, "standard", {"apgd-t": "targeted_margin"}),
        (3, "plus", {"apgd-dlr": "dlr", "apgd-t": "targeted_margin"}),
        (2, "standard", {"apgd-t": "margin"}),
        (2, "plus", {"apgd-dlr": "margin", "apgd-t": "margin"}),
    ],
)
def test_few_classes_replace_dlr_and_say_so(num_classes, version, objectives):
    """Fails if an undefined objective is used, or replaced in silence."""
    attacks, notes = AutoAttack(0.1, version=version).attacks(num_classes)
    assert {name: attacks[name].objective for name in objectives} == objectives
    replaced = [name for name, objective in objectives.items() if "dlr" not in objective]
    assert len(notes) == len(replaced)
    for name, note in zip(replaced, notes, strict=True):
        assert note.startswith(name) and f"{num_classes} classes" in note
        assert repr(objectives[name]) in note and "dlr" in note


@pytest.mark.parametrize("num_classes", [2, 3, 4])
def test_standard_breaks_exactly_the_linear_samples_within_reach(num_classes):
    """Fails if the standard version with few classes misses a sample, or does not say so."""
    model = linear_network(num_classes)
    x = np.random.default_rng(0).uniform(0.2, 0.8, size=(12, 2, 2, 1)).astype("float32")
    weights = model.layers[-1].kernel.numpy()
    scores = x.reshape(12, 4) @ weights
    best = scores.argmax(axis=1)
    normals = abs(weights[:, best][:, :, None] - weights[:, None, :]).sum(axis=0)
    gaps = scores.max(axis=1, keepdims=True) - scores
    distances = np.sort(gaps / np.maximum(normals, 1e-9), axis=1)[:, 1]
    eps = float(np.sort(distances)[5:7].mean())
    result = AutoAttack(eps, box=(-1.0, 2.0)).evaluate(model, x)
    np.testing.assert_array_equal([name is None for name in result.broken_by], distances > eps)
    assert list(result.accuracy) == ["clean", "apgd-ce", "apgd-t", "fab-t", "square"]
    assert list(result.seconds) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert len(result.notes) == (num_classes < 4)


def test_reports_who_broke_what():
    """Fails if a sample is credited to a later attack, attacked twice, or its image is lost."""
    x, y = images(0.7, 0.45, 0.3, 0.44, 0.1), np.zeros(5, "int32")
    attack = AutoAttack(0.1, version=(Shift(0.1, below=0.445), Square(0.1, 30), Shift(0.1)))
    result = attack.evaluate(threshold_network(), x, y)
    assert result.broken_by == ("clean", "square", None, "shift-1", None)
    assert result.accuracy == {"clean": 0.8, "shift-1": 0.6, "square": 0.4, "shift-2": 0.4}
    assert result.robust_accuracy == 0.4
    np.testing.assert_array_equal(result.x_adv[[0, 2, 4]], x[[0, 2, 4]])
    np.testing.assert_allclose(result.x_adv[3], x[3] + 0.1)
    assert result.x_adv[1, 0, 0, 0] > 0.5 and abs(result.x_adv - x).max() <= 0.1 + 1e-6
    np.testing.assert_array_equal(attack(threshold_network(), x, y), result.x_adv)


def test_nan_scores_under_attack_count_as_broken():
    """Fails if a model can hide by answering NaN."""
    result = AutoAttack(0.1, version=(Shift(0.1),)).evaluate(
        threshold_network(limit=0.35), images(0.3, 0.1), np.zeros(2, "int32")
    )
    assert result.broken_by == ("shift", None)


def test_points_are_judged_by_a_fresh_forward_pass():
    """Fails if an attack is believed without asking the model again."""
    result = AutoAttack(0.1, version=(Shift(0.1),)).evaluate(
        threshold_network(), images(0.1, 0.2, 0.3), np.zeros(3, "int32")
    )
    assert result.broken_by == (None,) * 3 and result.robust_accuracy == 1.0


def test_result_holds_on_a_network(mmc_model, digits):
    """Fails if accuracies, images and credits do not agree, or a seed does not fix them."""
    x, y = digits[0][:60], digits[1][:60]
    attack = AutoAttack(0.1, version=QUICK)
    result = attack.evaluate(mmc_model, x, y, batch_size=25)
    predictions = mmc_model.predict(result.x_adv, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(predictions == y, [name is None for name in result.broken_by])
    assert abs(result.x_adv - x).max() <= 0.1 + 1e-6
    standing = np.array(list(result.accuracy.values()))
    assert (np.diff(standing) <= 0).all() and standing[-1] == result.robust_accuracy
    for name, before, after in zip(list(result.accuracy)[1:], standing, standing[1:], strict=False):
        assert result.broken_by.count(name) == round(60 * (before - after))
    assert 0 < result.robust_accuracy < standing[0] - 0.3
    again = attack.evaluate(mmc_model, x, y, batch_size=25)
    np.testing.assert_array_equal(again.x_adv, result.x_adv)


def test_search_runs_the_attacks_in_turn(mmc_model, digits):
    """Fails if the graph view loses an attack: it must break all that its parts break."""
    x, y = tf.constant(digits[0][:30]), tf.constant(digits[1][:30])
    score_fn = score_function(mmc_model)

    def standing(attack):
        run = tf.function(lambda: attack.search(score_fn, x, y, SEED), autograph=False)
        return score_fn(run()).numpy().argmax(axis=1) == y.numpy()

    parts = np.logical_and.reduce([standing(attack) for attack in QUICK])
    np.testing.assert_array_equal(standing(AutoAttack(0.1, version=QUICK)), parts)


def test_labels_default_to_the_predictions_of_the_model():
    """Fails if samples without labels count as misclassified."""
    result = AutoAttack(0.1, version=(Shift(0.1),)).evaluate(threshold_network(), images(0.7, 0.45))
    assert result.broken_by == (None, "shift")


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"eps": -0.1}, "eps"),
        ({"norm": "l1"}, "linf"),
        ({"version": "rand"}, "standard"),
        ({"version": ()}, "tuple of attacks"),
        ({"version": (Square(0.2),)}, "eps=0.1.*Square"),
        ({"version": (Square(0.1, norm="l2"),)}, "norm='linf'.*Square"),
        ({"version": (FAB(None),)}, "eps=0.1.*FAB"),
    ],
)
def test_refuses_at_the_door(fields, words):
    """Fails if a field that makes no sense is accepted or the message does not help."""
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(AutoAttack(0.1), **fields)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"x": images()[:0]}, "at least one"),
        ({"x": images(1.5)}, "box"),
        ({"y": np.array([2])}, r"\[0, 2\)"),
        ({"model": print}, "Keras model"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_evaluate_refuses_what_does_not_fit(options, words):
    """Fails if what cannot be reported on is attacked."""
    arguments = {"model": threshold_network(), "x": images(0.3), "y": np.array([0])} | options
    with pytest.raises(ValueError, match=words):
        AutoAttack(0.1, version=(Shift(0.1),)).evaluate(**arguments)
