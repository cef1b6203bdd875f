"""Rotation: its interpolation against SciPy's, its grid, and which angle it takes."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from keras_mmc.attacks import RandomRotation, misclassified
from keras_mmc.attacks.rotation import Rotation, rotate

SEED = tf.constant([3, 4])


def run(attack, score_fn, x, y, view="search", targets=None, jit_compile=False):
    """One view of the attack, in a graph."""
    view = getattr(attack, view)
    graph = tf.function(
        lambda: view(score_fn, x, y, SEED, targets), autograph=False, jit_compile=jit_compile
    )
    return graph().numpy()


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (1, 5, 9, 3)])
@pytest.mark.parametrize("degrees", [-30.0, 7.5, 90.0, 200.0])
@pytest.mark.parametrize("around", [0.0, -1.5, None])
def test_rotate_agrees_with_scipy(shape, degrees, around, rng):
    """Fails if the angle, its direction, the middle, a weight or the border is off."""
    images = rng.uniform(size=shape)
    border = {"mode": "nearest"} if around is None else {"mode": "grid-constant", "cval": around}
    expected = ndimage.rotate(images, degrees, axes=(1, 2), reshape=False, order=1, **border)
    turned = rotate(tf.constant(images), degrees, around)
    np.testing.assert_allclose(turned, expected, atol=1e-9)


def test_every_image_has_its_angle(rng):
    """Fails if angles of a batch are swapped, or one turns all."""
    images, degrees = rng.uniform(size=(3, 6, 7, 2)), [10.0, -20.0, 45.0]
    alone = [rotate(tf.constant(images[i : i + 1]), degrees[i], None)[0] for i in range(3)]
    np.testing.assert_allclose(rotate(tf.constant(images), degrees, None), alone, atol=1e-9)


def test_random_angles_are_uniform_and_their_own():
    """Fails if an angle leaves the range, is shared, or ignores the seed."""
    ramp = np.tile(np.arange(-4.0, 5.0)[:, None], (400, 1, 9))[..., None].astype("float32")
    attack = RandomRotation(30.0, box=(-9.0, 9.0))
    found = attack.generate(None, ramp, np.zeros(400, int), 3).numpy()
    # In the middle a turned ramp rises by the cosine along a column, by the sine along a row.
    angles = np.degrees(
        np.arctan2(found[:, 4, 5] - found[:, 4, 3], found[:, 5, 4] - found[:, 3, 4])
    )
    assert np.abs(angles).max() <= 30 + 1e-3 and len(np.unique(angles)) > 390
    assert abs(angles.mean()) < 3 and abs(np.abs(angles).mean() - 15) < 1.5
    other = attack.generate(None, ramp, np.zeros(400, int), 4).numpy()
    assert (other != found).any()


def test_rotate_by_nothing_and_by_quarters_is_exact(rng):
    """Fails if 0 degrees change a bit, or a quarter turn is not NumPy's."""
    images = rng.uniform(size=(3, 7, 7, 2)).astype("float32")
    np.testing.assert_array_equal(rotate(tf.constant(images), 0.0, -1.5), images)
    quarter = np.rot90(images, axes=(1, 2))
    np.testing.assert_allclose(rotate(tf.constant(images), 90.0), quarter, atol=1e-5)


def test_grid():
    """Fails if the grid is not even, misses 0 or the largest angle, or is not tried from 0."""
    assert Rotation(30, num_angles=7).angles() == [0.0, 10.0, -10.0, 20.0, -20.0, 30.0, -30.0]
    assert len(Rotation().angles()) == 31 and max(Rotation().angles()) == 30.0


def blob_model(rows, columns):
    """Class 1 scores the pixels right of the middle column in the upper half, minus a bias."""
    mask = np.zeros((rows, columns), "float32")
    mask[: rows // 2, columns // 2 + 1 :] = 1.0

    def score_fn(x):
        seen = tf.reduce_sum(x[..., 0] * mask, axis=[1, 2])
        return tf.stack([tf.ones_like(seen), seen, -seen], axis=1)

    return score_fn


def bar(count=2):
    """An upright bar, 9 by 9."""
    x = np.zeros((count, 9, 9, 1), "float32")
    x[:, :, 4] = 0.5
    return tf.constant(x), tf.zeros(count, tf.int32)


def test_takes_the_first_angle_that_fools():
    """Fails if the search goes on past a success, or takes another angle."""
    x, y = bar()
    attack, score_fn = Rotation(30, num_angles=7), blob_model(9, 9)
    turned = {angle: rotate(x, angle) for angle in attack.angles()}
    wins = [a for a in attack.angles() if misclassified(score_fn(turned[a]), y).numpy().all()]
    assert wins and wins[0] < 0, "The bar must fall to the right."
    for view in ("search", "generate"):
        np.testing.assert_allclose(run(attack, score_fn, x, y, view), turned[wins[0]], atol=1e-6)


def test_takes_the_largest_margin_where_nothing_fools():
    """Fails if a model that withstands every angle does not get the worst one."""
    x, y = bar()
    attack, plain = Rotation(30, num_angles=7), blob_model(9, 9)

    def score_fn(x):
        return plain(x) + tf.constant([9.0, 0.0, 0.0])

    margins = {a: (plain(rotate(x, a)) @ [[-1.0], [1.0], [0.0]])[0, 0] for a in attack.angles()}
    worst = rotate(x, max(margins, key=margins.get))
    for view in ("search", "generate"):
        np.testing.assert_allclose(run(attack, score_fn, x, y, view), worst, atol=1e-6)


def test_targeted_ignores_other_successes():
    """Fails if a targeted attack stops at another wrong class."""
    x, y = bar()
    score_fn = blob_model(9, 9)
    attack = Rotation(30, num_angles=7, targeted=True)
    found = run(attack, score_fn, x, y, targets=tf.constant([2, 1]))
    predictions = score_fn(found).numpy().argmax(axis=1)
    assert predictions[0] != 2 and predictions[1] == 1


def test_broken_samples_leave_the_batch():
    """Fails if fooled samples go on costing forward passes."""
    sizes = []
    x, y = bar()
    x = tf.concat([x, tf.zeros_like(x)], axis=0)
    plain = blob_model(9, 9)

    def score_fn(x):
        sizes.append(len(x))
        return plain(x)

    Rotation(30, num_angles=7).search(score_fn, x, tf.concat([y, y], axis=0), SEED)
    assert len(sizes) == 7 and sizes[0] == 4 and sizes[-1] == 2


@pytest.mark.parametrize("box", [(0.0, 1.0), (-1.0, -0.25)])
def test_stays_in_the_box(box, rng):
    """Fails if rounding, or what is around the image, leaves the box."""
    x = tf.constant(rng.uniform(*box, size=(3, 6, 6, 2)), tf.float32)
    score_fn = blob_model(6, 6)
    found = run(Rotation(30, 5, box=box), score_fn, x, tf.zeros(3, tf.int32))
    assert np.isfinite(found).all() and found.min() >= box[0] and found.max() <= box[1]


def test_nan_scores_count_as_fooled():
    """Fails if a model can hide from the attack by answering NaN."""
    x, y = bar(1)
    plain = blob_model(9, 9)

    def score_fn(x):
        scores = plain(x)
        return tf.where(scores[:, 1:2] > 0.5, float("nan"), scores * [9.0, 0.0, 0.0])

    found = run(Rotation(30, 7), score_fn, x, y)
    assert np.isnan(score_fn(found)).any()


def test_refuses_what_is_no_image():
    """Fails if vectors are turned."""
    with pytest.raises(ValueError, match=r"\(N, H, W, C\)"):
        Rotation().search(lambda x: x, tf.zeros([2, 4]), tf.zeros(2, tf.int32), SEED)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"max_degrees": 0.0}, "max_degrees.*> 0"),
        ({"num_angles": 1}, "num_angles.*>= 3"),
        ({"num_angles": 10}, "odd.*Pass 11"),
        ({"objective": "nothing"}, "nothing"),
        ({"targeted": 1}, "targeted"),
    ],
)
def test_refuses_at_the_door(fields, words):
    """Fails if a field that makes no sense is accepted or the message does not help."""
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(Rotation(), **fields)
