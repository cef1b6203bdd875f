"""Every objective is derived again in float64 NumPy, and its gradient in closed form."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_mmc
from keras_mmc import objectives
from keras_mmc._gradients import value_and_gradient

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(6, 5)).astype("float32") * 3
LABELS = np.array([0, 1, 2, 3, 4, 0], "int32")
TARGETS = np.array([1, 0, 4, 2, 3, 2], "int32")


def log_softmax(s):
    s = s.astype("float64")
    s = s - s.max(axis=1, keepdims=True)
    return s - np.log(np.exp(s).sum(axis=1, keepdims=True))


def by_hand(name, scores, labels, targets):
    """One value per sample, sample by sample, from the written formula."""
    values = []
    for s, log_p, y, t in zip(
        scores.astype("float64"), log_softmax(scores), labels, targets, strict=True
    ):
        wrong = max(s[k] for k in range(len(s)) if k != y)
        first, _, third, fourth, *_ = sorted(s, reverse=True)
        values.append(
            {
                "margin": wrong - s[y],
                "distance": -s[y],
                "nearest_wrong": wrong,
                "cross_entropy": -log_p[y],
                "log_odds": np.log(sum(np.exp(s[k]) for k in range(len(s)) if k != y)) - s[y],
                "dlr": -(s[y] - wrong) / (first - third),
                "targeted_distance": s[t],
                "targeted_margin": s[t] - s[y],
                "targeted_cross_entropy": log_p[t],
                "targeted_dlr": -(s[y] - s[t]) / (first - (third + fourth) / 2),
            }[name]
        )
    return np.array(values)


NAMES = [
    "margin",
    "distance",
    "nearest_wrong",
    "cross_entropy",
    "log_odds",
    "dlr",
    "targeted_distance",
    "targeted_margin",
    "targeted_cross_entropy",
    "targeted_dlr",
]


def evaluate(name, scores, labels=LABELS, targets=TARGETS):
    extra = (targets,) if name in objectives.TARGETED else ()
    return objectives.get(name)(keras.ops.convert_to_tensor(scores), labels, *extra)


@pytest.mark.parametrize("name", NAMES)
def test_value(name):
    """Fails if a sign, a constant or the choice of class is wrong."""
    np.testing.assert_allclose(
        evaluate(name, SCORES), by_hand(name, SCORES, LABELS, TARGETS), rtol=1e-5, atol=1e-6
    )


def one_hot(classes):
    return np.eye(SCORES.shape[1])[classes]


@pytest.mark.parametrize("name", NAMES)
def test_gradient(name):
    """Fails if the gradient differs from the closed form, or from differences for DLR."""
    wrong = np.where(one_hot(LABELS) > 0, -np.inf, SCORES).argmax(axis=1)
    probability = np.exp(log_softmax(SCORES))
    closed = {
        "margin": one_hot(wrong) - one_hot(LABELS),
        "distance": -one_hot(LABELS),
        "nearest_wrong": one_hot(wrong),
        "cross_entropy": probability - one_hot(LABELS),
        "targeted_distance": one_hot(TARGETS),
        "targeted_margin": one_hot(TARGETS) - one_hot(LABELS),
        "targeted_cross_entropy": one_hot(TARGETS) - probability,
    }
    if name not in closed:
        step = 1e-5 * np.eye(SCORES.shape[1])
        up, down = (
            [by_hand(name, SCORES + sign * d, LABELS, TARGETS) for d in step] for sign in (1, -1)
        )
        closed[name] = (np.array(up) - np.array(down)).T / 2e-5
    _, gradient = value_and_gradient(lambda s: evaluate(name, s), tf.constant(SCORES))
    np.testing.assert_allclose(gradient, closed[name], rtol=1e-3, atol=1e-5)


@given(
    st.sampled_from(NAMES),
    st.lists(st.sampled_from([0.0, 1.0, -1.0, 1e4, -1e4]), min_size=4, max_size=4),
    st.integers(0, 3),
    st.integers(1, 3),
)
@settings(deadline=None, max_examples=60)
def test_ties_and_large_scores_stay_finite(name, row, label, shift):
    """Fails if a tie or a score of 1e4 gives a NaN or an infinity, in value or gradient."""
    labels, targets = np.array([label]), np.array([(label + shift) % 4])
    values, gradient = value_and_gradient(
        lambda s: evaluate(name, s, labels, targets), tf.constant([row])
    )
    assert np.isfinite(values).all() and np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["dlr", "targeted_dlr"])
def test_dlr_is_free_of_scale_and_offset(name):
    """Fails if the denominator does not scale like the margin."""
    np.testing.assert_allclose(evaluate(name, 200 * SCORES + 7), evaluate(name, SCORES), rtol=1e-3)


def test_cross_entropy_gradient_vanishes_where_the_margin_does_not():
    """Fails if the default objective saturates like the control."""
    scores, labels = tf.constant([[0.0, -200.0, -300.0]]), np.array([0])
    _, naive = value_and_gradient(lambda s: objectives.cross_entropy(s, labels), scores)
    _, honest = value_and_gradient(lambda s: objectives.margin(s, labels), scores)
    _, odds = value_and_gradient(lambda s: objectives.log_odds(s, labels), scores)
    np.testing.assert_array_equal(naive, [[0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(honest, [[-1.0, 1.0, 0.0]])
    np.testing.assert_array_equal(odds, [[-1.0, 1.0, 0.0]])


def test_cross_entropy_follows_from_the_log_odds():
    """Fails unless one is log(1 + exp) of the other, so that attacks order points alike."""
    odds = evaluate("log_odds", SCORES).numpy().astype("float64")
    expected = np.log1p(np.exp(odds))
    np.testing.assert_allclose(evaluate("cross_entropy", SCORES), expected, rtol=1e-5)


def test_kl():
    """Fails if the two arguments are swapped or softmax is taken of the wrong one."""
    clean = RNG.normal(size=SCORES.shape).astype("float32")
    expected = np.exp(log_softmax(clean)) * (log_softmax(clean) - log_softmax(SCORES))
    np.testing.assert_allclose(objectives.kl(SCORES, clean), expected.sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(objectives.kl(SCORES, SCORES), np.zeros(len(SCORES)), atol=1e-6)
    assert np.isfinite(objectives.kl(1e4 * SCORES, -1e4 * SCORES)).all()


def test_squared_probabilities():
    clean = SCORES[::-1].copy()
    p, q = (np.exp(s) / np.exp(s).sum(axis=1, keepdims=True) for s in (SCORES, clean))
    found = objectives.squared_probabilities(SCORES, clean)
    np.testing.assert_allclose(found, ((p - q) ** 2).sum(axis=1), rtol=1e-5)
    far = objectives.squared_probabilities(1e4 * SCORES, -1e4 * SCORES)
    assert np.isfinite(far).all() and np.max(far) <= 2


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_squared_scores_are_distances_of_features(num_classes, scale, rng):
    """Fails unless it is C^2 K / (K - 1) times half the squared distance between the centers."""
    head = keras_mmc.MaxMahalanobisCenters(num_classes, scale=scale)
    features, other = rng.normal(size=(2, 6, 8)).astype("float32")
    found = objectives.squared_scores(head(features), head(other))
    basis = np.linalg.svd(keras.ops.convert_to_numpy(head.centers))[2][: num_classes - 1]
    apart = np.square((features - other) @ basis.T).sum(axis=1) / 2
    factor = scale**2 * num_classes / (num_classes - 1)
    np.testing.assert_allclose(found, factor * apart, rtol=1e-4)
    np.testing.assert_allclose(
        objectives.squared_scores(SCORES + 3.0, SCORES), np.zeros(len(SCORES)), atol=1e-6
    )


def test_training_loss_of_a_keras_loss_is_unreduced():
    """Fails if the arguments are swapped or the loss is averaged over the batch."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    values = objectives.training_loss(loss)(tf.constant(SCORES), LABELS)
    np.testing.assert_allclose(values, -log_softmax(SCORES)[np.arange(6), LABELS], rtol=1e-5)


def test_training_loss_of_a_function():
    """Fails if a function is called in another order than (y, scores)."""
    objective = objectives.training_loss(lambda y, scores: scores[:, 0] * tf.cast(y, tf.float32))
    values = objective(tf.constant(SCORES), tf.constant(LABELS))
    np.testing.assert_allclose(values, SCORES[:, 0] * LABELS)


def test_training_loss_refuses_a_reduced_loss():
    """Fails if a mean over the batch passes as per-sample values."""
    objective = objectives.training_loss(lambda y, scores: tf.reduce_mean(scores))
    with pytest.raises(ValueError, match=r"one value per sample.*before any reduction"):
        objective(tf.constant(SCORES), LABELS)


def test_get_resolves_names_functions_and_losses():
    """Fails if a Keras loss is taken for a function of (scores, labels)."""
    assert objectives.get("margin") is objectives.margin
    assert objectives.get(objectives.dlr) is objectives.dlr
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    np.testing.assert_allclose(
        objectives.get(loss)(tf.constant(SCORES), LABELS), evaluate("cross_entropy", SCORES), 1e-5
    )


def test_get_refuses_unknown_names():
    """Fails if the message does not list what exists."""
    with pytest.raises(ValueError, match=r"Unknown objective 'hinge'.*cross_entropy.*margin"):
        objectives.get("hinge")


@pytest.mark.parametrize("name", ["margin", "distance", "cross_entropy", "dlr"])
def test_for_goal_takes_the_targeted_form(name):
    """Fails if a targeted attack climbs away from the label instead of to the target."""
    values = objectives.for_goal(name, targeted=True)(tf.constant(SCORES), LABELS, TARGETS)
    np.testing.assert_allclose(values, evaluate(f"targeted_{name}", SCORES))


def test_for_goal_ignores_targets_of_untargeted_objectives():
    """Fails if an untargeted objective is handed three arguments."""
    values = objectives.for_goal("margin", targeted=False)(tf.constant(SCORES), LABELS, TARGETS)
    np.testing.assert_allclose(values, evaluate("margin", SCORES))


@pytest.mark.parametrize(
    ("objective", "targeted", "message"),
    [
        ("nearest_wrong", True, "has no target.*targeted_margin"),
        ("targeted_dlr", False, "needs targets.*targeted=True, or use 'dlr'"),
    ],
)
def test_for_goal_refuses_a_misfit(objective, targeted, message):
    """Fails if an objective is used against its goal."""
    with pytest.raises(ValueError, match=message):
        objectives.for_goal(objective, targeted)


@pytest.mark.parametrize(("name", "classes"), [("dlr", 2), ("targeted_dlr", 3)])
def test_dlr_refuses_too_few_classes(name, classes):
    """Fails if the undefined ratio is computed, or the message does not name the mend."""
    with pytest.raises(ValueError, match=f"at least {classes + 1} classes.*margin'"):
        evaluate(name, SCORES[:, :classes], LABELS % classes, TARGETS % classes)
