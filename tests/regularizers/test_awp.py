"""Adversarial weight perturbation: its length, and what a step may and may not change."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_mmc
from keras_mmc.regularizers import AdversarialWeightPerturbation, weight_perturbations

GAMMA = 0.2
AWP = AdversarialWeightPerturbation(GAMMA)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    gamma=st.floats(1e-3, 1.0),
    factor=st.sampled_from([1e-6, 1.0, 2.0**15]),
)
def test_length_and_direction(seed, gamma, factor):
    """Fails if length or direction of a perturbation is off, or follows the loss scale."""
    rng = np.random.default_rng(seed)
    shapes = [(3, 3, 2, 4), (7, 2), (4,)]
    weights = [rng.normal(size=shape).astype("float32") for shape in shapes]
    gradients = [rng.normal(size=shape).astype("float32") for shape in shapes]
    *moved, bias = weight_perturbations(weights, [factor * g for g in gradients], gamma)
    for weight, gradient, offset in zip(weights, gradients, moved, strict=False):
        length = gamma * np.sqrt((weight.astype("float64") ** 2).sum())
        direction = gradient / np.sqrt((gradient.astype("float64") ** 2).sum())
        np.testing.assert_allclose(offset, length * direction, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(bias, np.zeros(4))


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_without_a_direction_weights_stay(value):
    """Fails if a gradient that is 0 or overflowed, as loss scaling does at times, gives NaN."""
    gradient = np.full((2, 3), value, "float32")
    (offset,) = weight_perturbations([np.ones((2, 3), "float32")], [gradient], 0.1)
    np.testing.assert_array_equal(offset, np.zeros((2, 3)))


def test_start_epoch(one_step, longhand):
    """Fails if weights are perturbed before the epoch, or a step before it is not a plain one."""
    late = AdversarialWeightPerturbation(GAMMA, start_epoch=1)
    kernel, bias = one_step(late).model.get_weights()
    expected = longhand.step(longhand.gradients(longhand.kernel, longhand.bias))
    np.testing.assert_allclose(kernel, expected[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(bias, expected[1], rtol=0, atol=1e-5)
    offsets = late.perturbations([np.ones((2, 2), "float32")], [np.ones((2, 2), "float32")], 1)
    np.testing.assert_allclose(offsets[0], np.full((2, 2), GAMMA), rtol=1e-6)


def test_gradient_clipping_sees_the_gradient_of_the_moved_weights(one_step, longhand):
    """Fails if the perturbation is clipped too, or the step is not."""
    gradient, _ = longhand.gradients(longhand.perturbed(GAMMA), longhand.bias)
    norm = np.sqrt((gradient**2).sum())
    assert norm > 0.1
    kernel, _ = one_step(AWP, keras.optimizers.SGD(0.5, clipnorm=0.1)).model.get_weights()
    expected = longhand.kernel - 0.5 * 0.1 / norm * gradient
    np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-5)


def test_weight_decay_of_layers_is_taken_at_the_moved_weights(one_step, longhand):
    """Fails if L2 regularization enters the perturbation, or is lost on the way."""
    moved = longhand.perturbed(GAMMA)
    gradient, bias_gradient = longhand.gradients(moved, longhand.bias)
    expected = longhand.step([gradient + 2 * 0.3 * moved, bias_gradient])
    options = {"kernel_regularizer": keras.regularizers.L2(0.3)}
    kernel, _ = one_step(AWP, dense=options).model.get_weights()
    np.testing.assert_allclose(kernel, expected[0], rtol=0, atol=1e-5)


def test_losses_of_activities_count_once(one_step, longhand):
    """Fails if what layers add to the loss is lost, or counted for the first pass as well."""
    moved = longhand.perturbed(GAMMA)
    gradients = longhand.gradients(moved, longhand.bias)
    slopes = 2 * 0.3 * (longhand.x_adv @ moved + longhand.bias) / 8
    added = [longhand.x_adv.T @ slopes, slopes.sum(axis=0)]
    expected = longhand.step([g + a for g, a in zip(gradients, added, strict=True)])
    options = {"activity_regularizer": keras.regularizers.L2(0.3)}
    weights = one_step(AWP, dense=options).model.get_weights()
    for weight, value in zip(weights, expected, strict=True):
        np.testing.assert_allclose(weight, value, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", [{"run_eagerly": True}, {}, {"jit_compile": True}])
def test_batch_statistics_move_once(mode, one_step):
    """Fails if statistics are updated in both passes, or in none."""
    moved = []
    for regularizer in (None, AWP):
        batch_norm = keras.layers.BatchNormalization(momentum=0.5)
        one_step(regularizer, layers=[batch_norm], **mode)
        moved.append([batch_norm.moving_mean.numpy(), batch_norm.moving_variance.numpy()])
    np.testing.assert_allclose(moved[0], moved[1], rtol=1e-5)
    assert np.all(moved[1][0] > 0.1)


@pytest.mark.parametrize("mode", [{}, {"jit_compile": True}], ids=["graph", "xla"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy, mode, one_step, longhand):
    """Fails if loss scaling changes the perturbation, or 16 bits lose it."""
    keras.config.set_dtype_policy(policy)
    kernel, _ = one_step(AWP, **mode).model.get_weights()
    before = longhand.kernel
    expected = (
        longhand.step(longhand.gradients(longhand.perturbed(GAMMA), longhand.bias))[0] - before
    )
    plain = longhand.step(longhand.gradients(before, longhand.bias))[0] - before
    error = np.abs(kernel - before - expected).max()
    assert error < 0.02 * np.abs(expected).max()
    assert error < 0.2 * np.abs(expected - plain).max()


def test_failure_leaves_weights_and_statistics_as_they_were(digits):
    """Fails if an error in the pass with perturbed weights leaves anything moved."""
    passes = []

    def loss(y, scores):
        passes.append(1)
        if len(passes) == 2:
            raise RuntimeError("second pass")
        return keras.losses.sparse_categorical_crossentropy(y, scores, from_logits=True)

    layers = [keras.layers.Flatten(), keras.layers.BatchNormalization(), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    before = [np.copy(weight) for weight in model.get_weights()]
    robust = keras_mmc.AdversarialModel(model, regularizer=AWP)
    robust.compile("sgd", loss, run_eagerly=True)
    x, y = digits[0][:8].astype("float32"), digits[1][:8]
    with pytest.raises(RuntimeError, match="second pass"):
        robust.fit(x, y, batch_size=8, verbose=0)
    for weight, value in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gamma": 0.0}, "`gamma` must be a finite number > 0; received 0.0"),
        ({"start_epoch": -1}, "`start_epoch` must be an integer >= 0; received -1"),
    ],
)
def test_refusals(fields, message):
    """Fails if a perturbation without meaning trains silently."""
    with pytest.raises(ValueError, match=f"AdversarialWeightPerturbation: {message}"):
        AdversarialWeightPerturbation(**fields)
