"""The audit: honest numbers, findings that fire where they should, and refusals."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mmc
from keras_mmc.attacks.base import score_function
from keras_mmc.evaluation.audit import _check_points

EPS = 0.2


@pytest.fixture(scope="module")
def mmc_model(digits):
    """An MMC network trained without any defence on all but the first 200 digits."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.Dense(64, activation="relu")(x)
    x = keras.layers.Dense(16)(x)
    model = keras.Model(inputs, keras_mmc.MaxMahalanobisCenters(10, scale=40.0)(x))
    model.compile(keras.optimizers.Adam(3e-3), keras_mmc.MMCLoss())
    model.fit(digits[0][200:], digits[1][200:], epochs=20, batch_size=64, verbose=0)
    return model


@pytest.fixture(scope="module")
def held_out(digits):
    return digits[0][:200], digits[1][:200]


@pytest.fixture(scope="module")
def report(mmc_model, held_out):
    return keras_mmc.audit(mmc_model, *held_out, eps=EPS, suite="adaptive", verbose=0)


def scaled(model, factor):
    """The model with its scores multiplied."""
    return keras.Model(model.input, keras.layers.Rescaling(factor)(model.output))


def test_the_naive_number_is_exposed(report):
    """Fails if an MMC network without defence passes as robust: more than 30 points of masking."""
    assert report.naive_accuracy - report.robust_accuracy > 0.3
    assert report.robust_accuracy <= 0.01
    assert any("naive number is masked" in text for text in report.findings)


def test_every_broken_image_is_misclassified_inside_ball_and_box(report, mmc_model, held_out):
    """Fails if the report counts a point that is no adversarial example."""
    x, y = held_out
    answers = mmc_model.predict(report.x_adv, verbose=0).argmax(axis=1)
    broken = np.array([name is not None for name in report.broken_by])
    np.testing.assert_array_equal(answers != y, broken)
    assert np.abs(report.x_adv - x).max() <= EPS + 1e-6
    assert report.x_adv.min() >= 0
    assert report.x_adv.max() <= 1


def test_rows_are_the_images_that_stand(report):
    """Fails if a line of the table does not follow from which attack broke which image."""
    left = 200 - report.broken_by.count("clean")
    assert report.clean_accuracy == left / 200
    for row in report.rows:
        left -= report.broken_by.count(row.name)
        assert row.accuracy == pytest.approx(left / 200)
    assert report.robust_accuracy == pytest.approx(report.broken_by.count(None) / 200)


def test_same_seed_same_report(report, mmc_model, held_out):
    """Fails if an attack draws unseeded numbers."""
    again = keras_mmc.audit(mmc_model, *held_out, eps=EPS, suite="adaptive", verbose=0)
    assert again.broken_by == report.broken_by
    np.testing.assert_array_equal(again.x_adv, report.x_adv)
    assert again.findings == report.findings


def test_large_scores_do_not_help(mmc_model, held_out, report):
    """Fails if scores times 200 look more robust, or vanished gradients go unnoticed."""
    inflated = keras_mmc.audit(scaled(mmc_model, 200.0), *held_out, eps=EPS, verbose=0)
    assert inflated.robust_accuracy <= report.robust_accuracy
    assert inflated.naive_accuracy > 0.8 * inflated.clean_accuracy
    assert any("exactly 0 on" in text for text in inflated.findings)


def test_a_small_scale_is_not_called_masked(mmc_model, held_out):
    """Fails if the diagnostics cry wolf: with soft scores naive and margin attacks agree."""
    honest = keras_mmc.audit(scaled(mmc_model, 0.001), *held_out, eps=EPS, suite="quick", verbose=0)
    assert honest.naive_accuracy - honest.robust_accuracy < 0.05
    assert not any("naive number is masked" in text for text in honest.findings)
    assert not any("exactly 0" in text for text in honest.findings)


def test_data_set_equals_arrays(mmc_model, held_out):
    """Fails if a data set of batches is read in another order or incompletely."""
    x, y = held_out
    batches = tf.data.Dataset.from_tensor_slices((x[:50], y[:50])).batch(20)
    from_batches = keras_mmc.audit(mmc_model, batches, None, EPS, "quick", verbose=0)
    from_arrays = keras_mmc.audit(mmc_model, x[:50], y[:50], EPS, "quick", verbose=0)
    assert from_batches.broken_by == from_arrays.broken_by


@keras.saving.register_keras_serializable("audit_tests")
class Noise(keras.layers.Layer):
    """Adds unseeded noise, at inference too."""

    def call(self, x):
        return x + tf.random.normal(tf.shape(x))


@keras.saving.register_keras_serializable("audit_tests")
class BreaksOnGrey(keras.layers.Layer):
    """Gives NaN scores as soon as a dark corner pixel is not exactly 0."""

    def call(self, inputs):
        images, scores = inputs
        return tf.where(images[:, 0, 0] == 0, scores, scores * float("nan"))


def test_a_random_model_is_flagged(mmc_model, held_out):
    """Fails if randomness at inference goes unnoticed."""
    noisy = keras.Model(mmc_model.input, Noise()(mmc_model.output))
    result = keras_mmc.audit(noisy, held_out[0][:40], held_out[1][:40], EPS, "quick", verbose=0)
    assert "random at inference" in result.findings[0]


def test_nan_under_attack_counts_as_broken(mmc_model, held_out):
    """Fails if NaN scores on an attacked image pass as robust."""
    images, scores = mmc_model.input, mmc_model.output
    fragile = keras.Model(images, BreaksOnGrey()([images, scores]))
    result = keras_mmc.audit(fragile, held_out[0][:40], held_out[1][:40], 0.05, "quick", verbose=0)
    assert "NaN scores" in result.findings[0]
    points = tf.constant(result.x_adv)
    broken = np.isnan(score_function(fragile)(points).numpy()).any(axis=1)
    assert np.all([result.broken_by[i] is not None for i in np.flatnonzero(broken)])
    assert broken.any()


def test_points_that_left_the_ball_are_not_reported():
    """Fails if a defective attack could inflate its success."""
    clean = np.full((2, 4), 0.5, "float32")
    _check_points(clean + 0.1, clean, 0.1, "linf", (0, 1))
    for points, norm in ((clean + 0.11, "linf"), (clean + 0.1, "l2"), (clean * np.nan, "linf")):
        with pytest.raises(ValueError, match=r"returned a point outside"):
            _check_points(points, clean, 0.1, norm, (0, 1))


def test_saved_report(report, tmp_path):
    """Fails if the files do not hold what was printed, or an older report is replaced silently."""
    path = report.save(tmp_path / "report")
    stored = json.loads((path / "report.json").read_text(encoding="utf-8"))
    assert stored["robust_accuracy"] == report.robust_accuracy
    assert stored["findings"] == list(report.findings)
    assert [row["name"] for row in stored["rows"]] == [row.name for row in report.rows]
    np.testing.assert_array_equal(np.load(path / "adversarial.npz")["x_adv"], report.x_adv)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        report.save(path)
    report.save(path, overwrite=True)
    assert [item.name for item in tmp_path.iterdir()] == ["report"]


def test_printed_report_names_everything(report):
    """Fails if a line, the interval or a finding is missing from the text."""
    text = str(report)
    low, high = report.interval
    for part in (f"{100 * low:.2f} to {100 * high:.2f}", "200 images", "seed 0", "linf eps 0.2"):
        assert part in text
    for part in (*report.findings, *(row.name for row in report.rows)):
        assert part in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": 0.0}, "eps > 0.*received 0.0"),
        ({"eps": float("nan")}, "finite eps"),
        ({"suite": "fast"}, r"quick.*standard.*adaptive.*received 'fast'"),
        ({"x": np.zeros((2, 8, 8, 1), "uint8")}, "dtype uint8"),
        ({"x": np.full((2, 8, 8, 1), np.nan, "float32")}, "NaN"),
        ({"x": np.full((2, 8, 8, 1), 2.0, "float32")}, r"box \[0, 1\]"),
        ({"x": np.zeros((0, 8, 8, 1), "float32"), "y": np.zeros(0, int)}, "received 0 images"),
        ({"y": np.array([0, 10])}, r"\[0, 10\)"),
        ({"y": None}, "no labels"),
    ],
)
def test_refusals(change, message, mmc_model):
    """Fails if a wrong argument is audited all the same."""
    good = {"x": np.zeros((2, 8, 8, 1), "float32"), "y": np.array([0, 1]), "eps": EPS}
    with pytest.raises(ValueError, match=message):
        keras_mmc.audit(mmc_model, **{**good, **change}, verbose=0)


def test_probabilities_are_refused(mmc_model, held_out):
    """Fails if a softmax output is audited as scores."""
    softmax = keras.Model(mmc_model.input, keras.layers.Softmax()(mmc_model.output))
    with pytest.raises(ValueError, match="ends in a softmax"):
        keras_mmc.audit(softmax, *held_out, EPS, verbose=0)
