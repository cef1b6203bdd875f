"""NaN goes in, NaN comes out; one label a sample: at every loss, metric, head and objective."""

import keras
import numpy as np
import pytest

from keras_mmc import layers, losses, metrics, objectives

N, K, BAD = 4, 5, 1
SCORES = (-0.1 - 3 * np.abs(np.random.default_rng(0).normal(size=(N, K)))).astype("float32")
LABELS = np.array([0, 3, 1, 4])
OTHERS = np.arange(N) != BAD


def public_classes(module, base):
    """The classes of a module that derive from a base."""
    values = [getattr(module, name) for name in module.__all__]
    return [v for v in values if isinstance(v, type) and issubclass(v, base) and v is not base]


LOSSES = [
    *(make(reduction=None) for make in public_classes(losses, losses.ScoreLoss)),
    losses.MMCLoss(centers=np.eye(K), reduction=None, name="mmc_of_features"),
    losses.MMLDALoss(priors=[0.2] * K, label_smoothing=0.1, reduction=None, name="smoothed"),
    losses.GuidedComplementEntropy(guard="released", reduction=None, name="gce_released"),
]
METRICS = [metrics.CenterDistance(), metrics.NearestCenterMargin(), metrics.CenterDensity(2.0)]
PULLING = layers.DenseWithCenters(K, name="dense_with_centers")
PULLING.build((None, K))
HEADS = [
    layers.MaxMahalanobisCenters(K, name="fixed_centers"),
    layers.LearnedCenters(K, name="learned_centers"),
    layers.ElasticCenters(K, name="elastic_centers"),
    PULLING,
    layers.QuadraticHead(K, name="quadratic"),
    layers.DifferentialHead(name="projection"),
]
UNTARGETED = ("margin", "distance", "nearest_wrong", "cross_entropy", "log_odds", "dlr")


def one_by_one(metric):
    """The values of a metric for every sample, seen alone."""

    def values(labels, scores):
        if len(labels) != len(scores):
            return metric.update_state(labels, scores)
        results = []
        for row in range(len(scores)):
            metric.reset_state()
            metric.update_state(labels[row : row + 1], scores[row : row + 1])
            results.append(float(metric.result()))
        return np.array(results)

    return values


def objective(function, *labels):
    """A function of scores and labels, or scores, labels and targets, with the scores last."""
    return lambda y, scores: function(keras.ops.convert_to_tensor(scores), *labels, y)


TABLE = {
    **{loss.name: loss for loss in LOSSES if not loss.needs_features},
    "center": lambda labels, scores: losses.center(labels, scores, -scores, 0.5),
    **{f"{loss.name} of an attack": objective(objectives.training_loss(loss)) for loss in LOSSES},
    **{metric.name: one_by_one(metric) for metric in METRICS},
    **{name: objective(objectives.get(name)) for name in UNTARGETED},
    **{name: objective(objectives.get(name), LABELS[::-1]) for name in sorted(objectives.TARGETED)},
}
WITHOUT_LABELS = {
    **{head.name: lambda y, features, head=head: head(features) for head in HEADS},
    "pull": lambda y, features: PULLING.pull(features),
    "kl": lambda y, scores: objectives.kl(scores, SCORES),
    "kl of clean scores": lambda y, scores: objectives.kl(SCORES, scores),
}


@pytest.mark.parametrize("columns", [*range(K), slice(None)], ids=str)
@pytest.mark.parametrize("name", [*TABLE, *WITHOUT_LABELS])
def test_a_nan_score_is_a_nan_value(name, columns):
    """Fails if NaN is masked, compared or clipped into a number, or spoils the other rows."""
    function = {**TABLE, **WITHOUT_LABELS}[name]
    spoiled = SCORES.copy()
    spoiled[BAD, columns] = np.nan
    clean, values = (keras.ops.convert_to_numpy(function(LABELS, s)) for s in (SCORES, spoiled))
    assert np.isfinite(clean).all() and np.isnan(values[BAD]).all()
    if name.startswith(losses.DifferentialLoss().name):
        assert np.isnan(values).all()  # every sample is compared with the bad one
    else:
        np.testing.assert_array_equal(values[OTHERS], clean[OTHERS])


@pytest.mark.parametrize("name", [metric.name for metric in METRICS])
@pytest.mark.parametrize("one_hot", [False, True])
def test_a_nan_label_is_a_nan_metric(name, one_hot):
    """Fails if a label that is no class reads as a perfect sample."""
    labels = (np.eye(K)[LABELS] if one_hot else LABELS).astype("float32")
    labels[BAD] = np.nan
    np.testing.assert_array_equal(np.isnan(TABLE[name](labels, SCORES)), ~OTHERS)


@pytest.mark.parametrize("form", ["(N,)", "(N, 1)", "(N, K)"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", TABLE)
def test_one_label_per_row(name, count, form):
    """Fails if one label is broadcast over all samples, or the message does not count."""
    labels = {"(N,)": LABELS, "(N, 1)": LABELS[:, None], "(N, K)": np.eye(K)[LABELS]}[form]
    with pytest.raises(ValueError, match=f"Received {count} .*for 4 rows"):
        TABLE[name](labels[:count], SCORES)


@pytest.mark.parametrize("count", [1, 3])
def test_one_clean_row_per_row(count):
    """Fails if the divergence of a whole batch is taken from a single clean sample."""
    with pytest.raises(ValueError, match=f"Received {count} clean rows for 4 rows"):
        objectives.kl(SCORES, SCORES[:count])


def test_the_table_is_complete():
    """Fails if a new metric, head or objective is not in it."""
    assert {type(metric) for metric in METRICS} == {*public_classes(metrics, keras.metrics.Metric)}
    assert {type(head) for head in HEADS} == {*public_classes(layers, layers.ScoreHead)}
    with pytest.raises(ValueError, match="Choose one of") as error:
        objectives.get("")
    assert all(repr(name) not in str(error.value) or name in TABLE for name in objectives.__dict__)


def test_on_the_other_backends(run_python, other_backend):
    """Fails if another backend hides a NaN, or broadcasts a label."""
    arguments = [__file__, "-k", "not other_backends", "-p", "no:cacheprovider"]
    code = f"import pytest; raise SystemExit(pytest.main({arguments}))"
    run_python(code, backend=other_backend)
