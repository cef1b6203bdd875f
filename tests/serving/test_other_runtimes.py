"""ONNX, LiteRT and OpenVINO files answer as the model, run by runtimes of their own."""

import json

import keras
import numpy as np
import pytest

import keras_mmc

FORMATS = ("onnx", "litert", "openvino")
BOX = (-1.0, 2.0)
SHAPE = (8, 8, 1)


def run(format, path, images):
    """All outputs of an exported directory, by its runtime."""
    facts = json.loads((path / "keras_mmc.json").read_text())
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path / "model.onnx")
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {"images": images}), strict=True))
    if format == "litert":
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(str(path / "model.tflite")).get_signature_runner()(images=images)
    import openvino

    compiled = openvino.compile_model(path / "model.xml", "CPU", facts["compile_with"])
    return {next(iter(key.names)): value for key, value in compiled(images).items()}


def network(*last):
    """Layers that converters were seen to lose, before the last ones."""
    normalization = keras.layers.Normalization()
    normalization.adapt(np.random.default_rng(0).uniform(*BOX, (100, *SHAPE)))
    first = [normalization, keras.layers.Rescaling(0.5, offset=0.25), keras.layers.Conv2D(4, 3)]
    middle = [keras.layers.BatchNormalization(), keras.layers.ReLU(), keras.layers.Flatten()]
    layers = [*first, *middle, keras.layers.Dense(8), *last]
    return keras.Sequential([keras.Input(SHAPE), *layers])


def export(format, model, path, **options):
    """The directory of an export in the box of these tests."""
    return getattr(keras_mmc, f"export_{format}")(model, path, box=BOX, **options)


@pytest.fixture
def images(rng):
    return rng.uniform(*BOX, (6, *SHAPE)).astype("float32")


@pytest.fixture(autouse=True)
def installed(need, request):
    """The runtime of a test, which CI must have."""
    modules = {"onnx": "onnxruntime", "litert": "ai_edge_litert", "openvino": "openvino"}
    format = request.node.callspec.params.get("format") if hasattr(request.node, "callspec") else 0
    need(modules.get(format, "ai_edge_litert"), format or "litert")


@pytest.mark.parametrize("format", FORMATS)
def test_answers_are_those_of_the_model(format, images, tmp_path):
    """Fails if a layer, a distance, a temperature, a threshold or an edge is another one there."""
    keras.utils.set_random_seed(1)
    model = network(keras_mmc.MaxMahalanobisCenters(5))
    x = np.random.default_rng(2).uniform(*BOX, (300, *SHAPE)).astype("float32")
    labels = model.predict(x, verbose=0).argmax(axis=1)
    labels[::7] = (labels[::7] + 1) % 5
    rejection = keras_mmc.calibrate_rejection(model, x, labels, false_rejection=0.5, box=BOX)
    names = list("abcde")
    path = export(format, model, tmp_path / "1", class_names=names, rejection=rejection)
    found = run(format, path, images)
    scores = model.predict(images, verbose=0)
    np.testing.assert_allclose(found["scores"], scores, atol=1e-5 * abs(scores).max())
    np.testing.assert_array_equal(found["label"], scores.argmax(axis=1))
    distance = np.sqrt(-2 * scores.max(axis=1))
    np.testing.assert_allclose(found["distance"], distance, rtol=1e-4)
    np.testing.assert_array_equal(found["accepted"], distance <= rejection.threshold)
    assert 0 < found["accepted"].sum() < 6
    heated = np.exp((scores - scores.max(axis=1, keepdims=True)) / rejection.temperature)
    softmax = heated / heated.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found["probabilities"], softmax, rtol=1e-3, atol=1e-6)
    assert set(found) == {
        *["scores", "probabilities", "label", "distance", "distances", "accepted", "reason"]
    }
    one = run(format, path, images[:1])
    np.testing.assert_allclose(one["scores"], scores[:1], atol=1e-5 * abs(scores).max())
    images[1, 2, 3], images[4, 0, 0] = np.nan, 2.5
    spoiled = run(format, path, images)
    expected = np.where(found["accepted"], 0, 4)
    expected[1], expected[4] = 1, 2
    np.testing.assert_array_equal(spoiled["reason"], expected)
    np.testing.assert_array_equal(spoiled["label"][[1, 4]], [-1, -1])
    assert np.isnan(spoiled["scores"][[1, 4]]).all() and np.isnan(spoiled["distance"][[1, 4]]).all()
    facts = json.loads((path / "keras_mmc.json").read_text())
    assert facts["class_names"] == names and facts["threshold"] == rejection.threshold
    assert facts["parity"]["same_label"] == 1 and facts["parity"]["score_error"] < 1e-5


@pytest.mark.parametrize("format", FORMATS)
def test_a_softmax_ending(format, images, tmp_path):
    """Fails if softmax is applied twice, or a dense head gets a distance."""
    model = network(keras.layers.Dense(3, activation="softmax"))
    found = run(format, export(format, model, tmp_path / "1"), images)
    np.testing.assert_allclose(found["probabilities"], model.predict(images, verbose=0), atol=1e-6)
    expected = 1 - found["probabilities"].max(axis=1)
    np.testing.assert_allclose(found["one_minus_max_probability"], expected, atol=1e-6)


@keras.saving.register_keras_serializable("tests")
class OnlyTensorFlow(keras.layers.Layer):
    """A layer that no other runtime has."""

    def call(self, x):
        import tensorflow as tf

        return tf.math.bessel_i1e(x)


@pytest.mark.parametrize("format", FORMATS)
def test_refusals_write_nothing(format, tmp_path):
    """Fails if a file that cannot be run, or rounds otherwise, is left behind."""
    with pytest.raises(ValueError, match="cannot be exported to"):
        export(format, network(keras.layers.Dense(3), OnlyTensorFlow()), tmp_path / "1")
    keras.config.set_dtype_policy("mixed_bfloat16")
    with pytest.raises(ValueError, match=r"computes in bfloat16.*twin\.set_weights"):
        export(format, network(keras.layers.Dense(3, dtype="float32")), tmp_path / "1")
    assert not (tmp_path / "1").exists()


def test_a_file_that_answers_otherwise_is_refused(monkeypatch, tmp_path):
    """Fails if what a converter or a runtime gets wrong is written all the same."""
    from keras_mmc.serving import litert

    monkeypatch.setattr(litert, "answering", lambda *_: lambda x: np.zeros((len(x), 3)))
    with pytest.raises(ValueError, match=r"answers otherwise.*scores differ by 1\.0e"):
        export("litert", network(keras.layers.Dense(3)), tmp_path / "1")
    assert not (tmp_path / "1").exists()


@pytest.fixture(scope="module")
def trained(digits):
    """A network that knows digits, on images 0 to 1400."""
    keras.utils.set_random_seed(0)
    model = keras_mmc.models.small_cnn(SHAPE, head=keras_mmc.MaxMahalanobisCenters(10))
    model.compile(keras.optimizers.Adam(3e-3), keras_mmc.MMCLoss())
    model.fit(digits[0][:1400], digits[1][:1400], epochs=6, verbose=0)
    return model


@pytest.mark.parametrize("quantize", ["dynamic", "int8"])
def test_quantized_files_lose_at_most_a_point(quantize, trained, digits, tmp_path):
    """Fails if 8 bits cost more than 1 point of accuracy, or an audit of the file finds nothing."""
    x, y = digits[0][1400:], digits[1][1400:]
    path = keras_mmc.export_litert(
        trained, tmp_path / "1", quantize=quantize, representative=digits[0][:100]
    )
    facts = json.loads((path / "keras_mmc.json").read_text())
    assert facts["quantized"] == quantize and facts["parity"]["images"] == 100
    box = keras_mmc.adapters.from_tflite(path / "model.tflite")
    expected = (trained.predict(x, verbose=0).argmax(axis=1) == y).mean()
    accuracy = (np.asarray(box(x)).argmax(axis=1) == y).mean()
    assert expected > 0.9 and abs(accuracy - expected) <= 0.01
    if quantize == "int8":
        report = keras_mmc.audit(
            box, x[:20], y[:20], eps=0.3, suite="black_box", queries=40, verbose=0
        )
        assert report.robust_accuracy < report.clean_accuracy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": "int8"}, "`representative` must be some hundred images"),
        ({"quantize": "int4"}, "`quantize` must be None or 'dynamic' or 'int8'"),
        ({"quantize": "int8", "representative": np.zeros((3, 9, 9, 1))}, "takes images of shape"),
        ({"quantize": "int8", "representative": np.full((3, *SHAPE), 5.0)}, "must lie in"),
    ],
)
def test_options_that_do_not_fit(options, message, tmp_path):
    """Fails if ranges of 8 bits are taken from nothing or from other images."""
    with pytest.raises(ValueError, match=message):
        export("litert", network(keras.layers.Dense(3)), tmp_path / "1", **options)
    assert not (tmp_path / "1").exists()


def test_a_missing_runtime_is_named(monkeypatch, tmp_path):
    """Fails if a user without an extra gets another error than what to install."""
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_mmc\[openvino\]'"):
        export("openvino", network(keras.layers.Dense(3)), tmp_path / "1")
