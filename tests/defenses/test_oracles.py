"""Perturbed points and weights after one SGD step, against a longhand NumPy computation.

The loss of every defense is written out in NumPy and differentiated by central differences; the
perturbed points of a linear model are known in closed form.
"""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

from keras_mmc import AdversarialModel, MaxMahalanobisCenters, attacks, defenses
from keras_mmc.losses import DifferentialLoss

from .conftest import BIAS, IMAGES, LABELS, RATE, WEIGHTS, linear_model, sgd_step, softmax

EPS = 0.15
SEED = [1, 2]
ROWS = np.arange(len(LABELS))


def signed_step(x, gradient, eps=EPS, box=(0, 1)):
    return np.clip(x + eps * np.sign(gradient), *box)


def cross_entropy_gradient(x):
    """Gradient of the cross-entropy at each image: `W (p - onehot)`."""
    p = softmax(x @ WEIGHTS + BIAS)
    p[ROWS, LABELS] -= 1
    return p @ WEIGHTS.T


def cross_entropy_points(eps=EPS):
    """FGSM on the cross-entropy."""
    return signed_step(IMAGES, cross_entropy_gradient(IMAGES), eps)


def margin_points(box=(0, 1)):
    """FGSM on the margin: the gradient is the difference of the best wrong and true columns."""
    scores = IMAGES @ WEIGHTS + BIAS
    scores[ROWS, LABELS] = -np.inf
    gradient = (WEIGHTS[:, scores.argmax(axis=1)] - WEIGHTS[:, LABELS]).T
    return signed_step(IMAGES, gradient, box=box)


def fast_points():
    """One step of 1.25 eps from the random start of the first batch, cut to ball and box."""
    start = start_of(attacks.PGD(EPS), [0, 1])
    moved = start + 1.25 * EPS * np.sign(cross_entropy_gradient(start))
    return np.clip(np.clip(moved, IMAGES - EPS, IMAGES + EPS), 0, 1)


def start_of(attack, seed):
    """Where an attack begins: its one step is too short to count in float32."""
    attack = dataclasses.replace(attack, steps=1, step_size=1e-30)
    x = tf.constant(IMAGES, tf.float32)
    return attack.generate(linear_model(), x, LABELS, seed).numpy().astype("float64")


def small_noise(seed):
    """The clipped normal noise that TRADES and MART start at."""
    return start_of(attacks.PGD(EPS, random_start=0.001), seed)


def cross_entropy(weights, bias, x):
    return -np.log(softmax(x @ weights + bias)[ROWS, LABELS])


def kl(p, q):
    return (p * np.log(p / q)).sum(axis=1)


def madry(weights, bias):
    return cross_entropy(weights, bias, cross_entropy_points()).mean()


def mixture(weights, bias, box=(0, 1)):
    clean = cross_entropy(weights, bias, IMAGES)
    return (0.25 * clean + 0.75 * cross_entropy(weights, bias, margin_points(box))).mean()


def fast(weights, bias):
    return cross_entropy(weights, bias, fast_points()).mean()


def unweighted(weights, bias):
    return cross_entropy(weights, bias, margin_points()).mean()


def between_softmax(distance):
    return lambda a, b: distance(softmax(a), softmax(b))


def squared(p, q):
    return ((p - q) ** 2).sum(axis=1)


def half_squared_without_mean(a, b):
    return squared(a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)) / 2


DIVERGENCES = {
    "kl": between_softmax(kl),
    "squared_probabilities": between_softmax(squared),
    "squared_scores": half_squared_without_mean,
}


def trades(weights, bias, sample_weights=1.0, temperature=1.0, divergence="kl"):
    clean, moved = ((x @ weights + bias) / temperature for x in (IMAGES, margin_points()))
    apart = temperature * DIVERGENCES[divergence](clean, moved)
    return (cross_entropy(weights, bias, IMAGES) + 2.0 * sample_weights * apart).mean()


def mart_terms(weights, bias, temperature=1.0, points=None):
    points = margin_points() if points is None else points
    p = softmax((IMAGES @ weights + bias) / temperature)
    q = softmax((points @ weights + bias) / temperature)
    wrong = q.copy()
    wrong[ROWS, LABELS] = 0
    boosted = cross_entropy(weights, bias, points)
    boosted -= temperature * np.log(1.0001 - wrong.max(axis=1))
    return boosted, 3.0 * temperature * kl(p, q) * (1 - p[ROWS, LABELS])


def mart(weights, bias, temperature=1.0, points=None):
    return sum(mart_terms(weights, bias, temperature, points)).mean()


def mail_weights(slope, bias, temperature=1.0):
    q = softmax((margin_points() @ WEIGHTS + BIAS) / temperature)
    wrong = q.copy()
    wrong[ROWS, LABELS] = 0
    margin = q[ROWS, LABELS] - wrong.max(axis=1)
    return 1 / (1 + np.exp(slope * (margin - bias)))


def mail_at(weights, bias, temperature=1.0):
    sample_weights = 3 * mail_weights(10.0, -0.5, temperature)
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
MADRY = defenses.AdversarialTraining(FGSM, objective="training_loss")
BURN_IN = defenses.MAIL(TRADES, burn_in=1, burn_in_defense=MADRY)
ORACLES = {
    "madry": (MADRY, madry),
    "mixture": (defenses.AdversarialTraining(FGSM, 0.25), mixture),
    "trades": (TRADES, trades),
    "trades at T=4": (
        defenses.TRADES(FGSM, beta=2.0, temperature=4.0, objective="margin"),
        lambda weights, bias: trades(weights, bias, temperature=4.0),
    ),
    "score": (
        dataclasses.replace(TRADES, divergence="squared_probabilities", temperature=0.5),
        lambda weights, bias: trades(weights, bias, 1.0, 0.5, "squared_probabilities"),
    ),
    "squared scores": (
        dataclasses.replace(TRADES, divergence="squared_scores", temperature=0.5),
        lambda weights, bias: trades(weights, bias, 1.0, 0.5, "squared_scores"),
    ),
    "mart": (MART, mart),
    "mart at T=4": (
        defenses.MART(FGSM, beta=3.0, temperature=4.0),
        lambda weights, bias: mart(weights, bias, 4.0),
    ),
    "mart on its loss": (
        defenses.MART(FGSM, beta=3.0, objective="training_loss"),
        lambda weights, bias: mart(weights, bias, points=cross_entropy_points()),
    ),
    "mail-at": (defenses.MAIL(AT), mail_at),
    "mail-at at T=4": (
        defenses.MAIL(AT, temperature=4.0),
        lambda weights, bias: mail_at(weights, bias, 4.0),
    ),
    "mail-trades": (
        defenses.MAIL(TRADES, normalization="batch"),
        mail_trades,
    ),
    "mail-mart": (defenses.MAIL(MART), mail_mart),
    "complement": (defenses.ComplementTraining(0.7, single_step=True), complement_at_once),
    "fast": (defenses.FastAdversarialTraining(EPS), fast),
    "cleverhans": (
        defenses.CleverHansTraining(
            fast_gradient_method,
            clean_fraction=0.25,
            box=(0.1, 0.9),
            attack_objective="margin",
            eps=EPS,
            norm=np.inf,
        ),
        lambda weights, bias: mixture(weights, bias, (0.1, 0.9)),
    ),
    "burning in": (defenses.MAIL(AT, burn_in=1), unweighted),
    "burning in with another": (BURN_IN, madry),
    "not started": (
        defenses.AdversarialTraining(FGSM, start_epoch=1),
        lambda weights, bias: cross_entropy(weights, bias, IMAGES).mean(),
    ),
    "scheduled eps in plain Python": (
        defenses.AdversarialTraining(
            FGSM,
            objective="training_loss",
            eps_schedule=lambda epoch: 0.05 if epoch < 1 else EPS,
        ),
        lambda weights, bias: cross_entropy(weights, bias, cross_entropy_points(0.05)).mean(),
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
def test_the_second_epoch_after_another_defense(mode):
    """Fails if the weights of MAIL do not begin, or what burned in goes on, after the burn-in."""

    def fitted(defense, weights, epochs, first=0):
        robust = AdversarialModel(linear_model(), defense)
        robust.model.set_weights(weights)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        robust.compile(keras.optimizers.SGD(RATE), loss, metrics=["accuracy"], **MODES[mode])
        options = {"batch_size": 4, "shuffle": False, "verbose": 0}
        robust.fit(IMAGES, LABELS, epochs=epochs, initial_epoch=first, **options)
        return robust.model.get_weights()

    expected = fitted(defenses.MAIL(TRADES), sgd_step(madry), 1)
    for found in (
        fitted(BURN_IN, (WEIGHTS, BIAS), 2),
        fitted(BURN_IN, sgd_step(madry), 2, first=1),
    ):
        for got, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-5)


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


@pytest.mark.parametrize("step_size", [None, 0.4 * EPS])
@pytest.mark.parametrize("mode", MODES)
def test_free_replays(mode, step_size, trained_step):
    """Fails unless every replay moves weights and points along the gradients of one pass."""
    defense = defenses.FreeAdversarialTraining(EPS, replays=3, step_size=step_size)
    weights, bias = trained_step(defense, **MODES[mode])
    points = start_of(attacks.PGD(EPS), [0, 1])
    expected = WEIGHTS, BIAS
    for _ in range(3):
        before, here = expected, points
        expected = sgd_step(lambda w, b, here=here: cross_entropy(w, b, here).mean(), *before)
        p = softmax(here @ before[0] + before[1])
        p[ROWS, LABELS] -= 1
        moved = here + (step_size or EPS) * np.sign(p @ before[0].T)
        points = np.clip(np.clip(moved, IMAGES - EPS, IMAGES + EPS), 0, 1)
    np.testing.assert_allclose(weights, expected[0], atol=1e-5)
    np.testing.assert_allclose(bias, expected[1], atol=1e-5)


def context_of(model, temperature=1.0):
    """What a defense sees of a model in its first epoch, with the cross-entropy compiled."""

    def loss(scores):
        return tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, scores)

    return defenses.StepContext(
        model, model, loss, tf.constant(0), temperature, tf.constant(SEED), tf.range(4)
    )


def perturbed(defense, context):
    """The adversarial examples of a defense."""
    images = tf.constant(IMAGES, tf.float32)
    return defense.perturb(context, images, tf.constant(LABELS, tf.int32)).numpy()


def climb(name, scores, clean):
    """Gradient of a divergence in the scores, `(N, K)`, by central differences."""
    values, nudges = DIVERGENCES[name], 1e-6 * np.eye(scores.shape[1])
    sides = [(values(clean, scores + d) - values(clean, scores - d)) / 2e-6 for d in nudges]
    return np.stack(sides, axis=1)


@pytest.mark.parametrize(
    ("name", "own", "of_head"),
    [("kl", None, 1.0), *((name, own, 4.0) for name in DIVERGENCES for own in (None, 0.25))],
)
def test_trades_attacks_the_divergence(name, own, of_head):
    """Fails unless the inner loop starts at small noise and climbs d(clean, attacked) at T."""
    attack = attacks.PGD(EPS, steps=2, step_size=0.1)
    defense = defenses.TRADES(attack, temperature=own, divergence=name)
    points = perturbed(defense, context_of(linear_model(), of_head))
    temperature = own or of_head
    expected = small_noise(SEED)
    clean = (IMAGES @ WEIGHTS + BIAS) / temperature
    for _ in range(2):
        attacked = (expected @ WEIGHTS + BIAS) / temperature
        moved = expected + 0.1 * np.sign(climb(name, attacked, clean) @ WEIGHTS.T)
        expected = np.clip(np.clip(moved, IMAGES - EPS, IMAGES + EPS), 0, 1)
    np.testing.assert_allclose(points, expected, atol=1e-5)


@pytest.mark.parametrize("make", [defenses.TRADES, defenses.BinaryTRADES, defenses.MART])
def test_starts_at_small_noise(make):
    """Fails if an attack with a random start begins anywhere in the ball, or at the image."""
    points = perturbed(make(attacks.PGD(EPS, steps=1, step_size=1e-6)), context_of(linear_model()))
    np.testing.assert_allclose(points, small_noise(SEED), atol=2e-6)
    assert 1e-3 < np.abs(points - IMAGES).max() < 5e-3
    bim = attacks.BIM(EPS, steps=1, step_size=1e-6)
    points = perturbed(make(bim, objective="margin"), context_of(linear_model()))
    np.testing.assert_allclose(points, IMAGES, atol=2e-6)


@pytest.mark.parametrize("make", [defenses.TRADES, defenses.BinaryTRADES])
def test_starts_uniformly_if_asked(make):
    """Fails if the start of the attack itself is replaced by small noise all the same."""
    attack = attacks.PGD(EPS, steps=1, step_size=1e-6)
    points = perturbed(make(attack, uniform_start=True), context_of(linear_model()))
    np.testing.assert_allclose(points, start_of(attack, SEED), atol=2e-6)
    assert np.abs(points - IMAGES).max() > 0.5 * EPS


def test_small_noise_follows_the_box():
    """Fails if the noise is 0.001 of whatever units the images come in."""
    attack = attacks.PGD(EPS, steps=1, step_size=1e-6, box=(-9.0, 11.0))
    points = perturbed(defenses.MART(attack), context_of(linear_model()))
    noise = np.clip(0.02 / 0.001 * (small_noise(SEED) - IMAGES), -EPS, EPS)
    inside = abs(small_noise(SEED) - IMAGES) > 1e-6  # not cut off by the box of `small_noise`
    np.testing.assert_allclose((points - IMAGES)[inside], noise[inside], atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_trades_in_training(mode, trained_step):
    """Fails if the divergence is climbed otherwise in the training graph."""
    attack = attacks.PGD(EPS, steps=1, step_size=0.1)
    found = trained_step(defenses.TRADES(attack, beta=2.0), **MODES[mode])
    start = small_noise([0, 1])
    clean, started = (softmax(x @ WEIGHTS + BIAS) for x in (IMAGES, start))
    moved = start + 0.1 * np.sign((started - clean) @ WEIGHTS.T)
    points = np.clip(np.clip(moved, IMAGES - EPS, IMAGES + EPS), 0, 1)

    def loss(weights, bias):
        p, q = (softmax(x @ weights + bias) for x in (IMAGES, points))
        return (cross_entropy(weights, bias, IMAGES) + 2.0 * kl(p, q)).mean()

    for got, expected in zip(found, sgd_step(loss), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_steps_follow_their_schedule():
    """Fails if the number of steps is not that of the epoch, rounded."""

    def points(steps, schedule=None):
        attack = attacks.PGD(EPS, steps=steps, step_size=0.02, random_start=False)
        defense = defenses.AdversarialTraining(attack, steps_schedule=schedule)
        return perturbed(defense, context_of(linear_model()))

    scheduled = points(7, lambda epoch: 2.6 + tf.cast(epoch, tf.float32))
    np.testing.assert_allclose(scheduled, points(3), atol=1e-6)
    assert np.abs(scheduled - points(2)).max() > 0.01


def test_trades_on_a_head_of_centers():
    """Fails unless the temperature is a tenth of the score gap at a center."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3), MaxMahalanobisCenters(3, scale=2.0)]
    )
    centers = keras.ops.convert_to_numpy(model.layers[-1].centers).astype("float64")
    model.layers[0].set_weights([WEIGHTS, BIAS])
    temperature = 0.5 * ((centers[0] - centers[1]) ** 2).sum() / 10

    def scores(weights, bias, x):
        features = x @ weights + bias
        return -0.5 * ((features[:, None] - centers) ** 2).sum(axis=2)

    nearest = scores(WEIGHTS, BIAS, IMAGES)
    nearest[ROWS, LABELS] = -np.inf
    gradient = (centers[nearest.argmax(axis=1)] - centers[LABELS]) @ WEIGHTS.T
    points = signed_step(IMAGES, gradient)

    def loss(weights, bias):
        clean, attacked = scores(weights, bias, IMAGES), scores(weights, bias, points)
        p, q = softmax(clean / temperature), softmax(attacked / temperature)
        return (-np.log(softmax(clean)[ROWS, LABELS]) + 2.0 * temperature * kl(p, q)).mean()

    robust = AdversarialModel(model, TRADES)
    robust.compile(keras.optimizers.SGD(RATE), keras.losses.SparseCategoricalCrossentropy(True))
    robust.fit(IMAGES, LABELS, batch_size=4, shuffle=False, verbose=0)
    expected = sgd_step(loss)
    np.testing.assert_allclose(model.layers[0].kernel, expected[0], atol=1e-5)
    np.testing.assert_allclose(model.layers[0].bias, expected[1], atol=1e-5)


def test_pairs_of_attacked_points(trained_step):
    """Fails if differential training with an attack pairs the images themselves."""
    attacked = trained_step(defenses.DifferentialTraining(FGSM), loss=DifferentialLoss())
    plain, by_hand = linear_model(), linear_model()
    for model, x in ((plain, IMAGES), (by_hand, margin_points())):
        robust = AdversarialModel(model, defenses.DifferentialTraining())
        robust.compile(keras.optimizers.SGD(RATE), DifferentialLoss())
        robust.fit(x, LABELS, batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_allclose(attacked[0], by_hand.get_weights()[0], atol=1e-5)
    assert np.abs(attacked[0] - plain.get_weights()[0]).max() > 1e-3


def test_binary_trades():
    """Fails if the hinge, its product of decisions or its attack differ from the formula."""
    x, y, eps = IMAGES, np.array([0, 1, 1, 0]), 0.15
    weights, bias = WEIGHTS[:, :2], BIAS[:2]
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.set_weights([weights, bias])
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
    """Fails unless two replicas of half a batch make the step of one with the whole batch.

    That holds for random starts too: every image draws by its place in the whole batch.
    """
    printed = run_python(
        "import sys\n"
        "import tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "two = [tf.config.LogicalDeviceConfiguration()] * 2\n"
        "tf.config.set_logical_device_configuration(cpu, two)\n"
        "import keras, keras_mmc\n"
        "from tests.defenses.conftest import *\n"
        "from tests.defenses.test_oracles import *\n"
        "strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])\n"
        "names = 'mail-trades', 'fast'\n"
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
        "class Told(defenses.StandardTraining):\n"
        "    def perturb(self, context, x, y):\n"
        "        tf.print('seed', context.seed, context.index, output_stream=sys.stdout)\n"
        "        return x\n"
        "with strategy.scope():\n"
        "    robust = keras_mmc.AdversarialModel(linear_model(), Told(), seed=3)\n"
        "    robust.compile('sgd', keras.losses.SparseCategoricalCrossentropy(from_logits=True))\n"
        "x, y = np.concatenate([IMAGES, IMAGES[:3]]), np.append(LABELS, LABELS[:3])\n"
        "robust.fit(x, y, batch_size=4, shuffle=False, verbose=0)\n"
    )
    lines = printed.splitlines()
    differences = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("seed"))
    assert list(differences) == ["mail-trades", "fast", "in turn"]
    assert max(map(float, differences.values())) < 1e-5
    seeds = [line for line in lines if line.startswith("seed")]
    four, three = ("[0 1]", "[2 3]"), ("[0 1]", "[2]")
    expected = [f"seed [3 1] {rows}" for rows in four] + [f"seed [3 2] {rows}" for rows in three]
    assert sorted(seeds) == expected
