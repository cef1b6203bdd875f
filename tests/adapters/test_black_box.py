"""Black boxes: what becomes of answers, what is counted, and what is said of a call that fails."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.adapters import BlackBox, BlackBoxError
from keras_mmc.adapters._answers import kind_of
from keras_mmc.attacks import MIM, PGD, RayS, Runner, Square, Transfer
from keras_mmc.evaluation import zero_gradient_fraction

SHAPE = (4, 4, 1)
KERNEL = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
X = np.random.default_rng(1).uniform(0.2, 0.8, (20, *SHAPE)).astype("float32")


def logits(images):
    return images.reshape(len(images), -1) @ KERNEL


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(images):
    return 1 / (1 + np.exp(-logits(images)[:, 0]))


ANSWERS = {
    "scores": (logits, None, lambda x: logits(x)),
    "lists": (lambda x: logits(x).tolist(), None, lambda x: logits(x)),
    "probabilities": (lambda x: softmax(logits(x)), None, lambda x: np.log(softmax(logits(x)))),
    "one probability": (
        sigmoid,
        None,
        lambda x: np.log(np.stack([1 - sigmoid(x), sigmoid(x)], axis=1)),
    ),
    "one logit": (
        lambda x: 5 * logits(x)[:, :1],
        None,
        lambda x: 5 * np.stack([0 * logits(x)[:, 0], logits(x)[:, 0]], axis=1),
    ),
    "labels": (lambda x: logits(x).argmax(axis=1), 4, lambda x: labels_longhand(x, 4)),
    "labels (n, 1)": (
        lambda x: logits(x).argmax(axis=1)[:, None].astype("uint8"),
        3,
        lambda x: labels_longhand(x, 3),
    ),
}


def labels_longhand(x, num_classes):
    scores = np.full((len(x), num_classes), -1.0)
    scores[np.arange(len(x)), logits(x).argmax(axis=1)] = 0
    return scores


@pytest.mark.parametrize("name", ANSWERS)
def test_scores_longhand(name):
    """Fails if an answer is taken for another kind, or its scores are of another formula."""
    predict, num_classes, expected = ANSWERS[name]
    box = BlackBox(predict, num_classes)
    scores = box(X, training=False)
    assert scores.dtype == "float32" and box.num_classes == scores.shape[1]
    np.testing.assert_allclose(scores, expected(X), rtol=1e-5, atol=1e-6)
    assert box.labels_only == name.startswith("labels")


def test_a_probability_of_0_has_a_finite_score():
    """Fails if an image that is classified with certainty gets an infinite score or NaN."""
    scores = BlackBox(lambda x: np.eye(3)[np.arange(len(x)) % 3])(X[:3])
    np.testing.assert_allclose(scores, np.where(np.eye(3), 0, np.log(2.0**-126)), rtol=1e-6)


def test_kinds():
    """Fails if numbers that could be either are taken for scores, or 8-bit softmax is not seen."""
    assert kind_of(np.array([0.2, 0.9])) == "probabilities"
    assert kind_of(np.array([0.2, 1.1])) == "scores"
    assert kind_of(np.array([[0.25, 0.76]])) == "probabilities"
    assert kind_of(np.array([[0.25, 0.5]])) == "scores"
    assert kind_of(np.array([1, 0])) == "labels"
    assert kind_of(np.array([True, False])) == "labels"
    assert kind_of(np.array([[3, 0, 9]])) == "scores"


def test_returns_settles_what_could_be_mistaken():
    """Fails if scores that look like probabilities stay their logarithm against the user's word."""
    rows = np.array([[0.25, 0.75]])
    found = BlackBox(lambda x: rows, returns="scores")(X[:1])
    np.testing.assert_allclose(found, rows)
    logit = BlackBox(lambda x: np.array([0.5]), returns="scores")(X[:1])
    np.testing.assert_allclose(logit, [[0.0, 0.5]])


def test_counts_what_the_function_sees():
    """Fails if a query is missed or counted twice, or the function changes our images."""
    sizes = []

    def predict(images):
        sizes.append(len(images))
        scores = logits(images)
        images[:] = -1
        return scores

    box, x = BlackBox(predict), X.copy()
    runner = Runner(box, batch_size=8)
    scores = runner.scores(x)
    labels = scores.argmax(axis=1).astype("int32")
    assert (box.queries, box.calls) == (20, 3) and sizes == [8, 8, 4]
    np.testing.assert_array_equal(x, X)
    before = sum(sizes), len(sizes)
    found = runner.run(Square(0.05, queries=30), x, labels, np.arange(20))
    assert found.asked.queries == sum(sizes) - before[0]
    assert (box.queries, box.calls) == (sum(sizes), len(sizes))
    assert found.asked.most == 32  # the start, 30 squares and the check of the result


def test_each_attack_counts_its_longest_image():
    """Fails if images that are broken early hide how often the others were asked about."""
    calls = []

    def predict(images):  # the first pixel of class 1 is above 0.7
        calls.append(len(images))
        return np.stack([0 * images[:, 0, 0, 0] + 0.7, images[:, 0, 0, 0]], axis=1)

    x = np.full((2, *SHAPE), 0.65, "float32")
    x[1] = 0.1
    runner = Runner(BlackBox(predict, returns="scores"))
    labels = runner.scores(x).argmax(axis=1)
    calls.clear()
    found = runner.run(RayS(0.1, queries=50), x, labels, np.arange(2))
    assert list(found.rows) == [0]
    assert found.asked.queries == sum(calls) and calls[0] == 2 and calls[-2] == 1
    assert found.asked.most == 51 == len(calls)


@pytest.mark.parametrize("predict", [logits, lambda x: logits(x).argmax(axis=1)])
def test_rays_needs_no_more_than_labels(predict):
    """Fails if RayS finds other images where scores are hidden behind labels."""
    found = RayS(0.1, queries=60)(BlackBox(predict, 3), X)
    expected = RayS(0.1, queries=60)(BlackBox(logits), X)
    np.testing.assert_array_equal(found, expected)
    broken = logits(found).argmax(axis=1) != logits(X).argmax(axis=1)
    assert broken.any() and not broken.all()


def model():
    network = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)])
    network.set_weights([KERNEL, np.zeros(3)])
    return network


def test_a_transfer_asks_one_image_a_batch_and_then_for_the_result():
    """Fails if the substitute's gradients are paid for with queries."""
    box = BlackBox(logits)
    runner = Runner(box)
    labels = runner.scores(X).argmax(axis=1)
    found = runner.run(Transfer(MIM(0.1), model()), X, labels, np.arange(20))
    assert found.rows.size and (found.asked.queries, found.asked.most) == (21, 2)


def test_attacks_with_gradients_are_refused_before_any_query():
    """Fails if a black box passes for robust because its gradient is 0."""
    box = BlackBox(logits)
    with pytest.raises(ValueError, match=r"PGD needs gradients.*black box.*Square, RayS"):
        PGD(0.1)(box, X)
    assert box.queries == 20  # the clean images
    with pytest.raises(ValueError, match="has no gradients"):
        zero_gradient_fraction(box, X, np.zeros(20))
    with pytest.raises(ValueError, match="answers and has no gradients"):
        PGD(0.1).search(box, tf.constant(X), tf.zeros(20, tf.int32), 0)


def test_graphs_are_refused():
    """Fails if a Python function is traced once and never asked again."""
    box = BlackBox(logits)
    with pytest.raises(ValueError, match=r"outside graphs only.*Runner"):
        tf.function(box, autograph=False)(tf.constant(X))
    with pytest.raises(ValueError, match="outside graphs only"):
        keras.Sequential([keras.Input(SHAPE), box])


def fails_at(number, answer):
    """A function whose call of that number answers something else, or raises it."""
    calls = []

    def predict(images):
        calls.append(0)
        if len(calls) < number:
            return logits(images)
        if isinstance(answer, Exception):
            raise answer
        return answer(images)

    return predict


def hole(images):
    scores = logits(images)
    scores[1] = np.nan
    return scores


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (TimeoutError("no answer"), "TimeoutError: no answer"),
        (hole, r"NaN for 1 of \d+ images, the first at index 1"),
        (lambda x: logits(x)[:-1], r"shape \(19, 3\) for 20 images. Expected scores"),
        (lambda x: logits(x)[:, :2], "2 numbers for an image, where 3 classes were expected"),
        (lambda x: logits(x)[None], r"shape \(1, 20, 3\)"),
        (lambda x: {"scores": 1}, "no numbers but object"),
        (lambda x: None, "no numbers but object"),
    ],
)
def test_a_call_that_fails_is_named(answer, message):
    """Fails if the error does not say which call it was and what came, or TensorFlow wraps it."""
    attack = Square(0.01, queries=20)
    with pytest.raises(BlackBoxError, match=rf"^Call 4 of the black box, 20 images.*{message}"):
        Runner(BlackBox(fails_at(4, answer))).attack(attack, X)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (lambda x: np.full(len(x), 3), r"labels from 3 to 3; expected integers in \[0, 3\)"),
        (lambda x: np.full(len(x), -1), r"labels from -1 to -1"),
        (lambda x: np.full(len(x), 0.5), "2 numbers for an image, where 3 classes"),
    ],
)
def test_answers_that_do_not_fit_the_classes(answers, message):
    """Fails if a label outside the classes is taken for one of them."""
    with pytest.raises(BlackBoxError, match=message):
        BlackBox(answers, 3)(X)


def test_answers_that_change_their_kind():
    """Fails if scores are taken for probabilities because the first batch looked like some."""
    predict = fails_at(2, lambda x: 3 * logits(x))
    box = BlackBox(lambda x: softmax(predict(x)) if len(x) == 3 else predict(x))
    box(X[:3])
    with pytest.raises(BlackBoxError, match=r"Call 2.*probabilities were exp.*returns='scores'"):
        box(X)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BlackBox("model.tflite"), "must be a function.*received 'model.tflite'"),
        (lambda: BlackBox(logits, 1), "`num_classes` must be an integer >= 2; received 1"),
        (
            lambda: BlackBox(logits, returns="logits"),
            "`returns` must be 'labels' or",
        ),
    ],
)
def test_refuses_at_the_door(make, message):
    """Fails if an argument that makes no sense is accepted or the message does not help."""
    with pytest.raises(ValueError, match=message):
        make()


def test_labels_need_the_number_of_classes():
    """Fails if the number of classes is guessed from the labels that came first."""
    with pytest.raises(BlackBoxError, match=r"labels.*Pass `BlackBox\(predict, num_classes=K\)`"):
        BlackBox(lambda x: np.zeros(len(x), int))(X)


def test_a_keras_model_lends_no_weights():
    """Fails if a wrapped model could be trained, hashed or saved as part of the black box."""
    box = BlackBox(model())
    np.testing.assert_allclose(box(X), logits(X), rtol=1e-5)
    assert box.get_weights() == [] and box.digest is None
