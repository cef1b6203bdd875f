"""Balanced batches and working sets, on hand-made classes and scores."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_mmc
from keras_mmc.datasets import balanced_batches, working_set

# Seven samples of class 5, three of class 0, one of class 2; the sample is its own number.
LABELS = np.array([5, 0, 5, 5, 2, 0, 5, 5, 0, 5, 5])
SAMPLES = np.arange(11.0)[:, None]


def epoch(data):
    """The sample numbers `(batches, N)` of one pass; each comes with its own label."""
    pairs = [(x.numpy()[:, 0].astype(int), y.numpy()) for x, y in data]
    for numbers, labels in pairs:
        np.testing.assert_array_equal(labels, LABELS[numbers])
    return np.stack([numbers for numbers, _ in pairs])


def test_every_batch_and_its_halves_are_balanced():
    """Fails if a class is short in a batch or in the half that a replica gets, or in dtype."""
    data = balanced_batches(SAMPLES, LABELS, per_class=2)
    assert data.cardinality().numpy() == 4  # ceil(7 / 2)
    assert data.element_spec[0].dtype == tf.float32 and data.element_spec[1].dtype == tf.int32
    for numbers in epoch(data):
        for half in np.split(LABELS[numbers], 2):
            assert sorted(half) == [0, 2, 5]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(0, 2**31 - 1))
def test_samples_of_a_class_are_drawn_equally_often(per_class, seed):
    """Fails if a sample is left out or drawn again before all others of its class were."""
    numbers = epoch(balanced_batches(SAMPLES, LABELS, per_class, seed)).ravel()
    for label in (0, 2, 5):
        own = np.flatnonzero(label == LABELS)
        drawn = numbers[LABELS[numbers] == label]
        assert len(drawn) == per_class * -(-7 // per_class)
        for first in range(0, len(drawn), len(own)):
            part = drawn[first : first + len(own)]
            assert len(set(part)) == len(part)


def test_order_depends_on_seed_pass_and_class():
    """Fails if a run is not repeatable, passes are alike, or a sample always meets the same."""
    labels = np.repeat([0, 1], 40)
    x = np.arange(80.0)[:, None]

    def passes(seed):
        data = balanced_batches(x, labels, per_class=1, seed=seed)
        return [np.stack([x.numpy()[:, 0] for x, _ in data]) for _ in range(2)]

    first, again, other = passes(3), passes(3), passes(4)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[0], other[0])
    partners = [dict(map(tuple, numbers)) for numbers in first]
    assert sum(partners[0][i] == partners[1][i] for i in range(40)) < 10
    assert sum(first[0][:, 1] - first[0][:, 0] == 40) < 10


def test_an_adversarial_model_trains_on_them():
    """Fails if Keras cannot fit on the data set, or differential training skips a batch."""
    keras.utils.set_random_seed(0)
    plain = keras.Sequential([keras.Input((1,)), keras_mmc.DifferentialHead()])
    robust = keras_mmc.AdversarialModel(plain, keras_mmc.defenses.DifferentialTraining())
    robust.compile("sgd", keras_mmc.DifferentialLoss())
    samples, labels = SAMPLES / 11, (LABELS == 5).astype(int)
    before = robust.evaluate(samples, labels, batch_size=11, verbose=0, return_dict=True)
    robust.fit(balanced_batches(samples, labels, per_class=2), epochs=2, shuffle=False, verbose=0)
    after = robust.evaluate(samples, labels, batch_size=11, verbose=0, return_dict=True)
    assert robust.optimizer.iterations == 8 and after["loss"] < before["loss"]


@pytest.mark.parametrize(
    ("x", "y", "per_class", "message"),
    [
        (SAMPLES, LABELS, 0, "`per_class` must be at least 1; received 0"),
        (SAMPLES.astype(int), LABELS, 1, "floating point.*int64.*255"),
        (np.where(SAMPLES == 3, np.nan, SAMPLES), LABELS, 1, "finite.*NaN"),
        (SAMPLES, LABELS[:-1], 1, r"shape \(11,\).*received dtype int64, shape \(10,\)"),
        (SAMPLES, np.eye(6)[LABELS], 1, r"received dtype float64, shape \(11, 6\).*argmax"),
        (SAMPLES, np.zeros(11, int), 1, r"two classes or more; received only \[0\]"),
    ],
)
def test_balanced_refusals(x, y, per_class, message):
    """Fails if batches are made that differential training cannot use."""
    with pytest.raises(ValueError, match=message):
        balanced_batches(x, y, per_class)


# Lead of the label: 1, -2, 3, 0.5 for class 0; 4, 0, -1 for class 1; 9 for class 2.
SCORES = np.array(
    [
        [3, 2, 0],
        [0, 1, 2],
        [5, 0, 2],
        [1, 0, 0.5],
        [0, 5, 1],
        [1, 2, 2],
        [3, 2, 0],
        [0, 1, 10],
    ],
    "float32",
)
CLASSES = np.array([0, 0, 0, 0, 1, 1, 1, 2])


@pytest.fixture
def identity():
    """A model whose scores are its inputs."""
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Identity()(inputs))


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.5, [1, 3, 5, 6, 7]), (0.25, [1, 6, 7]), (1e-6, [1, 6, 7]), (1, list(range(8)))],
)
def test_working_set_by_hand(fraction, expected, identity):
    """Fails if another score than the best wrong one counts, or a class is left out."""
    rows = working_set(identity, SCORES, CLASSES, fraction, batch_size=3)
    assert rows.tolist() == expected
    assert working_set(identity, SCORES, np.eye(3)[CLASSES], fraction).tolist() == expected


@pytest.mark.parametrize(
    ("scores", "labels", "fraction", "message"),
    [
        (SCORES, CLASSES, 0, "above 0 and at most 1; received 0"),
        (SCORES, CLASSES, 1.5, "received 1.5"),
        (SCORES, CLASSES + 1, 0.5, r"\[0, 3\).*from 1 to 3"),
        (SCORES, CLASSES[:-1], 0.5, "8 samples but 7 labels"),
        (np.where(SCORES == 10, np.nan, SCORES), CLASSES, 0.5, "NaN scores for 1 of 8"),
    ],
)
def test_working_set_refusals(scores, labels, fraction, message, identity):
    """Fails if indices are returned that mean nothing."""
    with pytest.raises(ValueError, match=message):
        working_set(identity, scores, labels, fraction)
