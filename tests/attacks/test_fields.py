"""Everything an attack refuses, and what it says."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent
from keras import ops

from keras_mmc.attacks import (
    BIM,
    FAB,
    FGSM,
    MIM,
    PGD,
    AutoAttack,
    Ball,
    CleverHans,
    NearestWrongCenter,
    Square,
)

X = np.linspace(0, 1, 24, dtype="float32").reshape(3, 8)
Y = np.array([0, 1, 2], "int32")


def classifier(num_classes=4, activation=None):
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(num_classes, activation=activation)
    return keras.Sequential([keras.Input((8,)), dense])


@pytest.fixture(scope="module")
def model():
    return classifier()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PGD(-0.1), "PGD: `eps` must be a finite number >= 0.*received -0.1"),
        (lambda: FGSM(float("nan")), "FGSM: `eps` must be a finite number.*received nan"),
        (lambda: PGD(0.1, steps=0), "`steps` must be a positive integer; received 0"),
        (lambda: PGD(0.1, steps=2.5), "`steps` must be a positive integer; received 2.5"),
        (lambda: BIM(0.1, step_size=0), "BIM: `step_size` must be .*> 0.*received 0"),
        (lambda: MIM(0.1, norm="l1"), r"`norm` must be one of \['l2', 'linf'\]; received 'l1'"),
        (lambda: PGD(0.1, norm=1), "`norm` must be one of"),
        (lambda: PGD(0.1, norm=[2]), "`norm` must be one of"),
        (lambda: PGD(8), r"larger than the whole box \(0.0, 1.0\).*8 / 255, not 8.*box=\(0, 255\)"),
        (lambda: PGD(0.1, objective="hinge"), "Unknown objective 'hinge'.*'margin'"),
        (lambda: PGD(0.1, objective="targeted_dlr"), "needs targets.*targeted=True"),
        (lambda: PGD(0.1, targeted=1), "`targeted` must be True or False; received 1"),
        (lambda: PGD(0.1, random_start=-0.3), "`random_start` must be True, False or a standard"),
        (lambda: PGD(0.1, restarts=0), "`restarts` must be a positive integer; received 0"),
        (lambda: PGD(0.1, random_start=False, restarts=3), "restarts=3 without a random start"),
        (lambda: FGSM(0.1, box=(1.0, 0.0)), r"`box` must be a tuple.*low < high.*\(1.0, 0.0\)"),
        (lambda: FGSM(0.1, box=[0.0, 1.0]), "`box` must be a tuple"),
        (lambda: NearestWrongCenter(0.1, step_size=-1.0), "NearestWrongCenter: `step_size`"),
        (lambda: MIM(0.1, decay=-1.0), "MIM: `decay` must be a finite number >= 0"),
    ],
)
def test_refuses_fields(make, message):
    """Fails if a parameter without meaning is accepted, or the message does not name it."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("norm", "name"), [(np.inf, "linf"), ("Linf", "linf"), (2, "l2"), ("2", "l2")]
)
def test_norms_of_other_libraries(norm, name):
    """Fails unless an attack, a ball or AutoAttack made with them equals the one with the name."""
    for make in (PGD, FAB, Square, AutoAttack, Ball):
        assert make(0.1, norm=norm) == make(0.1, norm=name)
        assert make(0.1, norm=norm).norm == name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PGD(0.1, eps_step=0.01), "PGD has no argument 'eps_step'; here it is `step_size`"),
        (lambda: PGD(0.1, nb_iter=10), "here it is `steps`"),
        (lambda: PGD(epsilon=0.1), "here it is `eps`"),
        (lambda: FGSM(0.1, clip_min=0.0), r"here it is `box=\(low, high\)`"),
        (lambda: MIM(0.1, estimator=None), r"given in the call: `PGD\(8 / 255\)\(model, x, y\)`"),
        (lambda: Square(0.1, max_queries=9), "here it is `queries`"),
        (lambda: MIM(0.1, decay_factor=1.0), "here it is `decay`"),
        (lambda: FGSM(0.1, eps_step=0.1), "no argument 'eps_step'. Its arguments: eps, norm"),
        (lambda: Square(0.1, max_iter=9), "no argument 'max_iter'. Its arguments: eps, queries"),
        (
            lambda: PGD(keras.Sequential(), eps=0.1),
            r"takes the model in the call: `PGD\(eps=...\)\(model, x, y\)`",
        ),
        (lambda: PGD(0.1, stpes=9), "unexpected keyword argument 'stpes'"),
    ],
)
def test_arguments_of_other_libraries(make, message):
    """Fails if the user is not told the name that the argument has here."""
    with pytest.raises(TypeError, match=message):
        make()


def test_whole_numbers_are_lengths(model):
    """Fails if an attack with `eps=8` cannot run in a graph, or differs from one with 8.0."""
    found = []
    for number in (int, float, np.float32):
        attack = PGD(number(8), steps=2, step_size=number(3), box=(number(0), number(255)))
        assert repr(attack) == repr(PGD(8.0, steps=2, step_size=3.0, box=(0.0, 255.0)))
        fn = tf.function(lambda x, a=attack: a.generate(model, x, Y, seed=0))
        found.append(fn(tf.constant(255 * X)).numpy())
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[1])
    assert np.abs(found[0] - 255 * X).max() > 1


def test_arguments_that_an_attack_hands_on():
    """Fails if the arguments of a cleverhans function are refused."""
    attack = CleverHans(projected_gradient_descent, eps=0.1, eps_iter=0.05, nb_iter=2, norm=np.inf)
    assert attack.ball == Ball(0.1)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((255 * X).astype("uint8"), r"must be floats in \[0, 1\]; received dtype uint8.*/ 255"),
        (X.astype("complex64"), "real numbers; received dtype complex64.*astype"),
        (tf.data.Dataset.from_tensor_slices(X).batch(2), "received a _BatchDataset.*to_arrays"),
        (X[0], r"batch of shape \(N, ...\); received shape \(8,\).*x\[None\]"),
        (np.where(X > 0.9, np.nan, X), "must be finite; 1 of 3.*first at index 2"),
        (255 * X, r"box \[0, 1\]; received values from 0 to 255. Divide by 255"),
        (X - 0.5, "received values from -0.5 to 0.5. Clip or rescale"),
    ],
)
def test_refuses_images(images, message, model):
    """Fails if broken images are attacked, or the message does not say how to mend them."""
    with pytest.raises(ValueError, match=message):
        FGSM(0.1)(model, images, Y)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (Y + 0.5, "whole numbers"),
        (np.eye(4)[Y] / 2 + 0.125, r"must be one-hot.*Pass `y.argmax\(axis=-1\)`"),
        (np.eye(5)[Y], r"integers of shape \(3,\).*received dtype float64, shape \(3, 5\)"),
        (Y.astype(str), r"received dtype <U\d+"),
        (Y[:2], r"one per image.*received dtype int32, shape \(2,\)"),
        (Y + 2, r"\[0, 4\).* 2 to 4"),
        (Y - 1, r"\[0, 4\).* -1 to 1"),
    ],
)
def test_refuses_labels(labels, message, model):
    """Fails if labels of another form are attacked, or the message does not say how to mend."""
    with pytest.raises(ValueError, match=message):
        FGSM(0.1)(model, X, labels)


@pytest.mark.parametrize(
    "labels", [Y.astype("float32"), Y[:, None], np.eye(4)[Y], np.eye(4, dtype=bool)[Y], list(Y)]
)
def test_labels_of_every_form(labels, model):
    """Fails if labels as Keras takes them are refused, or attacked as other classes."""
    np.testing.assert_array_equal(FGSM(0.1)(model, X, labels), FGSM(0.1)(model, X, Y))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", tf.bfloat16.as_numpy_dtype])
def test_images_of_every_dtype(dtype, model):
    """Fails if pixels of a wide box, or coarse floats, are refused or come back in their dtype."""
    pixels = np.round(255 * X / 8) * 8 % 256
    attack = FGSM(20.0, box=(0.0, 255.0))
    found = attack(model, pixels.astype(dtype), Y)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, attack(model, pixels.astype("float32"), Y))


@pytest.mark.parametrize(
    ("attack", "targets", "message"),
    [
        (FGSM(0.1), Y, "is not targeted. Make the attack with targeted=True"),
        (FGSM(0.1, targeted=True), np.array([1, 1, 1]), "differ from the label; 1 of 3.*index 1"),
        (FGSM(0.1, targeted=True), Y[:2], "`targets` must be integers"),
        (FGSM(0.1, targeted=True), Y + 2, r"\[0, 4\).* 2 to 4"),
    ],
)
def test_refuses_targets(attack, targets, message, model):
    """Fails if targets are ignored, or a target is the label itself."""
    with pytest.raises(ValueError, match=message):
        attack(model, X, Y, targets=targets)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_attacks_what_goes_into_an_ending(activation):
    """Fails if probabilities are attacked, whose gradients may be 0."""
    ending, plain = classifier(activation=activation), classifier()
    plain.set_weights(ending.get_weights())
    np.testing.assert_array_equal(FGSM(0.1)(ending, X, Y), FGSM(0.1)(plain, X, Y))


def test_accepts_scores_that_only_look_like_probabilities_in_one_row():
    """Fails if one row that happens to sum to 1 stops an audit."""
    model = classifier(num_classes=2)
    model.layers[-1].set_weights([np.ones((8, 2)) * [1, 0], np.array([0.0, 0.0])])
    x = np.array([8 * [0.125], 8 * [0.5]], "float32")  # scores (1, 0) and (4, 0)
    assert FGSM(0.1)(model, x, np.array([0, 0])).shape == x.shape


def test_refuses_nan_scores():
    """Fails if a diverged model is reported as broken by the attack."""
    model = classifier()
    model.layers[-1].set_weights([np.full((8, 4), np.nan), np.zeros(4)])
    with pytest.raises(ValueError, match=r"NaN scores on 3 of 3 clean images.*weights"):
        FGSM(0.1)(model, X, Y)


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_one_output_is_the_score_of_class_1(activation, rng):
    """Fails unless images move along the sign of the weights, towards the class they are not of."""
    model, kernel = classifier(1, activation), np.linspace(-1, 1, 8)[:, None]
    model.layers[-1].set_weights([kernel, np.zeros(1)])
    x = rng.uniform(0.3, 0.7, (20, 8)).astype("float32")
    y = (x @ kernel > 0)[:, 0].astype("int32")
    assert 0 < y.mean() < 1
    expected = x + 0.1 * np.where(y == 0, 1, -1)[:, None] * np.sign(kernel.T)
    np.testing.assert_allclose(FGSM(0.1)(model, x, y), expected, atol=1e-6)
    np.testing.assert_array_equal(FGSM(0.1)(model, x, 1 - y), x)  # wrong as they are


def test_refuses_scores_of_another_rank():
    """Fails if a map of scores is taken for one score per class."""
    model = keras.Sequential([keras.Input((8,)), keras.layers.Reshape((4, 2))])
    with pytest.raises(ValueError, match=r"shape \(N, K\).*received shape \(3, 4, 2\)"):
        FGSM(0.1)(model, X, Y)


def test_refuses_dlr_with_two_classes():
    """Fails if the undefined ratio is computed, or the message does not name the mend."""
    with pytest.raises(ValueError, match=r"'dlr' needs at least 3 classes.*Use 'margin'"):
        FGSM(0.1, objective="dlr")(classifier(2), X, Y % 2)


def test_refuses_a_model_without_gradient():
    """Fails if a model that rounds its input is reported as robust."""

    class Round(keras.layers.Layer):
        def call(self, x):
            return ops.stop_gradient(ops.round(x[:, :4]))

    model = keras.Sequential([keras.Input((8,)), Round()])
    labels = model.predict(X, verbose=0).argmax(axis=1)
    with pytest.raises(ValueError, match="do not depend on x"):
        FGSM(0.1)(model, X, labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be a positive integer; received 0"),
        ({"seed": -1}, r"`seed` must be an integer in \[0, 2\*\*31\); received -1"),
        ({"seed": 0.5}, "`seed` must be an integer"),
    ],
)
def test_refuses_arguments_of_the_call(arguments, message, model):
    """Fails if a batch size or seed without meaning is accepted."""
    with pytest.raises(ValueError, match=message):
        PGD(0.1)(model, X, Y, **arguments)


def test_refuses_a_function_for_a_model():
    """Fails if a bare function is called with training=False and fails further down."""
    with pytest.raises(ValueError, match=r"A Keras model is attacked.*keras.layers.Lambda"):
        PGD(0.1)(lambda x: x, X, Y)
