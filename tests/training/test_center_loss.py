"""Center loss in an `AdversarialModel`: weights and centers after a step, against NumPy.

The model is linear, so that adversarial points are known in closed form; gradients are central
differences of the loss written out in float64.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mmc
from keras_mmc import AdversarialModel, CenterLoss, DenseWithCenters, attacks, defenses

D, K, STEP, RATE, WEIGHT, EPS = 3, 4, 0.3, 0.4, 0.7, 0.05
LABELS = np.array([0, 2, 0, 3, 2, 3, 0])  # no image of class 1
FGSM = attacks.FGSM(EPS)
MODES = {"eager": {"run_eagerly": True}, "graph": {}, "xla": {"jit_compile": True}}


def images():
    """Seven images, the third as the first."""
    x = np.random.default_rng(3).uniform(0.1, 0.9, size=(7, 5))
    x[2] = x[0]
    return x


def state():
    """Kernels and biases of two layers, and centers."""
    rng = np.random.default_rng(4)
    shapes = (5, D), (D,), (D, K), (K,), (K, D)
    return [rng.normal(size=shape).astype("float32").astype("float64") for shape in shapes]


def model_of(*more):
    layers = [keras.Input((5,)), *more, keras.layers.Dense(D), DenseWithCenters(K, RATE)]
    model = keras.Sequential(layers)
    *weights, centers = state()
    model.layers[-2].set_weights(weights[:2])
    model.layers[-1].set_weights([*weights[2:], centers])
    return model


def weights_of(model):
    """Kernels, biases and centers, as in `state`."""
    return [*model.layers[-2].get_weights(), *model.layers[-1].get_weights()]


def features_of(weights, x):
    return x @ weights[0] + weights[1]


def scores_of(weights, x):
    return features_of(weights, x) @ weights[2] + weights[3]


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def center_loss(weights, x, y, centers=None):
    """Cross-entropy and pull of every image; by default to the centers before the step."""
    centers = state()[4] if centers is None else centers
    p = softmax(scores_of(weights, x))[np.arange(len(y)), y]
    return -np.log(p) + WEIGHT / 2 * ((features_of(weights, x) - centers[y]) ** 2).sum(axis=1)


def adversarial(x, y):
    """FGSM on the margin."""
    weights = state()
    scores = scores_of(weights, x)
    scores[np.arange(len(y)), y] = -np.inf
    columns = weights[2][:, scores.argmax(axis=1)] - weights[2][:, y]
    return np.clip(x + EPS * np.sign((weights[0] @ columns).T), 0, 1)


def slopes(loss, weights):
    """Central differences of a function of four weights."""
    found = []
    for i, weight in enumerate(weights):
        slope = np.zeros_like(weight)
        for place in np.ndindex(weight.shape):
            ends = []
            for h in (1e-5, -1e-5):
                moved = [np.copy(w) for w in weights]
                moved[i][place] += h
                ends.append(loss(moved))
            slope[place] = (ends[0] - ends[1]) / 2e-5
        found.append(slope)
    return found


def moved_centers(features, y, counted=None):
    """The update of the paper, one feature after the other."""
    before = state()[4]
    counted = np.ones(len(y)) if counted is None else counted
    centers = before.copy()
    for k in range(K):
        own = [i for i in range(len(y)) if y[i] == k]
        total = sum(counted[i] * (before[k] - features[i]) for i in own)
        centers[k] -= RATE * total / (1 + sum(counted[i] for i in own))
    return centers


def after_step(loss, passes, y, at=None, counted=None):
    """Weights after SGD on a mean loss, and centers after the features of images `passes`.

    The gradient is taken, and the features are computed, with the weights `at`.
    """
    before = state()[:4]
    at = before if at is None else at
    steps = slopes(lambda weights: loss(weights).mean(), at)
    weights = [w - STEP * g for w, g in zip(before, steps, strict=True)]
    features = np.concatenate([features_of(at, x) for x in passes])
    counted = None if counted is None else np.tile(counted, len(passes))
    return [*weights, moved_centers(features, np.tile(y, len(passes)), counted)]


def kl(p, q):
    return (p * np.log(p / q)).sum(axis=1)


def oracle(name, x, y):
    """What a step with a defense must give."""
    x_adv = adversarial(x, y)

    def mixture(weights):
        return 0.25 * center_loss(weights, x, y) + 0.75 * center_loss(weights, x_adv, y)

    def trades(weights):
        p, q = (softmax(scores_of(weights, points)) for points in (x, x_adv))
        return center_loss(weights, x, y) + 2 * kl(p, q)

    def mart(weights):
        p, q = (softmax(scores_of(weights, points)) for points in (x, x_adv))
        rows = np.arange(len(y))
        wrong = q.copy()
        wrong[rows, y] = 0
        boosted = center_loss(weights, x_adv, y) - np.log(1.0001 - wrong.max(axis=1))
        return boosted + 3 * kl(p, q) * (1 - p[rows, y])

    q = softmax(scores_of(state(), x_adv))
    own = q[np.arange(len(y)), y]
    q[np.arange(len(y)), y] = 0
    importance = 3 / (1 + np.exp(10 * (own - q.max(axis=1) + 0.5)))
    return {
        "standard": lambda: after_step(lambda w: center_loss(w, x, y), [x], y),
        "at": lambda: after_step(lambda w: center_loss(w, x_adv, y), [x_adv], y),
        "mixture": lambda: after_step(mixture, [x_adv, x], y),
        "trades": lambda: after_step(trades, [x], y),
        "mart": lambda: after_step(mart, [x_adv], y),
        "mail": lambda: after_step(lambda w: importance * center_loss(w, x_adv, y), [x_adv], y),
    }[name]()


DEFENSES = {
    "standard": defenses.StandardTraining(),
    "at": defenses.AdversarialTraining(FGSM),
    "mixture": defenses.AdversarialTraining(FGSM, 0.25),
    "trades": defenses.TRADES(FGSM, beta=2.0, objective="margin"),
    "mart": defenses.MART(FGSM, beta=3.0),
    "mail": defenses.MAIL(defenses.AdversarialTraining(FGSM)),
}


def trained(model, defense=None, x=None, y=LABELS, step=STEP, loss=None, **options):
    """The `AdversarialModel` after one batch."""
    regularizer, sample_weight = options.pop("regularizer", None), options.pop("weight", None)
    optimizer = options.pop("optimizer", None) or keras.optimizers.SGD(step)
    robust = AdversarialModel(model, defense, regularizer)
    robust.compile(optimizer, loss or CenterLoss(WEIGHT), **options)
    x = images() if x is None else x
    parts = (x.astype("float32"), y) if sample_weight is None else (x, y, sample_weight)
    robust.fit(tf.data.Dataset.from_tensors(parts), shuffle=False, verbose=0)
    return robust


def compare(found, expected):
    for weight, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(weight, value, atol=2e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", DEFENSES)
def test_a_step_with_every_kind_of_defense(name, mode):
    """Fails if a term, its gradient, the images that pull or the update of a center is off."""
    x = images()
    model = trained(model_of(), DEFENSES[name], **MODES[mode]).model
    compare(weights_of(model), oracle(name, x, LABELS))
    np.testing.assert_array_equal(weights_of(model)[4][1], state()[4][1].astype("float32"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", ["(N,)", "(N, K)"])
def test_images_that_cannot_be_used_do_not_count(form, mode):
    """Fails if a NaN image or a label that is no class pulls, is pulled, or spoils the others."""
    x, y = images(), LABELS
    x[3] = np.nan
    good = [0, 1, 2, 4, 6]
    labels = np.where(np.arange(7) == 5, K, y)
    if form == "(N, K)":
        labels = np.eye(K + 1)[labels][:, :K]  # the row of a label that is no class is 0
    with pytest.warns(UserWarning, match=r": 2 images were not trained on"):
        model = trained(model_of(), x=x, y=labels, **MODES[mode]).model
    compare(weights_of(model), oracle("standard", x[good], y[good]))


def test_sample_weights():
    """Fails if a weight is lost in the loss, or an image counts otherwise than it weighs."""
    x, weight = images(), np.array([2, 0.5, 0, 1, 1, 0, 3], "float32")
    model = trained(model_of(), weight=weight).model
    expected = after_step(lambda w: weight * center_loss(w, x, LABELS), [x], LABELS, counted=weight)
    compare(weights_of(model), expected)


def test_perturbed_weights():
    """Fails unless gradient and features are those of the perturbed weights, which see the pull."""
    x, gamma, weights = images(), 0.1, state()[:4]
    gradients = slopes(lambda w: center_loss(w, x, LABELS).mean(), weights)
    at = [
        w + gamma * np.linalg.norm(w) * g / np.linalg.norm(g) if w.ndim > 1 else w
        for w, g in zip(weights, gradients, strict=True)
    ]
    regularizer = keras_mmc.regularizers.AdversarialWeightPerturbation(gamma)
    model = trained(model_of(), regularizer=regularizer).model
    expected = after_step(lambda w: center_loss(w, x, LABELS), [x], LABELS, at=at)
    compare(weights_of(model), expected)
    assert np.abs(expected[0] - oracle("standard", x, LABELS)[0]).max() > 1e-3


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    """Fails if the pull is computed in 16 bits, or loss scaling reaches the centers."""
    keras.config.set_dtype_policy(policy)
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(STEP), 2.0**8)
    optimizer = scaled if policy == "mixed_float16" else None
    model = trained(model_of(), optimizer=optimizer).model
    expected, before = oracle("standard", images(), LABELS), state()
    for weight, value, start in zip(weights_of(model), expected, before, strict=True):
        assert np.abs(weight - value).max() < 0.03 * np.abs(value - start).max()


@pytest.mark.parametrize("mode", MODES)
def test_a_step_that_is_not_made_moves_no_center(mode):
    """Fails if features that overflow, or a batch without a usable image, move a center."""
    for spoil in ("features", "images"):
        model, x = model_of(), images()
        robust = AdversarialModel(model)
        robust.compile(keras.optimizers.SGD(STEP), CenterLoss(WEIGHT), **MODES[mode])
        if spoil == "features":
            model.layers[-2].bias.assign(np.full(D, np.inf))
        else:
            x += 5
        before = weights_of(model)
        batches = (batch for batch in [(x, LABELS)])  # of which `fit` cannot look at the first
        with pytest.raises(ValueError, match="No image of epoch 1 could be trained on"):
            robust.fit(batches, steps_per_epoch=1, shuffle=False, verbose=0)
        for weight, value in zip(weights_of(model), before, strict=True):
            np.testing.assert_array_equal(weight, value)


def test_an_overflow_that_a_scaling_optimizer_skips_moves_no_center():
    """Fails if the weights wait for a smaller scale and the centers do not."""
    keras.config.set_dtype_policy("mixed_float16")
    model = model_of()
    before = weights_of(model)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(STEP), 2.0**40)
    trained(model, optimizer=optimizer)
    for weight, value in zip(weights_of(model), before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_how_often_centers_move():
    """Fails unless every step on the loss moves them, and a step on another term does not."""
    once = weights_of(trained(model_of(), step=0.0).model)
    compare(weights_of(trained(model_of(), defenses.ComplementTraining(), step=0.0).model), once)
    free = defenses.FreeAdversarialTraining(1e-6, replays=3)
    with pytest.warns(UserWarning, match="less than a thousandth of the box"):
        found = weights_of(trained(model_of(), free, step=0.0).model)
    features, expected = features_of(state(), images()), state()[4]
    for _ in range(3):
        before = expected.copy()
        for k in (0, 2, 3):
            own = features[np.flatnonzero(k == LABELS)]
            expected[k] -= RATE * (before[k] - own).sum(axis=0) / (1 + len(own))
    np.testing.assert_allclose(found[4], expected, atol=1e-4)


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("name", ["standard", "mixture", "trades", "mart"])
def test_as_many_forward_passes_as_for_a_loss_of_scores(name, mode, counting):
    """Fails if the features cost a pass or a trace of their own."""
    calls = []
    for loss in (CenterLoss(), keras_mmc.MMLDALoss()):
        robust = AdversarialModel(model_of(counting), DEFENSES[name])
        robust.compile("sgd", loss, **MODES[mode])
        before = counting.calls
        robust.fit(images(), LABELS, batch_size=7, epochs=2, verbose=0)
        calls.append(counting.calls - before)
    assert calls[0] == calls[1] > 0


@pytest.mark.parametrize("name", ["standard", "mixture", "trades"])
def test_without_weight_it_is_cross_entropy(name, digits):
    """Fails if batch statistics, dropout or penalties of layers differ from those of one pass."""
    finals = []
    for loss in (CenterLoss(0.0), keras_mmc.MMLDALoss()):
        keras.utils.set_random_seed(0)
        layers = [
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(12, "tanh", kernel_regularizer="l2", activity_regularizer="l2"),
            keras.layers.Dropout(0.4, seed=1),
        ]
        model = keras.Sequential([keras.Input((8, 8, 1)), *layers, DenseWithCenters(10)])
        robust = AdversarialModel(model, DEFENSES[name], seed=2)
        robust.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
        x, y = digits[0][:96], digits[1][:96]
        history = robust.fit(
            x, y, batch_size=32, shuffle=False, validation_data=(x, y), verbose=0
        ).history
        finals.append((model.get_weights()[:-1], history, model.layers[-1].centers.numpy()))
    (weights, history, centers), (expected, expected_history, unmoved) = finals
    compare(weights, expected)
    assert set(history) == set(expected_history)
    for key, value in expected_history.items():
        np.testing.assert_allclose(history[key], value, rtol=1e-4)
    assert np.abs(centers).max() > 0.01
    np.testing.assert_array_equal(unmoved, 0)


def test_what_is_reported():
    """Fails if loss or val_loss leave out the pull, a sample weight or a penalty of a layer."""
    x, y, weight = images().astype("float32"), LABELS, np.arange(7.0)
    model = model_of()
    model.layers[-2].kernel.regularizer = keras.regularizers.L2(0.1)
    robust = AdversarialModel(model)
    robust.compile(keras.optimizers.SGD(0.0), CenterLoss(WEIGHT), metrics=["accuracy"])
    penalty = 0.1 * (state()[0] ** 2).sum()
    expected = (weight * center_loss(state(), x, y)).mean() + penalty
    before = robust.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    assert before["loss"] == pytest.approx(expected, rel=1e-5)
    logs = robust.train_on_batch(x, y, sample_weight=weight, return_dict=True)
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    right = scores_of(state(), x).argmax(axis=1) == y
    assert before["accuracy"] == pytest.approx(right.mean())
    centers = moved_centers(features_of(state(), x), y, weight)
    again = AdversarialModel(model)
    again.compile(keras.optimizers.SGD(0.0), CenterLoss(WEIGHT))
    expected = center_loss(state(), x, y, centers).mean() + penalty
    assert again.evaluate(x, np.eye(K)[y], verbose=0) == pytest.approx(expected, rel=1e-5)


GO_ON = """
import sys, keras, numpy as np, keras_mmc
data = np.load(sys.argv[1])
robust = keras.models.load_model(sys.argv[2])
robust.fit(data["x"], data["y"], batch_size=7, epochs=3, initial_epoch=1, shuffle=False, verbose=0)
np.savez(sys.argv[3], *robust.model.get_weights())
"""


def test_training_goes_on_in_a_new_process(tmp_path, run_python):
    """Fails if a file loses the centers, the rate or the weight of the loss."""
    np.savez(tmp_path / "data.npz", x=images(), y=LABELS)
    for epochs in (1, 3):
        robust = AdversarialModel(model_of(), DEFENSES["mixture"])
        robust.compile(keras.optimizers.SGD(STEP), CenterLoss(WEIGHT))
        robust.fit(images(), LABELS, batch_size=7, epochs=epochs, shuffle=False, verbose=0)
        if epochs == 1:
            robust.save(tmp_path / "robust.keras")
    files = [tmp_path / name for name in ("data.npz", "robust.keras", "after.npz")]
    run_python(GO_ON, *files)
    compare(np.load(files[2]).values(), robust.model.get_weights())


class OfScores(defenses.AdversarialTraining):
    """A defense that somebody wrote before losses of features."""

    def loss(self, context, x, x_adv, y):
        scores = context.scores(x_adv)
        return defenses.SampleLosses(context.loss(scores), adversarial=scores)


def test_a_defense_of_ones_own():
    """Fails if one of scores no longer trains, or trains center loss without its centers."""
    loss = keras_mmc.MMLDALoss()
    found = trained(model_of(), OfScores(FGSM), loss=loss).model
    expected = trained(model_of(), defenses.AdversarialTraining(FGSM), loss=loss).model
    compare(weights_of(found), weights_of(expected))
    with pytest.raises(ValueError, match=r"from scores alone.*context\.scored\(x\)"):
        trained(model_of(), OfScores(FGSM))


def test_attacks_climb_the_cross_entropy():
    """Fails if the training loss as objective is not the part of it that scores determine."""
    points = []

    class Watching(defenses.AdversarialTraining):
        def perturb(self, context, x, y):
            points.append(super().perturb(context, x, y))
            return points[-1]

    for objective, loss in (
        ("training_loss", CenterLoss(1e3)),
        ("cross_entropy", keras_mmc.MMLDALoss()),
    ):
        defense = Watching(FGSM, objective=objective)
        trained(model_of(), defense, loss=loss, run_eagerly=True)
    np.testing.assert_array_equal(*points)
    assert np.abs(points[0] - images()).max() == pytest.approx(EPS, rel=1e-4)


def inside_another():
    return keras.Sequential([keras.Input((5,)), keras.layers.Rescaling(1.0), model_of()])


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    """A model that shows no layers between images and scores."""

    def __init__(self):
        super().__init__()
        self.hidden, self.head = keras.layers.Dense(D), DenseWithCenters(K)

    input_shape, output_shape = (None, 5), (None, K)

    def call(self, x, training=None):
        return self.head(self.hidden(x))


def subclassed():
    model = Subclassed()
    model(np.zeros((2, 5), "float32"))
    return model


def with_head(head):
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(D), head])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: with_head(keras.layers.Dense(K)), "Dense, the last layer, does not hold both"),
        (
            lambda: with_head(keras_mmc.LearnedCenters(K)),
            r"End the model in DenseWithCenters.*LGMLoss\(margin=0",
        ),
        (inside_another, "one functional or Sequential model, not one inside another"),
        (subclassed, "one functional or Sequential model"),
    ],
)
def test_models_without_separate_centers_are_refused(make, message):
    """Fails if center loss trains where there are no centers or no features to be had."""
    with pytest.raises(ValueError, match=message):
        AdversarialModel(make()).compile("sgd", CenterLoss())


def test_functional_models_train():
    """Fails if the head of a functional model is not found."""
    inputs = keras.Input((5,))
    model = keras.Model(inputs, DenseWithCenters(K, RATE)(keras.layers.Dense(D)(inputs)))
    *weights, centers = state()
    model.layers[-2].set_weights(weights[:2])
    model.layers[-1].set_weights([*weights[2:], centers])
    compare(weights_of(trained(model).model), oracle("standard", images(), LABELS))
