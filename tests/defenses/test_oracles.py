"""Perturbed points and weights after one SGD step, against a longhand NumPy computation.

The loss of every defence is written out in NumPy and differentiated by central differences; the
perturbed points of a linear model are known in closed form.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc import AdversarialModel, attacks, defenses
from keras_mmc.projections import normal_noise

from .conftest import BIAS, IMAGES, LABELS, RATE, WEIGHTS, linear_model, sgd_step, softmax

EPS = 0.15
ROWS = np.arange(len(LABELS))


def signed_step(x, gradient, eps=EPS):
    return np.clip(x + eps * np.sign(gradient), 0, 1)


def cross_entropy_points(eps=EPS):
    """FGSM on the cross-entropy: the gradient of sample i is `W (p - onehot)`."""
    p = softmax(IMAGES @ WEIGHTS + BIAS)
    p[ROWS, LABELS] -= 1
    return signed_step(IMAGES, p @ WEIGHTS.T, eps)


def margin_points():
    """FGSM on the margin: the gradient is the difference of the best wrong and true columns."""
    scores = IMAGES @ WEIGHTS + BIAS
    scores[ROWS, LABELS] = -np.inf
    return signed_step(IMAGES, (WEIGHTS[:, scores.argmax(axis=1)] - WEIGHTS[:, LABELS]).T)


def cross_entropy(weights, bias, x):
    return -np.log(softmax(x @ weights + bias)[ROWS, LABELS])


def kl(p, q):
    return (p * np.log(p / q)).sum(axis=1)


def madry(weights, bias):
    return cross_entropy(weights, bias, cross_entropy_points()).mean()


def mixture(weights, bias):
    clean = cross_entropy(weights, bias, IMAGES)
    return (0.25 * clean + 0.75 * cross_entropy(weights, bias, margin_points())).mean()


def fast(weights, bias):
    return cross_entropy(weights, bias, margin_points()).mean()


def trades(weights, bias, sample_weights=1.0, temperature=1.0):
    p = softmax((IMAGES @ weights + bias) / temperature)
    q = softmax((margin_points() @ weights + bias) / temperature)
    divergence = temperature * kl(p, q)
    return (cross_entropy(weights, bias, IMAGES) + 2.0 * sample_weights * divergence).mean()


def mart_terms(weights, bias):
    p = softmax(IMAGES @ weights + bias)
    q = softmax(margin_points() @ weights + bias)
    wrong = q.copy()
    wrong[ROWS, LABELS] = 0
    boosted = -np.log(q[ROWS, LABELS]) - np.log(1.0001 - wrong.max(axis=1))
    return boosted, 3.0 * kl(p, q) * (1 - p[ROWS, LABELS])


def mart(weights, bias):
    return sum(mart_terms(weights, bias)).mean()


def mail_weights(slope, bias):
    q = softmax(margin_points() @ WEIGHTS + BIAS)
    wrong = q.copy()
    wrong[ROWS, LABELS] = 0
    margin = q[ROWS, LABELS] - wrong.max(axis=1)
    return 1 / (1 + np.exp(slope * (margin - bias)))


def mail_at(weights, bias):
    sample_weights = 3 * mail_weights(10.0, -0.5)
    return (sample_weights * cross_entropy(weights, bias, margin_points())).mean()


def mail_trades(weights, bias):
    sample_weights = mail_weights(2.0, 0.0)
    return trades(weights, bias, sample_weights / sample_weights.mean())


def mail_mart(weights, bias):
    boosted, unsure = mart_terms(weights, bias)
    return (3 * mail_weights(10.0, -0.5) * boosted + unsure).mean()


def complement(weights, bias):
    p = softmax(IMAGES @ weights + bias)
    p[ROWS, LABELS] = 0
    q = p / p.sum(axis=1, keepdims=True)
    return 0.7 / 2 * (q * np.log(np.where(q > 0, q, 1))).sum(axis=1)


def complement_in_turn():
    """Weights after a step on the loss, and one on the complement entropy from there."""
    middle = sgd_step(lambda weights, bias: cross_entropy(weights, bias, IMAGES).mean())
    return sgd_step(lambda weights, bias: complement(weights, bias).mean(), *middle)


def complement_at_once(weights, bias):
    return (cross_entropy(weights, bias, IMAGES) + complement(weights, bias)).mean()


FGSM = attacks.FGSM(EPS)
AT = defenses.AdversarialTraining(FGSM)
TRADES = defenses.TRADES(FGSM, beta=2.0, objective="margin")
MART = defenses.MART(FGSM, beta=3.0)
ORACLES = {
    "madry": (defenses.AdversarialTraining(FGSM, objective="training_loss"), madry),
    "mixture": (defenses.AdversarialTraining(FGSM, 0.25), mixture),
    "trades": (TRADES, trades),
    "trades at T=4": (
        defenses.TRADES(FGSM, beta=2.0, temperature=4.0, objective="margin"),
        lambda weights, bias: trades(weights, bias, temperature=4.0),
    ),
    "mart": (MART, mart),
    "mail-at": (defenses.MAIL(AT), mail_at),
    "mail-trades": (
        defenses.MAIL(TRADES, slope=2.0, bias=0.0, normalization="batch"),
        mail_trades,
    ),
    "mail-mart": (defenses.MAIL(MART), mail_mart),
    "complement": (defenses.ComplementTraining(0.7, single_step=True), complement_at_once),
    "burning in": (defenses.MAIL(AT, burn_in=1), fast),
    "not started": (
        defenses.AdversarialTraining(FGSM, start_epoch=1),
        lambda weights, bias: cross_entropy(weights, bias, IMAGES).mean(),
    ),
    "scheduled eps": (
        defenses.AdversarialTraining(
            FGSM,
            objective="training_loss",
            eps_schedule=keras.optimizers.schedules.PolynomialDecay(0.05, 3, EPS),
        ),
        lambda weights, bias: cross_entropy(weights, bias, cross_entropy_points(0.05)).mean(),
    ),
}
MODES = {"graph": {}, "xla": {"jit_compile": True}}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ORACLES)
def test_weights_after_one_step(name, mode, trained_step):
    """Fails if a term of a loss, its gradient or its point is not that of the paper."""
    defense, loss = ORACLES[name]
    weights, bias = trained_step(defense, **MODES[mode])
    expected_weights, expected_bias = sgd_step(loss)
    np.testing.assert_allclose(weights, expected_weights, atol=1e-5)
    np.testing.assert_allclose(bias, expected_bias, atol=1e-5)
    assert np.abs(weights - WEIGHTS).max() > 1e-3


@pytest.mark.parametrize("mode", MODES)
def test_complement_steps_alternate(mode, trained_step):
    """Fails unless the second step starts at the weights after the first, with its own gradient."""
    weights, bias = trained_step(defenses.ComplementTraining(0.7), **MODES[mode])
    expected = complement_in_turn()
    np.testing.assert_allclose(weights, expected[0], atol=1e-5)
    np.testing.assert_allclose(bias, expected[1], atol=1e-5)


def test_the_second_optimizer_follows_the_rate():
    """Fails if a callback that lowers the learning rate leaves that of the second step."""
    robust = AdversarialModel(linear_model(), defenses.ComplementTraining(0.7))
    robust.compile(keras.optimizers.SGD(RATE), keras.losses.SparseCategoricalCrossentropy(True))
    stop = keras.callbacks.LearningRateScheduler(lambda epoch: 0.0 if epoch else RATE)
    weights = []
    remember = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append(robust.model.get_weights()[0])
    )
    robust.fit(IMAGES, LABELS, batch_size=4, epochs=2, verbose=0, callbacks=[stop, remember])
    assert np.abs(weights[0] - WEIGHTS).max() > 1e-3
    np.testing.assert_array_equal(weights[1], weights[0])


@pytest.mark.parametrize("mode", MODES)
def test_free_replays(mode, trained_step):
    """Fails unless every replay moves weights and points along the gradients of one pass."""
    defense = defenses.FreeAdversarialTraining(EPS, replays=3)
    weights, bias = trained_step(defense, **MODES[mode])
    seed = tf.constant([1, 0])
    points = defense.attack.start(tf.constant(IMAGES, tf.float32), seed).numpy().astype("float64")
    expected = WEIGHTS, BIAS
    for _ in range(3):
        before, here = expected, points
        expected = sgd_step(lambda w, b, here=here: cross_entropy(w, b, here).mean(), *before)
        p = softmax(here @ before[0] + before[1])
        p[ROWS, LABELS] -= 1
        moved = here + EPS * np.sign(p @ before[0].T)
        points = np.clip(np.clip(moved, IMAGES - EPS, IMAGES + EPS), 0, 1)
    np.testing.assert_allclose(weights, expected[0], atol=1e-5)
    np.testing.assert_allclose(bias, expected[1], atol=1e-5)


def test_trades_attacks_the_divergence():
    """Fails unless the inner loop starts at small noise and climbs KL(clean || attacked)."""
    model, x, seed = linear_model(), tf.constant(IMAGES, tf.float32), tf.constant([1, 2])
    defense = defenses.TRADES(attacks.PGD(EPS, steps=2, step_size=0.1))
    learner = defenses.Learner(model, model, None, tf.constant(0), 1.0)
    points = defense.perturb(learner, x, tf.constant(LABELS, tf.int32), seed)
    expected = np.clip(IMAGES + 0.001 * normal_noise([4, 4], seed, tf.float32).numpy(), 0, 1)
    clean = softmax(IMAGES @ WEIGHTS + BIAS)
    for _ in range(2):
        gradient = (softmax(expected @ WEIGHTS + BIAS) - clean) @ WEIGHTS.T
        moved = np.clip(expected + 0.1 * np.sign(gradient), IMAGES - EPS, IMAGES + EPS)
        expected = np.clip(moved, 0, 1)
    np.testing.assert_allclose(points, expected, atol=1e-5)


def test_binary_trades():
    """Fails if the hinge, its product of decisions or its attack differ from the formula."""
    x, y, eps = IMAGES, np.array([0, 1, 1, 0]), 0.15
    weights, bias = WEIGHTS[:, :2], BIAS[:2]
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.set_weights([weights, bias])
    from keras_mmc import AdversarialModel

    robust = AdversarialModel(model, defenses.BinaryTRADES(attacks.FGSM(eps), beta=0.5))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    robust.compile(keras.optimizers.SGD(RATE), loss)
    robust.fit(x, y, batch_size=4, shuffle=False, verbose=0)

    def decision(points, weights, bias):
        scores = points @ weights + bias
        return scores[:, 1] - scores[:, 0]

    direction = np.outer(-np.sign(decision(x, weights, bias)), weights[:, 1] - weights[:, 0])
    points = np.clip(x + eps * np.sign(direction), 0, 1)

    def total(weights, bias):
        clean = -np.log(softmax(x @ weights + bias)[np.arange(4), y])
        product = decision(x, weights, bias) * decision(points, weights, bias)
        return (clean + np.maximum(0, 1 - 0.5 * product)).mean()

    expected = sgd_step(total, weights, bias)
    np.testing.assert_allclose(model.get_weights()[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(model.get_weights()[1], expected[1], atol=1e-5)


def test_two_replicas(run_python):
    """Fails unless two replicas of half a batch make the step of one with the whole batch."""
    printed = run_python(
        "import tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "two = [tf.config.LogicalDeviceConfiguration()] * 2\n"
        "tf.config.set_logical_device_configuration(cpu, two)\n"
        "import keras, keras_mmc\n"
        "from tests.defenses.conftest import *\n"
        "from tests.defenses.test_oracles import *\n"
        "strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])\n"
        "names = ('madry', 'trades', 'mart', 'mail-at', 'mail-mart', 'complement')\n"
        "runs = {name: (ORACLES[name][0], sgd_step(ORACLES[name][1])) for name in names}\n"
        "runs['in turn'] = defenses.ComplementTraining(0.7), complement_in_turn()\n"
        "for name, (defense, expected) in runs.items():\n"
        "    with strategy.scope():\n"
        "        robust = keras_mmc.AdversarialModel(linear_model(), defense)\n"
        "        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)\n"
        "        robust.compile(keras.optimizers.SGD(RATE), loss, metrics=['accuracy'])\n"
        "    robust.fit(IMAGES, LABELS, batch_size=4, shuffle=False, verbose=0)\n"
        "    found = robust.model.get_weights()\n"
        "    print(name, max(abs(f - e).max() for f, e in zip(found, expected)))\n"
    )
    differences = dict(line.rsplit(" ", 1) for line in printed.splitlines()[-7:])
    assert {"madry", "trades", "mart", "mail-at", "mail-mart", "complement", "in turn"} == set(
        differences
    )
    assert max(map(float, differences.values())) < 1e-5
