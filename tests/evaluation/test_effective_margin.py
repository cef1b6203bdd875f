"""Effective margins against the distance to the boundary of linear models, and longhand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_mmc
from keras_mmc.evaluation import EffectiveMargin, EffectiveWeightNorm, effective_margins


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_margin_is_the_distance_to_the_boundary_of_a_linear_model(seed):
    """Fails if the wrong class, the sign or the norm is off: the walk ends on a tie of two."""
    rng = np.random.default_rng(seed)
    kernel, x, y = rng.normal(size=(5, 4)), rng.normal(size=(6, 5)), rng.integers(0, 4, 6)
    margins, norms = effective_margins(lambda x: x @ kernel, tf.constant(x), y)
    margins, norms = margins.numpy().astype("float64"), norms.numpy().astype("float64")
    scores = x @ kernel
    wrong = np.where(np.eye(4)[y] > 0, -np.inf, scores).argmax(axis=1)
    away = (kernel[:, y] - kernel[:, wrong]).T
    np.testing.assert_allclose(norms, np.linalg.norm(away, axis=1), rtol=1e-5)
    tied = (x - margins[:, None] * away / norms[:, None]) @ kernel
    rows = np.arange(6)
    np.testing.assert_allclose(tied[rows, y], tied[rows, wrong], atol=1e-4)
    right = scores.argmax(axis=1) == y
    np.testing.assert_array_equal(margins > 0, right)


@pytest.fixture
def linear():
    """A linear model of 2 x 3 images with 4 classes, images and labels."""
    rng = np.random.default_rng(3)
    model = keras.Sequential([keras.Input((2, 3, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(4, use_bias=False))
    kernel = rng.normal(size=(6, 4)).astype("float32")
    model.set_weights([kernel])
    return model, kernel, rng.uniform(size=(9, 2, 3, 1)).astype("float32"), np.arange(9) % 4


def longhand(kernel, x, y):
    """Margins and norms of a linear model in NumPy."""
    scores = x.reshape(len(x), -1).astype("float64") @ kernel
    wrong = np.where(np.eye(4)[y] > 0, -np.inf, scores).argmax(axis=1)
    norms = np.linalg.norm(kernel[:, y] - kernel[:, wrong], axis=0)
    rows = np.arange(len(x))
    return (scores[rows, y] - scores[rows, wrong]) / norms, norms


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "adversarial_model"])
def test_metrics_are_weighted_means_over_batches(wrapped, linear):
    """Fails if a batch, a form of labels or a weight counts wrongly."""
    model, kernel, x, y = linear
    model = keras_mmc.AdversarialModel(model) if wrapped else model
    weights = np.linspace(0.1, 1.0, 9)
    for metric, values in zip(
        (EffectiveMargin(model), EffectiveWeightNorm(model)), longhand(kernel, x, y), strict=True
    ):
        metric.update_state(y[:4, None], x[:4], sample_weight=weights[:4])
        metric.update_state(np.eye(4)[y[4:]], x[4:], sample_weight=weights[4:])
        np.testing.assert_allclose(metric.result(), np.average(values, weights=weights), rtol=1e-5)


def test_samples_without_a_gradient_have_no_margin():
    """Fails if they count as 0 or make the mean infinite; the norm counts them."""
    layers = [keras.Input((1,)), keras.layers.ReLU(), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.set_weights([np.array([[1.0, -1.0]]), np.array([1.0, 0.0])])
    margin, norm = EffectiveMargin(model), EffectiveWeightNorm(model)
    for metric in (margin, norm):
        metric.update_state([0, 0], [[2.0], [-2.0]])
    np.testing.assert_allclose(margin.result(), 5 / 2)
    np.testing.assert_allclose(norm.result(), (2 + 0) / 2)
    assert (int(margin.flat), int(norm.flat)) == (1, 0)
    margin.reset_state()
    assert int(margin.flat) == 0


@pytest.mark.parametrize("spoil", ["pixel", "weight", "label"])
def test_what_is_not_valid_is_nan(spoil, linear):
    """Fails if a NaN image, NaN scores or a label of no class look like a sample left out."""
    model, kernel, x, y = linear
    x, y = np.copy(x), np.copy(y)
    if spoil == "pixel":
        x[2, 0, 0] = np.nan
    elif spoil == "label":
        y[2] = 4
    else:
        model.set_weights([np.where(np.arange(4) == 1, np.nan, kernel)])
    expected = np.full(9, spoil == "weight") | (np.arange(9) == 2)
    for values in effective_margins(lambda x: model(x, training=False), x, y):
        np.testing.assert_array_equal(np.isnan(values), expected)
    for metric in (EffectiveMargin(model), EffectiveWeightNorm(model)):
        metric.update_state(y, x)
        assert np.isnan(metric.result()) and int(metric.flat) == 0


def test_the_door(linear):
    """Fails if a metric takes scores for images, or something else for a model."""
    model, _, _, y = linear
    with pytest.raises(ValueError, match=r"images of shape \(None, 2, 3, 1\); received \(9, 4\)"):
        EffectiveMargin(model).update_state(y, np.zeros((9, 4), "float32"))
    with pytest.raises(ValueError, match="EffectiveWeightNorm: `model` must be a built Keras"):
        EffectiveWeightNorm("model")
