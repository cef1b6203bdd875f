"""The AUC of detection, counted pair by pair."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_mmc.evaluation import detection_auc

IDENTITY = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(1.0)])


def draw(rng, count, high):
    """Scores on a coarse grid, so that there are ties."""
    return rng.integers(0, high, size=(count, 3)).astype("float32") / 10


def by_pairs(clean, adversarial):
    """Fraction of pairs in which the clean image has the higher value, ties counted half."""
    wins = [float(c > a) + 0.5 * float(c == a) for c in clean for a in adversarial]
    return sum(wins) / len(wins)


def test_auc_is_the_share_of_ordered_pairs(rng):
    """Fails if the sides are swapped, ties are not halved, or another confidence is taken."""
    clean, adversarial = draw(rng, 23, 11), draw(rng, 31, 9)
    expected = by_pairs(clean.max(axis=1), adversarial.max(axis=1))
    assert 0.5 < expected < 1
    found = detection_auc(IDENTITY, clean, adversarial, batch_size=7)
    assert found.auc == pytest.approx(expected, abs=1e-12)
    assert (found.num_clean, found.num_adversarial, found.score) == (23, 31, "max_score")

    def margins(scores):
        return [sorted(row)[2] - sorted(row)[1] for row in scores]

    expected = by_pairs(margins(clean), margins(adversarial))
    found = detection_auc(IDENTITY, clean, adversarial, "margin")
    assert found.auc == pytest.approx(expected, abs=1e-12)


def test_ends_of_the_scale():
    """Fails if confident clean images do not give 1, or confident adversarial ones 0."""
    high, low = np.full((4, 3), 0.9, "float32"), np.full((4, 3), 0.2, "float32")
    assert detection_auc(IDENTITY, high, low).auc == 1
    assert detection_auc(IDENTITY, low, high).auc == 0
    assert detection_auc(IDENTITY, high, high).auc == 0.5


def test_text_names_the_figures(rng):
    """Fails if the AUC or a number of images is missing from the text."""
    found = detection_auc(IDENTITY, draw(rng, 5, 9), draw(rng, 6, 9))
    text = str(dataclasses.replace(found, auc=0.12345))
    assert text == "Detection by max_score: AUC 0.1235 (5 clean, 6 adversarial images)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": "softmax"}, r"margin.*max_score.*received 'softmax'"),
        ({"x_adv": np.zeros((0, 3), "float32")}, "received none"),
        ({"x_adv": np.full((2, 3), 1.5, "float32")}, r"box \[0, 1\]"),
    ],
)
def test_refusals(change, message):
    """Fails if arguments that do not fit give a figure."""
    good = {"model": IDENTITY, "x_clean": np.zeros((2, 3), "float32")}
    good["x_adv"] = good["x_clean"]
    with pytest.raises(ValueError, match=message):
        detection_auc(**{**good, **change})
