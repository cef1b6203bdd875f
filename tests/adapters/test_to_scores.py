"""Classifiers as others hold them: each gives the scores it decides by, or one clear error."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_mmc
from keras_mmc.adapters.to_scores import open_model

SHAPE = (8, 8, 1)
TAKEN_OFF = "ends in a {}; it is attacked without it"
LOGARITHM = "logarithm in float32"


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(3)


@pytest.fixture
def images(rng):
    return rng.random((20, *SHAPE), "float32")


def body(units=5, activation=None, **options):
    """A Sequential classifier."""
    last = layers.Dense(units, activation=activation, **options)
    return keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(16, "relu"), last])


def functional(end):
    """A functional classifier whose outputs are `end` of the logits."""
    inputs = keras.Input(SHAPE)
    hidden = layers.Dense(16, "relu")(layers.Flatten()(inputs))
    return keras.Model(inputs, end(layers.Dense(5)(hidden)))


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    """A classifier without a graph."""

    def __init__(self, units=5, activation=None, **options):
        super().__init__(**options)
        self.flat, self.dense = layers.Flatten(), layers.Dense(units, activation=activation)

    def call(self, inputs):
        return self.dense(self.flat(inputs))


def convolutional(activation):
    """Scores of a 1x1 convolution, as in the applications of Keras."""
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(keepdims=True),
            layers.Conv2D(5, 1),
            layers.Flatten(),
            layers.Activation(activation),
        ]
    )


def nested(activation):
    inner = body(activation=activation)
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, inner(layers.Rescaling(2.0)(inputs)))


def rows_of_an_lstm():
    return keras.Sequential(
        [keras.Input(SHAPE), layers.Reshape((8, 8)), layers.LSTM(6), layers.Dense(5, "softmax")]
    )


def in_bfloat16():
    with_policy = keras.dtype_policies.DTypePolicy("mixed_bfloat16")
    hidden = layers.Dense(16, "relu", dtype=with_policy)
    last = [layers.Dense(5, dtype=with_policy), layers.Activation("softmax", dtype="float32")]
    return keras.Sequential([keras.Input(SHAPE), layers.Flatten(), hidden, *last])


ENDINGS = {
    "dense softmax": (lambda: body(activation="softmax"), "softmax"),
    "softmax layer": (lambda: functional(layers.Softmax()), "softmax"),
    "softmax activation": (lambda: functional(layers.Activation("softmax")), "softmax"),
    "softmax operation": (lambda: functional(ops.softmax), "softmax"),
    "softmax of tensorflow": (lambda: body(activation=tf.nn.softmax), "softmax"),
    "convolution": (lambda: convolutional("softmax"), "softmax"),
    "nested": (lambda: nested("softmax"), "softmax"),
    "nested twice": (
        lambda: keras.Sequential([keras.Input(SHAPE), nested("softmax")]),
        "softmax",
    ),
    "lstm": (rows_of_an_lstm, "softmax"),
    "bfloat16": (in_bfloat16, "softmax"),
    "penalty": (lambda: body(activation="softmax", kernel_regularizer="l2"), "softmax"),
    "sigmoid per class": (lambda: body(activation="sigmoid"), "sigmoid"),
    "sigmoid operation": (lambda: functional(ops.sigmoid), "sigmoid"),
}
PROBABILITIES = {"softmax": ops.softmax, "sigmoid": ops.sigmoid}


@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_is_taken_off(name, images):
    """Fails unless the scores give the model's own outputs, on its weights and nothing else's."""
    make, ending = ENDINGS[name]
    model = make()
    before = [weight.copy() for weight in model.get_weights()]
    opened = open_model(model)
    assert opened.notes == (f"The model {TAKEN_OFF.format(ending)}.",)
    scores = opened.model(images)
    close = 1e-2 if name == "bfloat16" else 1e-6
    np.testing.assert_allclose(PROBABILITIES[ending](scores), model(images), atol=close)
    assert np.ptp(scores) > 0.1 and (np.min(scores) < 0)
    assert all(a is b for a, b in zip(opened.model.weights, model.weights, strict=True))
    assert [loss.shape for loss in opened.model.losses] == [loss.shape for loss in model.losses]
    opened.model.set_weights([2 * weight for weight in before])
    np.testing.assert_array_equal(model.get_weights()[0], 2 * before[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: body(1, "sigmoid"),
        lambda: keras.Sequential([body(1), layers.Activation("sigmoid")]),
        lambda: keras.Sequential([keras.Input(SHAPE), body(1, "sigmoid")]),
    ],
)
def test_one_sigmoid_becomes_two_scores(make, images):
    """Fails unless the difference of the scores is the logit."""
    model = make()
    scores = ops.convert_to_numpy(keras_mmc.to_scores(model)(images))
    np.testing.assert_array_equal(scores[:, 0], 0)
    np.testing.assert_allclose(ops.sigmoid(scores[:, 1:]), model(images), atol=1e-6)


def test_one_logit_becomes_two_scores(images):
    """Fails if an output without activation is taken for a probability."""
    model = body(1)
    model.layers[-1].set_weights([1e-3 * np.ones((16, 1)), np.array([0.5])])  # all inside [0, 1]
    scores = ops.convert_to_numpy(keras_mmc.to_scores(model, images)(images))
    np.testing.assert_array_equal(scores[:, 1:], model(images))


@pytest.mark.parametrize(
    "make",
    [
        body,
        lambda: functional(layers.Identity()),
        lambda: nested(None),
        Subclassed,
        lambda: functional(ops.log_softmax),
        lambda: keras.Sequential([body(), keras_mmc.MaxMahalanobisCenters(5)]),
    ],
)
def test_scores_are_left_alone(make, images):
    """Fails if a model that returns scores is wrapped, or a note is made of it."""
    model = make()
    opened = open_model(model, images)
    assert opened.model is model and opened.notes == ()


@pytest.mark.parametrize("units", [1, 5])
@pytest.mark.parametrize("built", [False, True])
def test_probabilities_that_stay(built, units, images):
    """Fails unless a closed model gives the logarithm of what it returns, and says what it hides.

    Of five sigmoids that do not sum to 1 nothing is known: they are scores as they are.
    """
    model = Subclassed(units, "softmax" if units > 1 else "sigmoid")
    if built:
        model(images[:3])
    with pytest.warns(UserWarning, match=LOGARITHM):
        scores = ops.convert_to_numpy(keras_mmc.to_scores(model, images)(images))
    p = ops.convert_to_numpy(model(images))
    p = p if units > 1 else np.concatenate([1 - p, p], axis=1)
    np.testing.assert_allclose(scores, np.log(p), rtol=1e-5, atol=1e-6)
    model.dense.set_weights([1e4 * model.dense.get_weights()[0], np.zeros(units)])
    assert np.isfinite(open_model(model, images).model(images)).all()


def test_a_lambda_that_returns_probabilities(images):
    """Fails if a softmax that the graph does not show is attacked as scores."""
    model = functional(layers.Lambda(lambda x: ops.softmax(x)))
    opened = open_model(model)
    assert LOGARITHM in opened.notes[0]
    np.testing.assert_allclose(opened.model(images), np.log(model(images)), atol=1e-5)


def test_a_dict_of_one_is_opened(images):
    """Fails if a name around the only input or output stops an audit."""
    inputs = keras.Input(SHAPE, name="image")
    outputs = layers.Dense(5, "softmax")(layers.Flatten()(inputs))
    model = keras.Model({"image": inputs}, {"class": outputs})
    scores = keras_mmc.to_scores(model)(images)
    np.testing.assert_allclose(ops.softmax(scores), model({"image": images})["class"], atol=1e-6)


def two_inputs():
    inputs = [keras.Input(SHAPE, name="image"), keras.Input((3,), name="facts")]
    joined = layers.Concatenate()([layers.Flatten()(inputs[0]), inputs[1]])
    return keras.Model(inputs, layers.Dense(5)(joined))


class Named(Subclassed):
    """Returns a dict."""

    def call(self, inputs):
        return {"class": super().call(inputs), "other": super().call(inputs)}


class TakesDict(Subclassed):
    """Takes a dict."""

    def call(self, inputs):
        return super().call(inputs["image"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_inputs, r"2 inputs, \['image', 'facts'\].*one tensor of images"),
        (lambda: functional(lambda x: [x, x + 1]), "2 outputs.*one of scores"),
        (Named, r"a dict with the keys \['class', 'other'\]; attacks need one tensor"),
        (TakesDict, r"cannot be called on one tensor of images of shape \(20, 8, 8, 1\)"),
        (lambda: keras.Sequential([layers.Dense(5)]), r"shape \(N, K\); received shape \(20, 8,"),
        (lambda: Subclassed(5).predict, "A Keras model from images to scores is needed"),
    ],
)
def test_what_cannot_be_opened(make, message, images):
    """Fails if a raw error of TensorFlow comes instead of one that says what to do."""
    with pytest.raises(ValueError, match=message):
        keras_mmc.to_scores(make(), images)


def test_images_are_asked_for():
    """Fails if the shape of unknown images is guessed, or a lone output is."""
    with pytest.raises(ValueError, match=r"does not know the shape.*to_scores\(model, images\)"):
        keras_mmc.to_scores(Subclassed())
    with pytest.raises(ValueError, match="a logit or a probability"):
        keras_mmc.to_scores(functional(lambda x: layers.Lambda(lambda t: ops.sigmoid(t[:, :1]))(x)))


class ImageConverter(layers.Layer):
    """Halves the images and their values, as a preprocessor of a task would."""

    image_size = (4, 4)

    def call(self, inputs):
        return ops.image.resize(inputs, self.image_size) / 2


class Preprocessor:
    """What a task of KerasHub holds."""

    image_converter = ImageConverter()


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_a_preprocessor_comes_first(activation, images):
    """Fails if the network is attacked on images that its preprocessor never saw."""
    last = layers.Dense(5, activation=activation)
    network = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), last])
    network.preprocessor = Preprocessor()
    opened = open_model(network, images)
    expected = network(Preprocessor.image_converter(images))
    end = ops.softmax if activation else (lambda scores: scores)
    np.testing.assert_allclose(end(opened.model(images)), expected, atol=1e-6)
    assert "ImageConverter of the model's preprocessor" in opened.notes[0]
    assert open_model(network).model.input_shape == (None, 4, 4, 1)


def test_opened_models_are_saved(run_python, images, tmp_path):
    """Fails if what was put behind a model cannot be loaded in another process."""
    models = {
        "two": keras_mmc.to_scores(body(1, "sigmoid")),
        "log": open_model(functional(layers.Activation("linear")), images).model,
        "softmax": keras_mmc.to_scores(nested("softmax")),
    }
    np.save(tmp_path / "images.npy", images)
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", model(images))
    code = f"""
import keras, keras_mmc, numpy as np
for name in {sorted(models)}:
    model = keras.models.load_model(r"{tmp_path}/" + name + ".keras")
    scores = model(np.load(r"{tmp_path}/images.npy"))
    print(name, np.array_equal(scores, np.load(r"{tmp_path}/" + name + ".npy")))
"""
    assert run_python(code).split() == ["log", "True", "softmax", "True", "two", "True"]
