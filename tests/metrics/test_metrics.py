"""Metrics against longhand NumPy."""

import keras
import numpy as np
import pytest

from keras_mmc import MaxMahalanobisCenters, MMCLoss, metrics
from keras_mmc._scores import center_scores


@pytest.fixture
def batch(rng):
    """Scores of features about centers, the distances behind them, and labels."""
    z, mu = rng.normal(size=(9, 6)), rng.normal(size=(4, 6))
    distances = np.linalg.norm(z[:, None] - mu[None], axis=-1)
    return np.asarray(center_scores(z, mu), "float32"), distances, np.arange(9) % 4


def margins(distances, y):
    rows = [np.delete(row, g).min() - row[g] for row, g in zip(distances, y, strict=True)]
    return np.array(rows)


@pytest.mark.parametrize(
    ("metric", "longhand"),
    [
        (metrics.CenterDistance(), lambda d, y: d[np.arange(9), y]),
        (metrics.NearestCenterMargin(), margins),
        (metrics.CenterDensity(radius=3.0), lambda d, y: d[np.arange(9), y] <= 3.0),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_metric_equals_longhand_mean(metric, longhand, batch):
    """Fails if a distance, the choice of the nearest center, or the averaging is off."""
    scores, distances, y = batch
    expected = longhand(distances, y)
    weights = np.linspace(0.1, 1, 9)
    metric.reset_state()
    metric.update_state(y[:4], scores[:4], sample_weight=weights[:4])
    metric.update_state(np.eye(4)[y[4:]], scores[4:], sample_weight=weights[4:])
    mean = np.average(expected, weights=weights)
    assert float(metric.result()) == pytest.approx(mean, rel=1e-5)
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert copy.get_config() == metric.get_config()


def test_metrics_in_fit(digits):
    """Fails if the metrics do not work in a compiled step, or do not fall with training."""
    x, y = digits
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(16)]
    )
    model.add(MaxMahalanobisCenters(10))
    names = [metrics.CenterDistance(), metrics.NearestCenterMargin(), metrics.CenterDensity(5.0)]
    model.compile(keras.optimizers.Adam(0.01), MMCLoss(), metrics=names)
    history = model.fit(x, y, epochs=4, verbose=0).history
    assert history["center_distance"][-1] < 0.8 * history["center_distance"][0]
    assert history["nearest_center_margin"][-1] > history["nearest_center_margin"][0]
    assert history["center_density"][-1] > history["center_density"][0]


def test_density_needs_a_radius():
    """Fails if a radius that holds nothing is accepted."""
    with pytest.raises(ValueError, match=r"radius.*above 0; received 0"):
        metrics.CenterDensity(radius=0)


def test_class_distances_longhand():
    """Fails if samples are averaged over classes, or pairs are counted twice."""
    features = np.array([[0.0, 0.0], [2.0, 0.0], [10.0, 0.0], [1.0, 8.0]])
    result = metrics.class_distances(features, [3, 3, 5, 9])
    between = [9.0, 8.0, np.hypot(9, 8)]
    assert result.intra == pytest.approx(0.5)
    assert result.inter == pytest.approx(np.mean(between))


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.zeros((2, 3)), [0], r"\(2, 3\) and \(1,\)"),
        (np.zeros(3), [0, 0, 0], r"features \(N, d\)"),
        (np.zeros((2, 3)), [1, 1], "two of them; received 1"),
        (np.zeros((3, 3)), [0, 1, np.nan], "integers; received NaN in 1 rows"),
    ],
)
def test_class_distances_refusals(features, labels, message):
    """Fails if undefined distances come back as a number."""
    with pytest.raises(ValueError, match=message):
        metrics.class_distances(features, labels)
