"""What holds of every loss: labels, weights, traces, XLA, NaN, configuration.

Losses are found by themselves; one that needs arguments or more classes says so in `LOSSES`. A
loss that needs features cannot be called: `test_center.py` has it.
"""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_mmc import losses

CLASSES = {
    name: getattr(losses, name)
    for name in losses.__all__
    if inspect.isclass(getattr(losses, name)) and name != "ScoreLoss"
}
LOSSES = {name: cls() for name, cls in CLASSES.items() if not cls.needs_features}
LOSSES["MMCLoss-features"] = losses.MMCLoss(centers=np.eye(4, 6, dtype="float32"))

every_loss = pytest.mark.parametrize("name", LOSSES)


@pytest.fixture
def batch(rng):
    """Labels of all four classes, and scores, features or distances for them."""

    def make(name, rows=8):
        y = np.arange(rows) % 4
        if LOSSES[name].from_features:
            return y, rng.normal(size=(rows, 6)).astype("float32")
        return y, -np.square(rng.normal(size=(rows, 4))).astype("float32")

    return make


def without_reduction(name):
    config = {**LOSSES[name].get_config(), "reduction": None}
    return type(LOSSES[name]).from_config(config)


@every_loss
def test_value_is_a_finite_float32_scalar(name, batch):
    """Fails if a loss is not reduced, not finite on plain scores, or in another dtype."""
    value = LOSSES[name](*batch(name))
    assert tuple(value.shape) == () and keras.backend.standardize_dtype(value.dtype) == "float32"
    assert np.isfinite(float(value))


@every_loss
def test_forms_of_labels_agree(name, batch):
    """Fails if `(N,)`, `(N, 1)` and one-hot labels give different values."""
    y, scores = batch(name)
    expected = float(LOSSES[name](y, scores))
    for labels in (y[:, None], np.eye(4)[y], y.astype("int64"), y.tolist()):
        assert float(LOSSES[name](labels, scores)) == pytest.approx(expected, rel=1e-6)


@every_loss
def test_a_sample_stands_alone_unless_pairwise(name, batch):
    """Fails if `pairwise` does not say whether the value of a sample depends on the others."""
    loss, (y, scores) = without_reduction(name), batch(name)
    whole = ops.convert_to_numpy(loss(y, scores))
    assert whole.shape == (8,)
    part = ops.convert_to_numpy(loss(y[:3], scores[:3]))
    assert np.allclose(part, whole[:3], rtol=1e-5) != loss.pairwise


@every_loss
def test_sample_weights_and_reduction(name, batch):
    """Fails if a weight is not that of its sample, or the mean is not over the batch."""
    y, scores = batch(name)
    values = ops.convert_to_numpy(without_reduction(name)(y, scores))
    assert float(LOSSES[name](y, scores)) == pytest.approx(values.mean(), rel=1e-5)
    weights = np.linspace(0, 2, 8, dtype="float32")
    weighted = float(LOSSES[name](y, scores, sample_weight=weights))
    assert weighted == pytest.approx((weights * values).mean(), rel=1e-5)


@every_loss
@pytest.mark.parametrize("jit_compile", [False, True])
def test_one_trace_and_the_same_value_compiled(name, jit_compile, batch):
    """Fails if a loss needs eager execution, traces again, or differs under XLA."""
    y, scores = batch(name)
    y = y.astype("int32")
    run = tf.function(lambda y, s: LOSSES[name](y, s), jit_compile=jit_compile, autograph=False)
    assert float(run(y, scores)) == pytest.approx(float(LOSSES[name](y, scores)), rel=1e-5)
    run(y, scores + 1)
    assert run.experimental_get_tracing_count() == 1


@every_loss
def test_gradient_is_that_of_the_values(name, batch):
    """Fails if a gradient is missing, not finite, or not the slope of the loss."""
    y, scores = batch(name)
    direction = np.random.default_rng(1).normal(size=scores.shape).astype("float32")
    x = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = LOSSES[name](y, x)
    slope = float(tf.reduce_sum(tape.gradient(value, x) * direction))
    wide = type(LOSSES[name]).from_config({**LOSSES[name].get_config(), "dtype": "float64"})
    ends = [float(wide(y, scores.astype("float64") + h * direction)) for h in (1e-4, -1e-4)]
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=2e-3, abs=1e-5)


@every_loss
def test_nan_comes_out_of_nan(name, batch):
    """Fails if a diverged model, or a broken image, has a finite loss."""
    y, scores = batch(name)
    scores[2, 1] = np.nan
    assert np.isnan(float(LOSSES[name](y, scores)))
    assert np.isnan(ops.convert_to_numpy(without_reduction(name)(y, scores))[2])


@every_loss
def test_what_does_not_fit_is_refused(name, batch):
    """Fails if labels of another number, or of no class, are broadcast or wrapped."""
    y, scores = batch(name)
    for labels in (y[:1], y[:3], y + 4, y - 1):
        with pytest.raises(ValueError, match=r"[Ll]abel"):
            LOSSES[name](labels, scores)
    if not LOSSES[name].from_features:
        fewer = LOSSES[name].min_classes - 1
        with pytest.raises(ValueError, match="at least"):
            LOSSES[name](np.zeros(8, int), scores[:, :fewer])


@every_loss
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_scores_are_widened(name, dtype, batch):
    """Fails if a loss computes in 16 bits under mixed precision."""
    y, scores = batch(name)
    narrow = ops.cast(scores, dtype)
    wide = ops.cast(narrow, "float32")
    assert float(LOSSES[name](y, narrow)) == pytest.approx(float(LOSSES[name](y, wide)), rel=1e-6)


@every_loss
def test_configuration_survives(name, batch):
    """Fails if a parameter is lost on the way into a file."""
    loss, (y, scores) = LOSSES[name], batch(name)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss)
    assert float(again(y, scores)) == float(loss(y, scores))
