"""Every loss against a longhand NumPy re-derivation in float64."""

import itertools
import math

import keras
import numpy as np
import pytest

import keras_mmc
from keras_mmc import losses
from keras_mmc._scores import center_scores

N, K, D = 7, 5, 6


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.fixture
def batch(rng):
    """Features, centers, their scores by definition, and labels; all float64."""
    z = rng.normal(size=(N, D)) * 3
    mu = rng.normal(size=(K, D)) * 2
    s = np.array([[-0.5 * np.sum((z[i] - mu[k]) ** 2) for k in range(K)] for i in range(N)])
    return z, mu, s, np.arange(N) % K


def mmc_longhand(s, y):
    return np.array([-s[i, y[i]] for i in range(len(y))])


def cross_entropy_longhand(s, y):
    return np.array([-math.log(softmax(s)[i, y[i]]) for i in range(len(y))])


def complement_longhand(s, y):
    values = []
    for i, g in enumerate(y):
        p = softmax(s)[i]
        wrong = [p[j] for j in range(s.shape[1]) if j != g]
        q = [v / sum(wrong) for v in wrong]  # the sum is 1 - p_g, without its rounding
        values.append(sum(v * math.log(v) for v in q))
    return np.array(values)


def gce_longhand(s, y, alpha=1 / 3, scale=None):
    guide = np.array([softmax(s)[i, g] ** alpha for i, g in enumerate(y)])
    return guide * complement_longhand(s, y) / (scale or math.log(s.shape[1] - 1))


def gce_released_longhand(s, y, alpha=1 / 3):
    values = []
    for i, g in enumerate(y):
        p = softmax(s)[i]
        q = [p[j] / (1 - p[g] + 1e-7) for j in range(s.shape[1]) if j != g]
        values.append((p[g] + 1e-7) ** alpha * sum(v * math.log(v + 1e-10) for v in q))
    return np.array(values) / math.log(s.shape[1])


def lda_longhand(s, y, sigma, priors):
    joint = np.exp(s / sigma**2) * np.asarray(priors)
    return np.array([-math.log(joint[i, y[i]] / joint[i].sum()) for i in range(len(y))])


def smoothed_longhand(s, y, smoothing):
    log_p = np.log(softmax(s))
    k = s.shape[1]
    return np.array(
        [-(1 - smoothing) * log_p[i, y[i]] - smoothing / k * log_p[i].sum() for i in range(len(y))]
    )


def shell_longhand(s, y, radius):
    return np.array([0.5 * (math.sqrt(-2 * s[i, y[i]]) - radius) ** 2 for i in range(len(y))])


def lgm_longhand(s, y, margin, weight):
    shifted = s.copy()
    for i, g in enumerate(y):
        shifted[i, g] *= 1 + margin
    return cross_entropy_longhand(shifted, y) - weight * s[np.arange(len(y)), y]


def differential_mean_longhand(s, y):
    terms = []
    for i, j in itertools.combinations(range(len(y)), 2):
        if y[i] != y[j]:
            gap = (s[i, y[i]] - s[i, y[j]]) - (s[j, y[i]] - s[j, y[j]])
            terms.append(math.log1p(math.exp(-gap)))
    return sum(terms) / len(terms)


PRIORS = [0.1, 0.2, 0.3, 0.25, 0.15]
CASES = {
    "mmc": (losses.mmc, mmc_longhand),
    "shell": (
        lambda y, s: losses.shell_mmc(y, s, 1.5),
        lambda s, y: shell_longhand(s, y, 1.5),
    ),
    "mm_lda": (
        lambda y, s: losses.mm_lda(y, s, sigma=1.7, priors=PRIORS),
        lambda s, y: lda_longhand(s, y, 1.7, PRIORS),
    ),
    "mm_lda released": (
        lambda y, s: losses.mm_lda(y, s, sigma=math.sqrt(0.5)),
        lambda s, y: cross_entropy_longhand(2 * s, y),
    ),
    "mm_lda smoothed": (
        lambda y, s: losses.mm_lda(y, s, label_smoothing=0.1),
        lambda s, y: smoothed_longhand(s, y, 0.1),
    ),
    "elastic": (
        losses.ElasticMMCLoss(dtype="float64").call,
        mmc_longhand,
    ),
    "lgm without margin": (
        lambda y, s: losses.lgm(y, s, margin=0.0, weight=0.3),
        lambda s, y: cross_entropy_longhand(s, y) + 0.3 * mmc_longhand(s, y),
    ),
    "lgm": (
        lambda y, s: losses.lgm(y, s, margin=0.1, weight=0.01),
        lambda s, y: lgm_longhand(s, y, 0.1, 0.01),
    ),
    "complement": (losses.complement_entropy, complement_longhand),
    "gce": (losses.guided_complement_entropy, gce_longhand),
    "gce log K": (
        lambda y, s: losses.guided_complement_entropy(y, s, 0.2, normalizer="classes"),
        lambda s, y: gce_longhand(s, y, 0.2, math.log(K)),
    ),
    "gce released": (
        lambda y, s: losses.guided_complement_entropy(y, s, normalizer="classes", guard="released"),
        gce_released_longhand,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_loss_equals_longhand(name, batch):
    """Fails if a constant, a sign or an index of the formula changes."""
    _, _, s, y = batch
    function, longhand = CASES[name]
    np.testing.assert_allclose(function(y, s), longhand(s, y), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_sparse_column_and_one_hot_labels_agree(name, batch):
    """Fails if one of the three label forms is read differently."""
    _, _, s, y = batch
    function, _ = CASES[name]
    expected = function(y, s)
    np.testing.assert_allclose(function(y[:, None], s), expected, rtol=1e-12)
    np.testing.assert_allclose(function(np.eye(K)[y], s), expected, rtol=1e-12)


def test_center_scores_equal_half_squared_distances(batch):
    """Fails if the expanded square loses a term."""
    z, mu, s, _ = batch
    np.testing.assert_allclose(center_scores(z, mu), s, rtol=1e-12, atol=1e-12)


def test_soft_labels_average_mmc(batch):
    """Fails if rows of soft labels are treated as one-hot."""
    _, _, s, y = batch
    mixed = 0.7 * np.eye(K)[y] + 0.3 * np.eye(K)[(y + 1) % K]
    expected = 0.7 * mmc_longhand(s, y) + 0.3 * mmc_longhand(s, (y + 1) % K)
    np.testing.assert_allclose(losses.mmc(mixed, s), expected, rtol=1e-12)


def test_mmc_from_raw_features_equals_mmc_from_scores(batch):
    """Fails if `MMCLoss(centers=...)` and the head disagree."""
    z, mu, s, y = batch
    from_features = losses.MMCLoss(centers=mu, dtype="float64", reduction=None)(y, z)
    np.testing.assert_allclose(from_features, mmc_longhand(s, y), rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_differential_mean_is_the_mean_over_pairs(classes, rng):
    """Fails if pairs are counted wrongly or a gap has the wrong sign."""
    s, y = rng.normal(size=(9, classes)), np.arange(9) % classes
    expected = differential_mean_longhand(s, y)
    np.testing.assert_allclose(np.mean(losses.differential(y, s)), expected, rtol=1e-12)


def test_binary_differential_is_the_papers_loss(rng):
    """Fails if the multi-class form does not reduce to softplus(-(s_i - s_j)) for two classes."""
    s = rng.normal(size=8)
    y = np.array([0, 1, 1, 0, 1, 0, 0, 1])
    pairs = [np.log1p(np.exp(-(s[i] - s[j]))) for i in range(8) for j in range(8) if y[i] > y[j]]
    scores = np.stack([np.full(8, 0.37), s], axis=-1)  # the threshold must cancel
    np.testing.assert_allclose(np.mean(losses.differential(y, scores)), np.mean(pairs), rtol=1e-12)


def test_differential_of_one_class_is_zero(rng):
    """Fails if a batch without pairs divides by zero."""
    np.testing.assert_array_equal(losses.differential(np.ones(4), rng.normal(size=(4, 2))), 0)


GAPS = [0, 5, 10, 16, 20]
RELEASED = [-0.4429, -0.9357, -0.9540, -0.9057, -0.2754]
STABLE = [-0.4642, -0.9806, -0.9999, -1.0000, -1.0000]


@pytest.mark.parametrize(
    ("guard", "normalizer", "expected"),
    [("released", "classes", RELEASED), ("none", "classes-1", STABLE)],
)
def test_gce_gap_table(guard, normalizer, expected):
    """Fails if a guard constant, alpha or a normalizer changes: K=10, uniform complements."""
    scores = np.zeros((len(GAPS), 10))
    scores[:, 3] = GAPS
    values = losses.guided_complement_entropy(
        np.full(len(GAPS), 3), scores, alpha=1 / 3, normalizer=normalizer, guard=guard
    )
    np.testing.assert_allclose(values, expected, atol=5e-5)


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size", "mean_with_sample_weight"])
def test_reductions_and_sample_weights(reduction, batch):
    """Fails if a weight is ignored or a reduction divides by the wrong count."""
    _, _, s, y = batch
    weights = np.linspace(0, 1, N)
    divisor = {"sum": 1, "sum_over_batch_size": N, "mean_with_sample_weight": weights.sum()}
    loss = losses.MMCLoss(reduction=reduction, dtype="float64")
    expected = np.sum(weights * mmc_longhand(s, y)) / divisor[reduction]
    np.testing.assert_allclose(loss(y, s, sample_weight=weights), expected, rtol=1e-12)


ALL_LOSSES = [
    losses.MMCLoss(),
    losses.MMCLoss(centers=np.eye(5, 6)),
    losses.ElasticMMCLoss(reduction="sum"),
    losses.ShellMMCLoss(radius=2.0),
    losses.MMLDALoss(sigma=2.0, priors=PRIORS, label_smoothing=0.1),
    losses.LGMLoss(margin=0.2, weight=0.3),
    losses.GuidedComplementEntropy(alpha=0.2, normalizer="classes", guard="released"),
    losses.ComplementEntropy(reduction="sum"),
    losses.DifferentialLoss(dtype="float64"),
]


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: loss.name)
def test_serialization_round_trip_keeps_the_value(loss, batch):
    """Fails if a parameter, the reduction or the dtype is missing from the config."""
    z, _, s, y = batch
    inputs = z if getattr(loss, "centers", None) is not None else s
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(copy) is type(loss)
    assert copy.get_config() == loss.get_config()
    np.testing.assert_array_equal(copy(y, inputs), loss(y, inputs))


def test_every_public_loss_class_is_covered():
    """Fails if a new loss class lacks a serialization case; `test_center.py` has `CenterLoss`."""
    public = {name for name in keras_mmc.__all__ if isinstance(getattr(keras_mmc, name), type)}
    classes = {n for n in public if issubclass(getattr(keras_mmc, n), keras.losses.Loss)}
    assert classes == {type(loss).__name__ for loss in ALL_LOSSES} | {"CenterLoss"}
