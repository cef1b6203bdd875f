"""What an attack finds on an image has the same bits in batches of any size."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc import attacks
from keras_mmc._tracing import ROWS
from keras_mmc.adapters import BlackBox

X = np.random.default_rng(0).uniform(size=(75, 6, 6, 1)).astype("float32")
ATTACKS = {
    "pgd": attacks.PGD(0.1, steps=4, restarts=2),
    "pgd, l2": attacks.PGD(0.5, steps=4, norm="l2", objective="cross_entropy"),
    "apgd": attacks.APGD(0.08, steps=6, objective="targeted_margin", num_targets=2),
    "fab": attacks.FAB(0.08, steps=5, num_targets=2),
    "fab, any size": attacks.FAB(None, steps=4, norm="l2", num_targets=None, restarts=2),
    "square": attacks.Square(0.1, queries=12),
    "rays": attacks.RayS(0.2, queries=25),
    "spsa": attacks.SPSA(0.1, steps=3, samples=4),
    "carlini_wagner": attacks.CarliniWagner(steps=12, binary_search_steps=2),
    "deepfool": attacks.DeepFool(steps=3),
    "auto_attack": attacks.AutoAttack(
        0.1, version=(attacks.Square(0.1, queries=4), attacks.PGD(0.1, steps=3))
    ),
}


@pytest.fixture(scope="module", params=["dense", "conv"])
def model(request):
    """A dense or a convolutional network whose classes lie close together."""
    keras.utils.set_random_seed(0)
    first = {
        "dense": [keras.layers.Flatten(), keras.layers.Dense(24, activation="tanh")],
        "conv": [keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.Flatten()],
    }
    return keras.Sequential([keras.Input((6, 6, 1)), *first[request.param], keras.layers.Dense(5)])


@pytest.mark.parametrize("name", ATTACKS)
def test_batch_sizes_change_no_bit(name, model):
    """Fails if a last bit depends on how many images share a batch, at first or once some left."""
    runner, found = attacks.Runner(model, seed=3), {}
    labels = runner.scores(X).argmax(axis=1).astype("int32")
    for size in (7, 32, 128):
        runner.batch_size = size
        broken = runner.run(ATTACKS[name], X, labels, np.arange(len(X)))
        found[size] = broken.rows.tobytes(), broken.x_adv.tobytes()
        assert len(broken.rows) > 0
    assert found[7] == found[32] == found[128]


def test_scores_have_the_same_bits(model):
    """Fails if a forward pass of one image has other bits than one of many."""
    whole = attacks.Runner(model).scores(X)
    for size in (1, 7, 33):
        np.testing.assert_array_equal(attacks.Runner(model, size).scores(X), whole)


def test_a_model_gets_whole_batches():
    """Fails if the model sees a number of images that is no multiple of `ROWS`."""
    sizes = []

    def seen(x):
        tf.numpy_function(lambda count: sizes.append(int(count)), [tf.shape(x)[0]], [])
        return x

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Lambda(seen), keras.layers.Flatten(), keras.layers.Dense(3)]
    runner = attacks.Runner(keras.Sequential([keras.Input((6, 6, 1)), *layers]), batch_size=20)
    labels = runner.scores(X).argmax(axis=1).astype("int32")
    sizes.clear()
    broken = runner.run(ATTACKS["pgd"], X, labels, np.arange(len(X)))
    assert 0 < len(broken.rows) < len(X)
    assert set(sizes) <= {ROWS, 2 * ROWS} and len(set(sizes)) == 2


def test_a_black_box_is_asked_about_no_image_twice():
    """Fails if batches of a black box are filled up, whose every query is counted."""
    sizes = []

    def answer(x):
        sizes.append(len(x))
        return np.stack([x.mean((1, 2, 3)), 0.2 + 0 * x.mean((1, 2, 3))], axis=1)

    runner = attacks.Runner(BlackBox(answer), batch_size=7)
    labels = runner.scores(X[:10]).argmax(axis=1).astype("int32")
    assert sizes == [7, 3]
    broken = runner.run(attacks.Square(0.01, queries=3), X[:10], labels, np.arange(10))
    assert not len(broken.rows)
    assert sizes[2:] == [7] * 5 + [3] * 5  # the image as it is, three queries, the check
