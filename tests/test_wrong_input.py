"""What is said of wrong input, by functions whose errors came from TensorFlow, NumPy or Python."""

import numpy as np
import pytest

from keras_mmc import adapters, attacks, datasets, evaluation, layers, losses, metrics, objectives
from tests.fuzz_entries import network

SCORES, LABELS = np.zeros((3, 4), "float32"), np.zeros(3, int)
IMAGES, BALL = np.zeros((3, 4, 4, 1), "float32"), attacks.Ball(0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: objectives.margin(0.0, LABELS), r"scores of shape \(N, K\); received shape \(\)"),
        (lambda: objectives.margin(SCORES, "a"), "Labels and targets must be real numbers"),
        (lambda: objectives.margin(SCORES[:, :1], LABELS), r"2 classes or more.*\(3, 1\)"),
        (lambda: objectives.kl(SCORES, SCORES[:, :3]), r"Clean scores of shape \(3, 3\) do not"),
        (lambda: objectives.get([1]), r"Unknown objective \[1\]. Choose one of"),
        (lambda: losses.mmc(LABELS, object()), "Scores must be a tensor or array.*<object"),
        (lambda: losses.mm_lda(LABELS, SCORES, 0.0), "mm_lda: `sigma` must be.*>= 1e-06.*0.0"),
        (lambda: losses.guided_complement_entropy([0], [[1.0, 2.0]]), "needs 3 classes or more"),
        (lambda: metrics.class_distances({}, LABELS), "`features` must be an array.*received {}"),
        (
            lambda: metrics.class_distances([[np.inf], [0.0]], [0, 1]),
            "Features must be finite",
        ),
        (lambda: layers.fit_threshold(3, IMAGES, LABELS), "needs a Keras model; received 3"),
        (lambda: layers.LearnedCenters(3)(SCORES * 1j), "Features must be real numbers.*complex"),
        (lambda: layers.DenseWithCenters(2**31)(SCORES), "2147483648 x 4 numbers, 64 GiB"),
        (lambda: layers.best_threshold(None, LABELS), "`projections` must be an array.*None"),
        (lambda: datasets.info(["digits"]), r"Unknown data set \['digits'\]; known are"),
        (lambda: datasets.check_dataset(IMAGES, box=None), "`box` must be a tuple.*received None"),
        (lambda: datasets.batches(IMAGES, LABELS, 3, seed=-1), "`seed` must be an integer >= 0"),
        (lambda: datasets.balanced_batches(0.5, LABELS, 2), "`x` must be an array of samples"),
        (lambda: datasets.crop_and_flip(IMAGES[0], [1, 2]), r"received shape \(4, 4, 1\)"),
        (
            lambda: datasets.working_set(network(), IMAGES[:, :2], LABELS, 0.5),
            r"takes, shape \(None, 4, 4, 1\).*received shape \(3, 2, 4, 1\)",
        ),
        (lambda: datasets.working_set(3, IMAGES, LABELS, 0.5), "`model` must be a Keras model"),
        (lambda: attacks.misclassified(SCORES, LABELS[:2]), "2 labels for 3 rows"),
        (lambda: attacks.named(3), r"A list of attacks is needed.*received 3"),
        (
            lambda: evaluation.audit(network(), IMAGES, LABELS, 0.1, box=None),
            r"audit: `box` must be a tuple \(low, high\).*received None",
        ),
        (
            lambda: evaluation.robustness_curve(network(), IMAGES, LABELS, "near"),
            "`eps_list` must be an array of real numbers; received 'near'",
        ),
        (lambda: evaluation.wilson_interval(1.5, 3), "received 1.5 of 3"),
        (lambda: evaluation.fit_temperature([1.0], [0]), r"with 2 axes; received shape \(1,\)"),
        (lambda: evaluation.merge(3), "two audits or more.*received 3"),
        (lambda: evaluation.make_suite("quick", 0.1, (4, 4, 1), 3), "`within` must be a Ball"),
        (lambda: evaluation.make_suite("quick", BALL, 4, 3), r"a shape such as \(H, W, C\)"),
        (lambda: evaluation.custom_suite([], "linf"), "`within` must be a Ball; received 'linf'"),
        (lambda: adapters.to_scores(network(), 0.5), "must be a batch of images"),
    ],
)
def test_what_came_and_what_was_expected(call, message):
    """Fails if wrong input is answered from inside, or the answer does not say what came."""
    with pytest.raises(ValueError, match=message):
        call()
