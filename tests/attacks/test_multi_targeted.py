"""Multi-targeted PGD where one ascent is misled."""

import numpy as np
import tensorflow as tf

from keras_mmc.attacks import BIM, MultiTargeted

SEED = tf.constant([0, 1])


def misleading(x):
    """Class 1 is near and bounded below the label; class 2 is far and reachable to the left."""
    pixel = x[:, :1]
    label = tf.fill(tf.shape(pixel), 1.0)
    near = 0.5 + 0.4 * tf.tanh(20 * (pixel - 0.5))
    far = 1.6 - 2.0 * pixel
    return tf.concat([label, near, far], axis=1)


def test_finds_what_one_ascent_misses():
    """Fails if only the most likely wrong class is tried."""
    x, y = tf.constant([[0.55, 0.5], [0.6, 0.5]]), tf.constant([0, 0])
    common = {"steps": 20, "step_size": 0.05}
    single = BIM(0.4, **common).search(misleading, x, y, SEED)
    multi = MultiTargeted(0.4, random_start=False, **common).search(misleading, x, y, SEED)
    trained = MultiTargeted(0.4, random_start=False, **common).generate(misleading, x, y, SEED)
    np.testing.assert_array_equal(misleading(single).numpy().argmax(axis=1), [0, 0])
    np.testing.assert_array_equal(misleading(multi).numpy().argmax(axis=1), [2, 2])
    np.testing.assert_allclose(trained[:, 0], [0.15, 0.2], atol=1e-6)


def test_any_misclassification_counts():
    """Fails if the run towards one class ignores that another was crossed on the way."""

    def score_fn(x):  # class 1 slopes to the left, but wins around 0.6, on the way to class 2
        slope, bump = 0.3 - 0.4 * x, 1 - 10 * tf.abs(x - 0.6)
        return tf.concat([tf.fill(tf.shape(x), 0.5), tf.maximum(slope, bump), x - 0.6], axis=1)

    x, y = tf.constant([[0.45]]), tf.constant([0])
    attack = MultiTargeted(0.5, steps=9, step_size=0.06, random_start=False)
    found = attack.search(score_fn, x, y, SEED)
    assert score_fn(found).numpy().argmax() == 1


def test_samples_fooled_by_one_target_skip_the_others():
    """Fails if compaction between targets is lost."""
    sizes = []

    def score_fn(x):
        sizes.append(int(x.shape[0]))
        return tf.concat([tf.fill(tf.shape(x), 0.6), x, 0.1 * x], axis=1)

    x, y = tf.constant([[0.5], [0.1]]), tf.constant([0, 0])
    attack = MultiTargeted(0.2, steps=5, step_size=0.2, random_start=False)
    attack.search(score_fn, x, y, SEED)
    # The order; towards class 1 both until one is fooled, then the other, and a last look at it;
    # towards class 2 that one.
    assert sizes == [2] + 2 * [2] + 3 * [1] + [1] + 5 * [1] + [1]
