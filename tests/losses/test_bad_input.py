"""What a loss refuses, and what the message says."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc import losses

SCORES = np.zeros((3, 4), "float32")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 4], r"in \[0, 4\).*from 0 to 4"),
        ([-1, 1, 2], r"in \[0, 4\).*from -1 to 2"),
        ([0.5, 1, 2], "whole numbers"),
        ([np.nan, 1, 2], "whole numbers"),
        (np.zeros((3, 7)), r"shape \(3, 7\) do not fit scores of 4 classes"),
        (np.zeros((3, 4, 1)), "do not fit"),
        (np.zeros((3, 4)), "must sum to 1"),
        (np.array(["a", "b", "c"]), "dtype"),
    ],
)
def test_labels_that_do_not_fit(labels, message):
    """Fails if wrong labels train silently or the message does not name what came."""
    with pytest.raises(ValueError, match=message):
        losses.MMCLoss()(labels, SCORES)


def test_unknown_label_in_a_graph_gives_nan():
    """Fails if a label outside the classes is silently ignored where no error can be raised."""
    loss = tf.function(losses.MMCLoss(reduction=None))
    values = loss(tf.constant([0, 9, -1]), tf.constant(SCORES)).numpy()
    np.testing.assert_array_equal(np.isnan(values), [False, True, True])


def test_scores_of_wrong_rank():
    """Fails if an image-shaped output is reduced to a number without a word."""
    with pytest.raises(ValueError, match=r"scores of shape \(N, K\)"):
        losses.MMCLoss()([0], np.zeros((1, 2, 3)))


@pytest.mark.parametrize("loss", [losses.GuidedComplementEntropy(), losses.ComplementEntropy()])
def test_complement_needs_three_classes(loss):
    """Fails if two classes give 0/0 instead of an error."""
    with pytest.raises(ValueError, match="at least 3 classes"):
        loss([0, 1], np.zeros((2, 2)))


def test_centers_narrower_than_features():
    """Fails if features of another width reach the matrix product."""
    loss = losses.MMCLoss(centers=np.eye(4, 6))
    with pytest.raises(ValueError, match=r"width 6.*\(3, 4\).*Dense"):
        loss([0, 1, 2], SCORES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.MMLDALoss(sigma=0.0), "sigma.*>= 1e-06 and <= 1e.06.*received 0.0"),
        (lambda: losses.MMLDALoss(label_smoothing=1.0), "label_smoothing"),
        (lambda: losses.MMLDALoss(priors=[0.5, 0.6]), "priors"),
        (lambda: losses.ShellMMCLoss(radius=-1.0), "radius"),
        (lambda: losses.ElasticMMCLoss(radius=2.0), r"now ShellMMCLoss\(radius=2.0\)"),
        (lambda: losses.CenterLoss(weight=float("nan")), "weight"),
        (lambda: losses.LGMLoss(margin=-0.1), "margin"),
        (lambda: losses.GuidedComplementEntropy(alpha=0.0), "alpha"),
        (lambda: losses.GuidedComplementEntropy(normalizer="log"), "normalizer.*classes-1"),
        (lambda: losses.GuidedComplementEntropy(guard="off"), "guard.*released"),
        (lambda: losses.MMCLoss(centers=np.zeros(3)), "rank|shape|\\(K, d\\)"),
    ],
)
def test_parameters_out_of_range(make, message):
    """Fails if a parameter out of its range is accepted."""
    with pytest.raises(ValueError, match=message):
        make()


def test_priors_that_do_not_fit_the_classes():
    """Fails if priors of another length broadcast."""
    with pytest.raises(ValueError, match=r"2 priors.*4 classes"):
        losses.MMLDALoss(priors=[0.5, 0.5])([0, 1, 2], SCORES)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_more_than_256_classes_in_16_bits(dtype):
    """Fails if labels pass through bfloat16, where 257 becomes 256."""
    scores = np.zeros((2, 1000), "float32")
    scores[0, 257], scores[1, 999] = -3.0, -5.0
    values = losses.MMCLoss(dtype=dtype, reduction=None)(np.array([257, 999]), scores)
    np.testing.assert_array_equal(values, [3.0, 5.0])
