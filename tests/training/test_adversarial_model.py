"""The adversarial model: what it reports, what it refuses, and that it trains as Keras does."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

import keras_mmc
from keras_mmc import AdversarialModel, attacks, defenses
from keras_mmc.adapters.structure import softmax_temperature
from keras_mmc.losses import ScoreLoss

EPS = 0.1
FGSM = attacks.FGSM(EPS)
AT = defenses.AdversarialTraining(FGSM)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def data(digits):
    return digits[0][:96], digits[1][:96]


def small_model(*, norm=False, dropout=0.0, activation=None):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(24, activation="tanh")]
    layers += [keras.layers.BatchNormalization()] if norm else []
    layers += [keras.layers.Dropout(dropout)] if dropout else []
    head = keras.layers.Dense(10, activation=activation, dtype="float32")
    return keras.Sequential([keras.Input((8, 8, 1)), *layers, head])


def trained(model, data, epochs=2, optimizer="sgd", loss=LOSS, **options):
    model.compile(optimizer, loss, metrics=["accuracy"], **options)
    history = model.fit(*data, batch_size=32, epochs=epochs, shuffle=False, verbose=0)
    return history.history


def difference(first, second):
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return max(np.abs(a - b).max() for a, b in pairs)


SCHEDULE = keras.optimizers.schedules.PiecewiseConstantDecay([2], [0.5, 0.05])
OPTIONS = {
    "plain": (lambda: keras.optimizers.SGD(0.1, momentum=0.9), {}),
    "clipped": (lambda: keras.optimizers.SGD(0.5, global_clipnorm=0.1), {}),
    "accumulated": (lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=3), {}),
    "averaged": (
        lambda: keras.optimizers.SGD(0.5, use_ema=True, ema_overwrite_frequency=2),
        {},
    ),
    "decayed": (lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1), {}),
    "scheduled": (lambda: keras.optimizers.SGD(SCHEDULE), {}),
    "several steps an execution": (lambda: keras.optimizers.SGD(0.1), {"steps_per_execution": 3}),
    "xla": (lambda: keras.optimizers.SGD(0.1), {"jit_compile": True}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_standard_training_is_keras_training(name, data):
    """Fails if a compile option does not reach the step as in `keras.Model.fit`."""
    optimizer, options = OPTIONS[name]
    plain, inner = small_model(norm=True), small_model(norm=True)
    start = small_model(norm=True)
    history = trained(plain, data, optimizer=optimizer(), **options)
    robust = AdversarialModel(inner)
    robust_history = trained(robust, data, optimizer=optimizer(), **options)
    assert difference(plain, inner) < 1e-5
    assert difference(plain, start) > 1e-2
    np.testing.assert_allclose(robust_history["loss"], history["loss"], rtol=1e-5)
    np.testing.assert_allclose(robust_history["accuracy"], history["accuracy"])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_keras_mixed_precision(policy, data):
    """Fails if casts or loss scaling differ from those of `keras.Model.fit`."""
    keras.config.set_dtype_policy(policy)
    plain, inner = small_model(), small_model()
    trained(plain, data, optimizer=keras.optimizers.SGD(0.1))
    robust = AdversarialModel(inner)
    trained(robust, data, optimizer=keras.optimizers.SGD(0.1))
    scaled = isinstance(robust.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    assert difference(plain, inner) < 1e-5


def test_penalties_of_layers_count(data):
    """Fails if `kernel_regularizer` losses are left out, or counted once per forward pass."""
    models, without = [small_model(), small_model()], small_model()
    for model in models:
        kernel = next(w for w in model.trainable_variables if w.path.endswith("kernel"))
        kernel.regularizer = keras.regularizers.L2(0.1)
    trained(models[0], data)
    trained(AdversarialModel(models[1]), data)
    trained(without, data)
    assert difference(*models) < 1e-6
    assert difference(models[0], without) > 1e-3


def test_sample_weights_and_one_hot_labels(data):
    """Fails if weights are lost, or one-hot and integer labels train differently."""
    x, y = data
    weight = np.linspace(0, 2, len(x)).astype("float32")
    finals = []
    for labels, loss in (
        (y, LOSS),
        (y[:, None], LOSS),
        (keras.utils.to_categorical(y, 10), keras.losses.CategoricalCrossentropy(from_logits=True)),
        (keras.utils.to_categorical(y, 10), keras_mmc.MMLDALoss()),
    ):
        inner = small_model()
        robust = AdversarialModel(inner, AT)
        robust.compile(keras.optimizers.SGD(0.1), loss)
        batches = tf.data.Dataset.from_tensor_slices((x, labels, weight)).batch(32)
        robust.fit(batches, shuffle=False, verbose=0)
        finals.append(inner)
    for other in finals[1:]:
        assert difference(finals[0], other) < 1e-5
    unweighted = small_model()
    trained(AdversarialModel(unweighted, AT), data, epochs=1, optimizer=keras.optimizers.SGD(0.1))
    assert difference(finals[0], unweighted) > 1e-3


def test_what_is_reported(data):
    """Fails if a figure of the progress bar is not the one its name says."""
    model = small_model()
    attack = attacks.PGD(EPS, steps=4)
    robust = AdversarialModel(model, AT, validation_attack=attack, seed=3)
    robust.compile("sgd", LOSS, metrics=["accuracy"])
    history = robust.fit(*data, validation_data=data, batch_size=96, verbose=0).history
    assert set(history) == {
        "loss",
        "robust_accuracy",
        "val_loss",
        "val_accuracy",
        "val_robust_accuracy",
    }
    x, y = tf.constant(data[0]), tf.constant(data[1])
    start = small_model()
    x_adv = FGSM.generate(start, x, y, tf.constant([0, 0]))
    right = np.argmax(start(x_adv), axis=1) == data[1]
    assert history["robust_accuracy"][0] == pytest.approx(right.mean())
    assert history["loss"][0] == pytest.approx(float(LOSS(y, start(x_adv))), rel=1e-5)
    clean = np.argmax(model(x), axis=1) == data[1]
    assert history["val_accuracy"][0] == pytest.approx(clean.mean())
    assert history["val_loss"][0] == pytest.approx(float(LOSS(y, model(x))), rel=1e-5)
    x_adv = attack.generate(model, x, y, tf.constant([3, 0]))
    right = np.argmax(model(x_adv), axis=1) == data[1]
    assert history["val_robust_accuracy"][0] == pytest.approx(right.mean())


@pytest.mark.parametrize(
    ("defense", "expected"),
    [
        (None, {"loss", "accuracy"}),
        (defenses.TRADES(attacks.PGD(EPS, steps=2)), {"loss", "accuracy", "robust_accuracy"}),
        (defenses.ComplementTraining(), {"loss", "accuracy"}),
    ],
)
def test_only_what_was_computed_is_reported(defense, expected, data):
    """Fails if a metric appears whose scores the step never saw."""
    history = trained(AdversarialModel(small_model(), defense), data, epochs=1)
    assert set(history) == expected


def test_one_trace_whatever_the_batches(data):
    """Fails if the ragged last batch or a new epoch traces the step again."""
    traces = []

    class Counting(defenses.AdversarialTraining):
        def loss(self, context, x, x_adv, y):
            traces.append(1)
            return super().loss(context, x, x_adv, y)

    robust = AdversarialModel(small_model(), Counting(attacks.PGD(EPS, steps=2)))
    robust.compile("sgd", LOSS)
    batches = tf.data.Dataset.from_tensor_slices(data).batch(36)
    robust.fit(batches, epochs=3, shuffle=False, verbose=0)
    assert len(traces) == 1


def test_graph_does_not_grow_with_attack_steps(data):
    """Fails if attack steps are unrolled, which would make memory grow with them."""

    def operations(steps):
        robust = AdversarialModel(
            small_model(), defenses.AdversarialTraining(attacks.PGD(EPS, steps=steps))
        )
        robust.compile("sgd", LOSS)
        graph = tf.function(robust.train_step).get_concrete_function(
            (tf.TensorSpec([None, 8, 8, 1]), tf.TensorSpec([None], tf.int32))
        )
        definition = graph.graph.as_graph_def()
        return len(definition.node) + sum(len(f.node_def) for f in definition.library.function)

    assert operations(3) == operations(40)


def test_attack_leaves_batch_statistics_alone(data):
    """Fails if the attack moves running means by default, or if the switch does nothing."""
    x, y = data
    means = {}
    for in_training_mode in (False, True):
        inner = small_model(norm=True)
        robust = AdversarialModel(
            inner,
            defenses.AdversarialTraining(attacks.BIM(EPS, steps=5)),
            attack_in_training_mode=in_training_mode,
        )
        robust.compile(keras.optimizers.SGD(0.0), LOSS)
        robust.fit(x, y, batch_size=len(x), verbose=0)
        means[in_training_mode] = inner.layers[2].moving_mean.numpy()
    x_adv = attacks.BIM(EPS, steps=5).generate(
        small_model(norm=True), tf.constant(x), tf.constant(y), tf.constant([0, 0])
    )
    hidden = keras.Sequential(small_model(norm=True).layers[:2])(x_adv)
    np.testing.assert_allclose(means[False], 0.01 * np.mean(hidden, axis=0), atol=1e-5)
    assert np.abs(means[True] - means[False]).max() > 1e-4


@pytest.mark.parametrize("fill", [np.nan, np.inf, 1.5])
def test_bad_images_are_skipped_and_counted(fill, data):
    """Fails if such images, or labels out of range, take part in the step."""
    x, y = data[0].copy(), data[1].copy()
    x[[3, 10], 0, 0] = fill
    y[20] = 10
    good = np.setdiff1d(np.arange(96), [3, 10, 20])
    some, all_but_bad = small_model(), small_model()
    robust = AdversarialModel(some, AT)
    robust.compile(keras.optimizers.SGD(0.1), LOSS)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(96)
    message = (
        r"Epoch 1: 3 images were not trained on: 2 had a pixel that is not finite or outside the "
        r"box \(0.0, 1.0\); 1 had a label outside \[0, 10\)\."
    )
    with pytest.warns(UserWarning, match=message):
        robust.fit(batches, shuffle=False, verbose=0)
    reference = AdversarialModel(all_but_bad, AT)
    reference.compile(keras.optimizers.SGD(0.1), LOSS)
    reference.fit(x[good], y[good], batch_size=96, verbose=0)
    assert difference(some, all_but_bad) < 1e-6


def test_gradients_that_are_not_finite_are_skipped(data):
    """Fails if one bad batch destroys the weights."""

    @keras.saving.register_keras_serializable("tests")
    class Exploding(keras.losses.Loss):
        def call(self, y_true, y_pred):
            values = LOSS.call(y_true, y_pred)
            return values * tf.where(tf.reduce_any(y_true == 9), np.nan, 1.0)

    y = np.where(np.arange(96) < 64, data[1] % 9, 9)
    inner, reference = small_model(), small_model()
    robust = AdversarialModel(inner, AT)
    with pytest.warns(UserWarning, match="not trained on: 32 had a gradient that is not finite"):
        trained(robust, (data[0], y), epochs=1, loss=Exploding())
    trained(AdversarialModel(reference, AT), (data[0][:64], y[:64]), epochs=1)
    assert difference(inner, reference) < 1e-6


def test_skipped_batches_move_nothing(data):
    """Fails if momentum or weight decay move the weights in batches that were skipped."""
    x, y = data
    robust = AdversarialModel(small_model())
    robust.compile(keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.1), LOSS)
    good = tf.data.Dataset.from_tensors((x[:32], y[:32]))
    bad = tf.data.Dataset.from_tensors((x[:32] + 5, y[:32])).repeat(5)
    robust.fit(good, shuffle=False, verbose=0)
    assert difference(robust.model, small_model()) > 1e-3
    with pytest.warns(UserWarning, match="160 images were not trained on"):
        robust.fit(good.concatenate(bad), shuffle=False, verbose=0)
    again = AdversarialModel(small_model())
    again.compile(keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.1), LOSS)
    again.fit(good.repeat(2), shuffle=False, verbose=0)
    assert difference(robust.model, again.model) < 1e-6


@pytest.mark.parametrize(
    "spoil",
    [
        lambda y: np.where(np.arange(len(y)) < 10, y + 0.5, y),
        lambda y: np.where(np.arange(len(y)) < 10, np.nan, y),
        lambda y: np.where(np.arange(len(y)) < 10, 10, y),
        lambda y: np.where(np.arange(len(y))[:, None] < 10, 0.0, np.eye(10)[y]),
    ],
)
def test_labels_that_are_no_class_are_skipped(spoil, data):
    """Fails if a label between two classes, NaN, beyond them or an empty row is trained on."""
    x, y = data
    labels = spoil(y).astype("float32")
    for loss in (
        keras.losses.CategoricalCrossentropy(True) if labels.ndim == 2 else LOSS,
        keras_mmc.MMLDALoss(),  # NaN for such labels
    ):
        robust = AdversarialModel(small_model(norm=True))
        robust.compile(keras.optimizers.SGD(0.1), loss)
        with pytest.warns(UserWarning, match=": 10 had a label outside"):
            robust.fit(x, labels, batch_size=96, verbose=0)
        assert all(np.isfinite(weights).all() for weights in robust.model.get_weights())


def test_pairs_need_two_classes_and_no_bad_sample(data):
    """Fails if a loss of pairs compares with a sample that cannot be used, with any defense."""
    x, y = data[0][:8], data[1][:8]
    spoiled = np.concatenate([x[:7], x[7:] + 5])
    for defense in (defenses.DifferentialTraining(), AT):
        robust = AdversarialModel(small_model(), defense)
        robust.compile("sgd", keras_mmc.DifferentialLoss())
        for batch in ((x, 0 * y), (spoiled, y)):
            with pytest.raises(ValueError, match=r"No image of epoch 1.*[87] had no other class"):
                robust.fit(tf.data.Dataset.from_tensors(batch), shuffle=False, verbose=0)


def test_free_training_survives_an_overflow(data):
    """Fails if a gradient that overflowed in float16 poisons the batch statistics for good."""
    keras.config.set_dtype_policy("mixed_float16")
    model = small_model(norm=True)
    robust = AdversarialModel(model, defenses.FreeAdversarialTraining(EPS, replays=2))
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), 2.0**30)
    trained(robust, data, optimizer=optimizer)
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_validation_images_are_checked(data):
    """Fails if the accuracy that chooses the best epoch is that of images outside the box."""
    x, y = data
    robust = AdversarialModel(small_model(), AT)
    robust.compile("sgd", LOSS)
    with pytest.raises(ValueError, match="box"):
        robust.fit(x, y, validation_data=(x * 255, y), verbose=0)


def test_callbacks_in_every_form(data):
    """Fails if a tuple or a single callback ends in a TypeError, or a CallbackList is ignored."""
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    robust = AdversarialModel(small_model())
    robust.compile("sgd", LOSS)
    for callbacks in (callback, [callback], (callback,), None):
        robust.fit(*data, callbacks=callbacks, verbose=0)
    assert seen == [0, 0, 0]
    with pytest.raises(ValueError, match="CallbackList"):
        robust.fit(*data, callbacks=keras.callbacks.CallbackList([callback]), verbose=0)


def batches_of(x, y, **more):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(32, **more)


OUTSIDE = r"must lie in the box \[0, 1\]"
UNUSABLE = {
    "arrays": (lambda x, y: (x * 255, y), OUTSIDE),
    "list": (lambda x, y: ((x * 255).tolist(), y), OUTSIDE),
    "uint8": (lambda x, y: ((x * 255).astype("uint8"), y), "must be floats"),
    "data set": (lambda x, y: (batches_of(x + 5, y), None), OUTSIDE),
    "uint8 data set": (lambda x, y: (batches_of(tf.cast(255 * x, "uint8"), y), None), "be floats"),
    "other classes": (lambda x, y: (batches_of(x, y + 10), None), r"Labels must lie in \[0, 10\)"),
    "class names": (lambda x, y: (x, y.astype(str)), "`labels` must be integers"),
    "class names in a data set": (
        lambda x, y: (batches_of(x, y.astype(str)), None),
        "`labels` must be integers",
    ),
    "no labels": (lambda x, y: (x, None), "a label for every image"),
    "no labels in a data set": (
        lambda x, y: (tf.data.Dataset.from_tensor_slices(x).batch(32), None),
        r"batches \(images, labels\) is needed",
    ),
    "other names": (
        lambda x, y: (batches_of(x, y).map(lambda x, y: {"a": x, "b": y}), None),
        r"received the keys \['a', 'b'\]",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_refuses_data_it_cannot_use(name, data):
    """Fails if an epoch is spent on data of which not one image fits, or they are judged by."""
    make, message = UNUSABLE[name]
    x, y = make(*data)
    robust = AdversarialModel(small_model(), AT)
    robust.compile("sgd", LOSS)
    for call in (
        lambda: robust.fit(x, y, verbose=0),
        lambda: robust.evaluate(x, y, verbose=0),
        lambda: robust.train_on_batch(x, y),
        lambda: robust.test_on_batch(x, y),
        lambda: robust.fit(*data, validation_data=x if y is None else (x, y), verbose=0),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert robust.batches.numpy() == 0


def test_warns_of_another_unit(data):
    """Fails if eps of a box of 1, or images of a box of 1, pass in a box of 255."""
    x, y = data
    wide = {"steps": 1, "box": (0.0, 255.0)}
    with pytest.warns(UserWarning, match="less than a thousandth of the box"):
        AdversarialModel(small_model(), defenses.AdversarialTraining(attacks.PGD(8 / 255, **wide)))
    robust = AdversarialModel(small_model(), defenses.AdversarialTraining(attacks.PGD(8.0, **wide)))
    robust.compile("sgd", LOSS)
    with pytest.warns(UserWarning, match=r"images lie in \[0, 1\], the box is \(0.0, 255.0\)"):
        robust.fit(x, y, verbose=0)
    with pytest.warns(UserWarning, match=r"images lie in \[0, 1\], the box is \(0.0, 255.0\)"):
        robust.evaluate(batches_of(x, y), verbose=0)


def test_refuses_batches_of_one(data):
    """Fails if batch statistics of single images are trained on."""
    x, y = data
    robust = AdversarialModel(small_model(), AT)
    robust.compile("sgd", LOSS)
    slices = tf.data.Dataset.from_tensor_slices((x, y))
    with pytest.raises(ValueError, match="Batches of one image"):
        robust.fit(slices.batch(1, True), shuffle=False, verbose=0)
    message = "No image of epoch 1 could be trained on: 4 had no other class or image beside it"
    with pytest.raises(ValueError, match=message):
        robust.fit(slices.take(4).batch(1), shuffle=False, verbose=0)


@pytest.mark.parametrize("form", ["dict", "triple", "uint8"])
def test_data_in_other_forms(form, data):
    """Fails unless a step on them is that on arrays."""
    x, y = data
    pixels = np.round(255 * x).astype("float32")
    attack = attacks.PGD(0.2 * 255, steps=2, box=(0.0, 255.0))
    forms = {
        "dict": batches_of(pixels, y).map(lambda x, y: {"image": x, "label": y, "id": y}),
        "triple": batches_of(pixels, y).map(lambda x, y: (x, y, tf.ones_like(y, "float32"))),
        "uint8": batches_of(tf.cast(pixels, "uint8"), y),
    }
    weights = []
    for train in (batches_of(pixels, y), forms[form]):
        keras.utils.set_random_seed(0)
        robust = AdversarialModel(small_model(), defenses.AdversarialTraining(attack))
        robust.compile(keras.optimizers.SGD(1e-5), LOSS)
        robust.fit(train, shuffle=False, verbose=0, validation_data=train)
        weights.append(robust.model.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@keras.saving.register_keras_serializable("adversarial_model_tests")
class Subclassed(keras.Model):
    """Has no graph."""

    def __init__(self, **options):
        super().__init__(**options)
        self.flat, self.dense = keras.layers.Flatten(), keras.layers.Dense(10)

    def call(self, inputs):
        return self.dense(self.flat(inputs))


def test_a_built_subclassed_model_trains(data):
    """Fails unless it trains as a functional one with the same weights."""
    x, y = data
    model = Subclassed()
    model(x[:2])
    layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
    twin = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    twin.set_weights(model.get_weights())
    for each in (model, twin):
        robust = AdversarialModel(each, AT)
        robust.compile("sgd", LOSS, metrics=["accuracy"])
        robust.fit(x, y, shuffle=False, verbose=0)
        assert robust.input_shape == (None, *x.shape[1:]) and robust.output_shape == (None, 10)
    np.testing.assert_array_equal(model.get_weights()[0], twin.get_weights()[0])


def test_refuses_two_boxes():
    """Fails if the attack of validation sees other units than that of training."""
    training = defenses.AdversarialTraining(attacks.PGD(8.0, box=(0.0, 255.0)))
    with pytest.raises(ValueError, match=r"box \(0.0, 255.0\), validation_attack in \(0.0, 1.0\)"):
        AdversarialModel(small_model(), training, validation_attack=attacks.PGD(0.1))


def test_refuses_a_metric_of_its_own_name():
    """Fails if the metric of the user is overwritten."""
    robust = AdversarialModel(small_model(), AT)
    for name in ("robust_accuracy", "loss"):
        metric = keras.metrics.SparseCategoricalAccuracy(name=name)
        with pytest.raises(ValueError, match="another name"):
            robust.compile("sgd", LOSS, metrics=["accuracy", metric])


def test_export_is_that_of_the_classifier(data, tmp_path):
    """Fails if `export`, as of every Keras model, does not serve the scores."""
    robust = AdversarialModel(small_model(), AT)
    robust.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    np.testing.assert_allclose(served.serve(data[0][:4]), robust.model(data[0][:4]), atol=1e-6)


def test_refuses_models_that_cannot_be_attacked():
    """Fails if such a model is accepted."""
    with pytest.raises(ValueError, match="is not built"):
        AdversarialModel(keras.Sequential([keras.layers.Dense(3)]), AT)
    for activation in ("softmax", "sigmoid"):
        with pytest.raises(ValueError, match=rf"ends in a {activation}.*keras_mmc\.to_scores"):
            AdversarialModel(small_model(activation=activation), AT)
    with pytest.raises(ValueError, match="must be a Keras model"):
        AdversarialModel(lambda x: x, AT)
    outside = small_model()
    with (
        tf.distribute.MirroredStrategy(["CPU:0"]).scope(),
        pytest.raises(ValueError, match="in the scope of another"),
    ):
        AdversarialModel(outside, AT)
    diverged = small_model()
    diverged.layers[-1].bias.assign(np.full(10, np.nan))
    with pytest.raises(ValueError, match=r"1 of \d+ weights of .* hold NaN or infinity"):
        AdversarialModel(diverged, AT)
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        elsewhere = small_model()
    with pytest.raises(ValueError, match="in the scope of another"):
        AdversarialModel(elsewhere, AT)
    with pytest.raises(ValueError, match=r"`defense` must be one of keras_mmc\.defenses"):
        AdversarialModel(small_model(), FGSM)

    @keras.saving.register_keras_serializable("tests")
    class Noise(keras.layers.Layer):
        def call(self, inputs):
            return inputs + tf.random.normal(tf.shape(inputs))

    noisy = keras.Sequential([keras.Input((4,)), Noise(), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="two forward passes"):
        AdversarialModel(noisy, AT)


@pytest.mark.parametrize("fidelity", [False, True])
def test_dropout_in_training_and_under_attack(fidelity, data):
    """Fails unless training drops features, and attacks see none dropped unless asked to."""
    seen = {}

    class Watching(defenses.StandardTraining):
        def perturb(self, context, x, y):
            seen.update(attacked=context.attacked(x), trained=context.scores(x))
            return x

    model = small_model(dropout=0.5)
    expected = model(data[0][:32], training=False)
    robust = AdversarialModel(model, Watching(), attack_in_training_mode=fidelity)
    robust.compile("sgd", LOSS, run_eagerly=True)
    robust.train_on_batch(data[0][:32], data[1][:32])
    assert np.abs(seen["trained"] - expected).max() > 0.1
    assert (np.abs(seen["attacked"] - expected).max() > 0.1) == fidelity


def test_the_default_validation_attack():
    """Fails if the most robust epoch is chosen in another ball or box than that of training."""
    box = (-1.0, 0.5)
    for attack, norm in (
        (attacks.PGD(0.2, norm="l2", box=box), "l2"),
        (attacks.MIM(0.2, box=box), "linf"),
        (attacks.CleverHans(fast_gradient_method, eps=0.2, norm=2, box=box), "l2"),
        (attacks.Transfer(attacks.PGD(0.2, norm="l2", box=box), small_model()), "l2"),
    ):
        robust = AdversarialModel(small_model(), defenses.AdversarialTraining(attack))
        assert robust.validation_attack == attacks.PGD(0.2, steps=20, norm=norm, box=box)
    assert AdversarialModel(small_model()).validation_attack is None


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (attacks.PGD(0.0), "eps=0.0 perturbs nothing"),
        (attacks.AutoAttack(0.1), "no fixed number of steps"),
        ("pgd", "must be an attack"),
    ],
)
def test_refuses_validation_attacks(attack, message):
    """Fails if clean accuracy can pass as robust, or validation fails after the first epoch."""
    with pytest.raises(ValueError, match=message):
        AdversarialModel(small_model(), AT, validation_attack=attack)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (keras_mmc.MMCLoss(), "no lower bound"),
        (keras_mmc.ElasticMMCLoss(), "no lower bound"),
        (keras_mmc.ShellMMCLoss(), "no lower bound"),
        (keras_mmc.LGMLoss(), "no lower bound"),
        (keras_mmc.MMCLoss(centers=np.eye(10)), "attacks need scores"),
    ],
)
def test_refuses_losses_of_centers_on_logits(loss, message):
    """Fails if a loss without a lower bound is minimized, or features are attacked as scores."""
    outer = keras.Sequential([keras.Input((8, 8, 1)), small_model()])
    for model in (small_model(), outer):
        with pytest.raises(ValueError, match=message):
            AdversarialModel(model, AT).compile("sgd", loss)


def test_refuses_elastic_mmc_without_offsets():
    """Fails if elastic MMC trains as MMC, or is refused on a head with offsets."""

    def compiled(head):
        layers = [keras.layers.Flatten(), keras.layers.Dense(12)]
        model = keras.Sequential([keras.Input((8, 8, 1)), *layers, head])
        AdversarialModel(model, AT).compile("sgd", keras_mmc.ElasticMMCLoss())

    for head in (keras_mmc.MaxMahalanobisCenters(10), keras_mmc.LearnedCenters(10)):
        with pytest.raises(ValueError, match=f"{type(head).__name__}.*none.*in ElasticCenters"):
            compiled(head)
    compiled(keras_mmc.ElasticCenters(10))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("sparse_categorical_crossentropy", "expects probabilities"),
        (keras.losses.SparseCategoricalCrossentropy(), "expects probabilities"),
        ("kl_divergence", "expects probabilities"),
        (keras.losses.Poisson(), "expects probabilities"),
        (keras_mmc.MMCLoss(reduction="sum"), "reduces by 'sum'"),
        (keras_mmc.MMCLoss(reduction="mean_with_sample_weight"), "mean_with_sample_weight"),
        (keras_mmc.ComplementEntropy(), "says nothing about the true class"),
        (None, "needs one loss"),
    ],
)
def test_refuses_losses(loss, message):
    """Fails if a loss that cannot be trained is accepted by `compile`."""
    robust = AdversarialModel(small_model(), AT)
    with pytest.raises(ValueError, match=message):
        robust.compile("sgd", loss)
    with pytest.raises(ValueError, match="loss_weights"):
        robust.compile("sgd", keras_mmc.MMCLoss(), loss_weights=[0.5])


def test_the_temperature_of_a_nested_head():
    """Fails if a wrapped model's head is overlooked and its softmax is one-hot."""
    inner = keras_mmc.models.small_cnn((8, 8, 1), head=keras_mmc.MaxMahalanobisCenters(10))
    outer = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1.0), inner])
    # A tenth of half the squared distance of two of 10 centers of length 10.
    expected = 0.1 * 0.5 * 200 * (1 + 1 / 9)
    assert softmax_temperature(inner) == pytest.approx(expected, rel=1e-5)
    assert softmax_temperature(outer) == softmax_temperature(inner)


@keras.saving.register_keras_serializable("tests")
class OwnDistance(ScoreLoss):
    """Half the squared distance, by somebody who has not heard of `MMCLoss`."""

    needs_distances = True

    def call(self, y_true, y_pred):
        return keras_mmc.objectives.distance(y_pred, y_true)


@pytest.mark.parametrize(
    ("ending", "layer"),
    [
        ([keras.layers.Dense(10)], "Dense"),
        ([keras.layers.Dense(10), keras.layers.Activation("tanh")], "Activation"),
        ([keras_mmc.MaxMahalanobisCenters(10), keras.layers.Activation("tanh")], "Activation"),
        ([keras_mmc.layers.DifferentialHead()], "DifferentialHead"),
    ],
    ids=["dense", "activation", "centers and activation", "other head"],
)
@pytest.mark.parametrize("loss", [keras_mmc.MMCLoss(), OwnDistance(name="own")])
def test_distances_need_a_head_that_gives_them(loss, ending, layer):
    """Fails if a loss of distances, of this package or a user's own, meets scores of another."""
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), *ending])
    with pytest.raises(ValueError, match=f"scores of {layer}.*no lower bound"):
        AdversarialModel(model).compile("sgd", loss)
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    model.add(keras_mmc.MaxMahalanobisCenters(10))
    AdversarialModel(model).compile("sgd", loss)


SAVING = """
import sys, keras, numpy as np, keras_mmc
data = np.load(sys.argv[1])
robust = keras.models.load_model(sys.argv[2])
robust.fit(data["x"], data["y"], batch_size=32, epochs=2, initial_epoch=1, shuffle=False, verbose=0)
np.savez(sys.argv[3], *robust.model.get_weights())
"""


@pytest.mark.parametrize(
    "defense",
    [
        defenses.MAIL(defenses.TRADES(attacks.PGD(EPS, steps=2, objective="margin")), burn_in=1),
        defenses.ComplementTraining(),
        defenses.FastAdversarialTraining(EPS, start_epoch=1),
    ],
    ids=lambda defense: type(defense).__name__,
)
def test_training_goes_on_in_a_new_process(defense, data, tmp_path, run_python):
    """Fails if weights, optimizers, seeds, epochs or any part of the configuration are lost."""
    np.savez(tmp_path / "data.npz", x=data[0], y=data[1])
    runs = []
    for epochs in (1, 2):
        robust = AdversarialModel(
            small_model(), defense, keras_mmc.EffectiveMarginRegularizer(3.0, 40.0), seed=5
        )
        trained(robust, data, epochs=epochs, optimizer=keras.optimizers.Adam(0.01))
        runs.append(robust)
    runs[0].save(tmp_path / "robust.keras")
    files = [tmp_path / name for name in ("data.npz", "robust.keras", "after.npz")]
    run_python(SAVING, *files)
    after = np.load(tmp_path / "after.npz").values()
    for found, expected in zip(after, runs[1].model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_plain_classifier_saves_alone(data, tmp_path, run_fresh_python):
    """Fails if the classifier drags the adversarial model along."""
    model = small_model()
    trained(AdversarialModel(model, AT), data, epochs=1)
    model.save(tmp_path / "classifier.keras")
    np.save(tmp_path / "x.npy", data[0])
    code = (
        "import sys, keras, numpy as np\n"
        "scores = keras.models.load_model(sys.argv[1]).predict(np.load(sys.argv[2]), verbose=0)\n"
        "np.save(sys.argv[3], scores)\n"
        "assert 'keras_mmc' not in sys.modules"
    )
    run_fresh_python(
        code, *(tmp_path / name for name in ("classifier.keras", "x.npy", "scores.npy"))
    )
    expected = model.predict(data[0], verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected, atol=1e-6)


def test_attack_loops_train_under_xla_as_in_a_graph(data):
    """Fails if a loop of the attack, its random start or the double backward differs under XLA."""
    finals = []
    for jit_compile in (False, True):
        inner = small_model()
        defense = defenses.AdversarialTraining(attacks.PGD(EPS, steps=3))
        regularizer = keras_mmc.EffectiveMarginRegularizer(3.0, 40.0)
        robust = AdversarialModel(inner, defense, regularizer)
        trained(robust, data, optimizer=keras.optimizers.SGD(0.1), jit_compile=jit_compile)
        finals.append(inner)
    assert difference(*finals) < 1e-4


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_adversarial_training_learns_in_mixed_precision(policy, digits):
    """Fails if casts, loss scaling or the attack break the training."""
    keras.config.set_dtype_policy(policy)
    x, y = digits[0][:384], digits[1][:384]
    robust = AdversarialModel(small_model(), defenses.TRADES(attacks.PGD(0.05, steps=2), beta=1.0))
    history = trained(robust, (x, y), epochs=12, optimizer=keras.optimizers.Adam(5e-3))
    assert np.isfinite(history["loss"]).all()
    assert history["robust_accuracy"][-1] > 0.7


def test_robust_accuracy_drives_callbacks(data, tmp_path):
    """Fails if Keras' own callbacks do not see the robust validation accuracy."""
    robust = AdversarialModel(small_model(), AT)
    robust.compile(keras.optimizers.SGD(-0.5), LOSS)  # up the loss: every epoch is worse
    checkpoint = tmp_path / "best.weights.h5"
    callbacks = [
        keras.callbacks.EarlyStopping("val_robust_accuracy", mode="max", patience=1),
        keras.callbacks.ModelCheckpoint(
            checkpoint,
            "val_robust_accuracy",
            mode="max",
            save_best_only=True,
            save_weights_only=True,
        ),
    ]
    history = robust.fit(*data, epochs=9, validation_data=data, callbacks=callbacks, verbose=0)
    values = history.history["val_robust_accuracy"]
    assert len(values) == np.argmax(values) + 2
    assert checkpoint.exists()
