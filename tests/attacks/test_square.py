"""Square: its schedule, its two kinds of squares, and that it needs scores only."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mmc.attacks import Square, image_seeds, misclassified
from keras_mmc.attacks._engine.squares import bump, move_bump, paint_square

SEED = tf.constant([3, 4])
BOX = (0.0, 1.0)
WIDE = (-10.0, 10.0)
ORDER = {"linf": np.inf, "l2": 2}
both_norms = pytest.mark.parametrize("norm", ["linf", "l2"])


def norm_of(delta, norm):
    flat = np.asarray(delta, "float64").reshape(len(delta), -1)
    return np.linalg.norm(flat, ord=ORDER[norm], axis=1)


def linear_model(num_classes, features, seed=0):
    """Weights `(D, K)` and a score function of inputs `(N, ...)`."""
    weights = np.random.default_rng(seed).normal(size=(features, num_classes)).astype("float32")
    return weights, lambda x: tf.reshape(x, [-1, features]) @ weights


def samples(weights, count, shape):
    """Images in [0.3, 0.7] and the classes a linear model gives them."""
    x = np.random.default_rng(1).uniform(0.3, 0.7, size=(count, *shape)).astype("float32")
    return tf.constant(x), tf.constant((x.reshape(count, -1) @ weights).argmax(axis=1), tf.int32)


def search(attack, score_fn, x, y):
    """`attack.search` in a graph."""
    return tf.function(lambda: attack.search(score_fn, x, y, SEED), autograph=False)().numpy()


@pytest.mark.parametrize("queries", [10_000, 5_000, 200])
def test_side_follows_the_schedule(queries):
    """Fails if the area of the squares is halved at other queries, or wrongly rounded."""
    attack = Square(0.1, queries=queries)
    halvings = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000]
    for query in range(0, queries, 7):
        area = 0.8 * 28 * 28
        for halving in halvings:
            area /= 2 if query / queries * 10_000 > halving else 1
        assert attack.side(query, 28, 28) == max(round(math.sqrt(area)), 1)
    assert attack.side(0, 28, 28) == 25 and attack.side(queries - 1, 28, 28) == 1
    assert attack.side(0, 28, 4) == 4


def test_side_of_bumps_is_odd_and_at_least_3():
    """Fails if the L2 squares could have no middle row."""
    attack = Square(0.1, norm="l2", queries=10_000)
    assert [attack.side(query, 28, 28) for query in (0, 11, 60, 9_999)] == [25, 19, 13, 3]


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 12, 17])
def test_bump_longhand(side):
    """Fails if a height of the two pyramids, a sign or the norm is wrong."""

    def pyramid(rows):
        values = np.zeros((rows, side))
        for r in range(rows):
            for c in range(side):
                away = max(abs(r - rows // 2), abs(c - side // 2))
                values[r, c] = sum(1 / (k + 1) ** 2 for k in range(away, side // 2 + 1))
        return values / np.sqrt((values**2).sum()) if rows else values

    expected = np.concatenate([pyramid(side // 2), -pyramid(side - side // 2)])
    expected /= np.sqrt((expected**2).sum())
    np.testing.assert_allclose(bump(side), expected, atol=1e-6)


@pytest.mark.parametrize("side", [1, 3, 6])
def test_painted_squares(side):
    """Fails if squares have another size, leave the image, or do not reach the face of the ball."""
    x0 = tf.fill([1000, 6, 8, 2], 0.5)
    x = x0 + 0.1 * tf.sign(tf.random.stateless_uniform(x0.shape, SEED) - 0.5)
    painted = paint_square(x, x0, tf.constant(side), image_seeds(SEED, range(1000)), 0.1, BOX) - x0
    corners = set()
    for before, after in zip((x - x0).numpy(), painted.numpy(), strict=True):
        np.testing.assert_allclose(abs(after), 0.1, atol=1e-6)
        changed = np.argwhere((abs(before - after) > 1e-6).any(axis=-1))
        if not len(changed):  # The square had this sign already.
            continue
        low, high = changed.min(axis=0), changed.max(axis=0)
        assert (high - low < side).all()
        inside = after[low[0] : high[0] + 1, low[1] : high[1] + 1]
        assert (np.ptp(inside, axis=(0, 1)) < 1e-6).all()
        corners.add(tuple(low))
    if side == 1:
        assert corners == {(row, column) for row in range(6) for column in range(8)}


def test_a_bump_over_the_whole_image_longhand():
    """Fails if bump, sign, turn or the mix with what is there differ from algorithm 3."""
    rng = np.random.default_rng(0)
    x0 = np.zeros((50, 5, 5, 2), "float32")
    x = rng.normal(size=x0.shape).astype("float32")
    x *= 0.3 / norm_of(x, "l2").astype("float32")[:, None, None, None]
    pattern = tf.constant(np.pad(bump(5), (0, 2)))
    moved = move_bump(
        tf.constant(x), x0, tf.constant(5), pattern, image_seeds(SEED, range(50)), 0.5, WIDE
    ).numpy()
    seen = set()
    for before, after in zip(x, moved, strict=True):
        candidates = {}
        for turn in (False, True):
            for signs in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
                energy = (before**2).sum(axis=(0, 1))
                mixed = before / np.sqrt(energy)
                mixed = mixed + (bump(5).T if turn else bump(5))[..., None] * np.array(signs)
                mixed /= np.sqrt((mixed**2).sum(axis=(0, 1)))
                mixed *= np.sqrt((0.5**2 - energy.sum()) / 2 + energy)
                candidates[turn, signs] = 0.5 * mixed / np.sqrt((mixed**2).sum())
        errors = {key: abs(value - after).max() for key, value in candidates.items()}
        assert min(errors.values()) < 1e-5
        seen.add(min(errors, key=errors.get))
    assert len(seen) == 8


def test_a_moved_bump_changes_two_squares_and_no_norm():
    """Fails if pixels outside two squares change, or the norm freed in them is not spent there."""
    rng = np.random.default_rng(0)
    delta = rng.uniform(0.01, 0.02, size=(100, 9, 9, 1)).astype("float32")
    delta *= 0.5 / norm_of(delta, "l2").astype("float32")[:, None, None, None]
    x0 = np.zeros_like(delta)
    seeds = image_seeds(SEED, range(100))
    moved = move_bump(
        tf.constant(delta), x0, tf.constant(3), tf.constant(bump(3)), seeds, 0.5, WIDE
    )
    np.testing.assert_allclose(norm_of(moved, "l2"), 0.5, rtol=1e-5)
    disjoint = 0
    for before, after in zip(delta[..., 0], moved.numpy()[..., 0], strict=True):
        changed = abs(before - after) > 1e-5
        emptied = after == 0
        assert 8 <= changed.sum() <= 18 and emptied.sum() <= 9
        disjoint += emptied.sum() == 9
    assert disjoint > 20


@both_norms
@given(
    view=st.sampled_from(["generate", "search"]),
    eps=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    box=st.sampled_from([(0.0, 1.0), (-1.0, 0.5)]),
    shape=st.sampled_from([(1, 1, 1, 1), (3, 2, 5, 3), (2, 11, 10, 1)]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None, max_examples=10)
def test_stays_in_ball_and_box(norm, view, eps, box, shape, seed):
    """Fails if an image leaves ball or box, is not finite, or differs from run to run."""
    _, linear = linear_model(4, int(np.prod(shape[1:])))
    attack = Square(eps, queries=6, norm=norm, box=box)
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.uniform(*box, size=shape), tf.float32)
    y = tf.constant(rng.integers(4, size=shape[0]), tf.int32)
    first, again = (
        getattr(attack, view)(lambda x: tf.sin(3 * linear(x)), x, y, tf.constant([seed, 0])).numpy()
        for _ in range(2)
    )
    assert first.shape == x.shape and np.isfinite(first).all()
    assert first.min() >= box[0] and first.max() <= box[1]
    assert (norm_of(first - x, norm) <= eps + 1e-6).all()
    np.testing.assert_array_equal(first, again)


@both_norms
def test_keeps_the_best_of_all_queries(norm):
    """Fails if a square that lowers the margin is kept, or one that raises it is not."""
    weights, linear = linear_model(3, 36)
    margins = []

    def score_fn(x):
        scores = 1e-3 * linear(x) + tf.one_hot(y, 3)  # Nobody is ever fooled.
        others = tf.reduce_max(scores - 1e9 * tf.one_hot(y, 3), axis=1)
        margins.append((others - tf.gather(scores, y, batch_dims=1)).numpy())
        return scores

    x, y = samples(weights, 8, (6, 6, 1))
    best = Square(0.2, queries=40, norm=norm).generate(score_fn, x, y, SEED)
    tried = np.max(margins, axis=0)
    assert len(margins) == 41 and (tried > margins[0]).all()
    score_fn(best)
    np.testing.assert_allclose(margins[-1], tried, rtol=1e-6)


def test_more_queries_break_more_and_all_within_easy_reach():
    """Fails if the search does not climb: on a linear model every square can be improved."""
    weights, score_fn = linear_model(3, 36)
    x, y = samples(weights, 40, (6, 6, 1))
    scores = score_fn(x).numpy()
    normals = weights[:, y.numpy()][:, None] - weights[:, :, None]
    gaps = scores[np.arange(40), y][:, None] - scores
    with np.errstate(invalid="ignore"):
        distances = np.nanmin(gaps / abs(normals).sum(axis=0).T, axis=1)
    eps = float(np.quantile(distances, 0.7))
    broken = [
        misclassified(score_fn(search(Square(eps, queries=q), score_fn, x, y)), y).numpy()
        for q in (5, 100, 600)
    ]
    assert broken[0].sum() < broken[1].sum() <= broken[2].sum()
    assert broken[2][distances < 0.9 * eps].all() and not broken[2][distances > eps].any()


@both_norms
def test_needs_no_gradient(norm):
    """Fails if a model that answers in steps, without any slope, is safe."""
    weights, linear = linear_model(3, 36)
    x, y = samples(weights, 40, (6, 6, 1))

    def score_fn(x):
        return tf.stop_gradient(tf.round(20 * linear(x)))

    attack = Square({"linf": 0.3, "l2": 1.5}[norm], queries=200, norm=norm)
    broken = misclassified(score_fn(search(attack, score_fn, x, y)), y).numpy()
    assert broken.mean() > 0.8


def test_scale_of_the_scores_changes_nothing():
    """Fails if the search looks at anything that saturates."""
    weights, score_fn = linear_model(3, 36)
    x, y = samples(weights, 20, (6, 6, 1))
    attack = Square(0.05, queries=50)
    # A power of two scales floats exactly, so that both searches see the same order.
    np.testing.assert_array_equal(
        search(attack, score_fn, x, y), search(attack, lambda x: 256 * score_fn(x), x, y)
    )


def test_broken_samples_leave_the_batch():
    """Fails if fooled samples go on costing queries, or rows are swapped on the way."""
    sizes = []

    def score_fn(x):
        sizes.append(len(x))
        first = x[:, 0, 0, 0]
        return tf.stack([tf.zeros_like(first), first - 0.5], axis=1)

    x = tf.reshape(tf.constant([0.45, 0.0, 0.46, 0.1, 0.47, 0.48, 0.49, 0.2]), [8, 1, 1, 1])
    found = Square(0.1, queries=60).search(score_fn, x, tf.zeros(8, tf.int32), SEED).numpy()
    assert sizes[0] == 8 and sizes[-1] == 3
    assert ((found > 0.5) == (x.numpy() > 0.4)).all()


def test_nan_scores_under_attack_count_as_broken():
    """Fails if a model can hide from the attack by answering NaN, or NaN is never kept."""

    def score_fn(x):
        first = x[:, 0, 0, 0]
        low = tf.where(first > 0.55, float("nan"), -1.0)
        return tf.stack([tf.zeros_like(low), low], axis=1)

    x, y = tf.fill([6, 2, 2, 1], 0.5), tf.zeros(6, tf.int32)
    found = search(Square(0.1, queries=40), score_fn, x, y)
    assert (found[:, 0, 0, 0] > 0.55).all() and np.isfinite(found).all()


def test_refuses_what_is_no_image():
    """Fails if vectors are attacked with squares, or the message names no way out."""
    _, score_fn = linear_model(3, 4)
    with pytest.raises(ValueError, match=r"\(N, H, W, C\).*APGD"):
        Square(0.1).search(score_fn, tf.fill([2, 4], 0.5), tf.zeros(2, tf.int32), SEED)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"eps": -0.1}, "eps"),
        ({"queries": 0}, "queries"),
        ({"norm": "l1"}, "linf"),
        ({"p_init": 0.0}, "p_init"),
        ({"p_init": 1.5}, "p_init"),
    ],
)
def test_refuses_at_the_door(fields, words):
    """Fails if a field that makes no sense is accepted or the message does not help."""
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(Square(0.1), **fields)
