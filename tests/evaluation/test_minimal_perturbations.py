"""Smallest perturbations: closed forms, never-broken images, and points that hold."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mmc.evaluation import MinimalPerturbations, minimal_perturbations

STEPS = 12


def linear(weights, bias):
    """Scores `[0, <weights, x> + bias]`."""
    dense = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((len(weights),)), dense])
    dense.set_weights([np.stack([0 * weights, weights], axis=1), np.array([0.0, bias])])
    return model


@given(seed=st.integers(0, 2**31 - 1), norm=st.sampled_from(["linf", "l2"]))
@settings(deadline=None, max_examples=8)
def test_linear_model_in_closed_form(seed, norm):
    """Fails if a size is not |margin| / ||w||_1 (L-inf) or / ||w||_2 (L2) within the interval."""
    rng = np.random.default_rng(seed)
    weights = rng.choice([-1, 1], 6) * rng.uniform(0.5, 1.5, size=6)
    x = rng.uniform(0.4, 0.6, size=(20, 6)).astype("float32")
    margins = x.astype("float64") @ weights - 0.5 * weights.sum()
    y = (margins > 0).astype(int)
    y[:3] = 1 - y[:3]
    model = linear(weights, -0.5 * weights.sum())
    found = minimal_perturbations(
        model, x, y, norm=norm, num_steps=STEPS, attack_steps=20, batch_size=8
    )
    exact = np.abs(margins) / np.linalg.norm(weights, 1 if norm == "linf" else 2)
    exact[:3] = 0
    farthest = np.maximum(x, 1 - x)
    widest = farthest.max(axis=1) if norm == "linf" else np.linalg.norm(farthest, axis=1)
    assert (found.sizes[:3] == 0).all()
    # Below only by rounding: nothing smaller exists. Above by the interval left, and by the lead
    # a wrong class must have.
    assert (found.sizes >= exact - 1e-5).all()
    assert (found.sizes <= exact + widest / 2**STEPS + 1e-5).all()


@pytest.fixture(scope="module")
def found(mmc_model, held_out):
    return minimal_perturbations(mmc_model, *held_out, num_steps=8, attack_steps=20, batch_size=64)


def test_points_are_what_the_sizes_say(found, mmc_model, held_out):
    """Fails if a size is not that of the image, or an image is no adversarial example."""
    x, y = held_out
    offsets = np.abs(found.x_adv.astype("float64") - x).reshape(len(x), -1).max(axis=1)
    np.testing.assert_allclose(found.sizes, offsets, rtol=1e-6)
    predictions = mmc_model.predict(found.x_adv, verbose=0).argmax(axis=1)
    assert (predictions != y).all()
    assert found.x_adv.min() >= 0 and found.x_adv.max() <= 1
    wrong = mmc_model.predict(x, verbose=0).argmax(axis=1) != y
    assert wrong.any()
    np.testing.assert_array_equal(found.sizes == 0, wrong)


def test_more_radii_do_not_find_larger_sizes(found, mmc_model, held_out):
    """Fails if the bisection turns to the wrong half: with 2 radii the interval is 1/4 wide."""
    coarse = minimal_perturbations(mmc_model, *held_out, num_steps=2, attack_steps=20)
    assert np.median(found.sizes) < np.median(coarse.sizes)
    assert (found.sizes <= coarse.sizes + 1 / 4).all()


@keras.saving.register_keras_serializable("minimal_perturbations_tests")
class Steps(keras.layers.Layer):
    """Rounds its input; the gradient is 0, not missing."""

    calls = 0

    def call(self, x):
        Steps.calls += not tf.executing_eagerly()
        return tf.stop_gradient(tf.round(8 * x) / 8) + 0 * x


def masked():
    return keras.Sequential([keras.Input((4,)), Steps(), linear(np.ones(4), -2.0)])


def test_images_that_are_never_broken_are_infinite(rng):
    """Fails if an attack that cannot move reports a size, or changes the image."""
    x = rng.uniform(0.6, 0.9, size=(5, 4)).astype("float32")
    found = minimal_perturbations(masked(), x, np.ones(5, int), num_steps=3, attack_steps=3)
    assert np.isinf(found.sizes).all()
    np.testing.assert_array_equal(found.x_adv, x)
    assert "0 misclassified as they are, 5 never broken" in str(found)


def test_one_trace(rng):
    """Fails if another batch, or another radius, traces the model again."""
    x = rng.uniform(0.6, 0.9, size=(9, 4)).astype("float32")
    calls = []
    for num_steps in (2, 5):
        Steps.calls, model = 0, masked()
        built = Steps.calls
        options = {"num_steps": num_steps, "attack_steps": 3, "batch_size": 4}
        minimal_perturbations(model, x, np.ones(9, int), **options)
        calls.append(Steps.calls - built)
    # Graphs of the scores, and of a step and a last look.
    assert calls == [1 + 2] * 2


@keras.saving.register_keras_serializable("minimal_perturbations_tests")
class Noise(keras.layers.Layer):
    """Large unseeded noise, at inference too; in graphs alone, or everywhere."""

    def __init__(self, everywhere):
        super().__init__()
        self.everywhere = everywhere

    def call(self, x):
        if tf.executing_eagerly() and not self.everywhere:
            return x
        return x + tf.random.normal(tf.shape(x))


def test_noise_is_refused(rng):
    """Fails if sizes are reported of a model that is random at inference."""
    model = keras.Sequential([keras.Input((4,)), linear(np.ones(4), -2.0), Noise(True)])
    x = rng.uniform(0.6, 0.9, size=(50, 4)).astype("float32")
    with pytest.raises(ValueError, match="random at inference"):
        minimal_perturbations(model, x, np.ones(50, int), num_steps=3, attack_steps=3)


def test_what_does_not_hold_is_not_reported(rng):
    """Fails if an image counts that the graph called fooled and a fresh forward pass does not."""
    model = keras.Sequential([keras.Input((4,)), linear(np.ones(4), -2.0), Noise(False)])
    x = rng.uniform(0.6, 0.9, size=(50, 4)).astype("float32")
    found = minimal_perturbations(model, x, np.ones(50, int), num_steps=3, attack_steps=3)
    broken = np.isfinite(found.sizes)
    assert broken.sum() > 0
    fooled = model(found.x_adv, training=False).numpy().argmax(axis=1) != 1
    np.testing.assert_array_equal(fooled, broken)
    np.testing.assert_array_equal(found.x_adv[~broken], x[~broken])


def test_distribution_by_counting():
    """Fails if the cdf leaves out a size equal to eps, or counts images never broken."""
    sizes = np.array([0.3, 0.0, np.inf, 0.1, 0.1])
    found = MinimalPerturbations(sizes, np.zeros((5, 2)), "l2")
    assert found.num_images == 5
    eps = [0.0, 0.05, 0.1, 0.3, 10.0]
    np.testing.assert_allclose(found.cdf(eps), [np.mean(sizes <= radius) for radius in eps])
    assert found.cdf(0.1) == 0.6
    for fraction in (0.2, 0.3, 0.6, 0.8):
        size = found.quantile(fraction)
        assert found.cdf(size) >= fraction > found.cdf(np.nextafter(size, -1))
    assert np.isinf(found.quantile(0.9))
    text = str(found)
    assert "Smallest l2 perturbations, 5 images: 1 misclassified as they are, 1 never" in text
    assert "50 % of the images need at most 0.1\n" in text
    assert "90 % of the images need at most inf" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_steps": 0}, "`num_steps` must be an integer >= 1; received 0"),
        ({"attack_steps": 0}, "`steps` must be a positive integer"),
        ({"norm": "l1"}, "`norm` must be one of"),
        ({"y": np.array([0, 2])}, r"\[0, 2\)"),
        ({"x": np.zeros((0, 4), "float32")}, "received none"),
    ],
)
def test_refusals(change, message):
    """Fails if arguments that do not fit give sizes."""
    good = {"x": np.full((2, 4), 0.5, "float32"), "y": np.array([0, 1])}
    with pytest.raises(ValueError, match=message):
        minimal_perturbations(linear(np.ones(4), -2.0), **{**good, **change})
