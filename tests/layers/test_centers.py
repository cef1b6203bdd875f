"""Heads with centers: scores, dtype, serialization and refusals."""

import keras
import numpy as np
import pytest

from keras_mmc import (
    DenseWithCenters,
    DifferentialHead,
    ElasticCenters,
    LearnedCenters,
    MaxMahalanobisCenters,
    QuadraticHead,
)
from keras_mmc.centers import max_mahalanobis_centers, minimum_angle
from keras_mmc.layers import ScoreHead


def longhand_scores(z, mu):
    return np.array([[-0.5 * np.sum((a - b) ** 2) for b in mu] for a in z])


def test_scores_equal_longhand(rng):
    """Fails if the head scores anything but -1/2 ||z - mu_k||^2 of the simplex of norm `scale`."""
    z = rng.normal(size=(4, 12)) * 3
    expected = longhand_scores(z, max_mahalanobis_centers(5, 12, 7.0))
    np.testing.assert_allclose(MaxMahalanobisCenters(5, scale=7.0)(z), expected, rtol=2e-6)
    in_float64 = MaxMahalanobisCenters(5, scale=7.0, dtype="float64")(z)
    np.testing.assert_allclose(in_float64, expected, rtol=1e-12)


def test_what_each_head_gives():
    """Fails if a loss of distances would be refused on centers, or let through on projections."""
    fixed, learned, elastic = MaxMahalanobisCenters(3), LearnedCenters(3), ElasticCenters(3)
    others = DenseWithCenters(3), DifferentialHead(), QuadraticHead(3), ScoreHead()
    assert fixed.gives_distances and learned.gives_distances and elastic.gives_distances
    assert not any(head.gives_distances for head in others)
    assert elastic.has_offsets
    assert not any(head.has_offsets for head in (fixed, learned, *others))
    assert others[0].gives_pulls
    assert not any(head.gives_pulls for head in (fixed, learned, elastic, *others[1:]))


def test_own_centers_are_taken_as_they_are(rng):
    """Fails if own centers are rescaled or reordered."""
    z, mu = rng.normal(size=(4, 6)), rng.normal(size=(3, 6))
    head = MaxMahalanobisCenters(centers=mu)
    np.testing.assert_allclose(head(z), longhand_scores(z, mu), rtol=1e-5)
    assert head.num_classes == 3


def test_centers_are_not_trained():
    """Fails if an optimizer could move the fixed centers, or could not move learned ones."""
    fixed, learned = MaxMahalanobisCenters(3), LearnedCenters(3)
    fixed.build((None, 4))
    learned.build((None, 4))
    assert (len(fixed.trainable_weights), len(fixed.non_trainable_weights)) == (0, 1)
    assert (len(learned.trainable_weights), len(learned.non_trainable_weights)) == (1, 0)


@pytest.mark.parametrize("make", [MaxMahalanobisCenters, ElasticCenters])
def test_more_classes_than_a_simplex_holds_are_optimized_once(make):
    """Fails if K > d + 1 is refused, or if a reloaded head has other centers."""
    head = make(6, scale=2.0)
    head.build((None, 3))
    values = keras.ops.convert_to_numpy(head.centers)
    assert minimum_angle(values) > 89.5
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 2.0, rtol=1e-6)
    copy = make.from_config(head.get_config())
    copy.build((None, 3))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(copy.centers), values)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(
    "head",
    [MaxMahalanobisCenters, LearnedCenters, ElasticCenters, DenseWithCenters, QuadraticHead],
)
def test_scores_are_float32_under_mixed_precision(head, policy):
    """Fails if the scores are computed in 16 bits."""
    keras.config.set_dtype_policy(policy)
    scores = head(10)(keras.ops.ones((2, 16), dtype=keras.config.dtype_policy().compute_dtype))
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"


@pytest.mark.parametrize(
    "head",
    [
        MaxMahalanobisCenters(4, scale=3.0, seed=2),
        MaxMahalanobisCenters(centers=np.arange(12.0).reshape(3, 4)),
        LearnedCenters(4, initializer=keras.initializers.RandomNormal(seed=1)),
        ElasticCenters(4, scale=3.0, alpha=0.2, seed=2),
        ElasticCenters(centers=np.arange(12.0).reshape(3, 4)),
        DenseWithCenters(4, 0.1, initializer=keras.initializers.RandomNormal(seed=1)),
        QuadraticHead(4, initializer=keras.initializers.RandomNormal(seed=1)),
    ],
    ids=["simplex", "own", "learned", "elastic", "elastic own", "dense", "quadratic"],
)
def test_config_round_trip(head, rng):
    """Fails if a constructor argument is missing from the config."""
    copy = keras.layers.deserialize(keras.layers.serialize(head))
    z = rng.normal(size=(2, 4))
    np.testing.assert_array_equal(copy(z), head(z))
    assert copy.get_config() == head.get_config()
    assert copy.compute_output_shape((None, 4)) == (None, head.num_classes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaxMahalanobisCenters(1), "an integer >= 2; received 1"),
        (lambda: MaxMahalanobisCenters(), "received None"),
        (lambda: MaxMahalanobisCenters(10.0), "integer"),
        (lambda: LearnedCenters(True), "integer"),
        (
            lambda: MaxMahalanobisCenters(10, scale=0.0),
            "scale.*positive finite.*received 0.0",
        ),
        (lambda: MaxMahalanobisCenters(10, scale=float("inf")), "scale"),
        (lambda: MaxMahalanobisCenters(10, centers=np.eye(3)), "num_classes=10.*3 rows"),
        (lambda: MaxMahalanobisCenters(10, dtype="bfloat16"), "float32 or float64.*'bfloat16'"),
        (lambda: ElasticCenters(10, dtype="float16"), "ElasticCenters computes.*'float16'"),
        (lambda: ElasticCenters(10, alpha=0.0), "ElasticCenters: `alpha`.*> 0; received 0.0"),
        (lambda: ElasticCenters(10, centers=np.eye(3)), "ElasticCenters: num_classes=10.*3 rows"),
        (lambda: ElasticCenters(centers=np.eye(3, 5)).build((None, 4)), "ElasticCenters.*width 5"),
        (lambda: DenseWithCenters(10, dtype="float16"), "DenseWithCenters computes.*'float16'"),
        (lambda: DenseWithCenters(1), "`num_classes` must be an integer >= 2; received 1"),
        (lambda: DenseWithCenters(10, rate=1.5), "`rate`.*<= 1; received 1.5"),
        (lambda: DenseWithCenters(10).build((None, 4, 4, 8)), r"\(N, d\).*Flatten"),
        (lambda: QuadraticHead(1), "QuadraticHead: `num_classes` must be.*received 1"),
        (lambda: QuadraticHead(10).build((None, 4, 4, 8)), r"QuadraticHead expects.*\(N, d\)"),
        (lambda: MaxMahalanobisCenters(10).build((None, 4, 4, 8)), r"\(N, d\).*Flatten"),
        (lambda: MaxMahalanobisCenters(10).build((None, None)), "known width"),
        (lambda: MaxMahalanobisCenters(centers=np.eye(3, 5)).build((None, 4)), "width 5.*Dense"),
    ],
)
def test_refusals(make, message):
    """Fails if wrong arguments or features build a head, or the message does not help."""
    with pytest.raises(ValueError, match=message):
        make()


def to_head(*layers):
    inputs = keras.Input((6, 6, 2))
    x = inputs
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, MaxMahalanobisCenters(3)(x))


L = keras.layers
BEHIND = {
    "relu": ([L.Flatten(), L.Dense(4, "relu")], "relu"),
    "layer": ([L.Flatten(), L.Dense(4), L.ReLU(), L.Dropout(0.1)], "relu"),
    "pooled": ([L.Conv2D(4, 3, activation="relu"), L.GlobalAveragePooling2D()], "relu"),
    "nested": ([L.Flatten(), keras.Sequential([L.Dense(4, "relu")])], "relu"),
    "operation": ([L.Flatten(), L.Dense(4), keras.ops.relu], "relu"),
    "softplus": ([L.Flatten(), L.Dense(4), L.Activation("softplus")], "softplus"),
}


@pytest.mark.parametrize("name", BEHIND)
def test_features_that_are_never_negative(name):
    """Fails if a network that cannot reach most centers is built without a word."""
    layers, activation = BEHIND[name]
    with pytest.warns(UserWarning, match=f"behind the activation '{activation}'.*without activ"):
        to_head(*layers)
    if name != "operation":
        with pytest.warns(UserWarning, match="never negative"):
            keras.Sequential([keras.Input((6, 6, 2)), *layers, MaxMahalanobisCenters(3)])


def test_features_of_either_sign():
    """Fails if a usual network is complained about: warnings are errors here."""
    for last in (L.Dense(4), L.Dense(4, "tanh"), L.LayerNormalization()):
        to_head(L.Flatten(), L.Dense(4, "relu"), last)
    MaxMahalanobisCenters(3)(np.ones((2, 4), "float32"))
