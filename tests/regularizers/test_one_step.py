"""One step of training with every regularizer, compared with NumPy, in every way Keras runs it."""

import json

import keras
import numpy as np
import pytest

import keras_mmc
from keras_mmc import regularizers


def effective_margin(longhand):
    """Adds `2.5 / 4 * 2 (W p) p^T` with `p = softmax(s / 3)` held fixed."""
    kernel, bias = longhand.kernel, longhand.bias
    p = longhand.softmax((longhand.x_adv @ kernel + bias) / 3)
    base = longhand.gradients(kernel, bias)
    return longhand.step([base[0] + 2.5 / 4 * 2 * (p @ kernel.T).T @ p / 8, base[1]])


def input_gradient(longhand):
    """Adds the gradient of `0.3 ||W d||^2`, `d = softmax(s) - onehot`, which depends on W twice."""
    kernel, bias = longhand.kernel, longhand.bias
    d = longhand.residual(longhand.x_adv, kernel, bias)
    p = d + longhand.y
    outer = 2 * (d @ kernel.T).T @ d / 8
    through_d = 2 * d @ kernel.T @ kernel
    through_scores = p * (through_d - (p * through_d).sum(axis=1, keepdims=True))
    base = longhand.gradients(kernel, bias)
    inner = longhand.x_adv.T @ through_scores / 8
    return longhand.step(
        [base[0] + 0.3 * (outer + inner), base[1] + 0.3 * through_scores.mean(axis=0)]
    )


def weight_perturbation(longhand):
    """The gradient of the perturbed weights, applied to those that are not perturbed."""
    return longhand.step(longhand.gradients(longhand.perturbed(0.2), longhand.bias))


CASES = {
    "effective_margin": (
        regularizers.EffectiveMarginRegularizer(2.5, temperature=3.0, reference_batch=4),
        effective_margin,
    ),
    "input_gradient": (regularizers.InputGradientPenalty(0.3), input_gradient),
    "awp": (regularizers.AdversarialWeightPerturbation(0.2), weight_perturbation),
}
MODES = {"eager": {"run_eagerly": True}, "graph": {}, "xla": {"jit_compile": True}}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_weights_after_one_step(name, mode, one_step, longhand):
    """Fails if a factor, a norm or the point of the gradient is off, or a mode differs."""
    regularizer, expected = CASES[name]
    weights = one_step(regularizer, **MODES[mode]).model.get_weights()
    for weight, value in zip(weights, expected(longhand), strict=True):
        np.testing.assert_allclose(weight, value, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_every_regularizer_changes_the_step(name, longhand):
    """Fails if an oracle above would also accept a step without the regularizer."""
    plain = longhand.step(longhand.gradients(longhand.kernel, longhand.bias))
    assert np.abs(CASES[name][1](longhand)[0] - plain[0]).max() > 1e-2


@pytest.mark.parametrize("name", ["effective_margin", "input_gradient"])
def test_the_scale_multiplies_the_penalty(name, one_step, longhand):
    """Fails if `regularizer_scale` does not reach the training step."""
    regularizer, expected = CASES[name]
    plain = longhand.step(longhand.gradients(longhand.kernel, longhand.bias))
    full = expected(longhand)

    class Half(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model.regularizer_scale.assign(0.5)

    weights = one_step(regularizer, callbacks=[Half()]).model.get_weights()
    for weight, without, with_it in zip(weights, plain, full, strict=True):
        np.testing.assert_allclose(weight, (without + with_it) / 2, rtol=0, atol=1e-5)


LOAD = """
import json, sys
import keras, keras_mmc
for path in sys.argv[1:]:
    robust = keras.models.load_model(path)
    print(json.dumps([robust.model.count_params(), float(robust.regularizer_scale.numpy()),
                      keras.saving.serialize_keras_object(robust.regularizer)]))
"""


def test_saved_with_the_model_and_loaded_in_a_new_process(one_step, run_python, tmp_path):
    """Fails if a regularizer is not registered, loses a field, or the scale is not kept."""
    kept = [case[0] for case in CASES.values()]
    kept.append(regularizers.InputGradientPenalty(0.1, objective=keras_mmc.losses.MMCLoss()))
    paths = [tmp_path / f"{i}.keras" for i in range(len(kept))]
    for regularizer, path in zip(kept, paths, strict=True):
        robust = one_step(regularizer)
        robust.regularizer_scale.assign(0.25)
        robust.save(path)
    printed = run_python(LOAD, *paths).splitlines()
    for regularizer, line in zip(kept, printed, strict=True):
        expected = json.loads(json.dumps(keras.saving.serialize_keras_object(regularizer)))
        assert json.loads(line) == [21, 0.25, expected]
