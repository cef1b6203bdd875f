"""The random numbers of attacks: the generator re-derived, their distributions, and devices."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_mmc.attacks import image_seeds
from keras_mmc.attacks._engine import random

MASK = 2**64 - 1


def split_mix(state):
    """The output of SplitMix64 at a state, in Python's exact integers."""
    z = state & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def bits_of(seed, count):
    state = split_mix((seed & MASK) ^ 0xD1B54A32D192ED03)
    return [split_mix(state + (i + 1) * 0x9E3779B97F4A7C15) for i in range(count)]


def test_the_published_sequence():
    """Fails if a constant or shift is off: the first outputs of SplitMix64 for seed 1234567."""
    states = [1234567 + (i + 1) * 0x9E3779B97F4A7C15 for i in range(3)]
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [split_mix(state) for state in states] == expected
    mixed = random._mix(tf.constant([state & MASK for state in states], tf.uint64))
    assert mixed.numpy().tolist() == expected


def test_numbers_longhand():
    """Fails if bits are counted, shifted or scaled in another way."""
    seeds = image_seeds(5, [0, 9])
    for row, seed in enumerate(seeds.numpy().tolist()):
        bits = np.array(bits_of(seed, 6), object)
        uniform = [(int(b) >> 41) / 2**22 + 0.5 / 2**22 - 1 for b in bits]
        found = random.symmetric(seeds, [2, 3], tf.float32)[row]
        np.testing.assert_allclose(found.numpy().ravel(), uniform, atol=1e-7)
        whole = [3 + (int(b) >> 33) % 7 for b in bits]
        assert random.integers(seeds, [6], 3, 10)[row].numpy().tolist() == whole
        sign = [2 * (int(b) >> 63) - 1 for b in bits]
        assert random.signs(seeds, [6], tf.float32)[row].numpy().tolist() == sign


def test_seeds_longhand():
    """Fails if a part of a seed, or the number of an image, does not count as documented."""

    def fold(state, number):
        return split_mix((state + (number + 1) * 0x9E3779B97F4A7C15) & MASK)

    expected = [fold(fold(fold(0, 3), 11), index) for index in (0, 1, 2**40)]
    found = image_seeds([3, 11], [0, 1, 2**40]).numpy().astype("uint64").tolist()
    assert found == expected


@pytest.mark.parametrize("draw", ["symmetric", "signs", "normal"])
def test_the_same_in_a_graph_and_under_xla(draw):
    """Fails if numbers depend on how TensorFlow runs them."""
    seeds = image_seeds(7, np.arange(50))

    def make():
        return getattr(random, draw)(seeds, [3, 4], tf.float32)

    for jit in (False, True):
        compiled = tf.function(make, jit_compile=jit)()
        np.testing.assert_allclose(compiled, make(), atol=2e-6)
        whole = tf.function(lambda: random.integers(seeds, [9], -4, 90), jit_compile=jit)()
        np.testing.assert_array_equal(whole, random.integers(seeds, [9], -4, 90))


@pytest.mark.parametrize(
    ("draw", "cdf"),
    [("symmetric", stats.uniform(-1, 2).cdf), ("normal", stats.norm.cdf)],
)
@pytest.mark.parametrize("along", ["pixels", "images", "folds"])
def test_distributions(draw, cdf, along):
    """Fails if numbers of an image, of an ensemble or of restarts are not of their law.

    Kolmogorov-Smirnov at 1e-4.
    """
    if along == "pixels":
        seeds, shape = image_seeds(0, [0]), [20_000]
    elif along == "images":
        seeds, shape = image_seeds(0, np.arange(20_000)), [1]
    else:
        seeds, shape = random.fold_in(image_seeds(0, [0]), np.arange(20_000)), [1]
    numbers = getattr(random, draw)(seeds, shape, tf.float64).numpy().ravel()
    assert stats.kstest(numbers, cdf).pvalue > 1e-4


def test_open_interval():
    """Fails if an end of the interval can be drawn, where the normal law is infinite."""
    top = random.symmetric(image_seeds(0, np.arange(64)), [2**14], tf.float32).numpy()
    assert top.min() > -1 and top.max() < 1
    assert np.isfinite(random.normal(image_seeds(0, np.arange(64)), [2**14], tf.float32)).all()


def test_images_restarts_and_seeds_are_independent():
    """Fails if neighbors share numbers: correlations of 400 streams stay below 5 sigma."""
    streams = [
        random.fold_in(image_seeds(seed, np.arange(10)), restart)
        for seed in (0, 1, 2, 1000)
        for restart in range(10)
    ]
    numbers = random.normal(tf.concat(streams, 0), [4000], tf.float64).numpy()
    correlations = np.corrcoef(numbers)[np.triu_indices(400, 1)]
    assert np.abs(correlations).max() < 6 / np.sqrt(4000)


def test_bounds_may_be_tensors_and_scalars_have_no_axis():
    """Fails if a bound per image is not that image's, or `shape=[]` is not one number each."""
    seeds = image_seeds(0, np.arange(1000))
    high = tf.where(tf.range(1000) < 500, 2, 8)
    drawn = random.integers(seeds, [], 0, high).numpy()
    assert drawn.shape == (1000,)
    assert set(drawn[:500]) == {0, 1} and set(drawn[500:]) == set(range(8))
