"""Rejection: thresholds, what they catch, and an attacker who knows them."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mmc
from keras_mmc.attacks import APGD
from keras_mmc.evaluation import (
    AuditReport,
    Detection,
    Rejection,
    Suite,
    calibrate_rejection,
    merge,
)
from keras_mmc.evaluation._detector_attacks import knowing
from keras_mmc.evaluation.rejection import statistics_of

CENTERS = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 3.0]])


def by_distance(box_scale=1.0):
    """Features are the two numbers themselves; classes are the nearest of three points."""
    head = keras_mmc.MaxMahalanobisCenters(centers=CENTERS)
    return keras.Sequential([keras.Input((2,)), head])


def by_probability():
    dense = keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((2,)), dense])
    dense.set_weights([CENTERS.T, np.zeros(3)])
    return model


def clouds(rng, count=900, spread=1.0):
    """Points around the centers, and their classes."""
    labels = np.arange(count) % 3
    points = CENTERS[labels] + spread * rng.normal(size=(count, 2))
    return points.astype("float32"), labels


BOX = (-12.0, 12.0)


def test_the_threshold_is_the_conformal_quantile(rng):
    """Fails if another rank is taken, or wrong predictions have a say in it."""
    x, y = clouds(rng)
    rejection = calibrate_rejection(by_distance(), x, y, 0.05, box=BOX)
    gaps = np.linalg.norm(x[:, None] - CENTERS, axis=2)
    right = gaps.argmin(axis=1) == y
    kept = np.sort(gaps.min(axis=1)[right])
    rank = int(np.ceil((right.sum() + 1) * 0.95))
    assert rejection.threshold == pytest.approx(kept[rank - 1], rel=1e-4)
    assert rejection.statistic == "distance" and rejection.num_images == 900
    (clean,) = rejection.detections
    assert clean.wrong == (~right).sum() and clean.images == 900
    accepted = gaps.min(axis=1) <= rejection.threshold
    assert clean.accepted == accepted.sum()
    count = (right & ~accepted).sum()
    assert clean.false_rejection == count / right.sum() > 0
    told = f"{count} of its {right.sum()} are."
    assert "At most 5.00 % of right answers" in str(rejection) and told in str(rejection)


@pytest.mark.parametrize("make", [by_distance, by_probability])
def test_the_rate_holds_on_fresh_images(make, rng):
    """Fails if 2 % of false rejections are promised and another rate comes."""
    model = make()
    rejection = calibrate_rejection(model, *clouds(rng, 6000), 0.02, box=BOX)
    x, y = clouds(rng, 6000)
    scores = model.predict(x, verbose=0)
    right = scores.argmax(axis=1) == y
    assert 1 - rejection.accepts(model, scores)[right].mean() == pytest.approx(0.02, abs=0.008)


def test_the_trade_off_longhand(rng):
    """Fails if coverage or accuracy of a threshold are others than a count gives."""
    x, y = clouds(rng)
    model = by_distance()
    rejection = calibrate_rejection(model, x, y, 0.05, box=BOX)
    scores = model.predict(x, verbose=0)
    statistics = statistics_of(model, scores, 1.0)
    right = scores.argmax(axis=1) == y
    assert len(rejection.trade_off) == 21 and rejection.trade_off[-1].coverage == 1
    for point in rejection.trade_off:
        kept = statistics <= point.threshold
        assert point.coverage == pytest.approx(kept.mean())
        assert point.accuracy == pytest.approx(right[kept].mean())


@pytest.mark.parametrize("make", [by_distance, by_probability])
def test_above_0_is_wrong_and_accepted(make, rng):
    """Fails if the objective of the attacker who knows says success where there is none."""
    model = make()
    rejection = calibrate_rejection(model, *clouds(rng), 0.1, box=BOX)
    x = rng.uniform(-6, 6, (2000, 2)).astype("float32")
    y = rng.integers(0, 3, 2000).astype("int32")
    scores = model(x)
    values = knowing(model, rejection)(scores, tf.constant(y)).numpy()
    wrong = scores.numpy().argmax(axis=1) != y
    succeeded = wrong & rejection.accepts(model, scores.numpy())
    clear = np.abs(values) > 1e-4
    assert clear.mean() > 0.98 and 0.02 < succeeded.mean() < 0.98
    np.testing.assert_array_equal((values > 0)[clear], succeeded[clear])


def test_an_attacker_who_knows_the_detector_is_not_caught(rng):
    """Fails if rejection looks better than it is: a blind attack flies far past the center."""
    model = by_distance()
    x, y = clouds(rng, 600, spread=0.5)
    foreign = rng.uniform(-12, -8, (50, 2)).astype("float32")
    fresh = clouds(rng, 300)
    settings = {"eps": 6.0, "norm": "l2", "box": BOX, "foreign": foreign, "num_attacked": 30}
    rejection = calibrate_rejection(model, x, y, 0.05, test=fresh, **settings)
    clean, test, blind, aware, both, strange = rejection.detections
    scores = model.predict(fresh[0], verbose=0)
    right, accepted = scores.argmax(axis=1) == fresh[1], rejection.accepts(model, scores)
    assert test.coverage == accepted.mean() and test.accuracy == right[accepted].mean()
    assert test.false_rejection == pytest.approx((~accepted)[right].mean())
    assert test.false_rejection > 0.2  # the clouds are wider
    assert both.accepted <= min(blind.accepted, aware.accepted) + both.wrong - both.rejected
    assert strange.false_rejection is None and strange.accuracy is None and strange.coverage == 0
    assert blind.images == aware.images == both.images == 30 and strange.images == 50
    assert blind.wrong == 30 and blind.rejected >= 25
    assert aware.wrong == 30 and aware.rejected <= 3
    assert both.correct_or_rejected <= min(aware.correct_or_rejected, blind.correct_or_rejected)
    assert strange.wrong == strange.rejected == 50
    assert clean.correct_or_rejected > 0.95


def test_it_is_a_table_a_picture_and_a_file(rng, tmp_path):
    """Fails if a rejection is another one after a journey through its file, or says too little."""
    rejection = calibrate_rejection(by_distance(), *clouds(rng), 0.05, eps=1.0, box=BOX)
    assert Rejection.load(rejection.save(tmp_path / "rejection.json")) == rejection
    rejection.plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    text = str(rejection)
    for words in ("apgd that knows the detector", "the stronger of the two", "within eps 1"):
        assert words in text
    assert rejection.to_csv().count("\n") == 5
    (tmp_path / "rejection.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no rejection that `Rejection\.save` wrote"):
        Rejection.load(tmp_path / "rejection.json")


def test_correct_or_rejected_longhand():
    """Fails unless it is one minus the accepted wrong answers, or its price is another."""
    found = Detection("x", 10, 6, 4, 5)  # 3 of 4 right answers and 2 wrong ones are accepted
    assert found.correct_or_rejected == 0.8 and found.coverage == 0.5
    assert found.false_rejection == 0.25 and found.accuracy == 0.6
    none = Detection("x", 10, 6, 6, 0)  # correct or rejected, all of them
    assert none.correct_or_rejected == 1 and none.coverage == 0 and none.accuracy is None


@pytest.mark.parametrize(
    ("count", "fraction", "message"),
    [
        (900, 0.0, r"fraction in \(0, 1\)"),
        (900, 1, r"fraction in \(0, 1\)"),
        (60, 0.01, "needs at least 99 images that are predicted right"),
    ],
)
def test_refuses(count, fraction, message, rng):
    """Fails if a rate is promised that so few images cannot hold."""
    with pytest.raises(ValueError, match=message):
        calibrate_rejection(by_distance(), *clouds(rng, count), fraction, box=BOX)


def test_it_belongs_to_one_model(rng):
    """Fails if a threshold is used for other weights."""
    rejection = calibrate_rejection(by_distance(), *clouds(rng), 0.05, box=BOX)
    rejection.check_fits(by_distance())
    with pytest.raises(ValueError, match="other weights"):
        dataclasses.replace(rejection).check_fits(by_probability())


def test_a_report_says_it_beside_the_robust_accuracy(rng, tmp_path):
    """Fails if an audit counts a caught attack as a success, or forgets the one that knows."""
    model, (x, y) = by_distance(), clouds(rng, 40, spread=0.5)
    rejection = calibrate_rejection(model, *clouds(rng, 600, spread=0.5), 0.05, box=BOX)
    suite = Suite("apgd", {"apgd": APGD(6.0, steps=20, norm="l2", box=BOX)})
    settings = {"norm": "l2", "box": BOX, "verbose": 0}
    report = keras_mmc.audit(model, x, y, 6.0, suite, rejection=rejection, **settings)
    clean, in_suite, aware, both = report.detections
    accepted = rejection.accepts(model, model.predict(x, verbose=0)).mean()
    assert clean.coverage == accepted > 0.8 and f"Coverage {100 * accepted:.2f} %" in str(report)
    scores = model.predict(report.x_adv, verbose=0)
    accepted_wrong = ~report.robust & rejection.accepts(model, scores)
    assert in_suite.correct_or_rejected == pytest.approx(1 - accepted_wrong.mean())
    assert in_suite.wrong == 40 - report.robust.sum() and in_suite.images == aware.images == 40
    assert aware.correct_or_rejected < 0.1 < in_suite.correct_or_rejected
    assert report.correct_or_rejected == both.correct_or_rejected <= aware.correct_or_rejected
    assert f"Correct or rejected {100 * both.correct_or_rejected:.2f} %" in str(report)
    saved = report.save(tmp_path / "report")
    assert AuditReport.load(saved) == report
    page = (saved / "report.html").read_text()
    assert "Correct or rejected" in page and "Coverage" in page
    plain = keras_mmc.audit(model, x[:20], y[:20], 6.0, suite, **settings)
    assert plain.correct_or_rejected is None and "rejected" not in str(plain)
    halves = [
        keras_mmc.audit(model, x[part], y[part], 6.0, suite, rejection=rejection, **settings)
        for part in (slice(20), slice(20, 40))
    ]
    merged = merge(halves)
    for found, first, second in zip(
        merged.detections, *(half.detections for half in halves), strict=True
    ):
        assert found.images == 40 and found.rejected == first.rejected + second.rejected
    with pytest.raises(ValueError, match="whether there is a rejection"):
        merge([halves[0], dataclasses.replace(halves[1], detections=())])
    with pytest.raises(ValueError, match="other weights"):
        keras_mmc.audit(by_probability(), x, y, 6.0, suite, rejection=rejection, **settings)
