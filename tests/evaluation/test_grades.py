"""Each grade of a finding on a network that deserves it, and on one that does not."""

import keras
import pytest

import keras_mmc
from keras_mmc.attacks import PGD
from keras_mmc.defenses import AdversarialTraining
from keras_mmc.evaluation.rows import MASKED, MODEL, WEAK


def grades(report):
    return {name: check.grade for name, check in report.diagnostics.items() if check.fired}


@pytest.fixture(scope="module")
def robust_model(digits):
    """A softmax network trained adversarially: its gradients are honest, its accuracy modest."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    robust = keras_mmc.AdversarialModel(model, AdversarialTraining(PGD(0.2, steps=5)))
    robust.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = digits
    robust.fit(images[200:], labels[200:], epochs=25, batch_size=64, verbose=0)
    return model


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.2), ("l2", 1.0)])
def test_honest_gradients_are_never_called_masked(norm, eps, robust_model, held_out):
    """Fails if the audit cries wolf where the suite merely works harder than the naive attack."""
    x, y = (part[:60] for part in held_out)
    report = keras_mmc.audit(robust_model, x, y, eps, "standard", norm=norm, verbose=0)
    assert report.naive_accuracy - report.robust_accuracy > 0.05
    assert grades(report) == {"naive_minus_best": WEAK}
    assert not report.masked
    assert "The naive attack is too weak here" in str(report) and "masked" not in str(report)


def test_vanishing_gradients_are_masked(mmc_model, held_out):
    """Fails if the gap of a Max-Mahalanobis network without defense is laid to effort."""
    x, y = (part[:60] for part in held_out)
    report = keras_mmc.audit(mmc_model, x, y, 0.1, "quick", verbose=0)
    assert grades(report)["zero_gradients"] == MASKED
    assert grades(report)["naive_minus_best"] == MASKED
    assert report.masked and "Finding (masked gradients)" in str(report)


def test_a_model_that_is_not_what_attacks_expect(robust_model, held_out):
    """Fails if scores that depend on the batch are passed over in silence."""

    class BatchMean(keras.layers.Layer):
        def call(self, scores):
            return scores - 0.5 * keras.ops.mean(scores, axis=0, keepdims=True)

    looking = keras.Sequential([keras.Input((8, 8, 1)), robust_model, BatchMean()])
    x, y = (part[:100] for part in held_out)
    report = keras_mmc.audit(looking, x, y, 0.02, "quick", batch_size=64, verbose=0)
    assert grades(report)["depends_on_batch"] == MODEL
