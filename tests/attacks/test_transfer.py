"""Transfer: who crafts, who judges, and what the cache keeps alive."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.attacks import PGD, Runner, Transfer
from keras_mmc.attacks.fgsm import FGSM

SEED = tf.constant([3, 4])


def network(seed, classes=3, *layers):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((2, 2, 1)),
            *layers,
            keras.layers.Flatten(),
            keras.layers.Dense(classes, kernel_initializer="random_normal"),
        ]
    )


def images(count=12):
    return np.random.default_rng(0).uniform(size=(count, 2, 2, 1)).astype("float32")


def test_crafts_on_the_substitute_all_the_way():
    """Fails if the attacked model's gradient is used, or the way ends at the first success."""
    model, substitute, x = network(0), network(1), images()
    y = model.predict(x, verbose=0).argmax(axis=1)
    attack = PGD(0.1, steps=5, random_start=False)
    found = Transfer(attack, substitute)(model, x, y)
    expected = attack.generate(lambda x: substitute(x), tf.constant(x), tf.constant(y), SEED)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (found != attack(model, x, y)).any()


def test_the_attacked_model_judges():
    """Fails if samples are dropped, or labels taken, by what the substitute says of them."""
    model, substitute, x = network(0), network(1), images()
    y = model.predict(x, verbose=0).argmax(axis=1)
    wrong = np.arange(12) % 2 == 0
    y[wrong] = (y[wrong] + 1) % 3
    found = Transfer(FGSM(0.1), substitute)(model, x, y)
    changed = (found != x).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, ~wrong)
    own = Transfer(FGSM(0.1), substitute)(model, x)
    predicted = model.predict(x, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(own, Transfer(FGSM(0.1), substitute)(model, x, predicted))


def test_targets_and_box_are_those_of_the_attack():
    """Fails if targets do not reach the attack, or another box is checked."""
    model, substitute, x = network(0), network(1), images() - 0.5
    y = model.predict(x, verbose=0).argmax(axis=1).astype("int32")
    targets = (y + 1) % 3
    attack = PGD(0.1, steps=3, targeted=True, random_start=False, box=(-0.5, 0.5))
    found = Transfer(attack, substitute)(model, x, y, targets=targets)
    expected = attack.generate(
        lambda x: substitute(x), tf.constant(x), tf.constant(y), SEED, tf.constant(targets)
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(ValueError, match="box"):
        Transfer(attack, substitute)(model, x + 0.5, y)


def test_generate_asks_the_attacked_model_nothing():
    """Fails if the training view depends on the attacked model's scores."""
    substitute, x, y = network(1), tf.constant(images()), tf.zeros(12, tf.int32)
    attack = FGSM(0.1)
    found = Transfer(attack, substitute).generate(lambda x: tf.zeros([len(x), 3]), x, y, SEED)
    np.testing.assert_array_equal(found, attack.generate(lambda x: substitute(x), x, y, SEED))


@keras.saving.register_keras_serializable("attack_tests")
def test_ragged_batches_and_equal_transfers_share_a_graph(counting):
    """Fails if ragged batches or an equal Transfer trace the model again in one runner."""
    model, substitute, x = network(0, 3, counting), network(1), images(23)
    runner = Runner(model, batch_size=7, seed=5)
    first = runner.attack(Transfer(PGD(0.1, steps=3), substitute), x[:10])
    traced = counting.traces
    attack = Transfer(PGD(0.1, steps=3), substitute)
    assert attack == Transfer(PGD(0.1, steps=3), substitute)
    assert hash(attack) == hash(Transfer(PGD(0.1, steps=3), substitute))
    np.testing.assert_array_equal(first, runner.attack(attack, x[:10]))
    runner.attack(attack, x)
    assert counting.traces == traced > 0


def test_another_substitute_has_another_graph():
    """Fails if one substitute is taken for another."""
    model, x = network(0), images()
    found = [Transfer(FGSM(0.1), network(seed))(model, x) for seed in (1, 2)]
    assert (found[0] != found[1]).any()


@pytest.mark.parametrize("itself", [False, True])
def test_models_can_be_collected(itself):
    """Fails if an attack keeps a substitute, or a model attacked by itself, alive."""
    model = network(0)
    substitute = model if itself else network(1)
    Transfer(FGSM(0.1), substitute)(model, images())
    watched = weakref.ref(substitute)
    if itself:
        del model
    del substitute
    keras.backend.clear_session()
    gc.collect()
    assert watched() is None


def test_a_substitute_is_taken_without_its_softmax():
    """Fails unless examples are those crafted on the scores of the substitute."""
    model, x, plain = network(0), images(), network(1)
    softmax = keras.Sequential([plain, keras.layers.Softmax()])
    found = [Transfer(FGSM(0.1), substitute)(model, x) for substitute in (plain, softmax)]
    np.testing.assert_array_equal(found[1], found[0])
    assert (found[0] != x).any()


def test_refuses_a_substitute_that_does_not_fit():
    """Fails if other classes or no model at all are taken for a substitute."""
    model, x = network(0), images()
    with pytest.raises(ValueError, match=r"classes of the attacked model, 3.*4 classes"):
        Transfer(FGSM(0.1), network(1, classes=4))(model, x)
    with pytest.raises(ValueError, match="`substitute` must be a Keras model"):
        Transfer(FGSM(0.1), lambda x: x)
    with pytest.raises(ValueError, match="`attack` must be an attack"):
        Transfer(network(1), FGSM(0.1))


def test_no_images_are_no_error():
    """Fails if an empty batch reaches the substitute."""
    assert Transfer(FGSM(0.1), network(1))(network(0), images()[:0]).shape == (0, 2, 2, 1)
