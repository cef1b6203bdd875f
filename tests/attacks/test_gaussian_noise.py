"""Gaussian noise: its size, its clipping and its seed."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.attacks.gaussian_noise import GaussianNoise

SEED = tf.constant([3, 4])


def no_scores(x):
    raise AssertionError("The model was asked.")


def test_mean_and_deviation():
    """Fails if the noise has a mean, another deviation, or tails that are not normal."""
    x = tf.fill([4, 50, 50, 2], 0.25)
    attack = GaussianNoise(0.05, box=(-9.0, 9.0))
    noise = attack.generate(no_scores, x, range(4), SEED).numpy() - 0.25
    count = noise.size
    assert abs(noise.mean()) < 5 * 0.05 / np.sqrt(count)
    assert abs(noise.std() - 0.05) < 5 * 0.05 / np.sqrt(2 * count)
    # 4.55 % of a normal distribution lies beyond two deviations.
    assert abs((abs(noise) > 0.1).mean() - 0.0455) < 5 * np.sqrt(0.0455 / count)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 5 / np.sqrt(5000)


@pytest.mark.parametrize("box", [(0.0, 1.0), (-1.0, 0.5)])
def test_clips_to_the_box(box):
    """Fails if images leave the box."""
    x = tf.fill([2, 8, 8, 1], 0.4)
    noisy = GaussianNoise(3.0, box=box).search(no_scores, x, range(2), SEED).numpy()
    assert noisy.min() == box[0] and noisy.max() == box[1]


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), "0.1"])
def test_refuses_at_the_door(sigma):
    """Fails if a sigma that makes no sense is accepted."""
    with pytest.raises(ValueError, match=r"sigma.*>= 0"):
        GaussianNoise(sigma)
