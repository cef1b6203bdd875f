"""SavedModels and .tflite files as black boxes: what they answer, and what their digest is."""

import hashlib
import shutil
import sys
import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mmc
from keras_mmc.adapters import from_saved_model, from_tflite
from keras_mmc.adapters._batches import in_batches_of, to_dtype
from keras_mmc.adapters.tflite import dequantized, quantized
from keras_mmc.attacks import Runner, Square

SHAPE = (8, 8, 1)
EPS = 0.15


@pytest.fixture(scope="module")
def model(digits):
    """A small network of digits that ends in scores."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(32, "relu"), keras.layers.Dense(10)]
    network = keras.Sequential([keras.Input(SHAPE), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(1e-2), loss)
    network.fit(digits[0][200:], digits[1][200:], epochs=5, verbose=0)
    return network


@pytest.fixture(scope="module")
def images(digits):
    return digits[0][:50]


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    return keras_mmc.export_saved_model(model, tmp_path_factory.mktemp("saved") / "1")


@pytest.fixture(scope="module")
def converted(model, digits, tmp_path_factory):
    """Paths of the network as .tflite files: in floats, and with 8-bit inputs and outputs."""
    directory, paths = tmp_path_factory.mktemp("tflite"), {}
    hidden, hidden_bias, last, last_bias = map(tf.constant, model.get_weights())

    @tf.function(input_signature=[tf.TensorSpec([None, *SHAPE], tf.float32)])
    def serve(x):  # the network with its weights as constants, as the converter wants them
        return tf.nn.relu(tf.reshape(x, [-1, 64]) @ hidden + hidden_bias) @ last + last_bias

    for name in ("float", "int8"):
        concrete = [serve.get_concrete_function()]
        converter = tf.lite.TFLiteConverter.from_concrete_functions(concrete)
        if name == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([image[None]] for image in digits[0][:200])
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        paths[name] = directory / f"{name}.tflite"
        with warnings.catch_warnings():  # of the converter, about itself
            warnings.simplefilter("ignore")
            paths[name].write_bytes(converter.convert())
    return paths


def test_a_saved_model_is_attacked_as_the_model_itself(model, saved, images):
    """Fails if the same images, queries and seed break other images, or to other pixels."""
    box = from_saved_model(saved)
    outcomes = []
    for attacked in (model, box):
        runner = Runner(attacked, batch_size=20, seed=3)
        scores = runner.scores(images)
        labels = scores.argmax(axis=1).astype("int32")
        found = runner.run(Square(EPS, queries=40), images, labels, np.arange(50))
        outcomes.append((scores, found))
    (scores, expected), (box_scores, found) = outcomes
    np.testing.assert_array_equal(box_scores, scores)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.x_adv, expected.x_adv)
    assert 0 < len(found.rows) < 50


@pytest.mark.parametrize("output", ["probabilities", "label"])
def test_other_outputs_of_a_signature(output, model, saved, images):
    """Fails if another output is read than the one asked for, or by another formula."""
    box = from_saved_model(saved, output=output, num_classes=10)
    scores = model.predict(images, verbose=0)
    expected = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    if output == "label":
        expected = np.eye(10)[scores.argmax(axis=1)] - 1
    np.testing.assert_allclose(box(images), expected, atol=1e-3)


def test_a_signature_of_pixels_in_batches_of_4(tmp_path):
    """Fails if a fixed batch, whole pixels or a name of the signature are not taken as they are."""

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([4, 2], tf.uint8)] * 2)
        def judge(self, pixels, mask):
            return {"a": tf.cast(pixels, tf.float32), "b": tf.cast(mask, tf.float32)}

        @tf.function(input_signature=[tf.TensorSpec([4, 2], tf.uint8)])
        def twice(self, pixels):
            return {"only": 2 * tf.cast(pixels, tf.float32)}

    module = Module()
    tf.saved_model.save(module, tmp_path / "m", {"judge": module.judge, "twice": module.twice})
    box = from_saved_model(tmp_path / "m", "twice")
    x = np.arange(12, dtype="float32").reshape(6, 2) + 0.4
    np.testing.assert_array_equal(box(x), 2 * np.rint(x))
    for options, message in (
        ({}, r"no signature 'serving_default'; it has \['judge', 'twice'\]"),
        ({"signature": "judge"}, r"several inputs; it has \['mask', 'pixels'\]. Pass.*`input`"),
        ({"signature": "judge", "input": "mask"}, r"several outputs; it has \['a', 'b'\]"),
        ({"signature": "twice", "output": "scores"}, r"no output 'scores'; it has \['only'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            from_saved_model(tmp_path / "m", **options)
    with pytest.raises(ValueError, match="is no directory of a SavedModel"):
        from_saved_model(tmp_path)


def test_the_digest_of_a_directory_longhand(saved, tmp_path):
    """Fails if a copy has another digest, or a byte, a name or a file more has the same."""
    copy = tmp_path / "copy"
    shutil.copytree(saved, copy)
    state = hashlib.sha256()
    for file in sorted(path for path in copy.rglob("*") if path.is_file()):
        state.update(f"{file.relative_to(copy).as_posix()}\0{file.stat().st_size}\0".encode())
        state.update(file.read_bytes())
    digest = from_saved_model(saved).digest
    assert digest == from_saved_model(copy).digest == state.hexdigest()
    (copy / "assets" / "note.txt").parent.mkdir(exist_ok=True)
    (copy / "assets" / "note.txt").write_text("more")
    assert from_saved_model(copy).digest != digest


def test_tflite_decides_as_the_model(converted, model, images):
    """Fails if images, answers or the order of either change on the way to the interpreter."""
    box = from_tflite(converted["float"])
    scores = model.predict(images, verbose=0)
    for count in (50, 3, 50, 1):  # batches of other sizes, as images leave an attack
        np.testing.assert_allclose(box(images[:count]), scores[:count], atol=1e-3)
    assert box.digest == hashlib.sha256(converted["float"].read_bytes()).hexdigest()
    found = Square(EPS, queries=40)(box, images)
    expected = Square(EPS, queries=40)(model, images)
    decisions = model.predict(found, verbose=0).argmax(axis=1) != scores.argmax(axis=1)
    np.testing.assert_array_equal(
        decisions, model.predict(expected, verbose=0).argmax(axis=1) != scores.argmax(axis=1)
    )


def test_a_quantized_file_answers_in_units_of_its_scale(converted, model, images):
    """Fails if 8-bit pixels or scores are not taken by their scale and zero point."""
    scores, found = model.predict(images, verbose=0), from_tflite(converted["int8"])(images).numpy()
    assert abs(found - scores).max() < 0.1 * np.ptp(scores)
    assert (found.argmax(axis=1) == scores.argmax(axis=1)).mean() > 0.9


def test_quantization_longhand():
    """Fails if a pixel is rounded to another level, leaves the 8 bits, or comes back elsewhere."""
    details = {"quantization": (0.25, -3), "dtype": np.int8}
    x = np.array([0.0, 0.3, 0.4, 1.0, 1e4, -1e4], "float32")
    levels = quantized(x, details)
    assert levels.dtype == np.int8
    np.testing.assert_array_equal(levels, [-3, -2, -1, 1, 127, -128])
    np.testing.assert_array_equal(dequantized(levels[:4], details), [0.0, 0.25, 0.5, 1.0])
    plain = {"quantization": (0.0, 0), "dtype": np.float32}
    np.testing.assert_array_equal(dequantized(quantized(x, plain), plain), x)
    np.testing.assert_array_equal(to_dtype(np.array([-1.0, 3.5, 300.0]), np.uint8), [0, 4, 255])


@pytest.mark.parametrize("count", [1, 4, 6])
def test_batches_are_filled_and_the_filling_dropped(count):
    """Fails if a model of a fixed batch gets another one, or answers come back out of order."""
    sizes = []

    def ask(images):
        sizes.append(len(images))
        return 2 * images

    x = np.arange(count, dtype="float32")[:, None]
    np.testing.assert_array_equal(in_batches_of(4, ask, x), 2 * x)
    assert set(sizes) == {4}
    np.testing.assert_array_equal(in_batches_of(None, ask, x), 2 * x)
    assert sizes[-1] == count


def test_what_is_no_file_of_that_kind(tmp_path):
    """Fails if a path that was mistyped ends in an error of the interpreter."""
    with pytest.raises(ValueError, match=r"'.*model.tflite' is no file"):
        from_tflite(tmp_path / "model.tflite")
    (tmp_path / "model.tflite").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"cannot be read as a .tflite file"):
        from_tflite(tmp_path / "model.tflite")


def test_no_interpreter(converted, monkeypatch):
    """Fails if a missing interpreter ends in an error that does not say what to install."""
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tensorflow", types.ModuleType("tensorflow"))
    with pytest.raises(ImportError, match="pip install ai-edge-litert"):
        from_tflite(converted["float"])
