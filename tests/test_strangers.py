"""Models and data as users of Keras hold them, all at one door: `keras_mmc.audit`.

Each gets the clean accuracy and the robust accuracy under FGSM that a computation without this
package gives, from the model's own outputs and the gradient of their cross-entropy; or one clear
error.
"""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_mmc
from keras_mmc.adapters import BlackBox, from_saved_model, from_tflite
from keras_mmc.attacks import FGSM
from keras_mmc.evaluation import Suite
from tests.loaders import InBatches, Loader

COLORED = (8, 8, 3)
NAMES = ("bird", "cat", "dog")


def network(*last, shape=COLORED):
    """A Sequential classifier."""
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(16, "relu"), *last])


def functional(end, shape=COLORED):
    """A functional classifier that ends in `end` of three logits."""
    inputs = keras.Input(shape)
    hidden = layers.Dense(16, "relu")(layers.Flatten()(inputs))
    return keras.Model(inputs, end(layers.Dense(3)(hidden)))


class Subclassed(keras.Model):
    """A classifier without a graph."""

    def __init__(self, activation=None):
        super().__init__()
        self.flat, self.dense = layers.Flatten(), layers.Dense(3, activation)

    def call(self, inputs):
        return self.dense(self.flat(inputs))


class Named(Subclassed):
    """Returns several outputs in a dict."""

    def call(self, inputs):
        return {"class": super().call(inputs), "features": self.flat(inputs)}


def two_inputs():
    inputs = [keras.Input(COLORED, name="image"), keras.Input((3,), name="facts")]
    joined = layers.Concatenate()([layers.Flatten()(inputs[0]), inputs[1]])
    return keras.Model(inputs, layers.Dense(3)(joined))


def of_words():
    pooled = [layers.Embedding(20, 4), layers.GlobalAveragePooling1D(), layers.Dense(3)]
    return keras.Sequential([keras.Input((6,), dtype="int32"), *pooled])


def diverged():
    model = network(layers.Dense(3))
    model.layers[-1].set_weights([np.full((16, 3), np.nan), np.zeros(3)])
    return model


def nested():
    inputs = keras.Input(COLORED)
    scaled = layers.Rescaling(2.0, offset=-1.0)(inputs)
    return keras.Model(inputs, network(layers.Dense(3, "softmax"))(scaled))


def of_dicts():
    inputs = keras.Input(COLORED, name="image")
    outputs = layers.Dense(3, "softmax")(layers.Flatten()(inputs))
    return keras.Model({"image": inputs}, {"class": outputs})


def convolutional():
    last = [layers.Conv2D(3, 1), layers.Reshape((3,)), layers.Softmax()]
    return keras.Sequential([keras.Input(COLORED), layers.Conv2D(8, 8, activation="relu"), *last])


def channels_first():
    last = [layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]
    return keras.Sequential([keras.Input((3, 8, 8)), layers.Permute((2, 3, 1)), *last])


def of_rows():
    last = [layers.Reshape((8, 24)), layers.LSTM(6), layers.Dense(3, "softmax")]
    return keras.Sequential([keras.Input(COLORED), *last])


def of_random_layers():
    """Layers that are random in training and fixed at inference."""
    model = network(layers.Dropout(0.5), layers.BatchNormalization(), layers.Dense(3))
    images = np.random.default_rng(1).random((64, *COLORED))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images, np.arange(64) % 3, verbose=0)
    return model


def adapted():
    """The user's own standardization, adapted to data, is a part of the model."""
    norm = layers.Normalization()
    norm.adapt(np.random.default_rng(1).random((64, *COLORED)))
    return keras.Sequential([keras.Input(COLORED), norm, network(layers.Dense(3, "softmax"))])


def under(policy):
    keras.config.set_dtype_policy(policy)
    return network(layers.Dense(3), layers.Activation("softmax", dtype="float32"))


def of_pixels(*last):
    """A classifier of pixels from 0 to 255."""
    return keras.Sequential([keras.Input(COLORED), layers.Rescaling(1 / 255), network(*last)])


def mobile_net():
    """As of `keras.applications`, with the batch statistics of pictures."""
    model = keras.applications.MobileNetV3Small(
        weights=None, input_shape=(32, 32, 3), classes=3, dropout_rate=0.0
    )
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model(pictures(np.random.default_rng(1), (32, 32, 3), 0.0, 255.0), training=True)
    return model


def hub_task():
    """A task of KerasHub: its preprocessor is no part of what `model(x)` computes."""
    import keras_hub

    backbone = keras_hub.models.ViTBackbone(
        (8, 8, 3), 4, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16
    )
    converter = keras_hub.layers.ViTImageConverter(image_size=(8, 8), scale=1 / 32, offset=-3.0)
    return keras_hub.models.ViTImageClassifier(
        backbone,
        num_classes=3,
        preprocessor=keras_hub.models.ViTImageClassifierPreprocessor(converter),
        activation="softmax",
    )


def through_converter(task, x):
    return task(task.preprocessor.image_converter(x))


def called(model, x):
    return model(x, training=False)


# By name: how the model is made; whether it returns probabilities; then what differs from images
# of shape (8, 8, 3) in the box (0, 1) at eps 0.02.
MODELS = {
    "scores": (lambda: network(layers.Dense(3)), False, {}),
    "softmax in the last layer": (lambda: network(layers.Dense(3, "softmax")), True, {}),
    "softmax layer": (lambda: functional(layers.Softmax()), True, {}),
    "softmax activation": (lambda: functional(layers.Activation("softmax")), True, {}),
    "softmax operation": (lambda: functional(ops.softmax), True, {}),
    "softmax in a Lambda": (lambda: functional(layers.Lambda(lambda z: ops.softmax(z))), True, {}),
    "log softmax": (lambda: functional(ops.log_softmax), False, {}),
    "one sigmoid": (lambda: network(layers.Dense(1, "sigmoid")), True, {}),
    "one logit": (lambda: network(layers.Dense(1)), False, {}),
    "subclassed scores": (Subclassed, False, {}),
    "subclassed softmax": (lambda: Subclassed("softmax"), True, {}),
    "nested": (nested, True, {}),
    "dicts of one": (
        of_dicts,
        True,
        {"own": lambda model, x: model({"image": x}, training=False)["class"]},
    ),
    "convolution at the end": (convolutional, True, {}),
    "channels first": (channels_first, False, {"shape": (3, 8, 8)}),
    "lstm over rows": (of_rows, True, {"eps": 0.5}),
    "table": (lambda: network(layers.Dense(3, "softmax"), shape=(12,)), True, {"shape": (12,)}),
    "no axis of channels": (
        lambda: network(layers.Dense(3), shape=(8, 8, 1)),
        False,
        {"shape": (8, 8)},
    ),
    "one pixel": (lambda: network(layers.Dense(3), shape=(1, 1, 3)), False, {"shape": (1, 1, 3)}),
    "unknown sizes": (
        lambda: keras.Sequential(
            [keras.Input((None, None, 3)), layers.Conv2D(3, 3), layers.GlobalMaxPooling2D()]
        ),
        False,
        {"eps": 0.5},
    ),
    "dropout and batch statistics": (of_random_layers, False, {}),
    "adapted standardization": (adapted, True, {}),
    "bfloat16": (lambda: under("mixed_bfloat16"), True, {"close": 2 / 40}),
    "float16": (lambda: under("mixed_float16"), True, {"close": 2 / 40}),
    "fixed centers": (
        lambda: network(layers.Dense(8), keras_mmc.MaxMahalanobisCenters(3)),
        False,
        {},
    ),
    "scaled inside": (
        lambda: of_pixels(layers.Dense(3, "softmax")),
        True,
        {"box": (0.0, 255.0), "eps": 4.0},
    ),
    "box of -1 and 1": (
        lambda: network(layers.Dense(3, "softmax")),
        True,
        {"box": (-1.0, 1.0), "eps": 0.04},
    ),
    "keras.applications": (
        mobile_net,
        True,
        {"shape": (32, 32, 3), "box": (0.0, 255.0), "eps": 4.0},
    ),
    "task of KerasHub": (
        hub_task,
        True,
        {"box": (0.0, 255.0), "eps": 4.0, "own": through_converter},
    ),
}


def pictures(rng, shape, low, high):
    """Noise of a contrast and a brightness of its own for each channel of each of 40 images."""
    size = (40, *shape)
    own = (40, *[1] * (len(shape) - 1), shape[-1])
    ends = np.sort(rng.uniform(low, high, (2, *own)), axis=0)
    return rng.uniform(*np.broadcast_to(ends, (2, *size))).astype("float32")


@pytest.fixture(autouse=True)
def no_diagnostics(monkeypatch):
    """Other tests are about these: most of an audit's time goes into the checks of gradients."""
    module = importlib.import_module("keras_mmc.evaluation.audit")
    monkeypatch.setattr(module, "diagnose", lambda *_: {})


def labeled(answer, x):
    """Labels that the model mostly predicts, so that accuracies are neither 0 nor 1."""
    outputs = np.asarray(answer(tf.constant(x)))
    classes = max(outputs.shape[1], 2)
    predicted = predictions(outputs, True) if classes == 2 else outputs.argmax(axis=1)
    wrong = np.arange(len(x)) % 5 == 0
    return np.where(wrong, (predicted + 1) % classes, predicted).astype("int32")


def predictions(outputs, are_probabilities):
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > (0.5 if are_probabilities else 0)).astype(int)
    return outputs.argmax(axis=1)


def fgsm(answer, are_probabilities, x, y, eps, box):
    """Clean and robust accuracy under one signed step on the cross-entropy, longhand."""
    images = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = tf.cast(answer(images), tf.float32)
        if outputs.shape[1] == 1 and not are_probabilities:
            log_p = tf.concat([tf.math.log_sigmoid(-outputs), tf.math.log_sigmoid(outputs)], 1)
        elif not are_probabilities:
            log_p = outputs - tf.reduce_logsumexp(outputs, axis=1, keepdims=True)
        else:
            p = tf.concat([1 - outputs, outputs], 1) if outputs.shape[1] == 1 else outputs
            log_p = tf.math.log(p)
        loss = -tf.reduce_sum(tf.gather(log_p, y, batch_dims=1))
    step = eps * np.sign(tape.gradient(loss, images))
    moved = tf.constant(np.clip(x + step, *box), tf.float32)
    right = predictions(outputs.numpy(), are_probabilities) == y
    kept = predictions(np.asarray(answer(moved)), are_probabilities) == y
    return right.mean(), (right & kept).mean()


@pytest.mark.parametrize("name", MODELS)
def test_models(name, rng, need):
    """Fails unless a model gets the clean and the robust accuracy of its own outputs."""
    if name == "task of KerasHub":
        need("keras_hub", "kerashub")
    make, are_probabilities, differs = MODELS[name]
    box, eps = differs.get("box", (0.0, 1.0)), differs.get("eps", 0.02)
    own = differs.get("own", called)
    x = pictures(rng, differs.get("shape", COLORED), *box)
    model = make()

    def answer(images):
        return own(model, images)

    y = labeled(answer, x)
    clean, robust = fgsm(answer, are_probabilities, x, y, eps, box)
    suite = Suite("fgsm", {"fgsm": FGSM(eps, objective="cross_entropy", box=box)})
    report = keras_mmc.audit(model, x, y, eps, suite, box=box, verbose=0)
    assert report.clean_accuracy == clean
    assert abs(report.robust_accuracy - robust) <= differs.get("close", 1e-9)
    assert 0 < robust < clean < 1
    found = predictions(np.asarray(answer(tf.constant(report.x_adv))), are_probabilities)
    broken = [by is not None for by in report.broken_by]
    np.testing.assert_array_equal(found != y, broken)


def batches(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(16)


def folder(x, y, place):
    """A folder of PNGs, one subfolder for each class; it is read class by class."""
    for number, (image, label) in enumerate(zip(x, y, strict=True)):
        path = place / NAMES[label] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(path, image, scale=False)
    return keras.utils.image_dataset_from_directory(
        place, image_size=(8, 8), batch_size=16, shuffle=False, verbose=False
    )


DATA = {
    "float32": lambda x, y, _: (x.astype("float32"), y),
    "float64": lambda x, y, _: (x.astype("float64"), y),
    "float16": lambda x, y, _: (x.astype("float16"), y),
    "whole pixels": lambda x, y, _: (x, y),
    "wide integers": lambda x, y, _: (x.astype("int64"), y),
    "lists": lambda x, y, _: (x.tolist(), y.tolist()),
    "tensors": lambda x, y, _: (tf.constant(x), tf.constant(y)),
    "one-hot rows": lambda x, y, _: (x, np.eye(3)[y]),
    "a column of labels": lambda x, y, _: (x, y[:, None].astype("uint8")),
    "labels as floats": lambda x, y, _: (x, y.astype(float)),
    "tf.data of tuples": lambda x, y, _: (batches(x, y), None),
    "tf.data of triples": lambda x, y, _: (
        batches(x, y).map(lambda x, y: (x, y, tf.ones_like(y))),
        None,
    ),
    "tf.data of dicts": lambda x, y, _: (
        batches(x, y).map(lambda x, y: {"image": x, "label": y}),
        None,
    ),
    "PyDataset": lambda x, y, _: (InBatches(x, y), None),
    "loader": lambda x, y, _: (Loader(x, y), None),
    "folder": lambda x, y, place: (folder(x, y, place), None),
    "folder behind a cache": lambda x, y, place: (folder(x, y, place).cache().prefetch(2), None),
    "a pair": lambda x, y, _: ((x, y), None),
    "a dict of arrays": lambda x, y, _: ({"image": x, "label": y}, None),
    "a dict of the images": lambda x, y, _: ({"pixels": x}, y),
    "tf.data of named inputs": lambda x, y, _: (
        batches(x, y).map(lambda x, y: ({"pixels": x}, y)),
        None,
    ),
    "tf.data of images alone": lambda x, y, _: (
        tf.data.Dataset.from_tensor_slices(x).batch(16),
        y,
    ),
    "a list of batches": lambda x, y, _: ([(x[:16], y[:16]), (x[16:], y[16:])], None),
}


@pytest.fixture(scope="module")
def pixels():
    """A classifier of pixels, pixels, their labels; the result of FGSM, longhand, is the same."""
    keras.utils.set_random_seed(0)
    model = of_pixels(layers.Dense(3, "softmax"))
    x = pictures(np.random.default_rng(0), COLORED, 0, 256).astype("uint8")
    order = np.argsort(labeled(model, x.astype("float32")), kind="stable")
    x = x[order]
    y = labeled(model, x.astype("float32"))
    x = x[np.argsort(y, kind="stable")]
    y = np.sort(y)
    return model, x, y, fgsm(model, True, x.astype("float32"), y, 4.0, (0.0, 255.0))


@pytest.mark.parametrize("name", DATA)
def test_data(name, pixels, tmp_path):
    """Fails unless a form of the same images and labels gets the same two accuracies."""
    model, x, y, expected = pixels
    given, labels = DATA[name](x, y, tmp_path)
    attack = FGSM(4.0, objective="cross_entropy", box=(0.0, 255.0))
    suite = Suite("fgsm", {"fgsm": attack})
    report = keras_mmc.audit(model, given, labels, 4.0, suite, box=(0, 255), verbose=0)
    assert (report.clean_accuracy, report.robust_accuracy) == expected
    assert 0 < expected[1] < expected[0] < 1
    assert report.class_names == (NAMES if name.startswith("folder") else None)
    np.testing.assert_array_equal(report.labels, y)


def served(model, place):
    model.export(place, verbose=False)
    return from_saved_model(place)


def lite(model, place):
    file = place / "model.tflite"
    file.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return from_tflite(file)


BOXES = {
    "a function of probabilities": lambda model, _: lambda x: model.predict(x, verbose=0),
    "a function of labels": lambda model, _: BlackBox(
        lambda x: model.predict(x, verbose=0).argmax(axis=1), 3
    ),
    "a SavedModel": served,
    "a TFLite file": lite,
}


@pytest.mark.parametrize("name", BOXES)
def test_black_boxes(name, pixels, tmp_path):
    """Fails unless what only answers has its accuracy, and what breaks it breaks the model."""
    model, x, y, (clean, _) = pixels
    box = BOXES[name](model, tmp_path)
    report = keras_mmc.audit(
        box, x, y, 16.0, "black_box", box=(0, 255), substitute=model, queries=20, verbose=0
    )
    assert report.clean_accuracy == clean > report.robust_accuracy
    broken = model.predict(report.x_adv, verbose=0).argmax(axis=1) != y
    np.testing.assert_array_equal([by is not None for by in report.broken_by], broken)


PLAIN = np.zeros((6, *COLORED), "float32")
LABELS = np.arange(6) % 3
REFUSED = {
    "two inputs": (two_inputs, PLAIN, LABELS, r"2 inputs, \['image', 'facts'\]"),
    "two outputs": (lambda: functional(lambda z: [z, 2 * z]), PLAIN, LABELS, "2 outputs"),
    "a dict of outputs": (Named, PLAIN, LABELS, r"a dict with the keys \['class', 'features'\]"),
    "scores of every pixel": (
        lambda: keras.Sequential([keras.Input(COLORED), layers.Conv2D(3, 1)]),
        PLAIN,
        LABELS,
        r"shape \(N, K\); received shape \(6, 8, 8, 3\)",
    ),
    "words": (of_words, np.zeros((6, 6), "int32"), LABELS, "255"),
    "weights of NaN": (diverged, PLAIN, LABELS, "NaN"),
    "a function": (lambda: lambda x: x, PLAIN, LABELS, "suite='black_box'"),
    "images of another shape": (
        lambda: network(layers.Dense(3)),
        np.zeros((6, 9, 9, 3), "float32"),
        LABELS,
        r"takes images of shape \(8, 8, 3\); received shape \(9, 9, 3\)",
    ),
    "pixels beyond the box": (lambda: network(layers.Dense(3)), PLAIN + 200, LABELS, "box"),
    "whole numbers": (lambda: network(layers.Dense(3)), PLAIN.astype("uint8"), LABELS, "255"),
    "images of NaN": (lambda: network(layers.Dense(3)), PLAIN * np.nan, LABELS, "NaN"),
    "class names as labels": (
        lambda: network(layers.Dense(3)),
        PLAIN,
        np.array(NAMES)[LABELS],
        "integers of shape",
    ),
    "labels that start at 1": (
        lambda: network(layers.Dense(3)),
        PLAIN,
        LABELS + 1,
        r"must lie in \[0, 3\)",
    ),
    "too few labels": (lambda: network(layers.Dense(3)), PLAIN, LABELS[:5], r"shape \(6,\)"),
    "a generator": (
        lambda: network(layers.Dense(3)),
        ((PLAIN, LABELS) for _ in range(2)),
        None,
        "received generator, which may never",
    ),
    "single images": (
        lambda: network(layers.Dense(3)),
        tf.data.Dataset.from_tensor_slices((PLAIN, LABELS)),
        None,
        "must be batches",
    ),
    "a data set without labels": (
        lambda: network(layers.Dense(3)),
        tf.data.Dataset.from_tensor_slices(PLAIN).batch(3),
        None,
        r"\(images, labels\)",
    ),
    "images of two inputs in a list": (
        two_inputs,
        [PLAIN, np.zeros((6, 3), "float32")],
        LABELS,
        "received 2 arrays. Attacks change one input",
    ),
    "images of two inputs in a dict": (
        two_inputs,
        {"image": PLAIN, "facts": np.zeros((6, 3), "float32")},
        LABELS,
        r"a dict with the keys \['facts', 'image'\]",
    ),
    "a path": (lambda: network(layers.Dense(3)), "photos", None, "received the path 'photos'"),
    "two data sets": (
        lambda: network(layers.Dense(3)),
        [batches(PLAIN, LABELS), batches(PLAIN, LABELS)],
        None,
        "received 2 of them",
    ),
    "labels twice": (
        lambda: network(layers.Dense(3)),
        batches(PLAIN, LABELS),
        LABELS,
        "leave `y` as None",
    ),
    "a softmax over one output": (
        lambda: network(layers.Dense(1, "softmax")),
        PLAIN,
        LABELS % 2,
        "which is always 1",
    ),
    "one output without its axis": (
        lambda: network(layers.Dense(1, "sigmoid"), layers.Reshape(())),
        PLAIN,
        LABELS % 2,
        r"shape \(N, 1\)",
    ),
    "no images": (lambda: network(layers.Dense(3)), PLAIN[:0], LABELS[:0], "image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    """Fails if what has no answer gets one, or an error that does not say what is wrong."""
    make, x, y, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        keras_mmc.audit(make(), x, y, 0.1, "quick", verbose=0)
