"""What the call does around an attack: batches, labels, traces and memory."""

import dataclasses
import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from keras_mmc.attacks import PGD, Attack, PenaltyAttack, image_seeds, misclassified, score_function
from keras_mmc.attacks._engine.predictions import draw_targets, likely_wrong, reached

X = np.random.default_rng(0).uniform(size=(10, 8)).astype("float32")


@pytest.fixture
def model(counting):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((8,)), counting, keras.layers.Dense(4)])


@dataclasses.dataclass(frozen=True)
class Shift(Attack):
    """Adds a constant; `run` is all it has."""

    eps: float
    targeted: bool = False

    def run(self, score_fn, x, y, seed, targets, early_stop):
        return x + self.eps


def predict(model, x):
    return model.predict(x, verbose=0).argmax(axis=1)


def test_search_is_generate_by_default(model):
    """Fails if an attack with one view cannot be called."""
    shift = Shift(0.25)
    np.testing.assert_array_equal(shift(model, X, predict(model, X)), X + np.float32(0.25))


def test_an_attack_without_run_says_so(model):
    """Fails if an unfinished attack returns something."""
    with pytest.raises(NotImplementedError, match="Attack does not implement `run`"):
        Attack()(model, X)
    with pytest.raises(NotImplementedError, match="PenaltyAttack does not implement `begin`"):
        PenaltyAttack()(model, X)


def test_misclassified_samples_come_back_unchanged(model):
    """Fails if a sample that fools the model as it is gets attacked, or rows are swapped."""
    right = predict(model, X)
    labels = np.where(np.arange(10) % 3 == 0, (right + 1) % 4, right)
    found = Shift(0.25)(model, X, labels, batch_size=4)
    expected = X + np.where(labels == right, 0.25, 0.0)[:, None].astype("float32")
    np.testing.assert_array_equal(found, expected)


def test_samples_at_their_target_come_back_unchanged(model):
    """Fails if a targeted attack drops what is misclassified instead of what is at its target."""
    right = predict(model, X)
    labels = (right + 1) % 4
    targets = np.where(np.arange(10) < 5, right, (right + 2) % 4)
    found = Shift(0.25, targeted=True)(model, X, labels, targets=targets)
    np.testing.assert_array_equal((found != X).all(axis=1), np.arange(10) >= 5)


def test_predictions_stand_in_for_labels(model):
    """Fails if y=None does not mean the model's own predictions."""
    attack = PGD(0.3, steps=5)
    np.testing.assert_array_equal(attack(model, X), attack(model, X, predict(model, X)))


def test_takes_tensors_and_keeps_the_dtype(model):
    """Fails if tensors are refused, or float64 images come back as float32."""
    attack, labels = PGD(0.3, steps=5), predict(model, X)
    expected = attack(model, X, labels)
    found = attack(model, tf.constant(X), tf.constant(labels))
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, expected)
    found = attack(model, X.astype("float64"), labels)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_input_is_not_changed(model):
    """Fails if the adversarial images are written into the clean ones."""
    x = X.copy()
    Shift(0.25)(model, x)
    np.testing.assert_array_equal(x, X)


def test_no_images(model):
    """Fails if an empty batch reaches the model."""
    assert PGD(0.1)(model, X[:0], np.zeros(0, "int32")).shape == (0, 8)


def test_every_image_has_a_seed_of_its_own_number(model):
    """Fails if a seed depends on the batch or on what else is attacked, or the seed is lost."""
    seen = []

    @dataclasses.dataclass(frozen=True)
    class SeeSeed(Attack):
        def run(self, score_fn, x, y, seed, targets, early_stop):
            tf.py_function(lambda seeds: seen.extend(seeds.numpy()), [seed], [])
            return x + 0.0

    labels = predict(model, X)
    labels[3] += 1  # misclassified as it is: the numbers of those after it must not move
    expected = image_seeds(7, np.arange(20, 30)).numpy()
    for batch_size in (4, 10):
        seen.clear()
        SeeSeed()(model, X, labels % 4, batch_size=batch_size, seed=7, first_index=20)
        once = list(dict.fromkeys(seen))  # batches are filled up with repeats of the last image
        assert once == [*expected[:3], *expected[4:]]
    assert len({*expected, *image_seeds(8, np.arange(20, 30)).numpy()}) == 20


def test_one_trace_per_call_over_ragged_batches(model, counting):
    """Fails if the last batch traces the model again."""
    labels = predict(model, X)
    traces = []
    for batch_size in (3, 4, 10):
        counting.traces = 0
        PGD(0.01, steps=7, restarts=2)(model, X, labels, batch_size=batch_size)
        traces.append(counting.traces)
    assert traces == [3] * 3  # the scores, the loop's body, the last iterate


def test_many_attacks_raise_no_warning(model, caplog):
    """Fails if a sweep over eps looks to TensorFlow like one function traced again and again."""
    for eps in np.linspace(0, 0.1, 5):
        PGD(float(eps), steps=2)(model, X)
    assert "retracing" not in caplog.text


def test_model_that_is_not_built():
    """Fails if a model that makes its weights at the first batch cannot be attacked."""
    model = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(4)])
    found = PGD(0.5, steps=3)(model, X)
    assert np.mean(predict(model, found) == predict(model, X)) < 1


def test_trained_weights_are_seen(model):
    """Fails if the traced attack keeps the weights of its first call."""
    attack, labels = PGD(0.3, steps=5), predict(model, X)
    before = attack(model, X, labels)
    model.layers[-1].kernel.assign(-model.layers[-1].kernel)
    model.layers[-1].bias.assign(-model.layers[-1].bias)
    fresh = keras.models.clone_model(model, clone_function=lambda layer: layer)
    now = predict(model, X)
    after = attack(model, X, now)
    assert (after != before).any()
    np.testing.assert_array_equal(after, PGD(0.3, steps=5)(fresh, X, now))


def test_a_model_is_released_with_its_traces():
    """Fails if attacking a model keeps it in memory for ever."""
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    PGD(0.1, steps=2)(model, X)
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


def test_inference_mode(model):
    """Fails if dropout or batch statistics are active under attack."""
    model = keras.Sequential([model, keras.layers.Dropout(0.9), keras.layers.BatchNormalization()])
    found = PGD(0.0)(model, X)
    np.testing.assert_array_equal(found, X)
    scores = score_function(model)(tf.constant(X))
    np.testing.assert_allclose(scores, model.predict(X, verbose=0), rtol=1e-5)


def test_score_function_gives_float32():
    """Fails if the scores of a 16-bit model stay in 16 bits."""
    dense = keras.layers.Dense(4, dtype="mixed_bfloat16")
    model = keras.Sequential([keras.Input((8,)), dense])
    assert score_function(model)(tf.constant(X)).dtype == tf.float32


def test_misclassified_counts_nan():
    """Fails if a model that returns NaN under attack counts as robust."""
    scores = tf.constant([[2.0, 1.0], [1.0, 2.0], [np.nan, 1.0], [1.0, np.nan], [3.0, 3.0]])
    found = misclassified(scores, tf.zeros([5], tf.int32))
    np.testing.assert_array_equal(found, [False, True, True, True, False])


def test_reached_needs_the_target():
    """Fails if any misclassification, or NaN, counts as the target."""
    scores = tf.constant([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [np.nan, 0.0, 1.0]])
    found = reached(scores, tf.constant([2, 2, 2]))
    np.testing.assert_array_equal(found, [False, True, False])


def test_nan_under_attack_counts_as_fooled(model):
    """Fails if an image with NaN scores is walked over, or pixels turn NaN."""

    class Fragile(keras.layers.Layer):
        def call(self, x):
            return x + keras.ops.where(x[:, :1] > 0.6, float("nan"), 0.0)

    fragile = keras.Sequential([keras.Input((2,)), Fragile()])
    x = np.array([[0.5, 0.0], [0.2, 0.0]], "float32")
    attack = PGD(0.3, steps=10, objective=lambda scores, labels: scores[:, 0], random_start=False)
    found = attack(fragile, x, np.array([0, 0]))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:, 0] > 0.6, [True, False])


def test_drawn_targets_are_uniform_among_the_wrong_classes():
    """Fails if the label can be drawn or a wrong class is preferred: chi-squared at 1e-3."""
    labels = np.full(9000, 2, "int32")
    targets = draw_targets(labels, 10, image_seeds(0, np.arange(9000))).numpy()
    counts = np.bincount(targets, minlength=10)
    assert counts[2] == 0
    assert stats.chisquare(np.delete(counts, 2)).pvalue > 1e-3


def test_targets_are_drawn_by_seed_in_both_views(model):
    """Fails if a targeted attack without targets raises, or draws others for the same seed."""
    attack = PGD(0.3, steps=5, targeted=True)
    labels = predict(model, X)
    np.testing.assert_array_equal(attack(model, X, labels), attack(model, X, labels))
    x, y, seed = tf.constant(X), tf.constant(labels, tf.int32), tf.constant([0, 1])
    drawn = draw_targets(y, 4, image_seeds(seed, np.arange(len(X))))
    score_fn = score_function(model)
    for view in (attack.generate, attack.search):
        np.testing.assert_array_equal(view(score_fn, x, y, seed), view(score_fn, x, y, seed, drawn))


def test_progress(model, capsys):
    """Fails if verbose=1 is silent, does not end at the number of images, or verbose=0 prints."""
    PGD(0.1, steps=2)(model, X, batch_size=4, verbose=1)
    assert "10/10" in capsys.readouterr().out
    PGD(0.1, steps=2)(model, X, batch_size=4)
    assert capsys.readouterr().out == ""


def test_no_gradient_flows_through_an_attack(model):
    """Fails if training on adversarial images differentiates through the attack."""
    x, y = tf.constant(X), tf.constant(predict(model, X), tf.int32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = PGD(0.3, steps=2).generate(score_function(model), x, y, tf.constant([0, 1]))
    assert tape.gradient(found, x) is None


def test_another_backend_is_refused(run_python):
    """Fails if attacks load under a backend they cannot take gradients on."""
    code = """
try:
    import keras_mmc.attacks
except ImportError as error:
    print(error)
"""
    assert "keras_mmc.attacks needs the TensorFlow backend" in run_python(code, backend="jax")


def test_likely_wrong_classes():
    """Fails if the label is among them, if the order is wrong, or if ties lose a class."""
    scores = tf.constant([[3.0, 5.0, 4.0, -1e9], [1.0, 1.0, 1.0, 1.0]])
    y = tf.constant([1, 2])
    np.testing.assert_array_equal(likely_wrong(scores, y, 2)[0], [2, 0])
    np.testing.assert_array_equal(likely_wrong(scores, y, 9)[0], [2, 0, 3])
    assert sorted(likely_wrong(scores, y, 9)[1].numpy()) == [0, 1, 3]


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=10)
def test_float64_images_keep_what_did_not_move(seed):
    """Fails if pixels that stayed are rounded, or a rounded pixel leaves the box."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 0.1, size=(3, 8))
    x[0, 0] = 0.1

    @dataclasses.dataclass(frozen=True)
    class Fill(Attack):
        """Fills the first row with float32(0.1), which is a little above 0.1."""

        box: tuple[float, float] = (0.0, 0.1)

        def run(self, score_fn, x, y, seed, targets, early_stop):
            rows = tf.range(tf.shape(x)[0])[:, None]
            return tf.where(rows == 1, tf.fill(tf.shape(x), np.float32(0.1)), x)

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    result = Fill()(model, x)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result[1], np.full(8, 0.1))
    np.testing.assert_array_equal(result[[0, 2]], x[[0, 2]])
