"""The binarization test: strong attacks pass, masked ones fail, and what exists does exist."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from keras_mmc.attacks import FAB, FGSM, PGD, Ball, BallAttack, Square
from keras_mmc.evaluation import BinarizationResult, binarization_test
from keras_mmc.evaluation._readout import logistic_regression, readout_of
from keras_mmc.evaluation.binarization import _inner, _surface

EPS = 0.1


@pytest.fixture(scope="module")
def images(digits):
    return digits[0][:12]


def network(*first):
    """A small convolutional network after other layers."""
    layers = [
        keras.layers.Conv2D(8, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(32, name="features"),
        keras.layers.Dense(10),
    ]
    return keras.Sequential([keras.Input((8, 8, 1)), *first, *layers])


@pytest.fixture(scope="module")
def cnn(digits):
    """The network, trained briefly."""
    keras.utils.set_random_seed(0)
    model = network()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(digits[0][200:], digits[1][200:], epochs=3, verbose=0)
    return model


@pytest.mark.parametrize("attack", [PGD(EPS), PGD(1.0, norm="l2")], ids=lambda a: a.norm)
def test_strong_attacks_pass(attack, cnn, images):
    """Fails if the test cannot be passed, or random images pass it too."""
    result = binarization_test(cnn, images, attack, num_inner=100)
    assert result.num_images + result.num_skipped == 12
    assert result.num_images > 8
    assert result.success_rate > 0.9
    assert result.random_success_rate < 0.2
    assert result.finding.startswith("Passed")


@keras.saving.register_keras_serializable("binarization_tests")
class Quantize(keras.layers.Layer):
    """Rounds pixels; the gradient is 0, not missing."""

    def call(self, x):
        return tf.stop_gradient(tf.round(64 * x) / 64) + 0 * x


def test_masked_gradients_are_noticed(cnn, images):
    """Fails if an attack passes although quantised pixels leave it no gradient."""
    masked = network(Quantize())
    masked.set_weights(cnn.get_weights())
    result = binarization_test(masked, images, PGD(EPS), num_inner=100)
    assert result.num_images > 8
    assert result.success_rate < 0.2
    assert result.finding.startswith("The attack is too weak")
    black_box = binarization_test(masked, images, Square(EPS, queries=300), num_inner=100)
    assert black_box.success_rate > result.success_rate + 0.5


def test_large_scores_are_noticed(cnn, images):
    """Fails if the readout hides the scale of the scores, under which cross-entropy is blind."""
    large = keras.Model(cnn.inputs, keras.layers.Rescaling(200.0)(cnn.outputs[0]))
    options = {"features": "features", "num_inner": 100}
    blind = binarization_test(large, images, PGD(EPS, objective="cross_entropy"), **options)
    assert blind.success_rate < 0.2
    assert blind.finding.startswith("The attack is too weak")
    assert binarization_test(large, images, PGD(EPS), **options).success_rate > 0.9


def test_the_boundary_image_is_found_by_who_knows_it(cnn, images):
    """Fails if the adversarial example that must exist is not there, or is not inside the ball."""
    images = images.copy()

    def boundary_of(image):
        """The boundary image that the test draws with seed 5 for this one."""
        (i,) = (i for i, other in enumerate(images) if np.array_equal(image, other))
        return _surface(image, Ball(EPS), 1, [5, 4 * i + 1])

    @dataclasses.dataclass(frozen=True)
    class Oracle(BallAttack):
        """Returns the boundary image, or one `stretch` times as far away."""

        stretch: float = 1.0

        def run(self, score_fn, x, y, seed, targets, early_stop, eps):
            def boundary(x):
                return x + np.float32(self.stretch) * (boundary_of(x[0]) - x)

            return tf.ensure_shape(tf.numpy_function(boundary, [x], tf.float32), x.shape)

    inside = binarization_test(cnn, images, Oracle(EPS), num_inner=100, seed=5)
    assert inside.success_rate == 1
    assert inside.queries == 1
    assert inside.random_success_rate == 0
    images[:] = 0.25 + images / 2  # room for the longer step inside the box
    outside = binarization_test(cnn, images, Oracle(EPS, 1.5), num_inner=100, seed=5)
    assert outside.num_images > 8
    assert outside.success_rate == 0


def test_readouts_that_cannot_separate_are_skipped(images):
    """Fails if an image without a known adversarial example counts for or against an attack."""
    constant = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(3, kernel_initializer="zeros"),
            keras.layers.Dense(2),
        ]
    )
    result = binarization_test(constant, images[:3], FGSM(EPS), num_inner=50)
    assert (result.num_images, result.num_skipped) == (0, 3)
    assert np.isnan(result.success_rate)
    assert "says nothing" in result.finding


def test_readout_by_hand(rng):
    """Fails if the last image is not alone on its side, or the scores span another range."""
    features = rng.normal(size=(60, 7)).astype("float32")
    features[-1] = 6.0
    scores = rng.normal(size=(60, 4)) * 30
    kernel, bias = readout_of(features, scores)
    heights = features.astype("float64") @ kernel + bias
    assert heights[-1] > 0 > heights[:-1].max()
    both = np.stack([-heights, heights])
    assert np.ptp(both) == pytest.approx(scores.max() - scores.min(), rel=1e-4)
    gap = heights[-1] - heights[:-1].max()
    assert heights[-1] == pytest.approx(0.1 * gap, rel=1e-3)
    features[-1] = features[:-1].mean(axis=0)
    assert readout_of(features, scores) is None
    features[-1] = np.nan
    assert readout_of(features, scores) is None


def test_the_readout_is_that_of_scikit_learn(rng):
    """Fails if the classes do not weigh the same, or the loss or its gradient is off."""
    x = rng.normal(size=(60, 7))
    y = np.arange(60) >= 55  # not separable: every image moves the minimum
    expected = LogisticRegression(C=1e6, class_weight="balanced", tol=1e-8).fit(x, y).coef_[0]
    np.testing.assert_allclose(logistic_regression(x, y), expected, rtol=1e-2)


@pytest.mark.parametrize(("norm", "order"), [("linf", np.inf), ("l2", 2)])
def test_where_the_points_lie(norm, order):
    """Fails if inner images reach the surface, the boundary image does not, or both repeat."""
    image, ball = np.full((4, 4, 1), 0.5, "float32"), Ball(0.1, norm)

    def sizes(points):
        return np.linalg.norm((points - image).reshape(len(points), -1), order, axis=1)

    inner = sizes(_inner(image, ball, 200, [0, 1]))
    assert inner[0] == 0
    assert 0.08 < inner.max() <= 0.095 + 1e-6
    surface = _surface(image, ball, 30, [0, 1])
    np.testing.assert_allclose(sizes(surface), 0.1, rtol=1e-5)
    assert len(np.unique(surface.reshape(30, -1), axis=0)) == 30
    bright = np.ones((4, 4, 1), "float32")
    assert _surface(bright, ball, 30, [0, 1]).max() <= 1


def test_one_trace_for_all_images(cnn, images, counting):
    """Fails if a second image traces the model again."""
    model, calls = network(counting), []
    model.set_weights(cnn.get_weights())
    for count in (1, 4):
        counting.calls = 0
        binarization_test(model, images[:count], PGD(EPS, steps=3), num_inner=50)
        calls.append(counting.calls)
    assert calls[0] == calls[1] > 0


def test_queries_are_those_the_attack_spends(cnn, images):
    """Fails if the random images are more or fewer than the looks of the attack."""

    @dataclasses.dataclass(frozen=True)
    class Stubborn(BallAttack):
        """Looks seven times at the image and stays there."""

        def run(self, score_fn, x, y, seed, targets, early_stop, eps):
            _, total = tf.while_loop(
                lambda *state: True,
                lambda i, total: (i + 1, total + tf.reduce_sum(score_fn(x))),
                (0, 0.0),
                maximum_iterations=7,
            )
            return x + 0 * total

    result = binarization_test(cnn, images[:2], Stubborn(EPS), num_inner=50)
    assert result.queries == 7
    assert result.success_rate == 0


def test_same_seed_same_result(cnn, images):
    """Fails if an image is drawn without the seed."""
    attack = Square(EPS, queries=30)
    first, again = (
        binarization_test(cnn, images[:6], attack, num_inner=100, seed=3) for _ in range(2)
    )
    assert first == again


def test_text_and_findings():
    """Fails if a figure is missing from the text, or a finding does not follow from the rates."""
    result = BinarizationResult(0.75, 0.5, 40, 2, 21, "PGD()")
    lines = str(result).splitlines()
    assert lines[0] == "Binarization test of PGD()"
    assert lines[1].split() == ["attack", "75.00", "%", "of", "40", "images", "(2", "skipped)"]
    assert lines[2].split() == ["random", "50.00", "%", "with", "21", "queries", "per", "image"]
    assert lines[3].split() == ["difference", "25.00", "%"]
    assert "25.0 % of the images" in lines[4]
    assert dataclasses.replace(result, success_rate=0.95).finding.startswith("Passed")
    easy = dataclasses.replace(result, success_rate=1.0, random_success_rate=0.6)
    assert easy.finding.startswith("The test is too easy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": "nowhere"}, r"layer 'nowhere', cannot be reached.*No such layer"),
        ({"num_inner": 0}, "`num_inner` must be an integer >= 1; received 0"),
        ({"attack": FAB(None)}, "ball of radius `eps`"),
        ({"x": np.zeros((0, 8, 8, 1), "float32")}, "received none"),
    ],
)
def test_refusals(change, message, cnn, images):
    """Fails if arguments that do not fit give a rate."""
    with pytest.raises(ValueError, match=message):
        binarization_test(cnn, **{"x": images, "attack": FGSM(EPS), **change})


def test_features_out_of_reach_are_refused(cnn, images):
    """Fails if a model whose features cannot be reached ends in an error of Keras."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            return self.dense(keras.ops.reshape(x, (-1, 64)))

    with pytest.raises(ValueError, match="the input of the last layer, cannot be reached"):
        binarization_test(Own(), images, FGSM(EPS))
    inputs = keras.Input((8, 8, 1))
    nested = keras.Model(inputs, cnn(Quantize()(inputs)))
    with pytest.raises(ValueError, match="clone_model"):
        binarization_test(nested, images, FGSM(EPS), features="features")
