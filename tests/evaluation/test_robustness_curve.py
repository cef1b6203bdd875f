"""The robustness curve: closed forms, one trace, and attacks that fail in larger balls."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.attacks import APGD, FGSM, MIM, PGD, AutoAttack, BallAttack, GaussianNoise, Square
from keras_mmc.evaluation import RobustnessCurve, audit, robustness_curve, wilson_interval

RADII = [0.0, 0.02, 0.05, 0.1, 0.2]


@pytest.fixture
def linear(rng):
    """A linear two-class model in eight dimensions: weights and model."""
    dense = keras.layers.Dense(2, use_bias=False)
    model = keras.Sequential([keras.Input((8,)), dense])
    weights = rng.normal(size=(8, 2)).astype("float32")
    weights -= weights.mean(axis=0)  # so that both classes occur around the middle of the box
    dense.kernel.assign(weights)
    return weights.astype("float64"), model


@pytest.fixture
def images(rng):
    """Points so far inside the box that no ball of the tests reaches it."""
    return rng.uniform(0.3, 0.7, size=(60, 8)).astype("float32")


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_linear_model_in_closed_form(norm, dual, linear, images):
    """Fails if the accuracy is not the fraction of margins above eps times the dual norm."""
    weights, model = linear
    y = np.arange(60) % 2
    difference = weights[:, 0] - weights[:, 1]
    margins = np.where(y == 0, 1, -1) * (images @ difference)
    attack = PGD(0.7, norm=norm, random_start=False)
    curve = robustness_curve(model, images, y, RADII, attack, batch_size=25)
    reach = np.linalg.norm(difference, dual) * np.array(RADII)
    expected = margins[None] > reach[:, None]
    assert np.abs(np.abs(margins)[None] - reach[:, None]).min() > 1e-4  # no case on the edge
    np.testing.assert_array_equal(curve.robust, expected)
    np.testing.assert_allclose(curve.accuracy, expected.mean(axis=1))
    assert 0 < curve.accuracy[2] < curve.accuracy[0] < 1
    assert (curve.num_images, curve.norm, curve.rises) == (60, norm, ())


@pytest.fixture(scope="module")
def curved():
    """A small model with tanh units, images, and its own predictions as labels."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Flatten(), keras.layers.Dense(16, "tanh")]
    dense = keras.layers.Dense(4, kernel_initializer="random_normal")
    model = keras.Sequential([keras.Input((4, 4, 1)), *layers, dense])
    x = np.random.default_rng(1).uniform(size=(40, 4, 4, 1)).astype("float32")
    return model, x, model.predict(x, verbose=0).argmax(axis=1)


@pytest.mark.parametrize(
    "attack",
    [FGSM(0.9), MIM(0.9), APGD(0.9, steps=5), Square(0.9, queries=20)],
    ids=lambda attack: type(attack).__name__,
)
def test_eps_is_replaced(attack, curved):
    """Fails if the attack keeps its own eps, or finds what it does not find by itself."""
    model, x, y = curved
    eps = 0.15
    curve = robustness_curve(model, x, y, [eps], attack)
    alone = dataclasses.replace(attack, eps=eps)
    right = model.predict(alone(model, x, y), verbose=0).argmax(axis=1) == y
    # A gradient that is 0 up to rounding may decide one image differently.
    assert np.sum(right != curve.robust[0]) <= 1
    assert 0 < curve.accuracy[0] < 1


@keras.saving.register_keras_serializable("robustness_curve_tests")
def test_one_trace_for_all_radii(images, counting):
    """Fails if another radius or a ragged batch traces the attack again."""
    model = keras.Sequential([keras.Input((8,)), counting, keras.layers.Dense(2)])
    y = model.predict(images, verbose=0).argmax(axis=1)
    traces = []
    for radii in ([0.01], [0.01, 0.02, 0.03]):
        counting.traces = 0
        robustness_curve(model, images, y, radii, PGD(0.0, steps=3), batch_size=25)
        traces.append(counting.traces)
    assert traces[0] == traces[1] > 0


@dataclasses.dataclass(frozen=True)
class OnlySmall(BallAttack):
    """Finds nothing in balls above 0.1; steps to the far side of the box without a ball."""

    leave: bool = False

    def run(self, score_fn, x, y, seed, targets, early_stop, eps):
        step = 1.0 if self.leave else tf.where(eps > 0.1, 0.0, eps)
        return tf.clip_by_value(x - step, 0.0, 1.0)


def one_pixel():
    """Class 1 where the pixel is above 0.5."""
    dense = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((1,)), dense])
    dense.set_weights([np.array([[0.0, 1.0]]), np.array([0.5, 0.0])])
    return model


def test_a_rising_accuracy_is_reported_not_repaired():
    """Fails if a failure in a larger ball is hidden, or the worst case forgets an earlier break."""
    x, y = np.array([[0.52], [0.58], [0.9]], "float32"), np.ones(3, int)
    curve = robustness_curve(one_pixel(), x, y, [0.0, 0.05, 0.1, 0.2], OnlySmall(0.0))
    np.testing.assert_allclose(curve.accuracy, [1, 2 / 3, 1 / 3, 1])
    np.testing.assert_allclose(curve.worst_case, [1, 2 / 3, 1 / 3, 1 / 3])
    assert curve.rises == (0.2,)
    assert "Finding: accuracy rises at eps 0.2:" in str(curve)


def test_points_outside_the_ball_are_refused():
    """Fails if a curve is drawn with points that are not allowed."""
    x, y = np.array([[0.9]], "float32"), np.ones(1, int)
    with pytest.raises(ValueError, match=r"outside the linf ball of radius 0\.05"):
        robustness_curve(one_pixel(), x, y, [0.05, 0.1], OnlySmall(0.0, leave=True))


def test_an_ensemble_takes_the_radius_too(curved):
    """Fails if AutoAttack's own eps is attacked, or a radius dies on its way into its attacks."""
    model, x, y = curved
    ensemble = AutoAttack(0.9, version=(PGD(0.9, steps=5, random_start=False),))
    curve = robustness_curve(model, x, y, [0.05, 0.15], ensemble)
    alone = robustness_curve(model, x, y, [0.05, 0.15], PGD(0.9, steps=5, random_start=False))
    np.testing.assert_array_equal(curve.robust, alone.robust)
    assert 0 < curve.accuracy[1] < curve.accuracy[0]


def test_the_default_attack_is_near_an_audit(mmc_model, held_out):
    """Fails if a curve says another thing than an audit of the same images, as PGD alone does."""
    x, y = held_out[0][:100], held_out[1][:100]
    curve = robustness_curve(mmc_model, x, y, [0.05, 0.1])
    report = audit(mmc_model, x, y, 0.05, verbose=0)
    assert report.robust_accuracy <= curve.accuracy[0] <= report.robust_accuracy + 0.02
    assert 0 < curve.accuracy[1] < curve.accuracy[0]


def test_table():
    """Fails if a figure of a row is missing or belongs to another one."""
    robust = np.array([[True] * 9 + [False], [True] * 4 + [False] * 6])
    curve = RobustnessCurve(np.array([0.0, 0.25]), robust, "l2", "PGD()")
    lines = str(curve).splitlines()
    assert lines[0] == "Robustness curve, l2, 10 images, PGD() at each eps"
    for line, eps, right in zip(lines[2:], ("0", "0.25"), (9, 4), strict=True):
        low, high = (f"{100 * bound:.2f}" for bound in wilson_interval(right, 10))
        assert line.split() == f"{eps} {10 * right}.00 % {low} to {high} {10 * right}.00 %".split()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps_list": []}, r"finite radii >= 0.*received \[\]"),
        ({"eps_list": [0.1, 0.1]}, "each larger than the one before"),
        ({"eps_list": [-0.1, 0.1]}, "finite radii >= 0"),
        ({"eps_list": [0.1, np.inf]}, "finite radii >= 0"),
        ({"attack": GaussianNoise(0.1)}, "ball of radius `eps`.*received GaussianNoise"),
        ({"y": None}, "needed with their labels"),
    ],
)
def test_refusals(change, message, linear):
    """Fails if arguments that do not fit give a curve."""
    good = {"x": np.full((2, 8), 0.5, "float32"), "y": np.array([0, 1]), "eps_list": [0.1]}
    with pytest.raises(ValueError, match=message):
        robustness_curve(linear[1], **{**good, **change})
