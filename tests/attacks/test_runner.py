"""The runner: models that change, graphs and memory, numbers of images, radii of a run."""

import dataclasses
import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.attacks import FAB, PGD, Attack, AutoAttack, BallAttack, Runner, Square

X = np.random.default_rng(0).uniform(size=(48, 6, 6, 1)).astype("float32")


@pytest.fixture
def model(counting):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            counting,
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(4),
        ]
    )


@dataclasses.dataclass(frozen=True)
class Shift(BallAttack):
    """Adds a part of the radius, and more than that where it is asked to."""

    factor: float = 1.0
    box: tuple[float, float] = (0.0, 1.0)

    def run(self, score_fn, x, y, seed, targets, early_stop, eps):
        return tf.minimum(x + self.factor * eps, self.box[1])


def predictions(model, x):
    return model.predict(x, verbose=0).argmax(axis=1).astype("int32")


def another_activation(model):
    model.layers[2].activation = keras.activations.tanh


def another_end(model):
    model.pop()
    model.add(keras.layers.Dense(16, activation="relu"))
    model.add(keras.layers.Dense(4))


def an_adapter(model):
    model.layers[2].enable_lora(2)
    model.layers[2].lora_kernel_b.assign(keras.random.normal((2, 16), seed=0))


def eight_bits(model):
    for layer in model.layers[2:]:
        layer.quantize("int8")


@pytest.mark.parametrize("edit", [another_activation, another_end, an_adapter, eight_bits])
def test_an_edited_model_is_attacked_as_it_is_now(edit, model):
    """Fails if a runner goes on with the graphs of the model before it was edited."""
    runner, attack = Runner(model, batch_size=20, seed=1), PGD(0.2, steps=5)
    before = runner.attack(attack, X)
    edit(model)
    labels = predictions(model, X)
    found = runner.attack(attack, X, labels)
    np.testing.assert_array_equal(found, attack(model, X, labels, batch_size=20, seed=1))
    assert (found != before).any()
    # Once more with graphs: what is traced now is kept.
    traces = model.layers[0].traces
    np.testing.assert_array_equal(runner.attack(attack, X, labels), found)
    assert model.layers[0].traces == traces


def test_a_model_is_attacked_through_its_softmax(model):
    """Fails if the runner attacks probabilities, keeps it to itself, or misses new weights."""
    softmax = keras.Sequential([model, keras.layers.Softmax()])
    runner, attack = Runner(softmax), PGD(0.2, steps=5)
    for _ in range(2):
        expected = Runner(model).attack(attack, X)
        np.testing.assert_array_equal(runner.attack(attack, X), expected)
        softmax.set_weights([-weight for weight in softmax.get_weights()])
    assert runner.notes == ("The model ends in a softmax; it is attacked without it.",)


def test_robust_accuracy_of_an_edited_model(model):
    """Fails if a runner that watches a model, as callbacks do, reports the model of before."""
    runner, attack = Runner(model), PGD(0.2, steps=5)
    labels = predictions(model, X)
    runner.robust_accuracy(attack, X, labels)
    another_activation(model)
    expected = Runner(model).robust_accuracy(attack, X, labels)
    assert runner.robust_accuracy(attack, X, labels) == expected


AUTO = AutoAttack(0.1, version=(Square(0.1, queries=5), PGD(0.1, steps=1), FAB(0.1, steps=4)))


def test_four_quarters_are_the_whole(model):
    """Fails if an image is attacked otherwise in a part of the set or in batches of other sizes."""
    labels = predictions(model, X)
    whole = AUTO.evaluate(model, X, labels, batch_size=60, seed=2)
    quarters = [
        AUTO.evaluate(model, X[i : i + 12], labels[i : i + 12], seed=2, first_index=i, batch_size=7)
        for i in range(0, 48, 12)
    ]
    assert sum((part.broken_by for part in quarters), ()) == whole.broken_by
    assert len(set(whole.broken_by)) == 4  # each attack breaks some, and some are left
    found = np.concatenate([part.x_adv for part in quarters])
    np.testing.assert_allclose(found, whole.x_adv, atol=1e-5)
    again = AUTO.evaluate(model, X, labels, batch_size=7, seed=2)
    assert again.broken_by == whole.broken_by
    np.testing.assert_allclose(again.x_adv, whole.x_adv, atol=1e-5)


def test_radii_share_one_graph_and_leave_nothing_behind(model):
    """Fails if a new radius traces the model again, or graphs pile up in the runner."""
    runner, labels = Runner(model, batch_size=48), predictions(model, X)
    rows, attack = np.arange(48), PGD(0.1, steps=3)
    broken = [len(runner.run(attack, X, labels, rows, eps=0.01).rows)]
    traces = model.layers[0].traces
    for eps in np.linspace(0.02, 0.6, 19):
        broken.append(len(runner.run(attack, X, labels, rows, eps=eps).rows))
    assert model.layers[0].traces == traces
    assert broken[0] < 10 and broken[-1] > 40


def test_graphs_go_with_the_runner(model):
    """Fails if a graph, or the model in it, outlives the runner."""
    runner = Runner(model)
    runner.attack(PGD(0.1, steps=2), X)
    graphs = [weakref.ref(graph) for graph in runner._graphs.values()]
    assert graphs and all(graph() is not None for graph in graphs)
    del runner
    gc.collect()
    assert not any(graph() for graph in graphs)


def test_every_image_has_its_radius(model):
    """Fails if radii are swapped where rows left the batch, or one holds for all."""
    labels, eps = predictions(model, X), np.linspace(0, 0.4, 48)
    rows = np.arange(1, 48, 3)
    broken = Runner(model, batch_size=5).run(Shift(0.3), X, labels, rows, eps=eps)
    assert set(broken.rows) <= set(rows) and len(broken.rows) > 0
    moved = np.minimum(X[broken.rows] + eps[broken.rows, None, None, None], 1)
    np.testing.assert_allclose(broken.x_adv, moved, atol=1e-6)


def test_what_left_the_ball_is_refused(model):
    """Fails if a figure is reported on adversarial examples outside the ball of the run."""
    labels = predictions(model, X)
    with pytest.raises(ValueError, match=r"outside the linf ball of radius 0\.3.*defect.*Shift"):
        Runner(model).run(Shift(0.3, factor=1.2), X, labels, np.arange(48))
    with pytest.raises(ValueError, match=r"outside the linf ball of radius 0\.2"):
        Runner(model).run(Shift(0.3, factor=2.0), X, labels, np.arange(48), eps=0.2)


def test_attacks_in_turn(model):
    """Fails if an image is credited to a later attack, or attacked again once it is broken."""
    labels = predictions(model, X)
    labels[5] = (labels[5] + 1) % 4
    runner = Runner(model, batch_size=10)
    scores = runner.scores(X)
    attacks = {"small": PGD(0.05, steps=5), "large": PGD(0.3, steps=5)}
    result = runner.in_turn(attacks, X, labels, scores)
    assert result.broken_by[5] == "clean" and result.accuracy["clean"] == 47 / 48
    np.testing.assert_array_equal(result.x_adv[5], X[5])
    left = {"small": 47, "large": 47 - result.broken_by.count("small")}
    assert result.attacked == left
    for name in attacks:
        assert result.broken_by.count(name) > 0
        ours = [i for i, by in enumerate(result.broken_by) if by == name]
        assert (predictions(model, result.x_adv[ours]) != labels[ours]).all()
    assert result.robust_accuracy == result.accuracy["large"] == result.broken_by.count(None) / 48


def test_an_error_loses_nothing_that_was_found(model):
    """Fails if a later attack that cannot run hides what others found, or the first is silent."""
    labels, errors = predictions(model, X), []
    runner = Runner(model, batch_size=10)
    scores, leaving = runner.scores(X), Shift(0.3, factor=1.2)
    attacks = {"small": PGD(0.05, steps=5), "leaving": leaving, "large": PGD(0.3, steps=5)}
    result = runner.in_turn(attacks, X, labels, scores, lambda *said: errors.append(said))
    [(name, error)] = errors
    assert name == "leaving" and "This is a defect" in str(error)
    del attacks["leaving"]
    alone = runner.in_turn(attacks, X, labels, scores)
    assert result.broken_by == alone.broken_by
    np.testing.assert_array_equal(result.x_adv, alone.x_adv)
    assert result.accuracy["leaving"] == result.accuracy["small"] < 1
    for given in (print, None):
        with pytest.raises(ValueError, match="This is a defect"):
            runner.in_turn({"leaving": leaving} | attacks, X, labels, scores, given)


def test_what_is_remembered_is_not_attacked_again(model):
    """Fails if a resumed run attacks batches again, or takes one batch for another."""
    labels, memory = predictions(model, X), {}

    def remember(name, rows, compute):
        parts = memory.setdefault(name, [])
        known = [row for part in parts for row in part["rows"]]
        parts += compute(np.setdiff1d(rows, known))
        return parts[::-1]  # in whatever order they come

    attack, rows = PGD(0.2, steps=3), np.arange(0, 48, 2)
    expected = Runner(model, 10).run(attack, X, labels, rows)
    Runner(model, 5, remember=remember).run(attack, X, labels, rows[5:12], name="pgd")
    first = Runner(model, 10, remember=remember).run(attack, X, labels, rows, name="pgd")
    assert [len(part["rows"]) for part in memory["pgd"]] == [5, 2, 10, 7]
    np.testing.assert_array_equal(first.rows, expected.rows)
    np.testing.assert_array_equal(first.x_adv, expected.x_adv)
    traces = model.layers[0].traces
    again = Runner(model, 10, remember=remember).run(attack, X, labels, rows, name="pgd")
    assert model.layers[0].traces == traces
    np.testing.assert_array_equal(again.rows, first.rows)
    np.testing.assert_array_equal(again.x_adv, first.x_adv)
    assert again.seconds == first.seconds
    part = Runner(model, 10, remember=remember).run(attack, X, labels, rows[3:9], name="pgd")
    np.testing.assert_array_equal(part.rows, np.intersect1d(first.rows, rows[3:9]))
    assert model.layers[0].traces == traces and 0 < len(part.rows) < len(first.rows)


def test_a_model_that_is_random_says_so(model):
    """Fails if noise at inference is not noticed, or a plain model is taken for random."""

    class Noisy(keras.layers.Layer):
        def call(self, x):
            return x + tf.random.normal(tf.shape(x), stddev=0.1)

    noisy = Runner(keras.Sequential([keras.Input((6, 6, 1)), Noisy(), model]))
    assert noisy.is_random(X, noisy.scores(X))
    plain = Runner(model)
    assert not plain.is_random(X, plain.scores(X))


def test_an_attack_of_the_user_needs_one_method(model):
    """Fails if a new attack needs more than its fields and `run`."""

    @dataclasses.dataclass(frozen=True)
    class Darken(Attack):
        amount: float

        def run(self, score_fn, x, y, seed, targets, early_stop):
            return tf.maximum(x - self.amount, self.box[0])

    found = Runner(model).attack(Darken(0.25), X)
    np.testing.assert_allclose(found, np.maximum(X - 0.25, 0), atol=1e-7)
