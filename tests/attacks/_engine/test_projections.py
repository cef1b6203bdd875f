"""Geometry of balls and boxes, as properties over random points."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from keras_mmc.attacks import image_seeds
from keras_mmc.attacks._engine.projections import clip_to_box, project, random_start, steepest_step

BOX = (-0.5, 1.5)
CASES = {
    "seed": st.integers(0, 2**31 - 1),
    "eps": st.floats(0.0, 3.0),
    "norm": st.sampled_from(["linf", "l2"]),
    "shape": st.sampled_from([(3, 2), (1, 4, 4), (2, 3, 3, 2)]),
}


def norm_of(delta, norm):
    flat = np.asarray(delta, "float64").reshape(len(delta), -1)
    return np.linalg.norm(flat, ord={"linf": np.inf, "l2": 2}[norm], axis=1)


def draw(seed, shape):
    rng = np.random.default_rng(seed)
    x0 = rng.uniform(*BOX, size=shape).astype("float32")
    return tf.constant(x0), tf.constant(x0 + rng.normal(size=shape).astype("float32"))


@given(**CASES)
@settings(deadline=None, max_examples=40)
def test_project_ends_in_ball_and_box(seed, eps, norm, shape):
    """Fails if an image leaves the ball or the box, in any rank."""
    x0, x = draw(seed, shape)
    result = project(x, x0, eps, norm, BOX).numpy()
    assert result.min() >= BOX[0] and result.max() <= BOX[1]
    assert (norm_of(result - x0, norm) <= eps + 1e-6).all()


@given(**CASES)
@settings(deadline=None, max_examples=40)
def test_project_keeps_points_that_are_inside(seed, eps, norm, shape):
    """Fails if the projection moves a point of ball and box, that is, if it is not idempotent."""
    x0, x = draw(seed, shape)
    once = project(x, x0, eps, norm, BOX)
    np.testing.assert_allclose(project(once, x0, eps, norm, BOX), once, atol=1e-6)


def test_project_linf_is_the_nearest_point():
    """Fails if the L-inf projection is not a clip to both intervals."""
    x0, x = draw(1, (5, 7))
    low, high = np.maximum(x0 - 0.3, BOX[0]), np.minimum(x0 + 0.3, BOX[1])
    nearest = np.clip(x, low, high)
    np.testing.assert_allclose(project(x, x0, 0.3, "linf", BOX), nearest, atol=1e-6)


def test_project_l2_shortens_towards_the_center():
    """Fails if the L2 projection changes the direction or the radius is not eps."""
    x0, x = tf.zeros([1, 2]), tf.constant([[0.3, 0.4]])
    np.testing.assert_allclose(project(x, x0, 0.25, "l2", BOX), [[0.15, 0.2]], atol=1e-7)


def test_project_with_eps_zero_is_the_identity():
    """Fails if eps=0 changes a single bit of the image."""
    x0, x = draw(2, (4, 9))
    for norm in ("linf", "l2"):
        np.testing.assert_array_equal(project(x, x0, 0.0, norm, BOX), x0)


@pytest.mark.parametrize("kind", [np.float64, np.float32, tf.constant])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_lengths_may_be_tensors_or_numpy_numbers(kind, norm):
    """Fails if a scheduled eps or step size gives another result than the number."""
    x0, x = draw(3, (4, 9))
    eps = kind(0.25)
    np.testing.assert_array_equal(project(x, x0, eps, norm, BOX), project(x, x0, 0.25, norm, BOX))
    np.testing.assert_array_equal(steepest_step(x, eps, norm), steepest_step(x, 0.25, norm))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_lengths_may_differ_by_sample(norm):
    """Fails if one radius or step size is used for all samples of a batch."""
    x0, x = draw(4, (3, 2, 2, 1))
    eps = tf.constant([0.0, 0.2, 0.7])
    each = tf.reshape(eps, [3, 1, 1, 1])
    projected, steps = project(x, x0, each, norm, BOX), steepest_step(x, each, norm)
    for i in range(3):
        row = slice(i, i + 1)
        alone = project(x[row], x0[row], eps[i], norm, BOX)
        np.testing.assert_array_equal(projected[row], alone)
        np.testing.assert_array_equal(steps[row], steepest_step(x[row], eps[i], norm))


def test_clip_to_box():
    """Fails if the two ends of the box are swapped."""
    np.testing.assert_array_equal(clip_to_box(tf.constant([-2.0, 0.5, 2.0]), BOX), [-0.5, 0.5, 1.5])


@given(st.integers(0, 2**31 - 1), st.floats(1e-3, 3.0), CASES["shape"])
@settings(deadline=None, max_examples=20)
def test_steepest_step_rises_by_the_dual_norm(seed, size, shape):
    """Fails if another step of that length would rise more (Hoelder's inequality is tight)."""
    gradient = np.random.default_rng(seed).normal(size=shape).astype("float32")
    flat = gradient.reshape(len(gradient), -1)
    for norm, dual in (("linf", 1), ("l2", 2)):
        step = steepest_step(tf.constant(gradient), size, norm).numpy().reshape(flat.shape)
        rise = size * np.linalg.norm(flat, ord=dual, axis=1)
        np.testing.assert_allclose(norm_of(step, norm), size, rtol=1e-5)
        np.testing.assert_allclose((step * flat).sum(axis=1), rise, rtol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_steepest_step_does_not_depend_on_the_scale(norm, scale):
    """Fails if a tiny gradient gives a shortened step, which would mask gradients."""
    gradient = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
    expected = steepest_step(tf.constant(gradient), 0.1, norm)
    scaled = steepest_step(tf.constant(gradient * np.float32(scale)), 0.1, norm)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_steepest_step_of_a_zero_gradient_is_zero(norm):
    """Fails if a sample without gradient moves or turns to NaN."""
    np.testing.assert_array_equal(steepest_step(tf.zeros([2, 3]), 0.1, norm), np.zeros((2, 3)))


@given(**CASES)
@settings(deadline=None, max_examples=40)
def test_random_start_is_inside_and_repeats_by_seed(seed, eps, norm, shape):
    """Fails if a start leaves ball or box, or if the same seed draws another one."""
    x0, _ = draw(seed, shape)
    first, again, other = (
        random_start(x0, eps, norm, BOX, image_seeds(s, range(len(x0)))).numpy()
        for s in ([seed, 1], [seed, 1], [seed, 2])
    )
    assert first.min() >= BOX[0] and first.max() <= BOX[1]
    assert (norm_of(first - x0, norm) <= eps + 1e-6).all()
    np.testing.assert_array_equal(first, again)
    if eps > 1e-3:
        assert (first != other).any()


def test_random_start_is_uniform():
    """Fails if starts crowd at the center or the surface: a Kolmogorov-Smirnov test at 1e-3."""
    x0, wide = tf.zeros([4000, 3]), (-1.0, 1.0)
    seeds = image_seeds([0, 1], range(4000))
    linf = random_start(x0, 0.5, "linf", wide, seeds).numpy()
    assert stats.kstest(linf.ravel(), stats.uniform(-0.5, 1.0).cdf).pvalue > 1e-3
    l2 = random_start(x0, 0.5, "l2", wide, seeds).numpy()
    radius = np.linalg.norm(l2, axis=1)
    assert stats.kstest((radius / 0.5) ** 3, stats.uniform.cdf).pvalue > 1e-3
    # Archimedes: one coordinate of a uniform direction in three dimensions is uniform.
    assert stats.kstest(l2[:, 0] / radius, stats.uniform(-1.0, 2.0).cdf).pvalue > 1e-3


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_start_is_the_same_under_xla(norm):
    """Fails if a compiled train step starts elsewhere than an eager one."""
    x0, seeds = tf.fill([3, 4, 4, 1], 0.5), image_seeds([-7, 5], range(3))

    def start():
        return random_start(x0, 0.1, norm, BOX, seeds)

    np.testing.assert_allclose(tf.function(start, jit_compile=True)(), start(), atol=1e-6)
